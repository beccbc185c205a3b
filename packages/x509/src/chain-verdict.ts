import type { Certificate } from "./certificate.ts";

/** Why a chain was not accepted, in the order in which reasons are found (S10). */
export type ChainReason =
  | "CERTIFICATE_MALFORMED"
  | "CERTIFICATE_AUTHORITY_INVALID"
  | "SIGNATURE_VERIFICATION_FAILED"
  | "CERTIFICATE_EXPIRED"
  | "CERTIFICATE_NOT_YET_VALID"
  | "CERTIFICATE_WRONG_PURPOSE"
  | "CERTIFICATE_HOSTNAME_MISMATCH"
  | "SPIFFE_ID_INVALID"
  | "CERTIFICATE_REVOKED"
  | "CERTIFICATE_VERIFICATION_FAILED";

/** The verdict: the path from leaf to anchor, or the first reason and the certificate it concerns. */
export type ChainVerdict = ChainAccepted | ChainRefused;

/** A chain that holds. */
export interface ChainAccepted {
  readonly ok: true;
  /** From the leaf to the anchor, both included. */
  readonly path: readonly Certificate[];
}

/** A chain that does not hold. */
export interface ChainRefused {
  readonly ok: false;
  readonly reason: ChainReason;
  /** The certificate the reason concerns: the leaf, or one above it. */
  readonly certificate: Certificate;
  readonly message: string;
}

/** A refusal; the message is the certificate's name and the rest of the sentence. */
export function refuse(
  reason: ChainReason,
  certificate: Certificate,
  problem: string,
): ChainRefused {
  const { subject, serialNumber } = certificate;
  const name = subject.text === "" ? `with serial number ${serialNumber}` : shortened(subject.text);
  return { ok: false, reason, certificate, message: `certificate ${name} ${problem}` };
}

/** A text chosen by others, at a length a log can bear. */
export function shortened(text: string): string {
  return text.length > 120 ? `${text.slice(0, 119)}…` : text;
}
