import {
  context,
  contextPrimitive,
  DerReader,
  integer,
  malformed,
  namedBits,
  octetString,
  octetStringOf,
  oid,
  sequence,
  TAG,
  TRUE,
  type DerValue,
} from "./der.ts";
import {
  encodeGeneralName,
  groupNames,
  readGeneralNames,
  type GeneralName,
  type SubjectAltNames,
} from "./general-name.ts";
import { readNameConstraints, type NameConstraints } from "./name-constraints-extension.ts";
import { OID } from "./oid.ts";
import {
  readInhibitAnyPolicy,
  readPolicies,
  readPolicyConstraints,
  readPolicyMappings,
  type PolicyConstraints,
  type PolicyMapping,
} from "./policy-extensions.ts";

/** One extension as it was encoded; `value` is the content of its OCTET STRING. */
export interface Extension {
  readonly oid: string;
  readonly critical: boolean;
  readonly value: Uint8Array;
}

/** The key usages of RFC 5280 4.2.1.3, in bit order. */
export type KeyUsage = (typeof keyUsages)[number];

/** RFC 5280 4.2.1.1. */
export interface AuthorityKeyIdentifier {
  readonly keyIdentifier?: Uint8Array;
  readonly issuer?: readonly GeneralName[];
  readonly serialNumber?: Uint8Array;
}

/** RFC 5280 4.2.1.9. */
export interface BasicConstraints {
  readonly ca: boolean;
  readonly pathLength?: number;
}

/** RFC 5280 4.2.2.1: a method (`ocsp`, `caIssuers`, else a dotted OID) and where. */
export interface AccessDescription {
  readonly method: string;
  readonly location: GeneralName;
}

/** RFC 5280 4.2.1.13, without reasons and CRL issuers, which nothing here follows. */
export interface DistributionPoint {
  readonly urls: readonly string[];
  /** Whether the point is limited to some reasons or to a CRL of another issuer. */
  readonly partial: boolean;
}

/** The extensions of a certificate that this package understands, each read strictly. */
export interface CertificateExtensions {
  readonly subjectAltNames: SubjectAltNames;
  readonly basicConstraints?: BasicConstraints;
  readonly keyUsage?: readonly KeyUsage[];
  /** `serverAuth`, `clientAuth`, `ocspSigning`, … where known, else dotted OIDs. */
  readonly extendedKeyUsage?: readonly string[];
  readonly subjectKeyIdentifier?: Uint8Array;
  readonly authorityKey?: AuthorityKeyIdentifier;
  readonly nameConstraints?: NameConstraints;
  /** Dotted OIDs. */
  readonly policies?: readonly string[];
  readonly policyMappings?: readonly PolicyMapping[];
  readonly policyConstraints?: PolicyConstraints;
  readonly inhibitAnyPolicy?: number;
  readonly authorityInformation?: readonly AccessDescription[];
  readonly crlDistributionPoints?: readonly DistributionPoint[];
  readonly noRevocationAvailable?: true;
  readonly ocspNoCheck?: true;
}

/**
 * Reads `Extensions`: not empty, no duplicates, `critical` never encoded as its default.
 * @throws X509Error DER_MALFORMED
 */
export function readExtensions(reader: DerReader, what: string): Extension[] {
  const list = reader.sequence(what);
  const extensions: Extension[] = [];
  const seen = new Set<string>();
  if (list.done) throw malformed(what, "are present and empty");
  while (!list.done) {
    const extension = list.sequence(what);
    const id = extension.oid(what);
    if (seen.has(id)) throw malformed(what, `have ${id} twice`);
    seen.add(id);
    const critical = extension.defaultFalse("extension critical");
    const value = extension.octetString(what);
    extension.finish(what);
    extensions.push({ oid: id, critical, value });
  }
  return extensions;
}

/**
 * Reads the content of every extension this package knows.
 * @throws X509Error DER_MALFORMED
 */
export function interpretExtensions(extensions: readonly Extension[]): CertificateExtensions {
  const result: Writable<CertificateExtensions> = { subjectAltNames: NO_NAMES };
  for (const extension of extensions) {
    const interpret = interpreters.get(extension.oid);
    if (!interpret) continue;
    const reader = new DerReader(extension.value);
    interpret(reader, result);
    reader.finish("extension");
  }
  return result;
}

