import { hash } from "node:crypto";
import type { X509Certificate } from "node:crypto";

import { parseCertificateBeside } from "@handfast/x509";
import type { Certificate } from "@handfast/x509";

import { createRecent } from "./recent.ts";

/**
 * The intermediates that peers send, parsed once: sessions share the objects, and a key inside one is decoded
 * once. Bounded; the one not used for longest is forgotten first.
 */
export interface CertificateCache {
  /** @throws X509Error CERTIFICATE_MALFORMED */
  read(theirs: X509Certificate): Certificate;
}

export function createCertificateCache(limit = 256): CertificateCache {
  const known = createRecent<Certificate>(limit);
  return {
    read(theirs) {
      const key = hash("sha256", theirs.raw, "hex");
      const certificate = known.take(key) ?? parseCertificateBeside(theirs);
      known.put(key, certificate);
      return certificate;
    },
  };
}
