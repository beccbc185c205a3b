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

/**
 * The DER of both halves of a key pair: SubjectPublicKeyInfo and PrivateKeyInfo. One look at the key
 * instead of two, for those who make many.
 */
export function exportKeyPair(pair: KeyPair): { publicKey: Uint8Array; privateKey: Uint8Array } {
  const jwk = exportP256(pair.privateKey);
  return jwk
    ? { publicKey: p256PublicKey(jwk), privateKey: p256PrivateKey(jwk) }
    : { publicKey: exportPublicKey(pair.publicKey), privateKey: exportPrivateKey(pair.privateKey) };
}

/**
 * The DER SubjectPublicKeyInfo of a public or private key. (For P-256 it is written here, from the
 * JWK: OpenSSL's encoder takes five times as long.)
 */
export function exportPublicKey(key: KeyObject): Uint8Array {
  const jwk = exportP256(key);
  if (jwk) return p256PublicKey(jwk);
  const publicKey = key.type === "private" ? createPublicKey(key) : key;
  return publicKey.export({ type: "spki", format: "der" });
}

/** The DER PrivateKeyInfo of a private key. (P-256: as above.) */
export function exportPrivateKey(key: KeyObject): Uint8Array {
  const jwk = exportP256(key);
  return jwk ? p256PrivateKey(jwk) : key.export({ type: "pkcs8", format: "der" });
}

/** The point in an encoded P-256 key of the usual form; undefined for anything else. */
export function p256PointOf(der: Uint8Array): Uint8Array | undefined {
  if (der.length !== P256_SPKI_PREFIX.length + 64) return undefined;
  for (let at = 0; at < P256_SPKI_PREFIX.length; at++) {
    if (der[at] !== P256_SPKI_PREFIX[at]) return undefined;
  }
  return der.subarray(P256_SPKI_PREFIX.length - 1);
}

interface P256Key {
  readonly d: string;
  readonly x: string;
  readonly y: string;
}

function p256PublicKey({ x, y }: P256Key): Uint8Array {
  const der = Buffer.allocUnsafeSlow(P256_SPKI_PREFIX.length + 64);
  P256_SPKI_PREFIX.copy(der);
  der.write(x, P256_SPKI_PREFIX.length, "base64url");
  der.write(y, P256_SPKI_PREFIX.length + 32, "base64url");
  return der;
}

function p256PrivateKey({ d, x, y }: P256Key): Uint8Array {
  const scalarEnd = P256_PKCS8_PREFIX.length + 32;
  const pointStart = scalarEnd + P256_PKCS8_MIDDLE.length;
  const der = Buffer.allocUnsafeSlow(pointStart + 64);
  P256_PKCS8_PREFIX.copy(der);
  der.write(d, P256_PKCS8_PREFIX.length, "base64url");
  P256_PKCS8_MIDDLE.copy(der, scalarEnd);
  der.write(x, pointStart, "base64url");
  der.write(y, pointStart + 32, "base64url");
  return der;
}

function exportP256(key: KeyObject): P256Key | undefined {
  if (key.asymmetricKeyType !== "ec") return undefined;
  try {
    const { crv, d = "", x = "", y = "" } = key.export({ format: "jwk" });
    return crv === "P-256" ? { d, x, y } : undefined;
  } catch {
    return undefined; // a curve that JWK does not know
  }
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

/** SubjectPublicKeyInfo of a P-256 key up to and with the 04 of an uncompressed point. */
const P256_SPKI_PREFIX = Buffer.from(
  "3059301306072a8648ce3d020106082a8648ce3d03010703420004",
  "hex",
);
/** PrivateKeyInfo of a P-256 key (RFC 5958, RFC 5915) up to the 32 octets of the scalar. */
const P256_PKCS8_PREFIX = Buffer.from(
  "308187020100301306072a8648ce3d020106082a8648ce3d030107046d306b0201010420",
  "hex",
);
/** What stands between the scalar and the point: `[1]`, BIT STRING, 04. */
const P256_PKCS8_MIDDLE = Buffer.from("a14403420004", "hex");