/** Whether this package knows what the extension means. */
export function isKnownExtension(dotted: string): boolean {
  return interpreters.has(dotted);
}

/** An extension ready to be written. */
export function extension(encodedOid: Uint8Array, critical: boolean, value: DerValue): DerValue {
  return sequence(
    critical ? [encodedOid, TRUE, octetStringOf(value)] : [encodedOid, octetStringOf(value)],
  );
}

export function basicConstraintsExtension(constraints: BasicConstraints): DerValue {
  const parts: DerValue[] = [];
  if (constraints.ca) parts.push(TRUE);
  if (constraints.pathLength !== undefined) parts.push(integer(constraints.pathLength));
  return extension(ENCODED.basicConstraints, true, sequence(parts));
}

export function keyUsageExtension(usages: readonly KeyUsage[]): DerValue {
  return extension(
    ENCODED.keyUsage,
    true,
    namedBits(usages.map((usage) => keyUsages.indexOf(usage))),
  );
}

export function extendedKeyUsageExtension(usages: readonly string[]): DerValue {
  const values = usages.map((usage) => oid(extendedKeyUsageOids.get(usage) ?? usage));
  return extension(ENCODED.extendedKeyUsage, false, sequence(values));
}

export function subjectKeyIdentifierExtension(identifier: Uint8Array): DerValue {
  return extension(ENCODED.subjectKeyIdentifier, false, octetString(identifier));
}

export function authorityKeyIdentifierExtension(identifier: Uint8Array): DerValue {
  return extension(
    ENCODED.authorityKeyIdentifier,
    false,
    sequence([contextPrimitive(0, identifier)]),
  );
}

export function subjectAltNameExtension(names: readonly DerValue[], critical: boolean): DerValue {
  return extension(ENCODED.subjectAltName, critical, sequence(names));
}

export function crlDistributionPointsExtension(urls: readonly string[]): DerValue {
  const points = urls.map((value) =>
    sequence([context(0, [context(0, [encodeGeneralName({ type: "uri", value })])])]),
  );
  return extension(ENCODED.crlDistributionPoints, false, sequence(points));
}

export function authorityInformationExtension(
  ocspUrls: readonly string[],
  issuerUrls: readonly string[],
): DerValue {
  const describe = (method: Uint8Array, value: string): DerValue =>
    sequence([method, encodeGeneralName({ type: "uri", value })]);
  return extension(
    ENCODED.authorityInformationAccess,
    false,
    sequence([
      ...ocspUrls.map((url) => describe(ENCODED.accessOcsp, url)),
      ...issuerUrls.map((url) => describe(ENCODED.accessCaIssuers, url)),
    ]),
  );
}

export function certificatePoliciesExtension(policies: readonly string[]): DerValue {
  return extension(
    ENCODED.certificatePolicies,
    false,
    sequence(policies.map((policy) => sequence([oid(policy)]))),
  );
}

/** RFC 9608: the value is NULL. */
export function noRevocationAvailableExtension(): DerValue {
  return extension(ENCODED.noRevocationAvailable, false, Uint8Array.of(TAG.null, 0));
}

/** RFC 8737 3: critical, so that nobody takes the certificate for an ordinary one. */
export function acmeIdentifierExtension(digest: Uint8Array): DerValue {
  return extension(ENCODED.acmeIdentifier, true, octetString(digest));
}

/** RFC 6960 4.2.2.2.1: the value is NULL. */
export function ocspNoCheckExtension(): DerValue {
  return extension(ENCODED.ocspNoCheck, false, Uint8Array.of(TAG.null, 0));
}

