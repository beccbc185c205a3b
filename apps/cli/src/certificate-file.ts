import { readBounded } from "@handfast/files";
import { parseCertificate, parseCertificatesPem } from "@handfast/x509";
import type { Certificate } from "@handfast/x509";

/**
 * The certificates of a file, PEM or DER, in its order.
 *
 * @throws FilesError FILE_NOT_FOUND, FILE_TOO_LARGE, …; X509Error PEM_MALFORMED, BUNDLE_EMPTY,
 * BUNDLE_HAS_PRIVATE_KEY, CERTIFICATE_MALFORMED
 */
export async function readCertificates(
  path: string,
): Promise<readonly [Certificate, ...Certificate[]]> {
  const bytes = await readBounded(path, { maxBytes: maxFileBytes });
  if (bytes[0] === derSequence) return [parseCertificate(bytes)];
  const [first, ...others] = parseCertificatesPem(bytes);
  if (first === undefined) throw new TypeError("a bundle holds at least one certificate");
  return [first, ...others];
}

const derSequence = 0x30;
const maxFileBytes = 16 * 1_024 * 1_024;
