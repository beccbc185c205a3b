import { hash, randomBytes, type KeyObject } from "node:crypto";
import { ownCertificate, type Certificate } from "./certificate.ts";
import {
  bitString,
  context,
  encodeDer,
  integer,
  oid,
  sequence,
  time,
  type DerNode,
  type DerValue,
} from "./der.ts";
import { X509Error } from "./errors.ts";
import {
  acmeIdentifierExtension,
  authorityInformationExtension,
  authorityKeyIdentifierExtension,
  basicConstraintsExtension,
  certificatePoliciesExtension,
  crlDistributionPointsExtension,
  extendedKeyUsageExtension,
  extension,
  keyUsageExtension,
  noRevocationAvailableExtension,
  ocspNoCheckExtension,
  subjectAltNameExtension,
  subjectKeyIdentifierExtension,
} from "./extensions.ts";
import { encodeSubjectAltNames, type SubjectAltNameInput } from "./general-name.ts";
import { serialNumberBytes, type SerialNumber } from "./identifiers.ts";
import { exportPublicKey, p256PointOf, publicKeyMatches } from "./keys.ts";
import { encodeNameConstraints, type NameConstraintsInput } from "./name-constraints-extension.ts";
import type { Name } from "./name.ts";
import { OID } from "./oid.ts";
import { profiles, type Profile, type ProfileRules } from "./profile.ts";
import { parsePublicKeyInfo } from "./public-key.ts";
import { createSigner, type ExternalSigner, type Signer } from "./signature.ts";
import { parseSpiffeId } from "./spiffe-id.ts";

/** A CA certificate with its key, checked and prepared once for many certificates. */
export interface Issuer {
  readonly certificate: Certificate;
  readonly signer: Signer;
  /** The authority key identifier extension of everything issued, encoded. */
  readonly authorityKeyExtension: Uint8Array;
  /** The magnitude of a fresh random serial number. */
  readonly nextSerialNumber: () => Uint8Array;
}

/** What goes into a certificate. */
export interface CertificateRequestedContents {
  readonly profile: Profile;
  readonly subject: Name;
  readonly subjectAltNames?: SubjectAltNameInput;
  /** The subject's key: a key object, or its DER SubjectPublicKeyInfo (faster). */
  readonly publicKey: KeyObject | Uint8Array;
  /** 128 random bits if not given. */
  readonly serialNumber?: SerialNumber;
  readonly notBefore: Date;
  /** The last second in which the certificate is valid. */
  readonly notAfter: Date;
  /** How many CAs may follow; the profile's own if not given. CA profiles only. */
  readonly pathLength?: number | "unlimited";
  /** What the CA may name. CA profiles only. */
  readonly nameConstraints?: NameConstraintsInput;
  /** Dotted OIDs. */
  readonly policies?: readonly string[];
  readonly crlUrls?: readonly string[];
  readonly ocspUrls?: readonly string[];
  /** Where the issuer's certificate can be fetched. */
  readonly issuerUrls?: readonly string[];
  /** RFC 9608, for short-lived leaves; never beside `crlUrls` or `ocspUrls`. */
  readonly noRevocationAvailable?: boolean;
  /** 32 octets: makes it the answer to an ACME challenge over TLS (RFC 8737 3), and to nothing else. */
  readonly acmeIdentifier?: Uint8Array;
}

/** Contents and who signs: an issuer (prepared or not), or the subject's own key. */
export type IssueCertificateOptions = CertificateRequestedContents &
  (
    | {
        readonly issuer:
          | Issuer
          | { readonly certificate: Certificate; readonly privateKey: KeyObject };
      }
    | { readonly issuer: "self"; readonly privateKey: KeyObject }
  );

/**
 * Issues one certificate by its profile (RFC 5280; X509-SVID for `svid`).
 * @throws X509Error ISSUE_REFUSED if the contents do not fit the profile, NAME_INVALID,
 *   PUBLIC_KEY_MALFORMED, KEY_MISMATCH, ALGORITHM_UNSUPPORTED
 */
export function issueCertificate(options: IssueCertificateOptions): Certificate {
  const rules = profiles[options.profile];
  checkContents(options, rules);
  const key = subjectKey(options.publicKey);
  const { authorityKeyExtension, name, nextSerialNumber, signer } = signingSide(options, key);
  const tbs = encodeDer(
    sequence([
      VERSION_3,
      integer(options.serialNumber ? serialNumberBytes(options.serialNumber) : nextSerialNumber()),
      signer.signatureAlgorithm,
      name,
      sequence([time(options.notBefore), time(options.notAfter)]),
      options.subject.der,
      key.der,
      context(3, [
        sequence([
          ...firstExtensions(options, rules),
          subjectKeyIdentifierExtension(key.identifier),
          authorityKeyExtension,
          ...moreExtensions(options, rules),
        ]),
      ]),
    ]),
  );
  const signature = bitString(signer.sign(tbs));
  return ownCertificate(encodeDer(sequence([tbs, signer.signatureAlgorithm, signature])));
}

