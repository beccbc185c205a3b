import { X509Certificate, type KeyObject } from "node:crypto";
import { bytesEqual, DerReader, malformed, TAG } from "./der.ts";
import { malformedAs, X509Error } from "./errors.ts";
import {
  interpretExtensions,
  readExtensions,
  type AuthorityKeyIdentifier,
  type BasicConstraints,
  type CertificateExtensions,
  type Extension,
  type KeyUsage,
} from "./extensions.ts";
import type { SubjectAltNames } from "./general-name.ts";
import {
  fingerprintOf,
  serialNumberOf,
  type Fingerprint,
  type SerialNumber,
} from "./identifiers.ts";
import type { NameConstraints } from "./name-constraints-extension.ts";
import { readName, type Name } from "./name.ts";
import { decodePem, encodePem } from "./pem.ts";
import { readPublicKeyInfo, type PublicKeyInfo } from "./public-key.ts";
import type { Signed } from "./signature.ts";

declare const certificateBrand: unique symbol;

/** A parsed certificate: readonly, read once, its getters cheap. Only the parser makes one. */
export interface Certificate extends Signed {
  readonly [certificateBrand]: true;
  readonly der: Uint8Array;
  readonly fingerprint: Fingerprint;
  readonly serialNumber: SerialNumber;
  readonly subject: Name;
  readonly issuer: Name;
  readonly notBefore: Date;
  /** The certificate is valid up to and including this second. */
  readonly notAfter: Date;
  readonly publicKeyInfo: PublicKeyInfo;
  /** DER of the public key. */
  readonly subjectPublicKeyInfo: Uint8Array;
  /**
   * The public key for `node:crypto`, made when first asked for.
   * @throws X509Error ALGORITHM_UNSUPPORTED
   */
  readonly publicKey: KeyObject;
  readonly subjectAltNames: SubjectAltNames;
  readonly basicConstraints: BasicConstraints | undefined;
  readonly keyUsage: readonly KeyUsage[] | undefined;
  /** `serverAuth`, `clientAuth`, `ocspSigning`, … where known, else dotted OIDs. */
  readonly extendedKeyUsage: readonly string[] | undefined;
  readonly subjectKeyIdentifier: Uint8Array | undefined;
  /** The key identifier of the authority key identifier extension. */
  readonly authorityKeyIdentifier: Uint8Array | undefined;
  /** The whole authority key identifier extension. */
  readonly authorityKey: AuthorityKeyIdentifier | undefined;
  readonly nameConstraints: NameConstraints | undefined;
  /** All extensions as encoded, in order. */
  readonly extensions: readonly Extension[];
  /** The meaning of all extensions this package knows. */
  readonly known: CertificateExtensions;
  /** Whether subject and issuer are the same bytes (RFC 5280 3.2). */
  readonly selfIssued: boolean;
}

/**
 * Reads one DER certificate strictly: X.690 DER and RFC 5280, version 3 only, the rules of S30 for
 * names and S44 for keys. OpenSSL sees only what this reader accepted, and must accept it too and
 * read the same serial number and CA flag. The bytes are copied.
 * @throws X509Error CERTIFICATE_MALFORMED
 */
export function parseCertificate(der: Uint8Array): Certificate {
  const certificate = new LazyCertificate(new Uint8Array(der));
  certificate.read();
  let theirs: X509Certificate;
  try {
    theirs = new X509Certificate(certificate.der);
  } catch (error) {
    throw new X509Error("CERTIFICATE_MALFORMED", "certificate is refused by OpenSSL", {
      cause: error,
    });
  }
  return agreed(certificate, theirs);
}

/**
 * Reads a certificate that OpenSSL has read already, as a TLS socket gives it. As strict as
 * {@link parseCertificate}, and OpenSSL need not read the bytes a second time.
 * @throws X509Error CERTIFICATE_MALFORMED
 */
export function parseCertificateBeside(theirs: X509Certificate): Certificate {
  const certificate = new LazyCertificate(new Uint8Array(theirs.raw));
  certificate.read();
  return agreed(certificate, theirs);
}

/** Two readers of the same bytes must not come to two meanings. */
function agreed(certificate: LazyCertificate, theirs: X509Certificate): Certificate {
  if (
    theirs.serialNumber.toLowerCase() !== certificate.serialNumber ||
    theirs.ca !== mayIssue(certificate)
  ) {
    throw new X509Error("CERTIFICATE_MALFORMED", "certificate is read differently by OpenSSL");
  }
  return certificate;
}

