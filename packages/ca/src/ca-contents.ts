import { createName } from "@handfast/x509";
import type { IssueCertificateOptions } from "@handfast/x509";
import type { IssuerRole } from "./store/store.ts";

/**
 * What the certificates of one generation of an authority's keys say of themselves: a subject of
 * its own (security.md S50), the trust domain as a URI name (S15), and how long it lives.
 */
export function caContents(
  trustDomain: string,
  options: { readonly role: IssuerRole; readonly generation: number; readonly now: Date },
): Pick<IssueCertificateOptions, "subject" | "subjectAltNames" | "notBefore" | "notAfter"> {
  const { role, generation, now } = options;
  const start = Math.floor(now.getTime() / 1_000) * 1_000;
  return {
    subject: createName([
      { type: "O", value: "Handfast" },
      { type: "CN", value: `${trustDomain.slice(0, 50)} ${role} ${generation}` },
    ]),
    subjectAltNames: { uri: [`spiffe://${trustDomain}`] },
    notBefore: new Date(start - backdatingMs),
    notAfter: new Date(start + days[role] * dayMs),
  };
}

/** What a key of a role and generation is called, in records and in the key store. */
export function issuerName(role: IssuerRole, generation: number): string {
  return `${role}-${generation}`;
}

const days: Readonly<Record<IssuerRole, number>> = { root: 3_650, issuing: 1_825 };
const backdatingMs = 60_000;
const dayMs = 86_400_000;
