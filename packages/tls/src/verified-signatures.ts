import { hash } from "node:crypto";

import type { Certificate, SignatureMemo } from "@handfast/x509";

/**
 * Remembers the signatures that were verified. That a certificate was signed with an issuer's key is a fact,
 * whatever is trusted or revoked now, so a pass over live sessions repeats no check of it (S12).
 *
 * What is known of a certificate lives as long as its object: nothing that strangers send can push out what
 * live sessions rest on, and nothing is left of it when they have gone.
 */
export function createVerifiedSignatures(): SignatureMemo {
  const verified = new WeakMap<Certificate, string[]>();
  const keys = new WeakMap<Certificate, string>();

  function keyOf(issuer: Certificate): string {
    let key = keys.get(issuer);
    if (key === undefined) {
      key = hash("sha256", issuer.subjectPublicKeyInfo, "base64");
      keys.set(issuer, key);
    }
    return key;
  }

  return {
    has: (certificate, issuer) => verified.get(certificate)?.includes(keyOf(issuer)) ?? false,
    add(certificate, issuer) {
      const known = verified.get(certificate) ?? [];
      if (known.push(keyOf(issuer)) > MAX_KEYS) known.shift();
      verified.set(certificate, known);
    },
  };
}

/** One key made a signature; more than that is somebody at play. */
const MAX_KEYS = 4;
