import { createPublicKey, hash, verify } from "node:crypto";
import type { KeyObject } from "node:crypto";
import { AcmeProblem } from "./problem.ts";

/** The signature algorithms of accounts (security.md S51). */
export const signatureAlgorithms = ["ES256", "ES384", "EdDSA", "RS256"] as const;

export type SignatureAlgorithm = (typeof signatureAlgorithms)[number];

/** The public key of an account: the members that make it, and no others. */
export type AccountJwk = Readonly<Record<string, string>>;

/**
 * Reads a JWK (RFC 7517) and leaves out what does not make the key.
 *
 * @throws AcmeProblem badPublicKey; malformed for a private key, which nobody is to send
 */
export function readAccountJwk(value: unknown): AccountJwk {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new AcmeProblem("malformed", "jwk must be an object");
  }
  const given = value as Readonly<Record<string, unknown>>;
  if (
    ["d", "p", "q", "dp", "dq", "qi", "oth", "k"].some((member) => Object.hasOwn(given, member))
  ) {
    throw new AcmeProblem("malformed", "jwk must hold a public key, and this one holds a secret");
  }
  const { kty } = given;
  const kind = kty === "EC" || kty === "OKP" || kty === "RSA" ? kty : undefined;
  if (kind === undefined) throw unsuitable("must be an EC, OKP or RSA key");
  const entries = membersOf[kind].map((member) => {
    const text = given[member];
    if (typeof text === "string" && text.length <= 2_048) return [member, text] as const;
    throw unsuitable(`must have the member ${member}`);
  });
  const jwk: AccountJwk = Object.fromEntries(entries);
  algorithmOf(publicKeyOf(jwk), jwk);
  return jwk;
}

/** The key object of a key that was read. @throws AcmeProblem badPublicKey */
export function publicKeyOf(jwk: AccountJwk): KeyObject {
  try {
    return createPublicKey({ key: { ...jwk }, format: "jwk" });
  } catch (cause) {
    throw new AcmeProblem("badPublicKey", "jwk is not a valid public key", { cause });
  }
}

/** RFC 7638, SHA-256, base64url. */
export function thumbprintOf(jwk: AccountJwk): string {
  const ordered = Object.entries(jwk).toSorted(([a], [b]) => (a < b ? -1 : 1));
  return hash("sha256", JSON.stringify(Object.fromEntries(ordered)), "base64url");
}

/** The thumbprint that a SubjectPublicKeyInfo has as an account's key; undefined if it can be none. */
export function thumbprintOfKey(der: Uint8Array): string | undefined {
  try {
    const key = createPublicKey({ key: Buffer.from(der), format: "der", type: "spki" });
    return thumbprintOf(readAccountJwk(key.export({ format: "jwk" })));
  } catch {
    return undefined;
  }
}

/** Whether a JWS signature (RFC 7518, RFC 8037) is that of this key. */
export function verifiesWith(
  jwk: AccountJwk,
  {
    algorithm,
    signed,
    signature,
  }: { algorithm: SignatureAlgorithm; signed: string; signature: Uint8Array },
): boolean {
  const key = publicKeyOf(jwk);
  if (algorithmOf(key, jwk) !== algorithm) return false;
  const digest = { ES256: "sha256", ES384: "sha384", RS256: "sha256", EdDSA: null }[algorithm];
  return verify(digest, Buffer.from(signed), { key, dsaEncoding: "ieee-p1363" }, signature);
}

/** The one algorithm that a key signs with. @throws AcmeProblem badPublicKey */
export function algorithmOf(key: KeyObject, jwk: AccountJwk): SignatureAlgorithm {
  if (jwk["kty"] === "EC") {
    if (jwk["crv"] === "P-256") return "ES256";
    if (jwk["crv"] === "P-384") return "ES384";
    throw unsuitable("must be on P-256 or P-384");
  }
  if (jwk["kty"] === "OKP") {
    if (jwk["crv"] === "Ed25519") return "EdDSA";
    throw unsuitable("must be on Ed25519");
  }
  const { modulusLength = 0, publicExponent = 0n } = key.asymmetricKeyDetails ?? {};
  if (modulusLength < 2_048 || modulusLength > 8_192) {
    throw unsuitable(`must have from 2048 to 8192 bits, not ${modulusLength}`);
  }
  if (publicExponent < 65_537n || publicExponent >= 2n ** 32n || publicExponent % 2n === 0n) {
    throw unsuitable("must have an odd exponent from 65537 to 2^32");
  }
  return "RS256";
}

function unsuitable(problem: string): AcmeProblem {
  return new AcmeProblem("badPublicKey", `the account's key ${problem}`);
}

/** The members that make a key, which are those of its thumbprint (RFC 7638 3.2). */
const membersOf = {
  EC: ["crv", "kty", "x", "y"],
  OKP: ["crv", "kty", "x"],
  RSA: ["e", "kty", "n"],
};
