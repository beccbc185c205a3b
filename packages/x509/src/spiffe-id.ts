import { X509Error } from "./errors.ts";

declare const spiffeIdBrand: unique symbol;

/** A SPIFFE id, made by {@link parseSpiffeId} only. */
export interface SpiffeId {
  readonly [spiffeIdBrand]: true;
  /** Lower case, for instance `example.org`. */
  readonly trustDomain: string;
  /** Empty for the trust domain itself, otherwise it starts with `/`. */
  readonly path: string;
  readonly uri: string;
  toString(): string;
}

/**
 * Reads a SPIFFE id as the SPIFFE-ID specification (section 2) writes it: scheme `spiffe`, a trust
 * domain of at most 255 characters of `a-z 0-9 . - _`, a path of segments of `A-Z a-z 0-9 . - _`
 * that are neither empty nor `.` nor `..`, nothing else, at most 2,048 bytes in all.
 * @throws X509Error SPIFFE_ID_INVALID
 */
export function parseSpiffeId(uri: string): SpiffeId {
  if (uri.length > 2048)
    throw invalid(`SPIFFE id is ${uri.length} bytes long, at most 2048 are allowed`);
  if (!uri.startsWith(PREFIX)) throw invalid("SPIFFE id must start with spiffe://");
  const slash = uri.indexOf("/", PREFIX.length);
  const trustDomain = parseTrustDomain(
    slash < 0 ? uri.slice(PREFIX.length) : uri.slice(PREFIX.length, slash),
  );
  const path = slash < 0 ? "" : uri.slice(slash);
  for (const segment of path === "" ? [] : path.slice(1).split("/")) {
    if (!SEGMENT.test(segment) || segment === "." || segment === "..") {
      throw invalid(
        `SPIFFE id path must be segments of letters, digits, '.', '-' and '_', none of them empty, '.' or '..'`,
      );
    }
  }
  return Object.freeze({ trustDomain, path, uri, toString: () => uri }) as SpiffeId;
}

/**
 * Reads a trust domain name (without `spiffe://`).
 * @throws X509Error SPIFFE_ID_INVALID
 */
export function parseTrustDomain(text: string): string {
  if (text.length > 255 || !TRUST_DOMAIN.test(text)) {
    throw invalid(
      "SPIFFE trust domain must be 1 to 255 characters of a-z, 0-9, '.', '-' and '_' (lower case)",
    );
  }
  return text;
}

function invalid(message: string): X509Error {
  return new X509Error("SPIFFE_ID_INVALID", message);
}

const PREFIX = "spiffe://";
const TRUST_DOMAIN = /^[a-z0-9._-]+$/;
const SEGMENT = /^[A-Za-z0-9._-]+$/;
