import type { KeyObject } from "node:crypto";
import { certificatesToPem, issueCertificate } from "@handfast/x509";
import type { Certificate } from "@handfast/x509";
import { CaError } from "./errors.ts";
import { contentsOf, subjectOf } from "./issuance.ts";
import type { ContentsRequest, SubjectRequest } from "./issuance.ts";
import type { NamedIssuer } from "./issuers.ts";
import type { AlternativeNames } from "./names.ts";
import { recordOf } from "./record.ts";
import { revocationPlaces } from "./revocation-places.ts";
import { refuseUnusable } from "./self-check.ts";
import type { NewCertificateRecord, Records } from "./store/store.ts";
import type { Workshop } from "./workshop.ts";

/** What is asked for; what is not asked for, the profile decides. */
export interface IssueRequest {
  /** The name of a profile; `peer` if not given. */
  readonly profile?: string;
  /** The public key, as key object or as DER SubjectPublicKeyInfo. */
  readonly publicKey: KeyObject | Uint8Array;
  readonly subject: SubjectRequest;
  readonly names: AlternativeNames;
  /** Whole seconds from now; the profile's if not given. */
  readonly validitySeconds?: number;
  /** Who asks, for the record: `local:USER`, or an authenticated identity. */
  readonly requester: string;
}

/** A certificate and what a peer needs to verify it. */
export interface IssuedCertificate {
  readonly certificate: Certificate;
  /** The certificate and those above it, without the root. */
  readonly chain: readonly Certificate[];
  readonly chainPem: string;
}

/** Decides, signs, records; only then is there a certificate to hand out. */
export async function issue(workshop: Workshop, request: IssueRequest): Promise<IssuedCertificate> {
  const { profile = "peer", subject, requester, publicKey, ...rest } = request;
  const now = workshop.clock();
  const signed = await sign(workshop, {
    contents: { ...rest, profile, subject: subjectOf(subject) },
    publicKey,
    now,
  });
  const record = recordOf(signed.certificate, {
    issuer: signed.by.name,
    profile,
    requester,
    issuedAt: now,
  });
  await workshop.store.transaction(async (records) => {
    await checkBeforeRecord(records, { record, signed });
    await records.addCertificate(record);
  });
  return withChain(workshop, { certificate: signed.certificate, issuer: signed.by.name });
}

/** A certificate that nobody may see before it is recorded. */
interface SignedCertificate {
  readonly certificate: Certificate;
  readonly by: NamedIssuer;
}

/**
 * Signs what was decided, and verifies it as its peers will.
 *
 * @throws CaError ISSUER_UNAVAILABLE, CERTIFICATE_UNUSABLE, and those of `contentsOf`
 */
export async function sign(
  workshop: Workshop,
  {
    contents,
    publicKey,
    now,
  }: { contents: ContentsRequest; publicKey: KeyObject | Uint8Array; now: Date },
): Promise<SignedCertificate> {
  const { issuers, profiles, trustDomain, signatures } = workshop;
  const by = await issuers.active(now);
  const { issuer } = by;
  const certificate = issueCertificate({
    ...contentsOf(contents, { profiles, trustDomain, now, issuer: issuer.certificate }),
    ...revocationPlaces(workshop, { profile: contents.profile, issuer: by.name }),
    publicKey,
    issuer,
  });
  const roots = await issuers.published("root");
  refuseUnusable(certificate, {
    issuer: issuer.certificate,
    anchors: roots.map((root) => root.certificate),
    now,
    signatures,
  });
  return { certificate, by };
}

/**
 * The checks that only the transaction can make that records the certificate: the issuer is not
 * revoked, and the key speaks for nobody else and was not revoked as compromised (S54).
 *
 * @throws CaError ISSUER_UNAVAILABLE, KEY_REFUSED
 */
export async function checkBeforeRecord(
  records: Records,
  { record, signed }: { record: NewCertificateRecord; signed: SignedCertificate },
): Promise<void> {
  const { name } = signed.by;
  const issuer = await records.certificate(signed.by.issuer.certificate.fingerprint);
  const key = (await records.issuers()).find((one) => one.name === name);
  if (issuer === undefined || issuer.revocation !== undefined || key?.state === "retired") {
    throw new CaError("ISSUER_UNAVAILABLE", `the issuing certificate ${name} is revoked`);
  }
  const { publicKey } = record;
  if (await records.keyCompromised(publicKey)) {
    throw new CaError("KEY_REFUSED", "the public key was revoked as compromised before");
  }
  // As this holds for each that is recorded, all of one key are of one identity: one tells.
  const [other] = await records.certificates({ publicKey, limit: 1 });
  if (other !== undefined && whom(other) !== whom(record)) {
    throw new CaError(
      "KEY_REFUSED",
      `the public key is certified for another identity already, with serial number ${other.serialNumber}`,
    );
  }
}

/**
 * A certificate with those above it. One by which an older root vouches comes last, for OpenSSL
 * takes the first that fits and looks no further, and peers have the newer root by now; it is left
 * out if it ends before the certificate does, for the chain would end early.
 */
export async function withChain(
  { issuers, clock }: Pick<Workshop, "issuers" | "clock">,
  { certificate, issuer }: { certificate: Certificate; issuer: string },
): Promise<IssuedCertificate> {
  const [own, ...crosses] = await issuers.certificatesOf(issuer, clock());
  const lasting = crosses.filter(({ notAfter }) => notAfter >= certificate.notAfter);
  const chain = [certificate, ...(own ? [own] : []), ...lasting];
  return { certificate, chain, chainPem: certificatesToPem(chain) };
}

/** Where nobody is named, all that is named must be the same. */
function whom({ identity, subject, names }: NewCertificateRecord): string {
  if (identity !== undefined) return identity;
  return JSON.stringify([subject, names.map(({ kind, value }) => `${kind}:${value}`).toSorted()]);
}
