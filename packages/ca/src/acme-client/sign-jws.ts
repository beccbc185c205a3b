import { createHmac, createPublicKey, sign } from "node:crypto";
import type { KeyObject } from "node:crypto";
import { algorithmOf, readAccountJwk } from "../acme/account-key.ts";
import type { AccountJwk, SignatureAlgorithm } from "../acme/account-key.ts";

/** The private key of an account, and how it signs. */
export interface AccountSigner {
  readonly jwk: AccountJwk;
  /** A flattened JWS; a payload of undefined makes it a POST-as-GET. */
  sign(header: Readonly<Record<string, unknown>>, payload: unknown): string;
}

/**
 * A key as an account signs with it: P-256, P-384, Ed25519, or RSA from 2048 bits.
 *
 * @throws TypeError for another key
 */
export function createAccountSigner(key: KeyObject): AccountSigner {
  const publicKey = createPublicKey(key);
  const jwk = readAccountKey(publicKey);
  const algorithm: SignatureAlgorithm = algorithmOf(publicKey, jwk);
  const digest = { ES256: "sha256", ES384: "sha384", RS256: "sha256", EdDSA: null }[algorithm];
  return {
    jwk,
    sign(header, payload): string {
      const protectedHeader = encode({ alg: algorithm, ...header });
      const encoded = payload === undefined ? "" : encode(payload);
      const signed = Buffer.from(`${protectedHeader}.${encoded}`);
      const signature = sign(digest, signed, { key, dsaEncoding: "ieee-p1363" });
      return JSON.stringify({
        protected: protectedHeader,
        payload: encoded,
        signature: signature.toString("base64url"),
      });
    },
  };
}

/** What binds a new account to an external one (RFC 8555 7.3.4). */
export function bindExternalAccount(
  { keyId, macKey }: { readonly keyId: string; readonly macKey: string },
  { jwk, url }: { readonly jwk: AccountJwk; readonly url: string },
): Readonly<Record<string, string>> {
  const protectedHeader = encode({ alg: "HS256", kid: keyId, url });
  const payload = encode(jwk);
  const signature = createHmac("sha256", Buffer.from(macKey, "base64url"))
    .update(`${protectedHeader}.${payload}`)
    .digest("base64url");
  return { protected: protectedHeader, payload, signature };
}

function readAccountKey(publicKey: KeyObject): AccountJwk {
  try {
    return readAccountJwk(publicKey.export({ format: "jwk" }));
  } catch (error) {
    throw new TypeError(`accountKey: ${(error as Error).message}`, { cause: error });
  }
}

function encode(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString("base64url");
}