/** The value of an authorityKeyIdentifier extension. */
export function readAuthorityKeyIdentifier(reader: DerReader): AuthorityKeyIdentifier {
  const what = "authorityKeyIdentifier";
  const inner = reader.sequence(what);
  const keyIdentifier = inner.optional(0x80, what);
  const issuer = inner.context(1, what);
  const serialNumber = inner.peek() === 0x82 ? inner.integer(what, 0x82) : undefined;
  inner.finish(what);
  if ((issuer === undefined) !== (serialNumber === undefined)) {
    throw malformed(what, "has an issuer without a serial number, or the other way round");
  }
  return {
    ...(keyIdentifier && { keyIdentifier: inner.content(keyIdentifier) }),
    ...(issuer && { issuer: readGeneralNames(issuer, what) }),
    ...(serialNumber && { serialNumber }),
  };
}

type Writable<T> = { -readonly [K in keyof T]: T[K] };
type Interpreter = (reader: DerReader, into: Writable<CertificateExtensions>) => void;

function readBasicConstraints(reader: DerReader): BasicConstraints {
  const what = "basicConstraints";
  const inner = reader.sequence(what);
  const ca = inner.defaultFalse(what);
  const pathLength = inner.done ? undefined : inner.smallInteger(what);
  inner.finish(what);
  if (!ca && pathLength !== undefined) throw malformed(what, "has a path length without cA");
  return pathLength === undefined ? { ca } : { ca, pathLength };
}

function readKeyUsage(reader: DerReader): KeyUsage[] {
  const bits = reader.namedBits("keyUsage");
  if (bits.length === 0) throw malformed("keyUsage", "names no usage");
  return bits.map((bit) => {
    const usage = keyUsages[bit];
    if (usage === undefined) throw malformed("keyUsage", `has the unknown bit ${bit}`);
    return usage;
  });
}

function readExtendedKeyUsage(reader: DerReader): string[] {
  const inner = reader.sequence("extendedKeyUsage");
  const usages: string[] = [];
  while (!inner.done) {
    const dotted = inner.oid("extendedKeyUsage");
    usages.push(extendedKeyUsageNames.get(dotted) ?? dotted);
  }
  if (usages.length === 0) throw malformed("extendedKeyUsage", "names no usage");
  return usages;
}

function readAccessDescriptions(reader: DerReader): AccessDescription[] {
  const what = "authorityInfoAccess";
  const inner = reader.sequence(what);
  const descriptions: AccessDescription[] = [];
  while (!inner.done) {
    const description = inner.sequence(what);
    const method = description.oid(what);
    const [location, ...more] = readGeneralNames(description, what);
    if (!location || more.length > 0)
      throw malformed(what, "has a description without one location");
    descriptions.push({ method: accessMethods.get(method) ?? method, location });
  }
  if (descriptions.length === 0) throw malformed(what, "is empty");
  return descriptions;
}

function readDistributionPoints(reader: DerReader): DistributionPoint[] {
  const what = "cRLDistributionPoints";
  const inner = reader.sequence(what);
  const points: DistributionPoint[] = [];
  while (!inner.done) {
    const point = inner.sequence(what);
    const name = point.context(0, what);
    const urls: string[] = [];
    let partial = false;
    if (name) {
      const fullName = name.context(0, what);
      if (fullName) {
        for (const entry of readGeneralNames(fullName, what)) {
          if (entry.type === "uri") urls.push(entry.value);
        }
      } else {
        name.element(0xa1, what);
        partial = true;
      }
      name.finish(what);
    }
    const reasons = point.peek() === 0x81 ? point.namedBits(what, 0x81) : undefined;
    const issuer = point.context(2, what);
    if (issuer) readGeneralNames(issuer, what);
    point.finish(what);
    if (!name && !issuer) throw malformed(what, "has a point without name and issuer");
    points.push({ urls, partial: partial || reasons !== undefined || issuer !== undefined });
  }
  if (points.length === 0) throw malformed(what, "is empty");
  return points;
}

const NO_NAMES: SubjectAltNames = groupNames([]);

/** RFC 5280 4.2.1.3, in bit order. */
export const keyUsages = [
  "digitalSignature",
  "nonRepudiation",
  "keyEncipherment",
  "dataEncipherment",
  "keyAgreement",
  "keyCertSign",
  "cRLSign",
  "encipherOnly",
  "decipherOnly",
] as const;

