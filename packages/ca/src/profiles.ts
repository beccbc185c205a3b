import type { Profile } from "@handfast/x509";

/**
 * What an authority may issue under one name: the kind of certificate, how long it lives, and which
 * kinds of names it may carry. What a request says beyond this is refused, never adapted.
 */
export interface LeafProfile {
  readonly x509: Exclude<Profile, "root" | "issuing">;
  /** If the request names none; shortened where the issuer ends earlier. */
  readonly validitySeconds: number;
  readonly maxValiditySeconds: number;
  readonly names: readonly ("dns" | "ip" | "uri" | "email")[];
  /**
   * `unavailable` says in the certificate that its revocation is nowhere to be looked up (RFC 9608): for
   * lives so short that nobody would. `published` if not given.
   */
  readonly revocation?: "published" | "unavailable";
}

/** The profiles of an authority that was given none. */
export function defaultProfiles(): Readonly<Record<string, LeafProfile>> {
  const common = { validitySeconds: 90 * day, maxValiditySeconds: 825 * day };
  return {
    peer: { x509: "peer", ...common, names: ["dns", "ip", "uri"] },
    server: { x509: "server", ...common, names: ["dns", "ip", "uri"] },
    client: { x509: "client", ...common, names: ["dns", "ip", "uri", "email"] },
    svid: { x509: "svid", validitySeconds: day, maxValiditySeconds: 90 * day, names: ["uri"] },
    acme: { x509: "server", ...common, names: ["dns", "ip"] },
    ocspSigner: {
      x509: "ocspSigner",
      validitySeconds: 7 * day,
      maxValiditySeconds: 30 * day,
      names: [],
    },
  };
}

const day = 86_400;
