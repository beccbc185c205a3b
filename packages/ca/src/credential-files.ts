import type { KeyObject } from "node:crypto";
import { lstat, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { createDirectory, readBounded, writeFileAtomic } from "@handfast/files";
import { certificatesToPem, encodePrivateKey } from "@handfast/x509";
import type { Certificate } from "@handfast/x509";
import { CaError } from "./errors.ts";
import type { ServiceName } from "./names.ts";

/** Where the files of one certificate go. */
export interface CredentialPaths {
  /** The certificate and those above it, without the root. */
  readonly certificate: string;
  /** Mode 0600. */
  readonly key: string;
  /** The bundle, for a layout that keeps it beside the certificates. */
  readonly bundle?: string;
}

/** How files are laid out: a folder per name (`tree`), or all in one (`flat`). */
export type CredentialLayout = "tree" | "flat";

/** `NAME/NAME.pem` and `NAME/NAME-key.pem`; or `NAME.crt`, `NAME.key` and `ca.crt`. */
export function credentialPaths(
  name: ServiceName,
  { directory, layout }: { readonly directory: string; readonly layout: CredentialLayout },
): CredentialPaths {
  if (layout === "tree") {
    const own = join(directory, name);
    return { certificate: join(own, `${name}.pem`), key: join(own, `${name}-key.pem`) };
  }
  return {
    certificate: join(directory, `${name}.crt`),
    key: join(directory, `${name}.key`),
    bundle: join(directory, "ca.crt"),
  };
}

/**
 * Refuses to go on where a credential would replace files; ask before a certificate is issued.
 *
 * @throws CaError CREDENTIAL_EXISTS
 */
export async function refuseExistingCredential(paths: CredentialPaths): Promise<void> {
  for (const path of [paths.key, paths.certificate]) {
    try {
      await lstat(path);
    } catch (error) {
      if (["ENOENT", "ENOTDIR"].includes((error as NodeJS.ErrnoException).code ?? "")) continue;
      throw error;
    }
    throw new CaError("CREDENTIAL_EXISTS", `${path} is there already`);
  }
}

/** What is written, and whether it may replace what is there. */
export interface WriteCredentialOptions {
  readonly chain: readonly Certificate[];
  readonly privateKey: KeyObject;
  /** The roots, for a layout that has a place for them. */
  readonly roots: readonly Certificate[];
  readonly overwrite: boolean;
}

/**
 * Writes a key (0600) and its certificate chain (0644), folders 0700. Each file is whole or not
 * there, and new ones that could not all be written are taken away again. Replacing is one step per
 * file: whoever reads a pair in between must check that the key belongs to the certificate (S56).
 *
 * @throws CaError CREDENTIAL_EXISTS (another bundle is in its place); FilesError FILE_EXISTS,
 * DIRECTORY_UNTRUSTED, FILE_WRITE_FAILED
 */
export async function writeCredential(
  paths: CredentialPaths,
  { chain, privateKey, roots, overwrite }: WriteCredentialOptions,
): Promise<void> {
  await createDirectory(dirname(paths.key));
  if (paths.bundle !== undefined) {
    await writeBundle(paths.bundle, { pem: certificatesToPem(roots), overwrite });
  }
  await writeFileAtomic(paths.key, encodePrivateKey(privateKey), { mode: 0o600, overwrite });
  try {
    await writeFileAtomic(paths.certificate, certificatesToPem(chain), { mode: 0o644, overwrite });
  } catch (error) {
    if (!overwrite) await rm(paths.key);
    throw error;
  }
}

/** The same bundle again is no replacement. */
async function writeBundle(
  path: string,
  { pem, overwrite }: { pem: string; overwrite: boolean },
): Promise<void> {
  try {
    await writeFileAtomic(path, pem, { mode: 0o644, overwrite });
  } catch (error) {
    const there = await readBounded(path, { maxBytes: maxBundleBytes }).catch(() => undefined);
    if (there === undefined) throw error;
    if (Buffer.from(there).toString("latin1") === pem) return;
    throw new CaError("CREDENTIAL_EXISTS", `${path} is there already and holds another bundle`, {
      cause: error,
    });
  }
}

const maxBundleBytes = 4 * 1_024 * 1_024;
