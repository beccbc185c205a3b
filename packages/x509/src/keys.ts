import { createPublicKey, generateKeyPairSync, timingSafeEqual, type KeyObject } from "node:crypto";
import type { Certificate } from "./certificate.ts";
import { X509Error } from "./errors.ts";
import type { KeyAlgorithm } from "./public-key.ts";

/** A private key and its public key. */
export interface KeyPair {
  readonly publicKey: KeyObject;
  readonly privateKey: KeyObject;
}

/**
 * Makes a key pair; ECDSA P-256 unless told otherwise.
 * @throws X509Error ALGORITHM_UNSUPPORTED for ML-DSA where OpenSSL is older than 3.5
 */
export function generateKeyPair(algorithm: KeyAlgorithm = "ecdsa-p256"): KeyPair {
  switch (algorithm) {
    case "ecdsa-p256":
      return generateKeyPairSync("ec", { namedCurve: "P-256" });
    case "ecdsa-p384":
      return generateKeyPairSync("ec", { namedCurve: "P-384" });
    case "ed25519":
      return generateKeyPairSync("ed25519");
    case "rsa-2048":
    case "rsa-3072":
    case "rsa-4096":
      return generateKeyPairSync("rsa", { modulusLength: Number(algorithm.slice(4)) });
    case "ml-dsa-44":
    case "ml-dsa-65":
    case "ml-dsa-87":
      return generateMlDsa(algorithm);
    default:
      throw new TypeError(
        `key algorithm must be one of the KeyAlgorithm names, got ${String(algorithm)}`,
      );
  }
}

/** Whether the private key belongs to the certificate's public key (compared in constant time). */
export function publicKeyMatches(certificate: Certificate, privateKey: KeyObject): boolean {
  const own = exportPublicKey(createPublicKey(privateKey));
  const theirs = exportPublicKey(certificate.publicKey);
  return own.length === theirs.length && timingSafeEqual(own, theirs);
}

/** The DER SubjectPublicKeyInfo of a public or private key. */
export function exportPublicKey(key: KeyObject): Uint8Array {
  const publicKey = key.type === "private" ? createPublicKey(key) : key;
  return publicKey.export({ type: "spki", format: "der" });
}

function generateMlDsa(algorithm: "ml-dsa-44" | "ml-dsa-65" | "ml-dsa-87"): KeyPair {
  try {
    return generateKeyPairSync(algorithm);
  } catch (error) {
    throw new X509Error(
      "ALGORITHM_UNSUPPORTED",
      `key algorithm ${algorithm} needs OpenSSL 3.5, this process has ${process.versions.openssl}`,
      { cause: error },
    );
  }
}
