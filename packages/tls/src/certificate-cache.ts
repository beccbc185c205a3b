import { createRecent } from "./recent.ts";
import { parseCertificate } from "@handfast/x509";
import type { Certificate } from "@handfast/x509";

/**
 * The intermediates that peers send, parsed once: sessions share the objects, and a key inside one is decoded
 * once. Bounded; the one not used for longest is forgotten first.
 */
export interface CertificateCache {
  /** @throws X509Error CERTIFICATE_MALFORMED */
  parse(der: Uint8Array): Certificate;
}

export function createCertificateCache(limit = 256): CertificateCache {
  const known = createRecent<Certificate>(limit);
  return {
    parse(der) {
      const key = Buffer.from(der.buffer, der.byteOffset, der.byteLength).toString("latin1");
      const certificate = known.take(key) ?? parseCertificate(der);
      known.put(key, certificate);
      return certificate;
    },
  };
}
