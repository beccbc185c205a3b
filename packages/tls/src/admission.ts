import { parseSpiffeId, parseTrustDomain } from "@handfast/x509";

import type { VerifiedPeer } from "./peer.ts";

/**
 * Which of the verified peers may connect. `admits` is synchronous, and only the value `true` admits: a throw,
 * a promise or anything else refuses, and is reported as a fault (S11).
 */
export interface AdmissionRule {
  readonly description: string;
  admits(peer: VerifiedPeer): unknown;
}

/** Which server a dialled connection must lead to. */
export type Expectation =
  | { readonly kind: "serverName"; readonly name: string }
  | { readonly kind: "spiffeId"; readonly id: string }
  | { readonly kind: "memberOf"; readonly trustDomain: string };

/** Admits every peer with a certificate of a trusted CA. */
export function anyTrustedPeer(): AdmissionRule {
  return { description: "any trusted peer", admits: () => true };
}

/**
 * Admits peers with a SPIFFE id of the trust domain; given to `expect`, a dialled server must have one.
 *
 * @throws X509Error SPIFFE_ID_INVALID
 */
export function memberOf(trustDomain: string): AdmissionRule & Expectation {
  const domain = parseTrustDomain(trustDomain);
  return {
    kind: "memberOf",
    trustDomain: domain,
    description: `members of ${domain}`,
    admits: (peer) => peer.spiffeId?.trustDomain === domain,
  };
}

/** Admits the peers whose `identity` is in the list, spelled as there: `spiffe://…`, `dns:…`, `uri:…`, `dn:…`. */
export function oneOf(identities: readonly string[]): AdmissionRule {
  const admitted = new Set(identities);
  return {
    description: `one of ${identities.join(", ")}`,
    admits: (peer) => peer.identity !== undefined && admitted.has(peer.identity),
  };
}

/** Admits the peers for which `predicate` returns `true`, at once: a promise admits nobody. */
export function matching(predicate: (peer: VerifiedPeer) => boolean): AdmissionRule {
  return { description: "a rule in code", admits: predicate };
}

/** Admits nobody: for a runtime that only dials. */
export function nobody(): AdmissionRule {
  return { description: "nobody", admits: () => false };
}

/** The server must carry this DNS name or IP address in its subject alternative names; CN is never used (S24). */
export function serverName(name: string): Expectation {
  return { kind: "serverName", name };
}

/**
 * The server must have this SPIFFE id; its DNS names do not matter then.
 *
 * @throws X509Error SPIFFE_ID_INVALID
 */
export function spiffeId(id: string): Expectation {
  return { kind: "spiffeId", id: parseSpiffeId(id).uri };
}