/**
 * Prepares a CA certificate and its key for issuing many certificates. The key is a private key, or a
 * signer whose key never leaves its token.
 * @throws X509Error KEY_MISMATCH if the key is not the certificate's, ISSUE_REFUSED if it is no CA
 */
export function createIssuer(certificate: Certificate, key: KeyObject | ExternalSigner): Issuer {
  if (certificate.basicConstraints?.ca !== true) {
    throw new X509Error(
      "ISSUE_REFUSED",
      `issuer ${certificate.subject.text} is not a CA certificate`,
    );
  }
  if (certificate.keyUsage && !certificate.keyUsage.includes("keyCertSign")) {
    throw new X509Error(
      "ISSUE_REFUSED",
      `issuer ${certificate.subject.text} may not sign certificates`,
    );
  }
  const external = "sign" in key;
  const matches = external
    ? certificate.publicKey.equals(key.publicKey)
    : publicKeyMatches(certificate, key);
  if (!matches) {
    throw new X509Error(
      "KEY_MISMATCH",
      `private key does not belong to ${certificate.subject.text}`,
    );
  }
  return {
    certificate,
    signer: external ? key : createSigner(key),
    authorityKeyExtension: encodeDer(
      authorityKeyIdentifierExtension(
        certificate.subjectKeyIdentifier ?? keyIdentifierOf(certificate.publicKeyInfo.bits),
      ),
    ),
    nextSerialNumber: createSerialNumbers(),
  };
}

/**
 * A validity that starts one minute before `now`, so that clocks may differ, and ends `seconds`
 * after it.
 */
export function validityFrom(now: Date, seconds: number): { notBefore: Date; notAfter: Date } {
  if (!(seconds >= 1)) throw new TypeError(`validity must be at least one second, got ${seconds}`);
  return {
    notBefore: new Date(now.getTime() - BACKDATE_MS),
    notAfter: new Date(now.getTime() + seconds * 1000),
  };
}

/** The key identifier this package gives a public key: RFC 7093 method 1. */
export function keyIdentifierOf(keyBits: Uint8Array): Uint8Array {
  return hash("sha256", keyBits, "buffer").subarray(0, 20);
}

interface SubjectKey {
  readonly der: Uint8Array;
  readonly identifier: Uint8Array;
}

function subjectKey(publicKey: KeyObject | Uint8Array): SubjectKey {
  const der = publicKey instanceof Uint8Array ? publicKey : exportPublicKey(publicKey);
  const point = p256PointOf(der);
  if (point) return { der, identifier: keyIdentifierOf(point) };
  const info = parsePublicKeyInfo(der);
  if (info.kind === "unknown" || (info.modulusBits !== undefined && info.modulusBits < 2048)) {
    throw new X509Error(
      "ALGORITHM_UNSUPPORTED",
      `public key of ${describeKey(info)} is not certified`,
    );
  }
  return { der: info.der, identifier: keyIdentifierOf(info.bits) };
}

function describeKey(info: { algorithm: string; modulusBits?: number }): string {
  return info.modulusBits === undefined ? info.algorithm : `RSA with ${info.modulusBits} bits`;
}

interface SigningSide extends Omit<Issuer, "certificate"> {
  readonly name: Uint8Array;
}

function signingSide(options: IssueCertificateOptions, key: SubjectKey): SigningSide {
  if (options.issuer === "self") {
    return {
      name: options.subject.der,
      signer: createSigner(options.privateKey),
      authorityKeyExtension: encodeDer(authorityKeyIdentifierExtension(key.identifier)),
      nextSerialNumber: createSerialNumbers(),
    };
  }
  const issuer =
    "signer" in options.issuer
      ? options.issuer
      : createIssuer(options.issuer.certificate, options.issuer.privateKey);
  return { ...issuer, name: issuer.certificate.subject.der };
}

