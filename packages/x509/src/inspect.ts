import type { Certificate } from "./certificate.ts";
import { isKnownExtension, type KeyUsage } from "./extensions.ts";
import type { GeneralName } from "./general-name.ts";
import { hex, type Fingerprint, type SerialNumber } from "./identifiers.ts";
import { spiffeIdOf } from "./identity.ts";
import { formatIp } from "./ip-address.ts";
import { lint, type LintFinding } from "./lint.ts";
import type { NameSubtree } from "./name-constraints-extension.ts";
import type { PublicKeyInfo } from "./public-key.ts";
import { signatureAlgorithmName } from "./signature.ts";

/** What is in a certificate, as plain data (it survives `JSON.stringify`). */
export interface CertificateDescription {
  /** RFC 4514 text. */
  readonly subject: string;
  readonly issuer: string;
  readonly serialNumber: SerialNumber;
  readonly fingerprint: Fingerprint;
  /** RFC 3339. */
  readonly notBefore: string;
  readonly notAfter: string;
  readonly selfIssued: boolean;
  /** For instance `ECDSA P-256` or `RSA 2048 bits`. */
  readonly publicKey: string;
  /** For instance `ECDSA-SHA256`. */
  readonly signatureAlgorithm: string;
  readonly names: {
    readonly dns: readonly string[];
    readonly ip: readonly string[];
    readonly uri: readonly string[];
    readonly email: readonly string[];
    readonly directory: readonly string[];
    /** Kinds without a list of their own, by kind. */
    readonly other: readonly string[];
  };
  /** The one URI name, where it is a valid SPIFFE id. */
  readonly spiffeId?: string;
  readonly ca: boolean;
  readonly pathLength?: number;
  readonly keyUsage: readonly KeyUsage[];
  readonly extendedKeyUsage: readonly string[];
  readonly subjectKeyIdentifier?: string;
  readonly authorityKeyIdentifier?: string;
  readonly nameConstraints?: {
    readonly permitted: readonly string[];
    readonly excluded: readonly string[];
  };
  readonly policies: readonly string[];
  readonly crlUrls: readonly string[];
  readonly ocspUrls: readonly string[];
  readonly issuerUrls: readonly string[];
  readonly noRevocationAvailable: boolean;
  /** Extensions this package does not know: dotted OIDs. */
  readonly unknownExtensions: readonly { readonly oid: string; readonly critical: boolean }[];
  /** What a reader should know that no single field says. */
  readonly remarks: readonly string[];
  readonly findings: readonly LintFinding[];
}

/** Describes a certificate as plain data; how it is printed is the caller's affair. */
export function inspect(certificate: Certificate): CertificateDescription {
  const { basicConstraints, known, nameConstraints, subjectAltNames } = certificate;
  const { authorityKeyIdentifier, subjectKeyIdentifier } = certificate;
  const spiffeId = spiffeIdOf(certificate)?.uri;
  return {
    subject: certificate.subject.text,
    issuer: certificate.issuer.text,
    serialNumber: certificate.serialNumber,
    fingerprint: certificate.fingerprint,
    notBefore: rfc3339(certificate.notBefore),
    notAfter: rfc3339(certificate.notAfter),
    selfIssued: certificate.selfIssued,
    publicKey: describeKey(certificate.publicKeyInfo),
    signatureAlgorithm: signatureAlgorithmName(certificate.signatureAlgorithm),
    names: {
      dns: subjectAltNames.dns,
      ip: subjectAltNames.ip,
      uri: subjectAltNames.uri,
      email: subjectAltNames.email,
      directory: subjectAltNames.directory.map(({ text }) => text),
      other: subjectAltNames.all.flatMap(describeOther),
    },
    ...(spiffeId !== undefined && { spiffeId }),
    ca: basicConstraints?.ca ?? false,
    ...(basicConstraints?.pathLength !== undefined && { pathLength: basicConstraints.pathLength }),
    keyUsage: certificate.keyUsage ?? [],
    extendedKeyUsage: certificate.extendedKeyUsage ?? [],
    ...(subjectKeyIdentifier && { subjectKeyIdentifier: hex(subjectKeyIdentifier) }),
    ...(authorityKeyIdentifier && { authorityKeyIdentifier: hex(authorityKeyIdentifier) }),
    ...(nameConstraints && {
      nameConstraints: {
        permitted: nameConstraints.permitted.map(describeSubtree),
        excluded: nameConstraints.excluded.map(describeSubtree),
      },
    }),
    policies: known.policies ?? [],
    crlUrls: (known.crlDistributionPoints ?? []).flatMap(({ urls }) => urls),
    ocspUrls: accessUrls(certificate, "ocsp"),
    issuerUrls: accessUrls(certificate, "caIssuers"),
    noRevocationAvailable: known.noRevocationAvailable ?? false,
    unknownExtensions: certificate.extensions
      .filter(({ oid }) => !isKnownExtension(oid))
      .map(({ oid, critical }) => ({ oid, critical })),
    remarks: remarksOn(certificate),
    findings: lint(certificate),
  };
}

