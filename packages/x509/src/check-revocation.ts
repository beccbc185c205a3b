import type { Certificate } from "./certificate.ts";
import type { CrlEntry } from "./crl-entries.ts";
import type { Crl } from "./crl.ts";
import { bytesEqual } from "./der.ts";
import { condemnsKey } from "./revocation-reason.ts";
import { verifySignature } from "./signature.ts";

/** What revocation lists say of a path. */
export type RevocationStatus =
  | { readonly status: "unrevoked" }
  | { readonly status: "revoked"; readonly certificate: Certificate; readonly entry: CrlEntry }
  | { readonly status: "undetermined"; readonly certificate: Certificate; readonly reason: string };

/** What a path is looked up in. */
export interface CheckRevocationOptions {
  readonly crls: readonly Crl[];
  readonly now: Date;
  /**
   * CA certificates among which those of the path may have twins: same key, other issuer. A CA whose
   * key is revoked under any issuer is revoked (S8).
   */
  readonly twins?: readonly Certificate[];
  /** Who is heard about twins, beside the CAs of the path itself. */
  readonly anchors?: readonly Certificate[];
}

/**
 * Looks a path up, leaf first and anchor last. A list decides about a certificate only if the key that
 * signed the certificate signed the list (S1); of several the one with the greatest number counts.
 * The anchor is not looked up, everything else is (S6). Past nextUpdate a list still proves that a
 * certificate is revoked, and no longer that it is not (S3). One revoked certificate makes the path
 * revoked; else one undetermined makes it so.
 */
export function checkRevocation(
  path: readonly Certificate[],
  { crls, now, twins = [], anchors = [] }: CheckRevocationOptions,
): RevocationStatus {
  let undetermined: RevocationStatus | undefined;
  for (const [index, certificate] of path.slice(0, -1).entries()) {
    const issuer = path[index + 1] as Certificate;
    const found = statusOf(certificate, newestFrom(issuer, crls, now), now);
    if (found.status === "revoked") return found;
    if (found.status === "undetermined") undetermined ??= found;
  }
  return (
    revokedTwin(path, { crls, now, twins, anchors }) ?? undetermined ?? { status: "unrevoked" }
  );
}

function statusOf(certificate: Certificate, crl: Crl | undefined, now: Date): RevocationStatus {
  const entry = crl?.lookup(certificate.serialNumber);
  if (entry) return { status: "revoked", certificate, entry };
  if (crl && now.getTime() <= crl.nextUpdate.getTime()) return { status: "unrevoked" };
  // RFC 9608: such a certificate is on no list.
  if (certificate.known.noRevocationAvailable) return { status: "unrevoked" };
  const reason = crl
    ? `the revocation list of ${crl.issuer.text} should have been renewed at ${crl.nextUpdate.toISOString()}`
    : `there is no revocation list that the issuer's key signed`;
  return { status: "undetermined", certificate, reason };
}

function newestFrom(issuer: Certificate, crls: readonly Crl[], now: Date): Crl | undefined {
  let newest: Crl | undefined;
  for (const crl of crls) {
    if (newest && crl.number <= newest.number) continue;
    if (crl.thisUpdate.getTime() > now.getTime() + MAX_AHEAD_MS) continue;
    if (crl.verify(issuer)) newest = crl;
  }
  return newest;
}

/**
 * A CA of the path whose key another certificate certifies that is revoked, for a reason that speaks
 * against the key. Only the CAs of the path and the anchors are heard: a stranger could make a twin of
 * any key and revoke it.
 */
function revokedTwin(
  path: readonly Certificate[],
  { crls, now, twins, anchors }: Required<CheckRevocationOptions>,
): RevocationStatus | undefined {
  const issuers = [...path.slice(1), ...anchors];
  for (const ca of path.slice(1)) {
    for (const twin of twins) {
      if (!bytesEqual(twin.subjectPublicKeyInfo, ca.subjectPublicKeyInfo)) continue;
      if (bytesEqual(twin.der, ca.der)) continue;
      for (const issuer of issuers) {
        if (!bytesEqual(issuer.subject.der, twin.issuer.der)) continue;
        const entry = newestFrom(issuer, crls, now)?.lookup(twin.serialNumber);
        if (entry && condemnsKey(entry.reason) && verifySignature(twin, issuer.publicKeyInfo)) {
          return { status: "revoked", certificate: ca, entry };
        }
      }
    }
  }
  return undefined;
}

/** S5: clocks may differ by so much. */
const MAX_AHEAD_MS = 5 * 60_000;