const extendedKeyUsageOids: ReadonlyMap<string, string> = new Map([
  ["serverAuth", OID.serverAuth],
  ["clientAuth", OID.clientAuth],
  ["codeSigning", OID.codeSigning],
  ["emailProtection", OID.emailProtection],
  ["timeStamping", OID.timeStamping],
  ["ocspSigning", OID.ocspSigning],
  ["any", OID.anyExtendedKeyUsage],
]);
const extendedKeyUsageNames: ReadonlyMap<string, string> = new Map(
  [...extendedKeyUsageOids].map(([name, dotted]) => [dotted, name]),
);
const accessMethods: ReadonlyMap<string, string> = new Map([
  [OID.accessOcsp, "ocsp"],
  [OID.accessCaIssuers, "caIssuers"],
]);

const ENCODED = {
  basicConstraints: oid(OID.basicConstraints),
  keyUsage: oid(OID.keyUsage),
  extendedKeyUsage: oid(OID.extendedKeyUsage),
  subjectKeyIdentifier: oid(OID.subjectKeyIdentifier),
  authorityKeyIdentifier: oid(OID.authorityKeyIdentifier),
  subjectAltName: oid(OID.subjectAltName),
  crlDistributionPoints: oid(OID.crlDistributionPoints),
  authorityInformationAccess: oid(OID.authorityInformationAccess),
  certificatePolicies: oid(OID.certificatePolicies),
  noRevocationAvailable: oid(OID.noRevocationAvailable),
  acmeIdentifier: oid(OID.acmeIdentifier),
  ocspNoCheck: oid(OID.ocspNoCheck),
  accessOcsp: oid(OID.accessOcsp),
  accessCaIssuers: oid(OID.accessCaIssuers),
} as const;

const interpreters: ReadonlyMap<string, Interpreter> = new Map<string, Interpreter>([
  [
    OID.subjectAltName,
    (reader, into) => {
      const what = "subjectAltName";
      into.subjectAltNames = groupNames(readGeneralNames(reader.sequence(what), what));
    },
  ],
  [
    OID.issuerAltName,
    (reader) => void readGeneralNames(reader.sequence("issuerAltName"), "issuerAltName"),
  ],
  [OID.basicConstraints, (reader, into) => (into.basicConstraints = readBasicConstraints(reader))],
  [OID.keyUsage, (reader, into) => (into.keyUsage = readKeyUsage(reader))],
  [OID.extendedKeyUsage, (reader, into) => (into.extendedKeyUsage = readExtendedKeyUsage(reader))],
  [
    OID.subjectKeyIdentifier,
    (reader, into) => (into.subjectKeyIdentifier = reader.octetString("subjectKeyIdentifier")),
  ],
  [
    OID.authorityKeyIdentifier,
    (reader, into) => (into.authorityKey = readAuthorityKeyIdentifier(reader)),
  ],
  [OID.nameConstraints, (reader, into) => (into.nameConstraints = readNameConstraints(reader))],
  [OID.certificatePolicies, (reader, into) => (into.policies = readPolicies(reader))],
  [OID.policyMappings, (reader, into) => (into.policyMappings = readPolicyMappings(reader))],
  [
    OID.policyConstraints,
    (reader, into) => (into.policyConstraints = readPolicyConstraints(reader)),
  ],
  [OID.inhibitAnyPolicy, (reader, into) => (into.inhibitAnyPolicy = readInhibitAnyPolicy(reader))],
  [
    OID.authorityInformationAccess,
    (reader, into) => (into.authorityInformation = readAccessDescriptions(reader)),
  ],
  [OID.subjectInformationAccess, (reader) => void readAccessDescriptions(reader)],
  [
    OID.crlDistributionPoints,
    (reader, into) => (into.crlDistributionPoints = readDistributionPoints(reader)),
  ],
  [OID.freshestCrl, (reader) => void readDistributionPoints(reader)],
  [
    OID.noRevocationAvailable,
    (reader, into) => {
      reader.null("noRevAvail");
      into.noRevocationAvailable = true;
    },
  ],
  [
    OID.ocspNoCheck,
    (reader, into) => {
      reader.null("ocspNoCheck");
      into.ocspNoCheck = true;
    },
  ],
]);
