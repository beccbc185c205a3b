import type { KeyUsage } from "./extensions.ts";

/** The kinds of certificate this package issues. */
export type Profile = "root" | "issuing" | "server" | "client" | "peer" | "svid" | "ocspSigner";

/** What a profile puts into a certificate. */
export interface ProfileRules {
  readonly ca: boolean;
  /** How many CAs may follow, where the caller does not say. */
  readonly pathLength?: number;
  readonly keyUsage: readonly KeyUsage[];
  readonly extendedKeyUsage: readonly string[];
  /** Exactly one URI SAN, a SPIFFE id with a path (X509-SVID section 2). */
  readonly spiffeOnly?: true;
  /** id-pkix-ocsp-nocheck: its revocation is not asked for (RFC 6960 4.2.2.2.1). */
  readonly ocspNoCheck?: true;
}

/** All profiles, as data. Every leaf signs and does nothing else: that suits each key type. */
export const profiles: Readonly<Record<Profile, ProfileRules>> = {
  root: { ca: true, pathLength: 1, keyUsage: ["keyCertSign", "cRLSign"], extendedKeyUsage: [] },
  issuing: { ca: true, pathLength: 0, keyUsage: ["keyCertSign", "cRLSign"], extendedKeyUsage: [] },
  server: { ca: false, keyUsage: ["digitalSignature"], extendedKeyUsage: ["serverAuth"] },
  client: { ca: false, keyUsage: ["digitalSignature"], extendedKeyUsage: ["clientAuth"] },
  peer: {
    ca: false,
    keyUsage: ["digitalSignature"],
    extendedKeyUsage: ["serverAuth", "clientAuth"],
  },
  svid: {
    ca: false,
    keyUsage: ["digitalSignature"],
    extendedKeyUsage: ["serverAuth", "clientAuth"],
    spiffeOnly: true,
  },
  ocspSigner: {
    ca: false,
    keyUsage: ["digitalSignature"],
    extendedKeyUsage: ["ocspSigning"],
    ocspNoCheck: true,
  },
};
