import type { KeyObject } from "node:crypto";
import { parseCertificate } from "@handfast/x509";
import type { Certificate, Fingerprint } from "@handfast/x509";
import { CaError } from "./errors.ts";
import type { ContentsRequest } from "./issuance.ts";
import { checkBeforeRecord, sign, withChain } from "./issue.ts";
import type { IssuedCertificate } from "./issue.ts";
import { publicKeyHash, recordOf } from "./record.ts";
import type { CertificateRecord, RecordReads } from "./store/store.ts";
import type { Workshop } from "./workshop.ts";

/** What is to be renewed, by whom. */
export interface RenewRequest {
  /** The certificate that is renewed: the one that whoever asks has proved to hold the key of. */
  readonly certificate: Fingerprint;
  /** The next key; a new one, unless there is a reason to keep the old. */
  readonly publicKey: KeyObject | Uint8Array;
  /** Whole seconds from now; as long as the certificate itself was given for if not said. */
  readonly validitySeconds?: number;
  readonly requester: string;
}

/**
 * Issues the next certificate of a line: same subject, names and profile (security.md S48). Whether
 * it may be renewed is read in the transaction that records the new one. A certificate is renewed
 * once: the same key again gets the same certificate, for an answer that was lost; another key may
 * be a thief's, and is refused.
 */
export async function renew(workshop: Workshop, request: RenewRequest): Promise<IssuedCertificate> {
  const { store } = workshop;
  const now = workshop.clock();
  const parent = await renewable(store, { request, now });
  const repeated = await repeat(store, { request, parent });
  if (repeated !== undefined) return answer(repeated);

  const signed = await sign(workshop, {
    contents: contentsFrom(parent, request),
    publicKey: request.publicKey,
    now,
  });
  const record = recordOf(signed.certificate, {
    issuer: signed.by.name,
    profile: parent.profile,
    requester: request.requester,
    issuedAt: now,
    parent,
  });
  const meanwhile = await store.transaction(async (records) => {
    const current = await renewable(records, { request, now });
    const other = await repeat(records, { request, parent: current });
    if (other !== undefined) return other;
    await checkBeforeRecord(records, { record, signed });
    await records.addCertificate(record);
    return undefined;
  });
  if (meanwhile !== undefined) return answer(meanwhile);
  return withChain(workshop, { certificate: signed.certificate, issuer: signed.by.name });

  function answer({ der, issuer }: CertificateRecord): Promise<IssuedCertificate> {
    return withChain(workshop, { certificate: parseCertificate(der), issuer });
  }
}

/** The certificate to be renewed, if it may be. */
async function renewable(
  records: RecordReads,
  { request, now }: { request: RenewRequest; now: Date },
): Promise<CertificateRecord> {
  const parent = await records.certificate(request.certificate);
  if (parent === undefined) {
    throw new CaError("CERTIFICATE_NOT_FOUND", `${request.certificate} is not in the inventory`);
  }
  const { serialNumber, revocation, notAfter, identity } = parent;
  if (revocation !== undefined) {
    throw refused(
      `certificate ${serialNumber} was revoked at ${revocation.revokedAt.toISOString()}`,
    );
  }
  if (notAfter < now) {
    throw refused(`certificate ${serialNumber} expired at ${notAfter.toISOString()}`);
  }
  if (await records.renewalBlocked(parent.fingerprint)) {
    throw refused(`renewals of ${identity} are blocked since one of its certificates was revoked`);
  }
  return parent;
}

/** The certificate that this one was renewed with already, for the same key. */
async function repeat(
  records: RecordReads,
  { request, parent }: { request: RenewRequest; parent: CertificateRecord },
): Promise<CertificateRecord | undefined> {
  const [child] = await records.certificates({ parent: parent.fingerprint, limit: 1 });
  if (child === undefined) return undefined;
  if (child.publicKey !== publicKeyHash(request.publicKey)) {
    throw new CaError(
      "RENEWAL_REPEATED",
      `certificate ${parent.serialNumber} was renewed already, with another key, as ${child.serialNumber}`,
    );
  }
  if (child.revocation === undefined) return child;
  throw refused(`certificate ${child.serialNumber}, which renewed it, was revoked`);
}

function contentsFrom(
  parent: CertificateRecord,
  { validitySeconds }: RenewRequest,
): ContentsRequest {
  const certificate: Certificate = parseCertificate(parent.der);
  const { dns, ip, uri, email } = certificate.subjectAltNames;
  const givenFor = parent.notAfter.getTime() - parent.issuedAt.getTime();
  return {
    profile: parent.profile,
    subject: certificate.subject,
    names: { dns, ip, uri, email },
    usualSeconds: Math.ceil(givenFor / 1_000),
    ...(validitySeconds === undefined ? {} : { validitySeconds }),
  };
}

function refused(message: string): CaError {
  return new CaError("RENEWAL_REFUSED", message);
}