function remarksOn(certificate: Certificate): string[] {
  const { basicConstraints, nameConstraints } = certificate;
  if (basicConstraints?.ca !== true) return [];
  const remarks: string[] = [];
  const hosts = (nameConstraints?.permitted ?? []).flatMap((subtree) =>
    subtree.type === "uri" ? [subtree.value] : [],
  );
  const trustDomain = spiffeIdOf(certificate)?.uri;
  if (hosts.length > 0) {
    // S46: a URI constraint binds the host and never the path.
    remarks.push(
      `this CA can name any path of ${hosts.map((host) => `spiffe://${host}`).join(", ")}`,
    );
  } else if (trustDomain !== undefined) {
    remarks.push(
      `this CA speaks for ${trustDomain}, and no name constraint binds it to that domain`,
    );
  }
  return remarks;
}

function accessUrls({ known }: Certificate, wanted: "ocsp" | "caIssuers"): string[] {
  return (known.authorityInformation ?? []).flatMap(({ method, location }) =>
    method === wanted && location.type === "uri" ? [location.value] : [],
  );
}

function describeOther(name: GeneralName): string[] {
  switch (name.type) {
    case "other":
      return [`otherName ${name.oid}`];
    case "registeredId":
      return [`registeredID ${name.value}`];
    case "x400":
      return ["x400Address"];
    case "ediParty":
      return ["ediPartyName"];
    default:
      return [];
  }
}

function describeSubtree(subtree: NameSubtree): string {
  switch (subtree.type) {
    case "dns":
    case "email":
    case "uri":
      return `${subtree.type}:${subtree.value === "" ? "(all)" : subtree.value}`;
    case "directory":
      return `directory:${subtree.value.text}`;
    case "ip":
      return `ip:${formatIp(subtree.address)}/${prefixLength(subtree.mask)}`;
    case "other":
      return `other:0x${subtree.tag.toString(16)}`;
  }
}

function prefixLength(mask: Uint8Array): number {
  return Array.from(mask, (octet) => octet.toString(2))
    .join("")
    .replaceAll("0", "").length;
}

function describeKey({ algorithm, kind, modulusBits }: PublicKeyInfo): string {
  if (kind === "unknown") return algorithm;
  return modulusBits === undefined ? keyNames[kind] : `${keyNames[kind]} ${modulusBits} bits`;
}

function rfc3339(date: Date): string {
  return date.toISOString().replace(".000Z", "Z");
}

const keyNames = {
  "ecdsa-p256": "ECDSA P-256",
  "ecdsa-p384": "ECDSA P-384",
  "ecdsa-p521": "ECDSA P-521",
  ed25519: "Ed25519",
  ed448: "Ed448",
  rsa: "RSA",
  "rsa-pss": "RSA-PSS",
  "ml-dsa-44": "ML-DSA-44",
  "ml-dsa-65": "ML-DSA-65",
  "ml-dsa-87": "ML-DSA-87",
} as const;