/** A certificate this process has just made, read when it is first asked for its contents. */
export function ownCertificate(der: Uint8Array): Certificate {
  return new LazyCertificate(der);
}

/**
 * Reads a PEM bundle. It is refused whole if a block is broken, is not a certificate, or if there is
 * none (S22).
 * @throws X509Error PEM_MALFORMED, BUNDLE_HAS_PRIVATE_KEY, BUNDLE_EMPTY, CERTIFICATE_MALFORMED
 */
export function parseCertificatesPem(pem: string | Uint8Array): Certificate[] {
  const blocks = decodePem(pem);
  if (blocks.some(({ label }) => label.endsWith("PRIVATE KEY"))) {
    throw new X509Error("BUNDLE_HAS_PRIVATE_KEY", "certificate bundle holds a private key");
  }
  const other = blocks.find(({ label }) => label !== LABEL);
  if (other) {
    throw new X509Error("PEM_MALFORMED", `certificate bundle holds a ${other.label} block`, {
      hint: "a bundle holds CERTIFICATE blocks only",
    });
  }
  if (blocks.length === 0) {
    throw new X509Error("BUNDLE_EMPTY", "certificate bundle holds no certificate");
  }
  return blocks.map(({ der }) => parseCertificate(der));
}

/**
 * Reads DER certificates that follow one another, as SPIFFE writes chains and bundles. They are refused
 * whole if one is broken or if there is none (S22).
 * @throws X509Error CERTIFICATE_MALFORMED, BUNDLE_EMPTY
 */
export function parseCertificatesDer(der: Uint8Array): Certificate[] {
  const reader = new DerReader(der);
  const certificates: Certificate[] = [];
  while (!reader.done) {
    const one = malformedAs("CERTIFICATE_MALFORMED", "certificate", () =>
      reader.whole(TAG.sequence, "certificate"),
    );
    certificates.push(parseCertificate(one));
  }
  if (certificates.length === 0) {
    throw new X509Error("BUNDLE_EMPTY", "certificate bundle holds no certificate");
  }
  return certificates;
}

/** Writes certificates as CERTIFICATE blocks, in the order given. */
export function certificatesToPem(certificates: readonly Certificate[]): string {
  return certificates.map(({ der }) => encodePem(LABEL, der)).join("");
}

interface CertificateParts extends Signed {
  readonly serialNumber: SerialNumber;
  readonly issuer: Name;
  readonly subject: Name;
  readonly notBefore: Date;
  readonly notAfter: Date;
  readonly publicKeyInfo: PublicKeyInfo;
  readonly extensions: readonly Extension[];
  readonly known: CertificateExtensions;
  readonly selfIssued: boolean;
}

class LazyCertificate implements Certificate {
  declare readonly [certificateBrand]: true;
  readonly der: Uint8Array;
  #parts: CertificateParts | undefined;
  #fingerprint: Fingerprint | undefined;

  constructor(der: Uint8Array) {
    this.der = der;
  }

  read(): CertificateParts {
    this.#parts ??= malformedAs("CERTIFICATE_MALFORMED", "certificate", () => readParts(this.der));
    return this.#parts;
  }

  get fingerprint(): Fingerprint {
    this.#fingerprint ??= fingerprintOf(this.der);
    return this.#fingerprint;
  }

  get signedBytes(): Uint8Array {
    return this.read().signedBytes;
  }

  get signatureAlgorithm(): Uint8Array {
    return this.read().signatureAlgorithm;
  }

  get signature(): Uint8Array {
    return this.read().signature;
  }

  get serialNumber(): SerialNumber {
    return this.read().serialNumber;
  }

  get issuer(): Name {
    return this.read().issuer;
  }

  get subject(): Name {
    return this.read().subject;
  }

  get notBefore(): Date {
    return this.read().notBefore;
  }

  get notAfter(): Date {
    return this.read().notAfter;
  }

  get publicKeyInfo(): PublicKeyInfo {
    return this.read().publicKeyInfo;
  }

  get extensions(): readonly Extension[] {
    return this.read().extensions;
  }

  get known(): CertificateExtensions {
    return this.read().known;
  }

