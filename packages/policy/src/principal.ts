import type { Node } from "./read-json.ts";
import { readBoolean, readList, readObject, readString } from "./read-json.ts";

/**
 * Who calls, in strings alone: what a policy may look at. Made once per connection.
 *
 * Three cases are kept apart (S27). Plaintext: `authenticated` is false; no principal pattern matches.
 * TLS without a certificate: `authenticated` is true and there is no name at all; only the pattern
 * `""` matches. A certificate: it has at least one URI, DNS name or attribute of a subject.
 */
export interface Principal {
  /** Whether the connection is TLS, and whoever presented a certificate was verified. */
  readonly authenticated: boolean;
  /** The URI SANs, as they stand in the certificate. */
  readonly uriSans: readonly string[];
  /** The DNS SANs; compared without regard to the case of ASCII letters. */
  readonly dnsSans: readonly string[];
  /** The subject as RFC 4514 text; types CN L ST O OU C STREET DC UID by name, others dotted with #hex. */
  readonly subject: string;
  /** The values of O in the subject. */
  readonly organizations: readonly string[];
  /** The values of CN in the subject. */
  readonly commonNames: readonly string[];
  /** The subject of the CA that issued the certificate, as RFC 4514 text. */
  readonly issuer: string;
  /**
   * The CAs of the validated path from the issuing CA to the anchor: each the SHA-256 of its DER, in
   * lower-case hex. Unlike `issuer` these cannot be chosen by another CA in the trust bundle.
   */
  readonly issuerFingerprints?: readonly string[];
}

/** The principal of a caller without TLS. */
export const plaintextPrincipal: Principal = Object.freeze({
  authenticated: false,
  uriSans: Object.freeze([]),
  dnsSans: Object.freeze([]),
  subject: "",
  organizations: Object.freeze([]),
  commonNames: Object.freeze([]),
  issuer: "",
  issuerFingerprints: Object.freeze([]),
});

/** The principal of a TLS caller that presented no certificate. */
export const anonymousPrincipal: Principal = Object.freeze({
  ...plaintextPrincipal,
  authenticated: true,
});

/** The first name of the first kind a principal has: what gRFC A59 records. "" without a name. */
export function principalName({ authenticated, uriSans, dnsSans, subject }: Principal): string {
  if (!authenticated) return "";
  return uriSans[0] ?? dnsSans[0] ?? subject;
}

/** Reads a principal from a document; what is left out is empty, and `authenticated` false. */
export function readPrincipal(node: Node): Principal {
  const members = readObject(node, Object.keys(plaintextPrincipal));
  const authenticated = members.get("authenticated");
  const strings = (name: string): readonly string[] => {
    const member = members.get(name);
    return member === undefined ? [] : readList(member).map(readString);
  };
  const string = (name: string): string => {
    const member = members.get(name);
    return member === undefined ? "" : readString(member);
  };
  return {
    authenticated: authenticated !== undefined && readBoolean(authenticated),
    uriSans: strings("uriSans"),
    dnsSans: strings("dnsSans"),
    subject: string("subject"),
    organizations: strings("organizations"),
    commonNames: strings("commonNames"),
    issuer: string("issuer"),
    issuerFingerprints: strings("issuerFingerprints"),
  };
}
