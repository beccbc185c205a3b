import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { certificatesToPem } from "@handfast/x509";
import type { TrustBundle } from "./bundle.ts";
import {
  CertificateStatus as WireStatus,
  RevocationReason as WireReason,
} from "./gen/handfast/ca/v1/ca_pb.ts";
import type {
  BundleSchema,
  InventoryEntrySchema,
  IssuedCertificateSchema,
} from "./gen/handfast/ca/v1/ca_pb.ts";
import type { IssuedCertificate } from "./issue.ts";
import { statusOf } from "./record.ts";
import type { CertificateRecord, CertificateStatus, RevocationReason } from "./store/store.ts";

/** A bundle as it travels. */
export function bundleToWire(
  { sequence, trustDomain, roots }: TrustBundle,
  authorityTarget: string,
): MessageInitShape<typeof BundleSchema> {
  const rootsPem = certificatesToPem(roots);
  return { sequence: BigInt(sequence), trustDomain, rootsPem, authorityTarget };
}

/** A new certificate as it travels, with the time at which to ask for the next. */
export function issuedToWire(
  { certificate, chainPem }: IssuedCertificate,
  now: Date,
): MessageInitShape<typeof IssuedCertificateSchema> {
  const { fingerprint, serialNumber, notAfter } = certificate;
  const left = notAfter.getTime() - now.getTime();
  return {
    chainPem,
    fingerprint,
    serialNumber,
    notAfter: timestampFromDate(notAfter),
    renewAt: timestampFromDate(new Date(now.getTime() + (left * 2) / 3)),
  };
}

/** A certificate of the inventory as it travels. */
export function recordToWire(
  record: CertificateRecord,
  now: Date,
): MessageInitShape<typeof InventoryEntrySchema> {
  const { revocation } = record;
  return {
    fingerprint: record.fingerprint,
    serialNumber: record.serialNumber,
    status: statuses[statusOf(record, now)],
    profile: record.profile,
    identity: record.identity ?? "",
    subject: record.subject,
    names: record.names.map(({ kind, value }) => ({ kind, value })),
    issuer: record.issuer,
    requester: record.requester,
    parent: record.parent ?? "",
    enrolment: record.enrolment,
    notBefore: timestampFromDate(record.notBefore),
    notAfter: timestampFromDate(record.notAfter),
    issuedAt: timestampFromDate(record.issuedAt),
    ...(revocation && {
      revocation: {
        revokedAt: timestampFromDate(revocation.revokedAt),
        reason: reasons[revocation.reason],
        cause: revocation.cause,
        requester: revocation.requester,
      },
    }),
  };
}

/** The reason of a number; undefined if it is none of ours. */
export function reasonFromWire(reason: WireReason): RevocationReason | undefined {
  return reasonNames.find((name) => reasons[name] === reason);
}

/** The number of a reason. */
export function reasonToWire(reason: RevocationReason): WireReason {
  return reasons[reason];
}

/** The status of a number; undefined for "any". */
export function statusFromWire(status: WireStatus): CertificateStatus | undefined {
  return statusNames.find((name) => statuses[name] === status);
}

/** The number of a status. */
export function statusToWire(status: CertificateStatus): WireStatus {
  return statuses[status];
}

const reasons: Readonly<Record<RevocationReason, WireReason>> = {
  unspecified: WireReason.UNSPECIFIED,
  keyCompromise: WireReason.KEY_COMPROMISE,
  cACompromise: WireReason.CA_COMPROMISE,
  affiliationChanged: WireReason.AFFILIATION_CHANGED,
  superseded: WireReason.SUPERSEDED,
  cessationOfOperation: WireReason.CESSATION_OF_OPERATION,
  privilegeWithdrawn: WireReason.PRIVILEGE_WITHDRAWN,
  aACompromise: WireReason.AA_COMPROMISE,
};
const reasonNames = Object.keys(reasons) as RevocationReason[];

const statuses: Readonly<Record<CertificateStatus, WireStatus>> = {
  valid: WireStatus.VALID,
  expired: WireStatus.EXPIRED,
  revoked: WireStatus.REVOKED,
};
const statusNames = Object.keys(statuses) as CertificateStatus[];
