import { createPublicKey, randomBytes, sign, timingSafeEqual, verify } from "node:crypto";
import type { KeyObject } from "node:crypto";
import { parseFingerprint } from "@handfast/x509";
import type { Fingerprint } from "@handfast/x509";
import { CaError } from "./errors.ts";
import type { SubjectRequest } from "./issuance.ts";
import type { AlternativeNames } from "./names.ts";

/** What a one-time token allows, once, and to whom it may be shown (security.md S52). */
export interface TokenClaims {
  /** The authority's address, as whoever enrols dials it. */
  readonly audience: string;
  /** SHA-256 of the root that whoever enrols is to trust. */
  readonly root: Fingerprint;
  readonly id: string;
  readonly notBefore: Date;
  readonly notAfter: Date;
  readonly profile: string;
  readonly subject: SubjectRequest;
  readonly names: AlternativeNames;
  readonly validitySeconds?: number;
  /** SHA-256 of the SubjectPublicKeyInfo of the only key that may be enrolled. */
  readonly publicKey?: Fingerprint;
}

/** A new random token id. */
export function newTokenId(): string {
  return randomBytes(16).toString("hex");
}

/** Signs a token with the token key (Ed25519): a compact JWS with one possible header. */
export function encodeToken(claims: TokenClaims, tokenKey: KeyObject): string {
  const { notBefore, notAfter, ...rest } = claims;
  const payload = { ...rest, nbf: notBefore.getTime(), exp: notAfter.getTime() };
  const signed = `${header}.${Buffer.from(JSON.stringify(payload)).toString("base64url")}`;
  return `${signed}.${sign(null, Buffer.from(signed), tokenKey).toString("base64url")}`;
}

/** What a token says to whoever bears it and cannot check it: whom to ask, and by what to know them. */
export interface TokenAddress {
  readonly audience: URL;
  readonly root: Fingerprint;
  readonly names: AlternativeNames;
  readonly subject: SubjectRequest;
}

/**
 * Reads a token without its signature, which the authority alone can check.
 *
 * @throws CaError TOKEN_REFUSED if it is none, or names no https address
 */
export function readTokenAddress(token: string): TokenAddress {
  try {
    const [first, payload = "", , ...rest] = token.trim().split(".");
    if (first !== header || rest.length > 0 || token.length > maxTokenLength) throw new Error();
    const claims = JSON.parse(Buffer.from(payload, "base64url").toString("utf8")) as TokenClaims;
    const audience = new URL(claims.audience);
    if (audience.protocol !== "https:") throw new Error();
    const { dns, ip, uri, email } = claims.names;
    const names = { dns: texts(dns), ip: texts(ip), uri: texts(uri), email: texts(email) };
    return { audience, root: parseFingerprint(claims.root), names, subject: claims.subject };
  } catch (cause) {
    throw new CaError("TOKEN_REFUSED", "the text is no token that names an authority", { cause });
  }
}

function texts(values: readonly unknown[]): readonly string[] {
  return values.map(String);
}

/** Against what a token is held. */
interface TokenExpectations {
  readonly tokenKey: KeyObject;
  readonly audience: string;
  readonly roots: readonly Fingerprint[];
  readonly now: Date;
}

/**
 * Reads a token that this authority signed for this audience, in its time (60 s of leeway). Whether
 * it was spent, the store knows.
 *
 * @throws CaError TOKEN_REFUSED, its message never holding any of the token
 */
export function verifyToken(token: string, expected: TokenExpectations): TokenClaims {
  const claims = readClaims(token, expected.tokenKey);
  const { audience, root, notBefore, notAfter } = claims;
  const now = expected.now.getTime();
  if (!same(audience, expected.audience)) throw refused("is for another authority's address");
  if (!expected.roots.some((fingerprint) => same(root, fingerprint))) {
    throw refused("is for another root");
  }
  if (now < notBefore.getTime() - leewayMs) {
    throw refused(`is not valid before ${notBefore.toISOString()}`);
  }
  if (now > notAfter.getTime() + leewayMs) {
    throw refused(`expired at ${notAfter.toISOString()}`);
  }
  return claims;
}

/** How long after a token's end the store must still know that it was spent. */
export const leewayMs = 60_000;

/** Whether two texts are the same, in a time that does not tell how far they agree (S47). */
function same(one: string, other: string): boolean {
  const [a, b] = [Buffer.from(one), Buffer.from(other)];
  return a.length === b.length && timingSafeEqual(a, b);
}

/** Only what was signed is parsed, so what it holds is what `encodeToken` wrote. */
function readClaims(token: string, tokenKey: KeyObject): TokenClaims {
  const parts = token.trim().split(".");
  const [first = "", payload = "", signature = ""] = parts;
  if (token.length > maxTokenLength || parts.length !== 3 || !same(first, header)) {
    throw refused("is not a token of an authority of ours");
  }
  const bytes = Buffer.from(signature, "base64url");
  const canonical = bytes.toString("base64url") === signature;
  const key = createPublicKey(tokenKey);
  if (!canonical || !verify(null, Buffer.from(`${first}.${payload}`), key, bytes)) {
    throw refused("was not signed by this authority");
  }
  const { nbf, exp, root, publicKey, ...rest } = JSON.parse(
    Buffer.from(payload, "base64url").toString("utf8"),
  ) as Omit<TokenClaims, "notBefore" | "notAfter"> & { nbf: number; exp: number };
  return {
    ...rest,
    root: parseFingerprint(root),
    ...(publicKey === undefined ? {} : { publicKey: parseFingerprint(publicKey) }),
    notBefore: new Date(nbf),
    notAfter: new Date(exp),
  };
}

function refused(problem: string): CaError {
  return new CaError("TOKEN_REFUSED", `the token ${problem}`);
}

const header = Buffer.from('{"alg":"EdDSA","typ":"handfast-token"}').toString("base64url");
const maxTokenLength = 8_192;
