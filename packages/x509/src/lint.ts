import type { Certificate } from "./certificate.ts";
import { isKnownExtension, type KeyUsage } from "./extensions.ts";
import { spiffeIdOf } from "./identity.ts";
import { OID } from "./oid.ts";
import { signatureAlgorithmProblem } from "./signature.ts";

/** One rule that a certificate breaks. */
export interface LintFinding {
  /** Stable, for instance `ca-without-key-usage`. */
  readonly rule: string;
  /** Where the rule stands, for instance `RFC 5280 4.2.1.3`. */
  readonly section: string;
  readonly message: string;
}

/**
 * Names the rules of RFC 5280, of the RFCs for its key type, of RFC 9608 and of X509-SVID that a
 * certificate breaks although it could be read; the reader itself refuses the rest. Empty is good.
 */
export function lint(certificate: Certificate): LintFinding[] {
  return rules.flatMap(([rule, section, message, broken]) =>
    broken(certificate) ? [{ rule, section, message }] : [],
  );
}

type Rule = readonly [
  rule: string,
  section: string,
  message: string,
  broken: (certificate: Certificate) => boolean,
];

function isCa(certificate: Certificate): boolean {
  return certificate.basicConstraints?.ca === true;
}

function isSvid({ subjectAltNames }: Certificate): boolean {
  return subjectAltNames.uri.some((uri) => /^spiffe:/i.test(uri));
}

function isSvidLeaf(certificate: Certificate): boolean {
  return isSvid(certificate) && !isCa(certificate);
}

function uses(certificate: Certificate, usage: KeyUsage): boolean {
  return certificate.keyUsage?.includes(usage) ?? false;
}

function criticality(certificate: Certificate, oid: string): boolean | undefined {
  return certificate.extensions.find((extension) => extension.oid === oid)?.critical;
}

function selfSigned(certificate: Certificate): boolean {
  const { authorityKeyIdentifier, subjectKeyIdentifier } = certificate;
  if (!certificate.selfIssued) return false;
  return (
    authorityKeyIdentifier === undefined ||
    subjectKeyIdentifier === undefined ||
    Buffer.compare(authorityKeyIdentifier, subjectKeyIdentifier) === 0
  );
}

/** Only these usages, for a kind of key that cannot do the others. */
function usesOthers(certificate: Certificate, allowed: readonly KeyUsage[]): boolean {
  return certificate.keyUsage?.some((usage) => !allowed.includes(usage)) ?? false;
}

function mustNotBeCritical(rule: string, section: string, name: string, oid: string): Rule {
  return [rule, section, `${name} must not be critical`, (c) => criticality(c, oid) === true];
}

function mustBeCritical(rule: string, section: string, name: string, oid: string): Rule {
  return [rule, section, `${name} must be critical`, (c) => criticality(c, oid) === false];
}

function longerThan(certificate: Certificate, bounds: ReadonlyMap<string, number>): boolean {
  return certificate.subject.attributes.some(
    ({ type, value }) => Array.from(value).length > (bounds.get(type) ?? Infinity),
  );
}

const SIGNING: readonly KeyUsage[] = [
  "digitalSignature",
  "nonRepudiation",
  "keyCertSign",
  "cRLSign",
];

/** RFC 5280 appendix A.1. */
const upperBounds: ReadonlyMap<string, number> = new Map([
  ["CN", 64],
  ["O", 64],
  ["OU", 64],
  ["C", 2],
  ["L", 128],
  ["ST", 128],
]);

