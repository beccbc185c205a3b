import { hash, type KeyObject } from "node:crypto";
import type { Certificate } from "./certificate.ts";
import {
  bitString,
  context,
  contextPrimitive,
  encodeDer,
  generalizedTime,
  octetString,
  octetStringOf,
  oid,
  primitive,
  sequence,
  TAG,
  type DerValue,
} from "./der.ts";
import { X509Error } from "./errors.ts";
import { publicKeyMatches } from "./keys.ts";
import { encodeOcspCertId, type OcspCertId } from "./ocsp-cert-id.ts";
import { nonceExtension } from "./ocsp-request.ts";
import { ocspResponseStatuses, type OcspResponseStatus, type OcspStatus } from "./ocsp-response.ts";
import { OID } from "./oid.ts";
import { revocationReasons } from "./revocation-reason.ts";
import { createSigner, type Signer } from "./signature.ts";

/** Who signs answers: a CA itself or one it delegated, prepared once for many answers. */
export interface OcspResponder {
  readonly certificate: Certificate;
  readonly signer: Signer;
  readonly issuer: Certificate;
  /** How answers name it: by the hash of its key, which is shorter, or by its subject. */
  readonly identifyBy: "key" | "name";
}

/** What is answered. */
export interface IssueOcspResponseOptions {
  readonly responder: OcspResponder;
  readonly certId: OcspCertId;
  readonly status: OcspStatus;
  readonly producedAt: Date;
  /** From when the status is known to be right. */
  readonly thisUpdate: Date;
  /** Until when the answer may be used; it is always given (RFC 9919). */
  readonly nextUpdate: Date;
  /** The nonce of the request, if the answer is made for it alone. */
  readonly nonce?: Uint8Array;
}

/**
 * Prepares a responder.
 * @param options.issuer the CA whose certificates are answered for
 * @throws X509Error KEY_MISMATCH; ISSUE_REFUSED for a certificate that is neither the issuer's nor for
 *   OCSP signing; ALGORITHM_UNSUPPORTED
 */
export function createOcspResponder(
  certificate: Certificate,
  options: {
    readonly privateKey: KeyObject;
    readonly issuer: Certificate;
    readonly identifyBy?: "key" | "name";
  },
): OcspResponder {
  const { privateKey, issuer, identifyBy = "key" } = options;
  const isIssuer = certificate.fingerprint === issuer.fingerprint;
  if (!isIssuer && !certificate.extendedKeyUsage?.includes("ocspSigning")) {
    throw new X509Error(
      "ISSUE_REFUSED",
      `${certificate.subject.text} is not for OCSP signing, and is not ${issuer.subject.text} itself`,
    );
  }
  if (!publicKeyMatches(certificate, privateKey)) {
    throw new X509Error(
      "KEY_MISMATCH",
      `private key does not belong to ${certificate.subject.text}`,
    );
  }
  return { certificate, signer: createSigner(privateKey), issuer, identifyBy };
}

/** Signs an answer about one certificate (RFC 6960 4.2.1). */
export function issueOcspResponse(options: IssueOcspResponseOptions): Uint8Array {
  const { responder, nonce } = options;
  const { certificate, signer, issuer } = responder;
  const answer = sequence([
    encodeOcspCertId(options.certId),
    encodeStatus(options.status),
    generalizedTime(options.thisUpdate),
    context(0, [generalizedTime(options.nextUpdate)]),
  ]);
  const tbs = encodeDer(
    sequence([
      encodeResponderId(responder),
      generalizedTime(options.producedAt),
      sequence([answer]),
      ...(nonce ? [context(1, [sequence([nonceExtension(nonce)])])] : []),
    ]),
  );
  const isIssuer = certificate.fingerprint === issuer.fingerprint;
  const basic = sequence([
    tbs,
    signer.signatureAlgorithm,
    bitString(signer.sign(tbs)),
    ...(isIssuer ? [] : [context(0, [sequence([certificate.der])])]),
  ]);
  return encodeDer(
    sequence([
      statusCode("successful"),
      context(0, [sequence([OCSP_BASIC, octetStringOf(basic)])]),
    ]),
  );
}

/** Writes a response without answers; it is not signed (RFC 6960 2.3). */
export function encodeOcspError(status: Exclude<OcspResponseStatus, "successful">): Uint8Array {
  return encodeDer(sequence([statusCode(status)]));
}

function statusCode(status: OcspResponseStatus): DerValue {
  return primitive(TAG.enumerated, Uint8Array.of(ocspResponseStatuses[status]));
}

function encodeResponderId({ certificate, identifyBy }: OcspResponder): DerValue {
  return identifyBy === "name"
    ? context(1, [certificate.subject.der])
    : context(2, [octetString(hash("sha1", certificate.publicKeyInfo.bits, "buffer"))]);
}

function encodeStatus(status: OcspStatus): DerValue {
  switch (status.is) {
    case "good":
      return contextPrimitive(0, new Uint8Array());
    case "unknown":
      return contextPrimitive(2, new Uint8Array());
    case "revoked": {
      const { revokedAt, reason } = status;
      // RFC 5280 5.3.1: unspecified is told by silence.
      if (reason === undefined || reason === "unspecified") {
        return context(1, [generalizedTime(revokedAt)]);
      }
      const code = primitive(TAG.enumerated, Uint8Array.of(revocationReasons[reason]));
      return context(1, [generalizedTime(revokedAt), context(0, [code])]);
    }
  }
}

const OCSP_BASIC: Uint8Array = oid(OID.ocspBasic);
