import { hash } from "node:crypto";
import type { KeyObject } from "node:crypto";
import { identityOf, parseFingerprint } from "@handfast/x509";
import type { Certificate, Fingerprint } from "@handfast/x509";
import type {
  CertificateName,
  CertificateRecord,
  CertificateStatus,
  NewCertificateRecord,
} from "./store/store.ts";

/** What the store keeps of a certificate, beside what only the authority knows. */
export function recordOf(
  certificate: Certificate,
  known: {
    readonly issuer: string;
    readonly profile: string;
    readonly requester: string;
    readonly issuedAt: Date;
    /** The certificate that it renews. */
    readonly parent?: Pick<NewCertificateRecord, "fingerprint" | "enrolment">;
  },
): NewCertificateRecord {
  return {
    fingerprint: certificate.fingerprint,
    serialNumber: certificate.serialNumber,
    der: certificate.der,
    subject: certificate.subject.text,
    names: namesOf(certificate),
    identity: identityOf(certificate),
    publicKey: publicKeyHash(certificate.subjectPublicKeyInfo),
    notBefore: certificate.notBefore,
    notAfter: certificate.notAfter,
    ...known,
    parent: known.parent?.fingerprint,
    enrolment: known.parent?.enrolment ?? certificate.fingerprint,
  };
}

/** SHA-256 of a public key: a key object, or its DER SubjectPublicKeyInfo. */
export function publicKeyHash(publicKey: KeyObject | Uint8Array): Fingerprint {
  const der =
    publicKey instanceof Uint8Array ? publicKey : publicKey.export({ type: "spki", format: "der" });
  return parseFingerprint(hash("sha256", der, "hex"));
}

/** Whether a recorded certificate counts now; revoked is revoked, also after its expiry. */
export function statusOf(record: CertificateRecord, now: Date): CertificateStatus {
  if (record.revocation !== undefined) return "revoked";
  return record.notAfter >= now ? "valid" : "expired";
}

function namesOf({ subject, subjectAltNames }: Certificate): CertificateName[] {
  const { dns, ip, uri, email } = subjectAltNames;
  return [
    ...subject.attributes
      .filter(({ type }) => type === "CN")
      .map(({ value }) => ({ kind: "cn" as const, value })),
    ...dns.map((value) => ({ kind: "dns" as const, value })),
    ...ip.map((value) => ({ kind: "ip" as const, value })),
    ...uri.map((value) => ({ kind: "uri" as const, value })),
    ...email.map((value) => ({ kind: "email" as const, value })),
  ];
}
