import { rm } from "node:fs/promises";
import { writeFileAtomic } from "@handfast/files";
import { encodePrivateKey } from "@handfast/x509";
import {
  encodeCredential,
  parseCredential,
  readIfThere,
  readKeyIfThere,
} from "./credential-pem.ts";
import type { CredentialPlace, FileAccess } from "./place.ts";
import type { PresentCredential } from "./renewer.ts";

/**
 * One file that holds the key and its certificates, as nginx, HAProxy and `identityFromFile` read
 * them: a rename changes both at once (security.md S56). The next key waits beside it as `….next`,
 * mode 0600 and ours.
 */
export function placeInFile(
  path: string,
  { mode = 0o600, owner }: FileAccess = {},
): CredentialPlace {
  const waiting = `${path}.next`;
  return {
    description: path,
    async read(): Promise<PresentCredential | undefined> {
      const bytes = await readIfThere(path);
      return bytes && parseCredential({ key: bytes, chain: bytes }, path);
    },
    next: () => readKeyIfThere(waiting),
    keepNext: (key) =>
      writeFileAtomic(waiting, encodePrivateKey(key), { mode: 0o600, overwrite: true }),
    async put(credential): Promise<void> {
      await writeFileAtomic(path, encodeCredential(credential), {
        mode,
        overwrite: true,
        ...(owner && { owner }),
      });
      await rm(waiting, { force: true });
    },
  };
}