function checkContents(options: IssueCertificateOptions, rules: ProfileRules): void {
  const { notBefore, notAfter } = options;
  if (!(notBefore.getTime() <= notAfter.getTime())) {
    throw refused("validity must end after it begins");
  }
  if (!rules.ca && (options.nameConstraints !== undefined || options.pathLength !== undefined)) {
    throw refused(`profile ${options.profile} takes no path length and no name constraints`);
  }
  const { pathLength = 0 } = options;
  if (
    pathLength !== "unlimited" &&
    !(Number.isInteger(pathLength) && pathLength >= 0 && pathLength < 256)
  ) {
    throw new TypeError(`path length must be a whole number from 0 to 255, got ${pathLength}`);
  }
  const names = options.subjectAltNames ?? {};
  const count = [names.dns, names.ip, names.uri, names.email].reduce(
    (n, l) => n + (l?.length ?? 0),
    0,
  );
  if (options.subject.attributes.length === 0 && (rules.ca || count === 0)) {
    throw refused(
      rules.ca ? "a CA needs a subject name" : "a certificate needs a subject or a name",
    );
  }
  if (rules.spiffeOnly) checkSvid(names);
  if (options.acmeIdentifier && options.acmeIdentifier.length !== 32) {
    throw new TypeError(`acmeIdentifier must have 32 octets, got ${options.acmeIdentifier.length}`);
  }
  const pointers = (options.crlUrls?.length ?? 0) + (options.ocspUrls?.length ?? 0);
  if (options.noRevocationAvailable && (pointers > 0 || rules.ca)) {
    throw refused("noRevocationAvailable is for leaves without CRL and OCSP addresses (RFC 9608)");
  }
}

function checkSvid(names: SubjectAltNameInput): void {
  const [uri, second] = names.uri ?? [];
  if (uri === undefined || second !== undefined) {
    throw refused("an SVID has exactly one URI name (X509-SVID section 2)");
  }
  if (parseSpiffeId(uri).path === "") {
    throw refused("an SVID names a workload: its SPIFFE id needs a path (X509-SVID section 2)");
  }
}

/** Basic constraints, key usage and extended key usage. */
function firstExtensions(options: IssueCertificateOptions, rules: ProfileRules): DerValue[] {
  const usages = usageExtensions.get(options.profile) ?? [];
  if (!rules.ca) return [LEAF_CONSTRAINTS, ...usages];
  const pathLength = options.pathLength ?? rules.pathLength;
  const constraints =
    pathLength === undefined || pathLength === "unlimited"
      ? { ca: true }
      : { ca: true, pathLength };
  return [basicConstraintsExtension(constraints), ...usages];
}

function moreExtensions(options: IssueCertificateOptions, rules: ProfileRules): DerValue[] {
  const list: DerValue[] = [];
  const names = encodeSubjectAltNames(options.subjectAltNames ?? {});
  if (names.length > 0) {
    list.push(subjectAltNameExtension(names, options.subject.attributes.length === 0));
  }
  if (options.nameConstraints) {
    list.push(extension(NAME_CONSTRAINTS, true, encodeNameConstraints(options.nameConstraints)));
  }
  if (options.policies?.length) list.push(certificatePoliciesExtension(options.policies));
  if (options.crlUrls?.length) list.push(crlDistributionPointsExtension(options.crlUrls));
  if (options.ocspUrls?.length || options.issuerUrls?.length) {
    list.push(authorityInformationExtension(options.ocspUrls ?? [], options.issuerUrls ?? []));
  }
  if (options.noRevocationAvailable) list.push(noRevocationAvailableExtension());
  if (rules.ocspNoCheck) list.push(ocspNoCheckExtension());
  if (options.acmeIdentifier) list.push(acmeIdentifierExtension(options.acmeIdentifier));
  return list;
}

/**
 * Serial numbers of 128 random bits behind a fixed first octet, so that they are positive, minimal
 * and of one length. Random bytes are drawn for many at a time.
 */
function createSerialNumbers(): () => Uint8Array {
  let pool = new Uint8Array();
  return () => {
    if (pool.length === 0) pool = randomBytes(SERIAL_OCTETS * SERIALS_PER_DRAW);
    const serialNumber = pool.subarray(0, SERIAL_OCTETS);
    pool = pool.subarray(SERIAL_OCTETS);
    serialNumber[0] = 0x40 | ((serialNumber[0] as number) & 0x3f);
    return serialNumber;
  };
}

function refused(message: string): X509Error {
  return new X509Error("ISSUE_REFUSED", message);
}

const VERSION_3: DerNode = context(0, [integer(2)]);
const LEAF_CONSTRAINTS: Uint8Array = encodeDer(basicConstraintsExtension({ ca: false }));
const NAME_CONSTRAINTS: Uint8Array = oid(OID.nameConstraints);
/** Key usage and extended key usage of each profile, encoded once. */
const usageExtensions: ReadonlyMap<string, readonly Uint8Array[]> = new Map(
  Object.entries(profiles).map(([profile, { keyUsage, extendedKeyUsage }]) => [
    profile,
    extendedKeyUsage.length === 0
      ? [encodeDer(keyUsageExtension(keyUsage))]
      : [keyUsageExtension(keyUsage), extendedKeyUsageExtension(extendedKeyUsage)].map(encodeDer),
  ]),
);
const SERIAL_OCTETS = 17;
const SERIALS_PER_DRAW = 64;
const BACKDATE_MS = 60_000;
