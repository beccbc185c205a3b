import type { CertificateRequest } from "@handfast/x509";

/** A certificate request as JSON. */
export function requestJson({
  subject,
  subjectAltNames,
  publicKeyInfo,
}: CertificateRequest): object {
  const { dns, ip, uri, email } = subjectAltNames;
  return { subject: subject.text, names: { dns, ip, uri, email }, publicKey: publicKeyInfo.kind };
}

/** A certificate request as rows of a name and words. */
export function requestRows(request: CertificateRequest): readonly (readonly [string, string])[] {
  const { dns, ip, uri, email } = request.subjectAltNames;
  const names = [...dns, ...ip, ...uri, ...email].join(", ");
  return [
    ["request for", request.subject.text === "" ? "(empty)" : request.subject.text],
    ["names asked for", names === "" ? "none" : names],
    ["key", request.publicKeyInfo.kind],
    ["signature", "by that key, as it must be"],
    ["note", "what is issued is decided by the authority, not by these words"],
  ];
}
