import type { Certificate } from "./certificate.ts";
import { bytesEqual } from "./der.ts";
import { formatIp, parseIp } from "./ip-address.ts";
import { OID } from "./oid.ts";

/**
 * Rules on how certificates are to be issued. They go beyond what makes a path hold, so they are off
 * unless asked for: `rfc5280` for section 4 of RFC 5280, `publicWeb` for what the CA/Browser Forum's
 * Baseline Requirements (section 7) make of it.
 */
export type IssuingRules = "rfc5280" | "publicWeb";

/** Where a certificate stands in a path. */
type PathPosition = "leaf" | "intermediate" | "anchor";

/** Which rule a certificate breaks, as the rest of a sentence about it; undefined if none. */
export function issuingProblem(
  certificate: Certificate,
  position: PathPosition,
  rules: IssuingRules,
): string | undefined {
  const tables = rules === "rfc5280" ? [common, rfc5280Only] : [common, publicWebOnly];
  for (const table of tables) {
    for (const [problem, breaks] of table) if (breaks(certificate, position)) return problem;
  }
  return undefined;
}

type Rule = readonly [
  problem: string,
  breaks: (certificate: Certificate, position: PathPosition) => boolean,
];

function isCritical(certificate: Certificate, dotted: string): boolean | undefined {
  return certificate.extensions.find(({ oid }) => oid === dotted)?.critical;
}

function isCa({ basicConstraints }: Certificate): boolean {
  return basicConstraints?.ca === true;
}

/** Signed by the key it certifies, as far as names and key identifiers tell. */
function isSelfSigned({
  selfIssued,
  authorityKeyIdentifier,
  subjectKeyIdentifier,
}: Certificate): boolean {
  return (
    selfIssued &&
    (authorityKeyIdentifier === undefined ||
      (subjectKeyIdentifier !== undefined &&
        bytesEqual(authorityKeyIdentifier, subjectKeyIdentifier)))
  );
}

/** The Baseline Requirements, 7.1.4.3: a common name repeats one of the names, character by character. */
function hasStrayCommonName({ subject, subjectAltNames }: Certificate): boolean {
  const names: readonly string[] = [...subjectAltNames.dns, ...subjectAltNames.ip];
  return subject.attributes.some(({ type, value }) => {
    if (type !== "CN") return false;
    const address = parseIp(value);
    return !names.includes(value) || (address !== undefined && formatIp(address) !== value);
  });
}

/** The Baseline Requirements, 6.1.5. */
function hasUnfitKey({ publicKeyInfo: { kind, modulusBits } }: Certificate): boolean {
  switch (kind) {
    case "ecdsa-p256":
    case "ecdsa-p384":
    case "ecdsa-p521":
      return false;
    case "rsa":
      return modulusBits === undefined || modulusBits < 2048 || modulusBits % 8 !== 0;
    default:
      return true;
  }
}

const common: readonly Rule[] = [
  ["has no issuer name (RFC 5280 4.1.2.4)", (c) => c.issuer.attributes.length === 0],
  [
    "is a CA without a subject name (RFC 5280 4.1.2.6)",
    (c) => isCa(c) && c.subject.attributes.length === 0,
  ],
  [
    "has no subject name and no critical alternative name (RFC 5280 4.1.2.6)",
    (c) => c.subject.attributes.length === 0 && isCritical(c, OID.subjectAltName) !== true,
  ],
  [
    "has a critical authority key identifier (RFC 5280 4.2.1.1)",
    (c) => isCritical(c, OID.authorityKeyIdentifier) === true,
  ],
  [
    "has no authority key identifier (RFC 5280 4.2.1.1)",
    (c) => c.authorityKeyIdentifier === undefined && !isSelfSigned(c),
  ],
  [
    "has a critical subject key identifier (RFC 5280 4.2.1.2)",
    (c) => isCritical(c, OID.subjectKeyIdentifier) === true,
  ],
  [
    "is a CA without a subject key identifier (RFC 5280 4.2.1.2)",
    (c) => isCa(c) && c.subjectKeyIdentifier === undefined,
  ],
  [
    "may sign certificates and is no CA (RFC 5280 4.2.1.3)",
    (c) => !isCa(c) && (c.keyUsage?.includes("keyCertSign") ?? false),
  ],
  [
    "is a CA whose basic constraints are not critical (RFC 5280 4.2.1.9)",
    (c) => isCa(c) && isCritical(c, OID.basicConstraints) === false,
  ],
  [
    "limits path lengths and may not sign certificates (RFC 5280 4.2.1.9)",
    (c) =>
      c.basicConstraints?.pathLength !== undefined && c.keyUsage?.includes("keyCertSign") === false,
  ],
  [
    "has name constraints and is no CA (RFC 5280 4.2.1.10)",
    (c) => !isCa(c) && c.nameConstraints !== undefined,
  ],
  [
    "has policy constraints that are not critical (RFC 5280 4.2.1.11)",
    (c) => isCritical(c, OID.policyConstraints) === false,
  ],
  [
    "inhibits anyPolicy, not critically (RFC 5280 4.2.1.14)",
    (c) => isCritical(c, OID.inhibitAnyPolicy) === false,
  ],
  [
    "has critical authority information (RFC 5280 4.2.2.1)",
    (c) => isCritical(c, OID.authorityInformationAccess) === true,
  ],
  [
    "has critical subject information (RFC 5280 4.2.2.2)",
    (c) => isCritical(c, OID.subjectInformationAccess) === true,
  ],
  [
    "has a DNS name with an underscore (RFC 5280 4.2.1.6)",
    (c) => c.subjectAltNames.dns.some((name) => name.includes("_")),
  ],
];

const rfc5280Only: readonly Rule[] = [
  [
    "has name constraints that are not critical (RFC 5280 4.2.1.10)",
    (c) => isCritical(c, OID.nameConstraints) === false,
  ],
];

const publicWebOnly: readonly Rule[] = [
  [
    "is an anchor whose authority key identifier is not its own key identifier alone (BR 7.1.2.1.3)",
    (c, position) =>
      position === "anchor" &&
      c.selfIssued &&
      c.authorityKey !== undefined &&
      (c.authorityKey.issuer !== undefined || !isSelfSigned(c) || !c.authorityKeyIdentifier),
  ],
  [
    "is an anchor with extended key usages (BR 7.1.2.1.2)",
    (c, position) => position === "anchor" && c.extendedKeyUsage !== undefined,
  ],
  [
    "is a CA where a leaf is expected (BR 7.1.2.7.8)",
    (c, position) => position === "leaf" && isCa(c),
  ],
  [
    "has no extended key usage that stands by itself (BR 7.1.2.7.10)",
    (c, position) =>
      position === "leaf" &&
      (c.extendedKeyUsage === undefined ||
        c.extendedKeyUsage.includes("any") ||
        isCritical(c, OID.extendedKeyUsage) === true),
  ],
  [
    "has a common name that is none of its alternative names (BR 7.1.4.3)",
    (c, position) => position === "leaf" && hasStrayCommonName(c),
  ],
  [
    "has critical alternative names beside a subject name (BR 7.1.2.7.12)",
    (c, position) =>
      position === "leaf" &&
      c.subject.attributes.length > 0 &&
      isCritical(c, OID.subjectAltName) === true,
  ],
  ["has a key that is not allowed on the public web (BR 6.1.5)", hasUnfitKey],
];
