import { readBounded } from "@handfast/files";
import {
  decodePem,
  parseCertificate,
  parseCertificatesPem,
  parseCrl,
  parseRequest,
  X509Error,
} from "@handfast/x509";
import type { Certificate, CertificateRequest, Crl } from "@handfast/x509";

/** What a file holds. */
type InspectedFile =
  | { readonly kind: "certificates"; readonly certificates: readonly Certificate[] }
  | { readonly kind: "crl"; readonly crl: Crl }
  | { readonly kind: "request"; readonly request: CertificateRequest };

/**
 * Reads certificates, a revocation list or a certificate request, PEM or DER. A file with a private
 * key in it is refused: nothing of a key is looked at.
 *
 * @throws FilesError; X509Error of whatever the file claims to be
 */
export async function readInspected(path: string): Promise<InspectedFile> {
  const bytes = await readBounded(path, { maxBytes: maxFileBytes });
  return bytes[0] === derSequence ? fromDer(bytes) : fromPem(bytes);
}

function fromPem(bytes: Uint8Array): InspectedFile {
  switch (decodePem(bytes)[0]?.label) {
    case "X509 CRL":
      return { kind: "crl", crl: parseCrl(bytes) };
    case "CERTIFICATE REQUEST":
      return { kind: "request", request: parseRequest(bytes) };
    default:
      return { kind: "certificates", certificates: parseCertificatesPem(bytes) };
  }
}

/** Where it is none of the three, what is wrong with it as a certificate is what counts. */
function fromDer(bytes: Uint8Array): InspectedFile {
  try {
    return { kind: "certificates", certificates: [parseCertificate(bytes)] };
  } catch (error) {
    const other =
      attempt(() => ({ kind: "crl" as const, crl: parseCrl(bytes) })) ??
      attempt(() => ({ kind: "request" as const, request: parseRequest(bytes) }));
    if (other === undefined) throw error;
    return other;
  }
}

function attempt<Value>(read: () => Value): Value | undefined {
  try {
    return read();
  } catch (error) {
    if (error instanceof X509Error) return undefined;
    throw error;
  }
}

const derSequence = 0x30;
const maxFileBytes = 256 * 1_024 * 1_024;
