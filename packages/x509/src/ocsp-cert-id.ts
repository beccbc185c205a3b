import { hash } from "node:crypto";
import type { Certificate } from "./certificate.ts";
import {
  bytesEqual,
  encodeDer,
  integer,
  malformed,
  NULL,
  octetString,
  oid,
  sequence,
  TAG,
  type DerReader,
  type DerValue,
} from "./der.ts";
import { serialNumberBytes, serialNumberOf, type SerialNumber } from "./identifiers.ts";
import { OID } from "./oid.ts";

/** The hashes an OCSP CertID may use: SHA-256 is preferred, SHA-1 is accepted (RFC 9919). */
export type OcspHash = "sha256" | "sha1";

/** Which certificate a question or an answer is about (RFC 6960 4.1.1). */
export interface OcspCertId {
  readonly hash: OcspHash;
  readonly issuerNameHash: Uint8Array;
  readonly issuerKeyHash: Uint8Array;
  readonly serialNumber: SerialNumber;
}

/** The CertID of the certificate with that serial number, issued by that CA. */
export function createOcspCertId(
  issuer: Certificate,
  serialNumber: SerialNumber,
  options: { readonly hash?: OcspHash } = {},
): OcspCertId {
  const algorithm = options.hash ?? "sha256";
  return { hash: algorithm, ...hashesOf(issuer, algorithm), serialNumber };
}

/** Whether a CertID names a certificate of this CA. */
export function isOcspCertIdOf(certId: OcspCertId, issuer: Certificate): boolean {
  const hashes = hashesOf(issuer, certId.hash);
  return (
    bytesEqual(certId.issuerNameHash, hashes.issuerNameHash) &&
    bytesEqual(certId.issuerKeyHash, hashes.issuerKeyHash)
  );
}

/** Reads a CertID. */
export function readOcspCertId(reader: DerReader, what: string): OcspCertId {
  const certId = reader.sequence(what);
  const identifier = certId.sequence(what);
  const algorithm = identifier.oid(what);
  if (identifier.peek() === TAG.null) identifier.null(what);
  identifier.finish(what);
  const known = algorithm === OID.sha256 ? "sha256" : algorithm === OID.sha1 ? "sha1" : undefined;
  if (known === undefined)
    throw malformed(what, `uses the hash ${algorithm}, expected SHA-256 or SHA-1`);
  const issuerNameHash = certId.octetString(what);
  const issuerKeyHash = certId.octetString(what);
  const serial = certId.integer(what);
  certId.finish(what);
  const size = known === "sha256" ? 32 : 20;
  if (issuerNameHash.length !== size || issuerKeyHash.length !== size) {
    throw malformed(what, `has hashes of ${issuerNameHash.length} octets, expected ${size}`);
  }
  if (
    serial.length > 20 ||
    (serial[0] as number) >= 0x80 ||
    (serial.length === 1 && serial[0] === 0)
  ) {
    throw malformed(what, "has a serial number that is not positive or over 20 octets");
  }
  return { hash: known, issuerNameHash, issuerKeyHash, serialNumber: serialNumberOf(serial) };
}

export function encodeOcspCertId(certId: OcspCertId): DerValue {
  return sequence([
    identifiers[certId.hash],
    octetString(certId.issuerNameHash),
    octetString(certId.issuerKeyHash),
    integer(serialNumberBytes(certId.serialNumber)),
  ]);
}

type IssuerHashes = Pick<OcspCertId, "issuerNameHash" | "issuerKeyHash">;

/** Computed once for each issuer: a responder compares them with every request. */
function hashesOf(issuer: Certificate, algorithm: OcspHash): IssuerHashes {
  let hashes = hashesByIssuer[algorithm].get(issuer);
  if (!hashes) {
    hashes = {
      issuerNameHash: hash(algorithm, issuer.subject.der, "buffer"),
      issuerKeyHash: hash(algorithm, issuer.publicKeyInfo.bits, "buffer"),
    };
    hashesByIssuer[algorithm].set(issuer, hashes);
  }
  return hashes;
}

const hashesByIssuer: Readonly<Record<OcspHash, WeakMap<Certificate, IssuerHashes>>> = {
  sha256: new WeakMap(),
  sha1: new WeakMap(),
};
const identifiers: Readonly<Record<OcspHash, Uint8Array>> = {
  sha256: encodeDer(sequence([oid(OID.sha256), NULL])),
  sha1: encodeDer(sequence([oid(OID.sha1), NULL])),
};
