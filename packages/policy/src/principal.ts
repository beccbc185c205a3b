import { PolicyError } from "./errors.ts";

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

/**
 * Reads a principal from plain data, such as parsed JSON; what is left out is empty, and
 * `authenticated` is false.
 *
 * @throws {PolicyError} REQUEST_INVALID
 */
export function parsePrincipal(value: unknown): Principal {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw requestInvalid("principal", "expected an object");
  }
  const given = value as Readonly<Record<string, unknown>>;
  for (const name of Object.keys(given)) {
    if (!Object.hasOwn(plaintextPrincipal, name)) {
      throw requestInvalid(`principal.${name}`, "unknown field");
    }
  }
  const authenticated = own(given, "authenticated") ?? false;
  if (typeof authenticated !== "boolean") {
    throw requestInvalid("principal.authenticated", "expected true or false");
  }
  return {
    authenticated,
    uriSans: strings(given, "uriSans"),
    dnsSans: strings(given, "dnsSans"),
    subject: string(given, "subject"),
    organizations: strings(given, "organizations"),
    commonNames: strings(given, "commonNames"),
    issuer: string(given, "issuer"),
    issuerFingerprints: strings(given, "issuerFingerprints"),
  };
}

/** An error of {@link parsePrincipal} and its like, which begins with the place. */
export function requestInvalid(place: string, problem: string): PolicyError {
  return new PolicyError("REQUEST_INVALID", `${place}: ${problem}`, { place });
}

function own(given: Readonly<Record<string, unknown>>, name: string): unknown {
  return Object.hasOwn(given, name) ? given[name] : undefined;
}

function string(given: Readonly<Record<string, unknown>>, name: string): string {
  const value = own(given, name) ?? "";
  if (typeof value === "string") return value;
  throw requestInvalid(`principal.${name}`, "expected a string");
}

function strings(given: Readonly<Record<string, unknown>>, name: string): readonly string[] {
  const value = own(given, name) ?? [];
  if (Array.isArray(value) && value.every((element) => typeof element === "string")) return value;
  throw requestInvalid(`principal.${name}`, "expected a list of strings");
}
