/** Why a certificate was revoked (RFC 5280 5.3.1). */
export type RevocationReason = keyof typeof revocationReasons;

/** The reasons by their CRLReason number; `removeFromCRL` belongs to delta lists alone. */
export const revocationReasons = {
  unspecified: 0,
  keyCompromise: 1,
  cACompromise: 2,
  affiliationChanged: 3,
  superseded: 4,
  cessationOfOperation: 5,
  certificateHold: 6,
  removeFromCRL: 8,
  privilegeWithdrawn: 9,
  aACompromise: 10,
} as const;

/** The reason of a CRLReason number; undefined if there is none. */
export function revocationReasonOf(code: number): RevocationReason | undefined {
  return reasonsByCode.get(code);
}

/**
 * Whether a reason speaks against the key and not only against one certificate of it: a certificate
 * that was superseded, or whose subject ceased to operate, may have a twin that lives on (S8, S50).
 */
export function condemnsKey(reason: RevocationReason | undefined): boolean {
  return reason === undefined || !sparesKey.has(reason);
}

const reasonsByCode: ReadonlyMap<number, RevocationReason> = new Map(
  Object.entries(revocationReasons).map(([reason, code]) => [code, reason as RevocationReason]),
);
const sparesKey: ReadonlySet<RevocationReason> = new Set<RevocationReason>([
  "affiliationChanged",
  "superseded",
  "cessationOfOperation",
  "removeFromCRL",
]);
