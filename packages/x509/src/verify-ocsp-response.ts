import { hash } from "node:crypto";
import { parseCertificate, type Certificate } from "./certificate.ts";
import { bytesEqual } from "./der.ts";
import { isKnownExtension } from "./extensions.ts";
import { isOcspCertIdOf } from "./ocsp-cert-id.ts";
import type { OcspAnswer, OcspBasicResponse, OcspResponse } from "./ocsp-response.ts";
import { signatureAlgorithmProblem, verifySignature } from "./signature.ts";

/** What a response is held against. */
export interface VerifyOcspResponseOptions {
  readonly certificate: Certificate;
  /** The certificate's issuer in its validated path. */
  readonly issuer: Certificate;
  readonly now: Date;
  /** The nonce that was sent. A response with another is refused; one without may come from a cache. */
  readonly nonce?: Uint8Array;
  /** Whether a response must repeat the nonce; false by default. */
  readonly requireNonce?: boolean;
  /**
   * Asked about a delegated responder whose certificate does not say that it need not be asked about
   * (id-pkix-ocsp-nocheck). Without it such a responder is refused.
   */
  readonly isRevoked?: (responder: Certificate) => boolean;
}

/** Whether a response counts, and the answer in it. */
export type OcspVerdict =
  | { readonly ok: true; readonly answer: OcspAnswer & { readonly nextUpdate: Date } }
  | { readonly ok: false; readonly problem: string };

/**
 * Whether a response counts (S7, RFC 6960 3.2): it is about the certificate that was asked for, says
 * until when it holds, does not come from the future, and is signed by the issuer's key or by a
 * delegate: a certificate issued by that very key, for OCSP signing, itself in time. An answer that
 * is past its nextUpdate counts: {@link ocspStatusAt} says what it is worth.
 */
export function verifyOcspResponse(
  response: OcspResponse,
  options: VerifyOcspResponseOptions,
): OcspVerdict {
  if (response.status !== "successful") return no(`the responder says ${response.status}`);
  const { basic } = response;
  const { certificate, issuer, now, nonce } = options;
  const [answer, second] = basic.answers.filter(
    ({ certId }) =>
      certId.serialNumber === certificate.serialNumber && isOcspCertIdOf(certId, issuer),
  );
  if (!answer) return no("the response is about another certificate");
  if (second) return no("the response answers twice");
  const { nextUpdate } = answer;
  if (nextUpdate === undefined) return no("the answer does not say until when it holds");
  if (answer.thisUpdate.getTime() > now.getTime() + MAX_AHEAD_MS) {
    return no(`the answer is from the future: ${answer.thisUpdate.toISOString()}`);
  }
  if (nonce && basic.nonce && !bytesEqual(nonce, basic.nonce)) {
    return no("the response answers another request");
  }
  if (options.requireNonce && !(nonce && basic.nonce)) {
    return no("the response does not repeat the nonce");
  }
  const problem = signerProblem(basic, options);
  return problem === undefined ? { ok: true, answer: { ...answer, nextUpdate } } : no(problem);
}

/**
 * What a verified answer is worth at a moment: `revoked` stays, `good` holds until nextUpdate, and
 * `unknown` tells nothing (S7).
 */
export function ocspStatusAt(
  answer: OcspAnswer,
  now: Date,
): "unrevoked" | "revoked" | "undetermined" {
  if (answer.status.is === "revoked") return "revoked";
  const inTime = answer.nextUpdate !== undefined && now.getTime() <= answer.nextUpdate.getTime();
  return answer.status.is === "good" && inTime ? "unrevoked" : "undetermined";
}

function signerProblem(
  basic: OcspBasicResponse,
  options: VerifyOcspResponseOptions,
): string | undefined {
  const { issuer } = options;
  if (isNamed(basic, issuer)) {
    return verifySignature(basic, issuer.publicKeyInfo)
      ? undefined
      : "the signature is not the issuer's";
  }
  let problem = "the response is signed by nobody the issuer vouches for";
  for (const der of basic.certificates) {
    const delegate = readDelegate(der);
    if (!delegate || !isNamed(basic, delegate)) continue;
    const objection = delegateProblem(delegate, options);
    if (objection === undefined && verifySignature(basic, delegate.publicKeyInfo)) return undefined;
    problem = objection ?? "the signature is not the delegate's";
  }
  return problem;
}

function isNamed({ responderId }: OcspBasicResponse, signer: Certificate): boolean {
  return responderId.by === "name"
    ? bytesEqual(responderId.name.der, signer.subject.der)
    : bytesEqual(responderId.keyHash, hash("sha1", signer.publicKeyInfo.bits, "buffer"));
}

function readDelegate(der: Uint8Array): Certificate | undefined {
  try {
    return parseCertificate(der);
  } catch {
    return undefined;
  }
}

/** RFC 6960 4.2.2.2. */
function delegateProblem(
  delegate: Certificate,
  { issuer, now, isRevoked }: VerifyOcspResponseOptions,
): string | undefined {
  if (
    !bytesEqual(delegate.issuer.der, issuer.subject.der) ||
    signatureAlgorithmProblem(delegate, issuer.publicKeyInfo) !== undefined ||
    !verifySignature(delegate, issuer.publicKeyInfo)
  ) {
    return "the responder's certificate was not issued by the issuer's key";
  }
  if (!delegate.extendedKeyUsage?.includes("ocspSigning")) {
    return "the responder's certificate is not for OCSP signing";
  }
  const { keyUsage } = delegate;
  if (keyUsage && !keyUsage.includes("digitalSignature") && !keyUsage.includes("nonRepudiation")) {
    return "the responder's certificate may not make signatures";
  }
  if (delegate.extensions.some(({ oid, critical }) => critical && !isKnownExtension(oid))) {
    return "the responder's certificate has an unknown critical extension";
  }
  if (now < delegate.notBefore || now.getTime() >= delegate.notAfter.getTime() + 1000) {
    return "the responder's certificate is not in time";
  }
  if (delegate.known.ocspNoCheck) return undefined;
  return (isRevoked?.(delegate) ?? true)
    ? "the responder's certificate is revoked, or may be"
    : undefined;
}

function no(problem: string): OcspVerdict {
  return { ok: false, problem };
}

/** S7: clocks may differ by so much. */
const MAX_AHEAD_MS = 5 * 60_000;
