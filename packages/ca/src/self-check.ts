import { verifyChain } from "@handfast/x509";
import type { Certificate, ChainPurpose, SignatureMemo } from "@handfast/x509";
import { CaError } from "./errors.ts";

/** What a certificate is checked against. */
interface SelfCheckContext {
  readonly issuer: Certificate;
  readonly anchors: readonly Certificate[];
  readonly now: Date;
  readonly signatures: SignatureMemo;
}

/**
 * Verifies a certificate as its peers will, for each purpose that it is meant for, before anybody
 * gets it: name constraints, validity and purposes cannot be wrong in what leaves the authority.
 *
 * @throws CaError CERTIFICATE_UNUSABLE
 */
export function refuseUnusable(certificate: Certificate, context: SelfCheckContext): void {
  const { issuer, anchors, now, signatures } = context;
  for (const purpose of purposesOf(certificate)) {
    const verdict = verifyChain(
      { leaf: certificate, candidates: [issuer] },
      { anchors, now, purpose, signatures },
    );
    if (verdict.ok) continue;
    throw new CaError(
      "CERTIFICATE_UNUSABLE",
      `the certificate for ${certificate.subject.text} would not verify: ${verdict.message} (${verdict.reason})`,
    );
  }
}

function purposesOf({ extendedKeyUsage = [] }: Certificate): readonly ChainPurpose[] {
  const purposes: ChainPurpose[] = [];
  if (extendedKeyUsage.includes("serverAuth")) purposes.push("server");
  if (extendedKeyUsage.includes("clientAuth")) purposes.push("client");
  if (extendedKeyUsage.includes("ocspSigning")) purposes.push("ocspSigning");
  return purposes.length === 0 ? ["any"] : purposes;
}
