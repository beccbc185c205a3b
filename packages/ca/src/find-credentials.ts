import { lstat, readdir } from "node:fs/promises";
import { credentialPaths } from "./credential-files.ts";
import type { CredentialLayout, CredentialPaths } from "./credential-files.ts";
import { CaError } from "./errors.ts";
import { parseServiceName } from "./names.ts";
import type { ServiceName } from "./names.ts";

/** A certificate and its key, found by their files. */
export interface FoundCredential {
  readonly name: ServiceName;
  readonly paths: CredentialPaths;
}

/**
 * The credentials in a folder, by name: each name of which certificate and key are both there, as files and not as
 * links. What else is in the folder is passed over. A folder that is not there holds none.
 */
export async function findCredentials(place: {
  readonly directory: string;
  readonly layout: CredentialLayout;
}): Promise<readonly FoundCredential[]> {
  const found: FoundCredential[] = [];
  for (const word of (await wordsIn(place)).toSorted()) {
    const name = nameOf(word);
    if (name === undefined) continue;
    const paths = credentialPaths(name, place);
    if ((await isFile(paths.certificate)) && (await isFile(paths.key))) found.push({ name, paths });
  }
  return found;
}

async function wordsIn({
  directory,
  layout,
}: {
  directory: string;
  layout: CredentialLayout;
}): Promise<readonly string[]> {
  const entries = await readdir(directory, { withFileTypes: true }).catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  });
  return layout === "tree"
    ? entries.filter((entry) => entry.isDirectory()).map(({ name }) => name)
    : entries.flatMap(({ name }) => (name.endsWith(".key") ? [name.slice(0, -".key".length)] : []));
}

function nameOf(word: string): ServiceName | undefined {
  try {
    return parseServiceName(word);
  } catch (error) {
    if (error instanceof CaError) return undefined;
    throw error;
  }
}

async function isFile(path: string): Promise<boolean> {
  return lstat(path).then(
    (stats) => stats.isFile(),
    () => false,
  );
}
