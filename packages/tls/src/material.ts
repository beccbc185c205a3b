import type { KeyObject } from "node:crypto";

import {
  parseCertificatesDer,
  parseCertificatesPem,
  parsePkcs8,
  parsePrivateKey,
} from "@handfast/x509";
import type { Certificate } from "@handfast/x509";

/**
 * The certificates that a source yields: PEM, or DER one after the other, as the SPIFFE Workload API sends them.
 *
 * @throws X509Error as parseCertificatesPem and parseCertificatesDer do
 */
export function readCertificates(material: string | Uint8Array): Certificate[] {
  return isDer(material) ? parseCertificatesDer(material) : parseCertificatesPem(material);
}

/**
 * The private key that a source yields: PEM, or PKCS #8 in DER.
 *
 * @throws X509Error as parsePrivateKey and parsePkcs8 do
 */
export function readPrivateKey(material: string | Uint8Array): KeyObject {
  return isDer(material) ? parsePkcs8(material) : parsePrivateKey(material);
}

/** A SEQUENCE with a length of more than one octet, which no text begins with. */
function isDer(material: string | Uint8Array): material is Uint8Array {
  return typeof material !== "string" && material[0] === 0x30 && (material[1] ?? 0) > 0x7f;
}
