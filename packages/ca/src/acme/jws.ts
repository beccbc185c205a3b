import { readAccountJwk, signatureAlgorithms, verifiesWith } from "./account-key.ts";
import type { AccountJwk, SignatureAlgorithm } from "./account-key.ts";
import { AcmeProblem } from "./problem.ts";

/** A JWS in the flattened JSON form (RFC 8555 6.2), whose signature has not been checked. */
export interface UncheckedJws {
  readonly algorithm: SignatureAlgorithm;
  readonly url: string;
  /** What says whose signature it is to be: a key, or the URL of an account. */
  readonly signer: { readonly jwk: AccountJwk } | { readonly kid: string };
  readonly nonce: string | undefined;
  /** Empty for POST-as-GET. */
  readonly payload: string;
  readonly signed: string;
  readonly signature: Uint8Array;
}

/**
 * Reads a JWS.
 *
 * @throws AcmeProblem malformed, badSignatureAlgorithm, badPublicKey
 */
export function readJws(value: unknown): UncheckedJws {
  const { encodedHeader, payload, signature } = flattenedParts(value);
  const header = objectOf(parseJson(decoded(encodedHeader, "protected"), "protected"), "protected");
  if ("crit" in header || "b64" in header) {
    throw malformed("the protected header must not have crit or b64");
  }
  const { alg, url, nonce } = header;
  if (typeof url !== "string") throw malformed("the protected header must have a url");
  if (nonce !== undefined && (typeof nonce !== "string" || !base64Url.test(nonce))) {
    throw new AcmeProblem("badNonce", "the nonce must be base64url");
  }
  return {
    algorithm: readAlgorithm(alg),
    url,
    signer: readSigner(header),
    nonce,
    payload: decoded(payload, "payload").toString("utf8"),
    signed: `${encodedHeader}.${payload}`,
    signature: decoded(signature, "signature"),
  };
}

/** The three parts of a flattened JWS, none of them decoded. */
export function flattenedParts(value: unknown): {
  encodedHeader: string;
  payload: string;
  signature: string;
} {
  const jws = objectOf(value, "the body");
  if ("header" in jws || "signatures" in jws) {
    throw malformed("the JWS must be flattened, with one signature and no unprotected header");
  }
  const { protected: encodedHeader, payload, signature } = jws;
  if (
    typeof encodedHeader !== "string" ||
    typeof payload !== "string" ||
    typeof signature !== "string"
  ) {
    throw malformed("the JWS must have protected, payload and signature");
  }
  return { encodedHeader, payload, signature };
}

/** @throws AcmeProblem malformed */
export function requireSignature(jws: UncheckedJws, jwk: AccountJwk): void {
  if (!verifiesWith(jwk, jws)) {
    throw malformed("the JWS signature does not verify with the key and the algorithm it names");
  }
}

/** The JSON object of a payload. @throws AcmeProblem malformed */
export function payloadObject(payload: string): Readonly<Record<string, unknown>> {
  return objectOf(parseJson(payload, "payload"), "the payload");
}

/** @throws AcmeProblem malformed if it is not base64url without padding */
export function decoded(text: string, subject: string): Buffer {
  const bytes = Buffer.from(text, "base64url");
  if (bytes.toString("base64url") !== text) throw malformed(`${subject} must be base64url`);
  return bytes;
}

/** @throws AcmeProblem malformed */
export function parseJson(text: string | Buffer, subject: string): unknown {
  try {
    return JSON.parse(text.toString("utf8"));
  } catch {
    throw malformed(`${subject} must be JSON`);
  }
}

/** @throws AcmeProblem malformed */
export function objectOf(value: unknown, subject: string): Readonly<Record<string, unknown>> {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) {
    return value as Readonly<Record<string, unknown>>;
  }
  throw malformed(`${subject} must be a JSON object`);
}

function readAlgorithm(alg: unknown): SignatureAlgorithm {
  const known = signatureAlgorithms.find((name) => name === alg);
  if (known !== undefined) return known;
  throw new AcmeProblem("badSignatureAlgorithm", "the JWS must be signed with a listed algorithm", {
    members: { algorithms: signatureAlgorithms },
  });
}

function readSigner({ jwk, kid }: Readonly<Record<string, unknown>>): UncheckedJws["signer"] {
  if ((jwk === undefined) === (kid === undefined)) {
    throw malformed("the protected header must have either jwk or kid");
  }
  if (jwk !== undefined) return { jwk: readAccountJwk(jwk) };
  if (typeof kid === "string") return { kid };
  throw malformed("kid must be the URL of an account");
}

function malformed(detail: string): AcmeProblem {
  return new AcmeProblem("malformed", detail);
}

const base64Url = /^[A-Za-z0-9_-]+$/;
