import { join } from "node:path";
import { authorityHome } from "@handfast/ca";
import { FilesError, readBounded, writeFileAtomic } from "@handfast/files";

/** Where an authority of a home is served, as `ca serve` left word of it. */
export interface ServedAt {
  /** What tokens name: https://NAME:PORT. */
  readonly enrolmentUrl: string;
  /** host:port of the Authority service. */
  readonly authorityTarget: string;
}

/** Leaves word for `token`, which is run beside the service. */
export async function writeServedAt(home: string, served: ServedAt): Promise<void> {
  await writeFileAtomic(pathIn(home), `${JSON.stringify(served)}\n`, {
    mode: 0o644,
    overwrite: true,
    trustedDirectory: true,
  });
}

/** Where the authority of a home was served last; undefined if never. */
export async function readServedAt(home: string): Promise<ServedAt | undefined> {
  try {
    const bytes = await readBounded(pathIn(home), { maxBytes: 4_096 });
    const { enrolmentUrl, authorityTarget } = JSON.parse(
      Buffer.from(bytes).toString("utf8"),
    ) as Partial<Record<keyof ServedAt, unknown>>;
    if (typeof enrolmentUrl !== "string" || typeof authorityTarget !== "string") return undefined;
    return { enrolmentUrl, authorityTarget };
  } catch (error) {
    if (error instanceof FilesError && error.code === "FILE_NOT_FOUND") return undefined;
    throw error;
  }
}

function pathIn(home: string): string {
  return join(authorityHome(home).directory, "served-at.json");
}