const rules: readonly Rule[] = [
  [
    "issuer-empty",
    "RFC 5280 4.1.2.4",
    "the issuer name must not be empty",
    (c) => c.issuer.attributes.length === 0,
  ],
  [
    "ca-subject-empty",
    "RFC 5280 4.1.2.6",
    "a CA must have a subject name",
    (c) => isCa(c) && c.subject.attributes.length === 0,
  ],
  [
    "attribute-too-long",
    "RFC 5280 A.1",
    "a subject attribute is longer than its upper bound",
    (c) => longerThan(c, upperBounds),
  ],
  [
    "validity-reversed",
    "RFC 5280 4.1.2.5",
    "the validity ends before it begins",
    (c) => c.notAfter < c.notBefore,
  ],
  [
    "no-names",
    "RFC 5280 4.1.2.6",
    "a certificate must have a subject or a subject alternative name",
    (c) => c.subject.attributes.length === 0 && c.subjectAltNames.all.length === 0,
  ],
  [
    "authority-key-identifier-missing",
    "RFC 5280 4.2.1.1",
    "a certificate that is not self-signed must name its issuer's key",
    (c) => c.authorityKeyIdentifier === undefined && !c.selfIssued,
  ],
  mustNotBeCritical(
    "authority-key-identifier-critical",
    "RFC 5280 4.2.1.1",
    "the authority key identifier",
    OID.authorityKeyIdentifier,
  ),
  [
    "ca-subject-key-identifier-missing",
    "RFC 5280 4.2.1.2",
    "a CA must have a subject key identifier",
    (c) => isCa(c) && c.subjectKeyIdentifier === undefined,
  ],
  mustNotBeCritical(
    "subject-key-identifier-critical",
    "RFC 5280 4.2.1.2",
    "the subject key identifier",
    OID.subjectKeyIdentifier,
  ),
  [
    "ca-without-key-usage",
    "RFC 5280 4.2.1.3",
    "a CA must have a key usage",
    (c) => isCa(c) && c.keyUsage === undefined,
  ],
  [
    "ca-without-cert-sign",
    "RFC 5280 4.2.1.3",
    "a CA's key usage must have keyCertSign",
    (c) => isCa(c) && c.keyUsage !== undefined && !uses(c, "keyCertSign"),
  ],
  [
    "leaf-with-cert-sign",
    "RFC 5280 4.2.1.9",
    "keyCertSign needs basic constraints with cA",
    (c) => !isCa(c) && uses(c, "keyCertSign"),
  ],
  [
    "key-usage-not-critical",
    "RFC 5280 4.2.1.3",
    "the key usage should be critical",
    (c) => criticality(c, OID.keyUsage) === false,
  ],
  [
    "policy-mapping-any",
    "RFC 5280 4.2.1.5",
    "a policy must not be mapped to or from anyPolicy",
    (c) =>
      (c.known.policyMappings ?? []).some(
        (mapping) =>
          mapping.issuerDomainPolicy === OID.anyPolicy ||
          mapping.subjectDomainPolicy === OID.anyPolicy,
      ),
  ],
  [
    "names-not-critical",
    "RFC 5280 4.2.1.6",
    "the subject alternative name must be critical where the subject is empty",
    (c) => c.subject.attributes.length === 0 && criticality(c, OID.subjectAltName) === false,
  ],
  [
    "names-critical",
    "RFC 5280 4.2.1.6",
    "the subject alternative name should not be critical beside a subject",
    (c) => c.subject.attributes.length > 0 && criticality(c, OID.subjectAltName) === true,
  ],
  [
    "ca-basic-constraints-not-critical",
    "RFC 5280 4.2.1.9",
    "a CA's basic constraints must be critical",
    (c) => isCa(c) && criticality(c, OID.basicConstraints) === false,
  ],
  [
    "leaf-with-name-constraints",
    "RFC 5280 4.2.1.10",
    "name constraints are for CAs only",
    (c) => !isCa(c) && c.nameConstraints !== undefined,
  ],
  mustBeCritical(
    "name-constraints-not-critical",
    "RFC 5280 4.2.1.10",
    "name constraints",
    OID.nameConstraints,
  ),
  mustBeCritical(
    "policy-constraints-not-critical",
    "RFC 5280 4.2.1.11",
    "policy constraints",
    OID.policyConstraints,
  ),
  [
    "any-usage-critical",
    "RFC 5280 4.2.1.12",
    "an extended key usage with anyExtendedKeyUsage should not be critical",
    (c) =>
      c.extendedKeyUsage?.includes("any") === true && criticality(c, OID.extendedKeyUsage) === true,
  ],
  mustNotBeCritical(
    "freshest-crl-critical",
    "RFC 5280 4.2.1.15",
    "the freshest CRL",
    OID.freshestCrl,
  ),
  mustBeCritical(
    "inhibit-any-policy-not-critical",
    "RFC 5280 4.2.1.14",
    "inhibitAnyPolicy",
    OID.inhibitAnyPolicy,
  ),
  mustNotBeCritical(
    "authority-information-critical",
    "RFC 5280 4.2.2.1",
    "the authority information access",
    OID.authorityInformationAccess,
  ),
  [
    "unknown-critical-extension",
    "RFC 5280 4.2",
    "a critical extension is unknown: every verifier must refuse the certificate",
    (c) => c.extensions.some(({ critical, oid }) => critical && !isKnownExtension(oid)),
  ],
  [
    "ec-key-usage",
    "RFC 8813 3",
    "an EC key cannot encipher keys or data",
    (c) =>
      c.publicKeyInfo.kind.startsWith("ecdsa") &&
      (uses(c, "keyEncipherment") || uses(c, "dataEncipherment")),
  ],
  [
    "eddsa-key-usage",
    "RFC 9295 3",
    "an Ed25519 or Ed448 key can only sign",
    (c) => c.publicKeyInfo.kind.startsWith("ed") && usesOthers(c, SIGNING),
  ],
  [
    "ml-dsa-key-usage",
    "RFC 9881 5",
    "an ML-DSA key can only sign",
    (c) => c.publicKeyInfo.kind.startsWith("ml-dsa") && usesOthers(c, SIGNING),
  ],
  [
    "no-revocation-beside-pointers",
    "RFC 9608 3",
    "noRevAvail must not stand in a CA or beside CRL or OCSP addresses",
    (c) =>
      c.known.noRevocationAvailable === true &&
      (isCa(c) ||
        c.known.crlDistributionPoints !== undefined ||
        criticality(c, OID.freshestCrl) !== undefined ||
        (c.known.authorityInformation ?? []).some(({ method }) => method === "ocsp")),
  ],
  [
    "weak-signature",
    "S44",
    "the self-signature is made with an algorithm or key that is too weak or unknown",
    (c) => selfSigned(c) && signatureAlgorithmProblem(c, c.publicKeyInfo) !== undefined,
  ],
  [
    "svid-several-uris",
    "X509-SVID 2",
    "an SVID must have exactly one URI name",
    (c) => isSvid(c) && c.subjectAltNames.uri.length !== 1,
  ],
  [
    "svid-id-invalid",
    "SPIFFE-ID 2",
    "the SPIFFE id is not valid",
    (c) => isSvid(c) && c.subjectAltNames.uri.length === 1 && spiffeIdOf(c) === undefined,
  ],
  [
    "svid-leaf-without-path",
    "X509-SVID 3.1",
    "a leaf's SPIFFE id must have a path",
    (c) => isSvidLeaf(c) && spiffeIdOf(c)?.path === "",
  ],
  [
    "svid-ca-with-path",
    "X509-SVID 3.2",
    "a CA's SPIFFE id must not have a path",
    (c) => isSvid(c) && isCa(c) && (spiffeIdOf(c)?.path ?? "") !== "",
  ],
  [
    "svid-without-key-usage",
    "X509-SVID 4.3",
    "an SVID must have a critical key usage",
    (c) => isSvid(c) && criticality(c, OID.keyUsage) !== true,
  ],
  [
    "svid-leaf-key-usage",
    "X509-SVID 4.3",
    "a leaf SVID must have digitalSignature, and neither keyCertSign nor cRLSign",
    (c) =>
      isSvidLeaf(c) &&
      (!uses(c, "digitalSignature") || uses(c, "keyCertSign") || uses(c, "cRLSign")),
  ],
];
