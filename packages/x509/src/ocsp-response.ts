import { bytesEqual, DerReader, malformed, readDer, TAG } from "./der.ts";
import { malformedAs } from "./errors.ts";
import { readName, type Name } from "./name.ts";
import { readOcspCertId, type OcspCertId } from "./ocsp-cert-id.ts";
import { readNonce, readOcspExtensions, refuseCritical } from "./ocsp-request.ts";
import { OID } from "./oid.ts";
import { revocationReasonOf, type RevocationReason } from "./revocation-reason.ts";
import type { Signed } from "./signature.ts";

/** What a responder sent back: signed answers, or word that there are none. */
export type OcspResponse =
  | { readonly status: "successful"; readonly basic: OcspBasicResponse }
  | { readonly status: Exclude<OcspResponseStatus, "successful"> };

/** RFC 6960 4.2.1. */
export type OcspResponseStatus = keyof typeof ocspResponseStatuses;

/** Signed answers, whose signature nobody has looked at yet. */
export interface OcspBasicResponse extends Signed {
  readonly responderId:
    | { readonly by: "name"; readonly name: Name }
    /** SHA-1 of the responder's public key. */
    | { readonly by: "key"; readonly keyHash: Uint8Array };
  readonly producedAt: Date;
  readonly answers: readonly OcspAnswer[];
  readonly nonce: Uint8Array | undefined;
  /** Certificates the responder sent along, as DER: nothing is known of them. */
  readonly certificates: readonly Uint8Array[];
}

/** An answer about one certificate. */
export interface OcspAnswer {
  readonly certId: OcspCertId;
  readonly status: OcspStatus;
  readonly thisUpdate: Date;
  readonly nextUpdate: Date | undefined;
}

/** What is said of a certificate. A serial number that was never issued is `unknown`, never `good`. */
export type OcspStatus =
  | { readonly is: "good" }
  | {
      readonly is: "revoked";
      readonly revokedAt: Date;
      readonly reason: RevocationReason | undefined;
    }
  | { readonly is: "unknown" };

/**
 * Reads an OCSP response strictly (RFC 6960 4.2.1).
 * @throws X509Error OCSP_MALFORMED
 */
export function parseOcspResponse(der: Uint8Array): OcspResponse {
  return malformedAs("OCSP_MALFORMED", "OCSP response", () => {
    const outer = readDer(der.slice(), WHAT);
    const code = outer.smallInteger(WHAT, TAG.enumerated);
    const status = statusesByCode.get(code);
    if (status === undefined) throw malformed(WHAT, `has the unknown status ${code}`);
    const explicit = outer.context(0, WHAT);
    outer.finish(WHAT);
    if (status !== "successful") {
      if (explicit) throw malformed(WHAT, `has answers and the status ${status}`);
      return { status };
    }
    if (!explicit) throw malformed(WHAT, "is successful and has no answers");
    const bytes = explicit.sequence(WHAT);
    explicit.finish(WHAT);
    const type = bytes.oid(WHAT);
    if (type !== OID.ocspBasic) throw malformed(WHAT, `is of the unknown type ${type}`);
    const basic = bytes.octetString(WHAT);
    bytes.finish(WHAT);
    return { status, basic: readBasic(basic) };
  });
}

function readBasic(der: Uint8Array): OcspBasicResponse {
  const outer = readDer(der, WHAT);
  const tbsElement = outer.element(TAG.sequence, WHAT);
  const signatureAlgorithm = outer.encoded(outer.element(TAG.sequence, WHAT));
  new DerReader(signatureAlgorithm).sequence(WHAT).oid(WHAT);
  const signature = outer.bitString(WHAT);
  const explicit = outer.context(0, WHAT);
  outer.finish(WHAT);
  const certificates: Uint8Array[] = [];
  if (explicit) {
    const list = explicit.sequence(WHAT);
    explicit.finish(WHAT);
    while (!list.done) certificates.push(list.encoded(list.element(TAG.sequence, WHAT)));
    if (certificates.length > MAX_CERTIFICATES) {
      throw malformed(WHAT, `has ${certificates.length} certificates`);
    }
  }
  const tbs = outer.inside(tbsElement);
  const responderId = readResponderId(tbs);
  const producedAt = new Date(tbs.generalizedTime(WHAT));
  const list = tbs.sequence(WHAT);
  const answers: OcspAnswer[] = [];
  while (!list.done) answers.push(readAnswer(list.sequence(WHAT)));
  if (answers.length === 0) throw malformed(WHAT, "has no answers");
  const more = tbs.context(1, WHAT);
  tbs.finish(WHAT);
  const extensions = more ? readOcspExtensions(more, WHAT) : [];
  refuseCritical(extensions, WHAT);
  return {
    signedBytes: outer.encoded(tbsElement),
    signatureAlgorithm,
    signature,
    responderId,
    producedAt,
    answers,
    nonce: readNonce(extensions, WHAT),
    certificates,
  };
}

function readResponderId(tbs: DerReader): OcspBasicResponse["responderId"] {
  const named = tbs.context(1, WHAT);
  if (named) {
    const name = readName(named, WHAT);
    named.finish(WHAT);
    return { by: "name", name };
  }
  const keyed = tbs.context(2, WHAT);
  if (!keyed) throw malformed(WHAT, "does not say who signed it");
  const keyHash = keyed.octetString(WHAT);
  keyed.finish(WHAT);
  if (keyHash.length !== 20) throw malformed(WHAT, `has a key hash of ${keyHash.length} octets`);
  return { by: "key", keyHash };
}

function readAnswer(reader: DerReader): OcspAnswer {
  const certId = readOcspCertId(reader, WHAT);
  const status = readStatus(reader);
  const thisUpdate = new Date(reader.generalizedTime(WHAT));
  const until = reader.context(0, WHAT);
  const nextUpdate = until && new Date(until.generalizedTime(WHAT));
  until?.finish(WHAT);
  const more = reader.context(1, WHAT);
  reader.finish(WHAT);
  if (more) refuseCritical(readOcspExtensions(more, WHAT), WHAT);
  return { certId, status, thisUpdate, nextUpdate };
}

function readStatus(reader: DerReader): OcspStatus {
  const element = reader.any(WHAT);
  const isEmpty = bytesEqual(reader.content(element), new Uint8Array());
  if (element.tag === 0x80 && isEmpty) return { is: "good" };
  if (element.tag === 0x82 && isEmpty) return { is: "unknown" };
  if (element.tag !== 0xa1) throw malformed(WHAT, "has an unknown certificate status");
  const info = reader.inside(element);
  const revokedAt = new Date(info.generalizedTime(WHAT));
  const explicit = info.context(0, WHAT);
  info.finish(WHAT);
  if (!explicit) return { is: "revoked", revokedAt, reason: undefined };
  const code = explicit.smallInteger(WHAT, TAG.enumerated);
  explicit.finish(WHAT);
  const reason = revocationReasonOf(code);
  if (reason === undefined) throw malformed(WHAT, `has the unknown reason ${code}`);
  return { is: "revoked", revokedAt, reason };
}

const WHAT = "response";
const MAX_CERTIFICATES = 10;

/** The OCSPResponseStatus numbers. */
export const ocspResponseStatuses = {
  successful: 0,
  malformedRequest: 1,
  internalError: 2,
  tryLater: 3,
  sigRequired: 5,
  unauthorized: 6,
} as const;

const statusesByCode: ReadonlyMap<number, OcspResponseStatus> = new Map(
  Object.entries(ocspResponseStatuses).map(([status, code]) => [
    code,
    status as OcspResponseStatus,
  ]),
);
