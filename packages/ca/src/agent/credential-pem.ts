import type { KeyObject } from "node:crypto";
import { FilesError, readBounded } from "@handfast/files";
import {
  decodePem,
  encodePem,
  encodePrivateKey,
  parseCertificatesPem,
  parsePrivateKey,
  publicKeyMatches,
} from "@handfast/x509";
import { CaError } from "../errors.ts";
import type { PresentCredential } from "./renewer.ts";

/** A key and its certificate chain as one PEM text, the key first. */
export function encodeCredential({ chainPem, privateKey }: PresentCredential): string {
  return `${encodePrivateKey(privateKey)}${chainPem}`;
}

/**
 * Reads a key and its chain, from one text or two.
 *
 * @throws CaError CREDENTIAL_INVALID, never with any of the key
 */
export function parseCredential(
  { key, chain }: { readonly key: Uint8Array; readonly chain: Uint8Array },
  path: string,
): PresentCredential {
  try {
    const blocks = decodePem(chain).filter(({ label }) => label === "CERTIFICATE");
    const chainPem = blocks.map(({ label, der }) => encodePem(label, der)).join("");
    const [leaf] = parseCertificatesPem(chainPem);
    const keys = decodePem(key).filter(({ label }) => label.endsWith("PRIVATE KEY"));
    const [only] = keys;
    if (leaf === undefined || only === undefined || keys.length > 1) {
      throw new TypeError("expected one private key and its certificates");
    }
    const privateKey = parsePrivateKey(encodePem(only.label, only.der));
    if (!publicKeyMatches(leaf, privateKey)) {
      throw new TypeError("the key is not that of the certificate");
    }
    return { chainPem, privateKey };
  } catch (cause) {
    throw new CaError("CREDENTIAL_INVALID", `${path}: ${(cause as Error).message}`, { cause });
  }
}

/** The private key in a file, or undefined if it is not there. @throws CaError CREDENTIAL_INVALID; FilesError */
export async function readKeyIfThere(path: string): Promise<KeyObject | undefined> {
  const bytes = await readIfThere(path);
  if (bytes === undefined) return undefined;
  try {
    return parsePrivateKey(bytes);
  } catch (cause) {
    throw new CaError("CREDENTIAL_INVALID", `${path}: ${(cause as Error).message}`, { cause });
  }
}

/** The bytes of a file of at most 1 MiB, or undefined if it is not there. @throws FilesError */
export async function readIfThere(path: string): Promise<Uint8Array | undefined> {
  try {
    return await readBounded(path, { maxBytes: 1_024 * 1_024 });
  } catch (error) {
    if (error instanceof FilesError && error.code === "FILE_NOT_FOUND") return undefined;
    throw error;
  }
}
