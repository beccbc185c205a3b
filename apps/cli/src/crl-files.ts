import { stat } from "node:fs/promises";
import { readBounded, readDirectoryBounded } from "@handfast/files";
import { parseCrl } from "@handfast/x509";
import type { Crl } from "@handfast/x509";

/**
 * The revocation lists of files and folders, PEM or DER.
 *
 * @throws FilesError; X509Error CRL_MALFORMED
 */
export async function readCrls(places: readonly string[]): Promise<readonly Crl[]> {
  const crls: Crl[] = [];
  for (const place of places) {
    const directory = await stat(place).then(
      (stats) => stats.isDirectory(),
      () => false,
    );
    if (directory) crls.push(...(await readDirectory(place)));
    else crls.push(parseCrl(await readBounded(place, limit)));
  }
  return crls;
}

async function readDirectory(directory: string): Promise<readonly Crl[]> {
  const { files, errors } = await readDirectoryBounded(directory, limit);
  const [failure] = errors.values();
  if (failure !== undefined) throw failure;
  return [...files.values()].map((bytes) => parseCrl(bytes));
}

const limit = { maxBytes: 256 * 1_024 * 1_024 };
