import type { Pattern } from "./pattern.ts";
import { lowerAscii } from "./pattern.ts";
import type { Principal } from "./principal.ts";
import type { Node } from "./read-json.ts";
import {
  invalid,
  readBoolean,
  readNonEmptyList,
  readNonEmptyString,
  readObject,
  requireMember,
} from "./read-json.ts";
import { readPaths, requireUniqueNames } from "./rules.ts";

/** A rule on the attributes of a certificate; all kinds that are named must match, one value of each. */
export interface CertificateRule {
  readonly name: string;
  /** The CAs, any one of which is believed for these attributes. */
  readonly issuers: readonly IssuerMatch[];
  /** One O of the subject must equal one of these. */
  readonly organizations: ReadonlySet<string> | undefined;
  /** The subject must have exactly one CN, and it must equal one of these. */
  readonly commonNames: ReadonlySet<string> | undefined;
  /** One DNS SAN must equal one of these; in lower case. */
  readonly dnsSans: ReadonlySet<string> | undefined;
  /** One URI SAN must equal one of these. */
  readonly uriSans: ReadonlySet<string> | undefined;
  /** Whether it applies to certificates with SANs although it names none. */
  readonly withSans: boolean;
  /** The paths of the methods it allows. */
  readonly methods: readonly Pattern[];
}

/** A CA by the subject it writes into certificates, or by the hash of its own certificate. */
export type IssuerMatch =
  | { readonly by: "subject"; readonly subject: string }
  | { readonly by: "fingerprint"; readonly fingerprint: string };

/** Reads the list `certificate_rules`. */
export function readCertificateRules(list: Node): readonly CertificateRule[] {
  const rules = readNonEmptyList(list).map(readRule);
  requireUniqueNames(list, rules);
  return rules;
}

/** Whether a rule's certificate part matches: exact and case-sensitive, but for DNS names (S33). */
export function certificateMatches(rule: CertificateRule, principal: Principal): boolean {
  const { organizations, commonNames, dnsSans, uriSans } = rule;
  if (!principal.authenticated) return false;
  if (!rule.issuers.some((issuer) => issuerMatches(issuer, principal))) return false;
  const hasSans = principal.uriSans.length > 0 || principal.dnsSans.length > 0;
  const namesSans = dnsSans !== undefined || uriSans !== undefined;
  if (hasSans && !namesSans && !rule.withSans) return false;
  if (organizations !== undefined && !principal.organizations.some((o) => organizations.has(o))) {
    return false;
  }
  if (commonNames !== undefined) {
    const [first, ...others] = principal.commonNames;
    if (first === undefined || others.length > 0 || !commonNames.has(first)) return false;
  }
  if (uriSans !== undefined && !principal.uriSans.some((uri) => uriSans.has(uri))) return false;
  return dnsSans === undefined || principal.dnsSans.some((dns) => dnsSans.has(lowerAscii(dns)));
}

function issuerMatches(issuer: IssuerMatch, principal: Principal): boolean {
  if (issuer.by === "subject") return principal.issuer === issuer.subject;
  return principal.issuerFingerprints?.includes(issuer.fingerprint) ?? false;
}

function readRule(node: Node): CertificateRule {
  const members = readObject(node, memberNames);
  const withSans = members.get("with_sans");
  const rule: CertificateRule = {
    name: readNonEmptyString(requireMember(node, members, "name")),
    issuers: readIssuers(requireMember(node, members, "issuer")),
    organizations: readSet(members.get("organizations")),
    commonNames: readSet(members.get("common_names")),
    dnsSans: readSet(members.get("dns_sans"), lowerAscii),
    uriSans: readSet(members.get("uri_sans")),
    withSans: withSans !== undefined && readBoolean(withSans),
    methods: readPaths(requireMember(node, members, "methods")),
  };
  if (attributeNames.every((name) => !members.has(name))) {
    throw invalid(node, `expected at least one of ${attributeNames.join(", ")}`);
  }
  return rule;
}

/** One CA, or the list of those in a bundle. */
function readIssuers(node: Node): readonly IssuerMatch[] {
  return Array.isArray(node.value) ? readNonEmptyList(node).map(readIssuer) : [readIssuer(node)];
}

function readIssuer(node: Node): IssuerMatch {
  const text = readNonEmptyString(node);
  if (!text.startsWith("sha256:")) return { by: "subject", subject: text };
  const fingerprint = text.slice("sha256:".length).replaceAll(":", "").toLowerCase();
  if (/^[0-9a-f]{64}$/.test(fingerprint)) return { by: "fingerprint", fingerprint };
  throw invalid(node, "expected sha256: and 64 hexadecimal digits");
}

/** Stars mean nothing here, so a value with one is a mistake rather than a name. */
function readSet(
  list: Node | undefined,
  form: (text: string) => string = (text) => text,
): ReadonlySet<string> | undefined {
  if (list === undefined) return undefined;
  return new Set(
    readNonEmptyList(list).map((node) => {
      const text = readNonEmptyString(node);
      if (text.startsWith("*") || text.endsWith("*")) {
        throw invalid(node, "values are compared whole; a star has no meaning here");
      }
      return form(text);
    }),
  );
}

const attributeNames = ["organizations", "common_names", "dns_sans", "uri_sans"] as const;
const memberNames = ["name", "issuer", ...attributeNames, "with_sans", "methods"] as const;
