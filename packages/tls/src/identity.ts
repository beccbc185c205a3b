import type { KeyObject } from "node:crypto";

import { readBounded } from "@handfast/files";
import {
  certificatesToPem,
  decodePem,
  encodePem,
  encodePrivateKey,
  publicKeyMatches,
  verifyChain,
} from "@handfast/x509";
import type { Certificate } from "@handfast/x509";

import { TlsError, reasonOf } from "./errors.ts";
import { readCertificates, readPrivateKey } from "./material.ts";
import { watchFiles } from "./watch-files.ts";
import type { Source } from "./source.ts";

/** A certificate chain and its key, as bytes: what an identity source yields. */
export interface IdentityMaterial {
  /** PEM or DER: the leaf first, its intermediates after it. The root may be left out. */
  readonly certificateChain: string | Uint8Array;
  /** The leaf's private key, not encrypted: PEM, or PKCS #8 in DER. */
  readonly privateKey: string | Uint8Array;
}

/** Where this side's certificate and key come from. `undefined` is "no certificate", asked for in words. */
export type IdentitySource = Source<IdentityMaterial | undefined>;

/** What an identity can be used for: the two extended key usages of TLS. */
export type Purpose = "server" | "client";

/** A checked identity: the key is the leaf's, the chain builds, the dates fit. */
export interface Identity {
  readonly chain: readonly Certificate[];
  readonly certificateChainPem: string;
  readonly privateKeyPem: string;
  readonly purposes: ReadonlySet<Purpose>;
  /** The leaf's. */
  readonly notBefore: Date;
  /** The earliest notAfter of the chain. */
  readonly expiresAt: Date;
}

/**
 * The identity in two files, watched: a change on disk is picked up without a restart.
 *
 * Two files cannot change in one step. A pair that does not match is never used: the last good pair stays
 * until the second file has changed too. One file, named twice, is {@link identityFromFile}.
 */
export function identityFromFiles(files: { certFile: string; keyFile: string }): IdentitySource {
  const { certFile, keyFile } = files;
  if (certFile === keyFile) return identityFromFile(certFile);
  return {
    description: `certificate ${certFile} and key ${keyFile}`,
    async read() {
      const [certificateChain, privateKey] = await Promise.all([
        readBounded(certFile, { maxBytes: MAX_FILE_BYTES }),
        readBounded(keyFile, { maxBytes: MAX_FILE_BYTES }),
      ]);
      return { certificateChain, privateKey };
    },
    watch: (changed) => watchFiles([certFile, keyFile], { maxBytes: MAX_FILE_BYTES, changed }),
  };
}

/**
 * The identity in one file that holds the key and its certificates, watched: one rename changes both.
 */
export function identityFromFile(file: string): IdentitySource {
  return {
    description: `certificate and key ${file}`,
    async read() {
      const both = await readBounded(file, { maxBytes: MAX_FILE_BYTES });
      const certificates = decodePem(both).filter(({ label }) => label === "CERTIFICATE");
      const certificateChain = certificates
        .map(({ der }) => encodePem("CERTIFICATE", der))
        .join("");
      return { certificateChain, privateKey: both };
    },
    watch: (changed) => watchFiles([file], { maxBytes: MAX_FILE_BYTES, changed }),
  };
}

/** An identity held in memory: PEM text or bytes. It never changes. */
export function identityFromMemory(material: IdentityMaterial): IdentitySource {
  return { description: "identity in memory", read: () => Promise.resolve(material) };
}

/**
 * No certificate of our own: a client of servers that ask for none (server-only TLS). Such a runtime cannot
 * listen, and a server that requires a client certificate refuses it.
 */
export function noIdentity(): IdentitySource {
  return { description: "no identity", read: () => Promise.resolve(undefined) };
}

/**
 * Checks material and makes an identity of it: the key is the leaf's, each certificate is signed by the next,
 * all are in their validity, the leaf is for servers or clients.
 *
 * @throws TlsError IDENTITY_INVALID, with what was expected and what arrived; never with key bytes.
 */
export function parseIdentity(material: IdentityMaterial, now: Date): Identity {
  const chain = parseChain(material.certificateChain);
  const [leaf] = chain;
  if (leaf === undefined) throw invalid("the certificate file holds no certificate");
  const key = parseKey(material.privateKey);
  if (!publicKeyMatches(leaf, key)) {
    throw invalid(
      `the private key does not belong to the certificate ${leaf.subject.text}: expected the key of its public key`,
    );
  }
  const purposes = new Set<Purpose>();
  let reason = "";
  for (const purpose of ["server", "client"] as const) {
    const verdict = checkChain(chain, purpose, now);
    if (verdict === undefined) purposes.add(purpose);
    else reason = verdict;
  }
  if (purposes.size === 0) throw invalid(reason);
  return {
    chain,
    certificateChainPem: certificatesToPem(chain),
    privateKeyPem: encodePrivateKey(key),
    purposes,
    notBefore: leaf.notBefore,
    expiresAt: new Date(Math.min(...chain.map((certificate) => certificate.notAfter.getTime()))),
  };
}

/** The chain must lead from the leaf to its own last certificate; whether that is trusted is for the peers. */
function checkChain(
  chain: readonly Certificate[],
  purpose: Purpose,
  now: Date,
): string | undefined {
  const [leaf] = chain;
  const last = chain.at(-1);
  if (leaf === undefined || last === undefined) return "the certificate file holds no certificate";
  const verdict = verifyChain(
    { leaf, candidates: chain.slice(1, -1) },
    { anchors: [last], now, purpose },
  );
  return verdict.ok ? undefined : verdict.message;
}

function parseChain(material: string | Uint8Array): Certificate[] {
  try {
    return readCertificates(material);
  } catch (cause) {
    throw invalid(`the certificate chain cannot be read: ${reasonOf(cause)}`, cause);
  }
}

function parseKey(material: string | Uint8Array): KeyObject {
  try {
    return readPrivateKey(material);
  } catch (cause) {
    throw invalid(`the private key cannot be read: ${reasonOf(cause)}`, cause);
  }
}

function invalid(message: string, cause?: unknown): TlsError {
  return new TlsError("IDENTITY_INVALID", message, cause === undefined ? {} : { cause });
}

/** A chain of ten RSA-4096 or ML-DSA certificates is well below this. */
const MAX_FILE_BYTES = 1024 * 1024;
