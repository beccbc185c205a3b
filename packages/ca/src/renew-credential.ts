import { rename, rm } from "node:fs/promises";
import type { KeyObject } from "node:crypto";
import { createPublicKey } from "node:crypto";
import { FilesError, readBounded, writeFileAtomic } from "@handfast/files";
import {
  certificatesToPem,
  encodePrivateKey,
  generateKeyPair,
  parseCertificatesPem,
  parsePrivateKey,
  publicKeyMatches,
} from "@handfast/x509";
import type { Certificate, KeyAlgorithm } from "@handfast/x509";
import type { Authority } from "./authority.ts";
import type { CredentialPaths } from "./credential-files.ts";
import type { IssuedCertificate } from "./issue.ts";

/** How a credential is renewed. */
export interface RenewCredentialOptions {
  /** Of the new key; ECDSA P-256 if not given. */
  readonly keyAlgorithm?: KeyAlgorithm;
  readonly validitySeconds?: number;
  readonly requester: string;
}

/**
 * Renews the certificate in a file with a new key, and puts both in the place of the old. The new
 * key is on disk (`KEY.next`, mode 0600) before it is certified, so that a crash loses nothing: the
 * next attempt asks with the same key and gets the same certificate. Replacing is one step per
 * file, the certificate first.
 *
 * @throws CaError and X509Error of `Authority.renew`; FilesError; X509Error of the files' contents
 */
export async function renewCredential(
  authority: Pick<Authority, "renew">,
  paths: CredentialPaths,
  options: RenewCredentialOptions,
): Promise<IssuedCertificate> {
  const { keyAlgorithm, ...rest } = options;
  return replaceCredential(paths, {
    keyAlgorithm,
    ask: ({ present, nextKey }) =>
      authority.renew({
        ...rest,
        certificate: present.fingerprint,
        publicKey: createPublicKey(nextKey),
      }),
    isFinal: () => true,
  });
}

/** How the next certificate is had. */
interface ReplaceOptions<Issued> {
  readonly keyAlgorithm: KeyAlgorithm | undefined;
  /** Asks for the certificate of the next key. */
  readonly ask: (request: {
    readonly present: Certificate;
    /** The file of the present certificate, as it is. */
    readonly presentChain: Uint8Array;
    readonly nextKey: KeyObject;
  }) => Promise<Issued>;
  /** Whether an error says that nothing was issued: the next key is then taken away again. */
  readonly isFinal: (error: unknown) => boolean;
}

/** Puts the next certificate and key in the place of those in two files, as `renewCredential` says. */
export async function replaceCredential<Issued extends { readonly chain: readonly Certificate[] }>(
  paths: CredentialPaths,
  { keyAlgorithm, ask, isFinal }: ReplaceOptions<Issued>,
): Promise<Issued> {
  const presentChain = await readBounded(paths.certificate, { maxBytes: maxFileBytes });
  const [present] = parseCertificatesPem(presentChain);
  if (present === undefined) throw new TypeError("a bundle holds at least one certificate");
  const pending = `${paths.key}.next`;
  await finishInterrupted(present, { pending, key: paths.key });
  const next = await nextKey(pending, keyAlgorithm);
  const issued = await ask({ present, presentChain, nextKey: next.privateKey }).catch(
    async (error: unknown) => {
      if (next.made && isFinal(error)) await rm(next.path);
      throw error;
    },
  );
  const pem = certificatesToPem(issued.chain);
  await writeFileAtomic(paths.certificate, pem, { mode: 0o644, overwrite: true });
  await rename(next.path, paths.key);
  return issued;
}

/** A key that is on disk before it is certified. */
export interface NextKey {
  readonly path: string;
  readonly privateKey: KeyObject;
  /** False if an attempt before this one made it. */
  readonly made: boolean;
}

/** An attempt that ended between its two steps has left the key of the present certificate. */
async function finishInterrupted(
  present: Certificate,
  { pending, key }: { pending: string; key: string },
): Promise<void> {
  const privateKey = await readKey(pending);
  if (privateKey === undefined || !publicKeyMatches(present, privateKey)) return;
  await rename(pending, key);
}

/** The key that an attempt before this one left in a file, or a new one in it (mode 0600). */
export async function nextKey(path: string, algorithm: KeyAlgorithm | undefined): Promise<NextKey> {
  const earlier = await readKey(path);
  if (earlier !== undefined) return { path, privateKey: earlier, made: false };
  const { privateKey } = generateKeyPair(algorithm);
  await writeFileAtomic(path, encodePrivateKey(privateKey), { mode: 0o600 });
  return { path, privateKey, made: true };
}

async function readKey(path: string): Promise<KeyObject | undefined> {
  try {
    return parsePrivateKey(await readBounded(path, { maxBytes: maxFileBytes }));
  } catch (error) {
    if (error instanceof FilesError && error.code === "FILE_NOT_FOUND") return undefined;
    throw error;
  }
}

const maxFileBytes = 1_024 * 1_024;