  get selfIssued(): boolean {
    return this.read().selfIssued;
  }

  get subjectPublicKeyInfo(): Uint8Array {
    return this.read().publicKeyInfo.der;
  }

  get publicKey(): KeyObject {
    return this.read().publicKeyInfo.keyObject;
  }

  get subjectAltNames(): SubjectAltNames {
    return this.read().known.subjectAltNames;
  }

  get basicConstraints(): BasicConstraints | undefined {
    return this.read().known.basicConstraints;
  }

  get keyUsage(): readonly KeyUsage[] | undefined {
    return this.read().known.keyUsage;
  }

  get extendedKeyUsage(): readonly string[] | undefined {
    return this.read().known.extendedKeyUsage;
  }

  get subjectKeyIdentifier(): Uint8Array | undefined {
    return this.read().known.subjectKeyIdentifier;
  }

  get authorityKeyIdentifier(): Uint8Array | undefined {
    return this.read().known.authorityKey?.keyIdentifier;
  }

  get authorityKey(): AuthorityKeyIdentifier | undefined {
    return this.read().known.authorityKey;
  }

  get nameConstraints(): NameConstraints | undefined {
    return this.read().known.nameConstraints;
  }
}

/** RFC 5280 4.1. */
function readParts(der: Uint8Array): CertificateParts {
  const file = new DerReader(der);
  const outer = file.sequence("file");
  file.finish("file");
  const tbsStart = outer.offset;
  const tbs = outer.sequence("tbsCertificate");
  const signedBytes = der.subarray(tbsStart, outer.offset);
  const signatureAlgorithm = outer.whole(TAG.sequence, "signatureAlgorithm");
  const signature = outer.bitString("signature");
  outer.finish("file");
  checkAlgorithm(signatureAlgorithm);

  const version = tbs.context(0, "version");
  if (version?.smallInteger("version") !== 2) throw malformed("version", "is not 3");
  version.finish("version");
  const serialNumber = readSerialNumber(tbs);
  if (!bytesEqual(tbs.whole(TAG.sequence, "signature algorithm"), signatureAlgorithm)) {
    throw malformed("signature algorithm", "differs inside and outside of the signed part");
  }
  const issuer = readName(tbs, "issuer");
  const validity = tbs.sequence("validity");
  const notBefore = new Date(validity.time("notBefore"));
  const notAfter = new Date(validity.time("notAfter"));
  validity.finish("validity");
  const subject = readName(tbs, "subject");
  const publicKeyInfo = readPublicKeyInfo(tbs, "public key");
  tbs.optional(0x81, "issuerUniqueID");
  tbs.optional(0x82, "subjectUniqueID");
  const list = tbs.context(3, "extensions");
  const extensions = list ? readExtensions(list, "extensions") : [];
  list?.finish("extensions");
  tbs.finish("tbsCertificate");
  return {
    signedBytes,
    signatureAlgorithm,
    signature,
    serialNumber,
    issuer,
    subject,
    notBefore,
    notAfter,
    publicKeyInfo,
    extensions,
    known: interpretExtensions(extensions),
    selfIssued: bytesEqual(subject.der, issuer.der),
  };
}

/** An AlgorithmIdentifier is an OID and at most one value after it. */
function checkAlgorithm(encoded: Uint8Array): void {
  const identifier = new DerReader(encoded).sequence("signatureAlgorithm");
  identifier.oid("signatureAlgorithm");
  if (!identifier.done) identifier.any("signatureAlgorithm");
  identifier.finish("signatureAlgorithm");
}

/** What OpenSSL calls a CA: the flag, and no key usage that forbids signing certificates. */
function mayIssue({ basicConstraints, keyUsage }: Certificate): boolean {
  return basicConstraints?.ca === true && (keyUsage?.includes("keyCertSign") ?? true);
}

/** RFC 5280 4.1.2.2: positive, at most 20 octets. */
function readSerialNumber(tbs: DerReader): SerialNumber {
  const content = tbs.integer("serial number");
  const [first] = content;
  if (content.length > 20)
    throw malformed("serial number", `has ${content.length} octets, at most 20 are allowed`);
  if ((first as number) & 0x80 || (content.length === 1 && first === 0)) {
    throw malformed("serial number", "is not positive");
  }
  return serialNumberOf(content);
}

const LABEL = "CERTIFICATE";
