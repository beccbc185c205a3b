import type { Certificate } from "./certificate.ts";

/** Remembers which certificate was verified under which issuer's key; bounded. */
export interface SignatureMemo {
  has(certificate: Certificate, issuer: Certificate): boolean;
  add(certificate: Certificate, issuer: Certificate): void;
}

/**
 * A memory for verified signatures of at most `limit` pairs; the oldest is forgotten first. Only good
 * signatures are remembered, by the fingerprints of both certificates.
 */
export function createSignatureMemo(limit = 10_000): SignatureMemo {
  const seen = new Set<string>();
  const keyOf = (certificate: Certificate, issuer: Certificate): string =>
    `${certificate.fingerprint}${issuer.fingerprint}`;
  return {
    has: (certificate, issuer) => seen.has(keyOf(certificate, issuer)),
    add: (certificate, issuer) => {
      const [oldest] = seen;
      if (seen.size >= limit && oldest !== undefined) seen.delete(oldest);
      seen.add(keyOf(certificate, issuer));
    },
  };
}
