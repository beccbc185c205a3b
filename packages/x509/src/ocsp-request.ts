import type { Certificate } from "./certificate.ts";
import {
  context,
  DerReader,
  encodeDer,
  malformed,
  octetString,
  oid,
  readDer,
  sequence,
  type DerValue,
} from "./der.ts";
import { malformedAs } from "./errors.ts";
import { extension, readExtensions, type Extension } from "./extensions.ts";
import {
  createOcspCertId,
  encodeOcspCertId,
  readOcspCertId,
  type OcspCertId,
  type OcspHash,
} from "./ocsp-cert-id.ts";
import { OID } from "./oid.ts";

/** A question about one certificate. */
export interface OcspRequest {
  readonly certId: OcspCertId;
  /** 1 to 128 octets that the answer is to repeat (RFC 9654). */
  readonly nonce: Uint8Array | undefined;
}

/** What is asked. */
export interface CreateOcspRequestOptions {
  readonly certificate: Certificate;
  readonly issuer: Certificate;
  /** SHA-256 unless told otherwise; old responders know SHA-1 only. */
  readonly hash?: OcspHash;
  /** 32 random octets are usual; without one, answers may come from a cache. */
  readonly nonce?: Uint8Array;
}

/** Writes an OCSP request for one certificate, unsigned (RFC 6960 4.1, RFC 9919). */
export function createOcspRequest(options: CreateOcspRequestOptions): Uint8Array {
  const { certificate, issuer, hash = "sha256", nonce } = options;
  const certId = encodeOcspCertId(createOcspCertId(issuer, certificate.serialNumber, { hash }));
  return encodeDer(
    sequence([
      sequence([
        sequence([sequence([certId])]),
        ...(nonce ? [context(2, [sequence([nonceExtension(nonce)])])] : []),
      ]),
    ]),
  );
}

/**
 * Reads an OCSP request of at most 4 KiB about exactly one certificate (S57). Who asks, and a
 * signature, are skipped: neither changes the answer.
 * @throws X509Error OCSP_MALFORMED
 */
export function parseOcspRequest(der: Uint8Array): OcspRequest {
  return malformedAs("OCSP_MALFORMED", "OCSP request", () => {
    if (der.length > MAX_LENGTH) {
      throw malformed(WHAT, `has ${der.length} octets, at most ${MAX_LENGTH} are allowed`);
    }
    const outer = readDer(der.slice(), WHAT);
    const tbs = outer.sequence(WHAT);
    outer.context(0, WHAT);
    outer.finish(WHAT);
    tbs.context(1, WHAT);
    const list = tbs.sequence(WHAT);
    const request = list.sequence(WHAT);
    if (!list.done) throw malformed(WHAT, "asks for more than one certificate");
    const certId = readOcspCertId(request, WHAT);
    const ownExtensions = request.context(0, WHAT);
    request.finish(WHAT);
    if (ownExtensions) refuseCritical(readOcspExtensions(ownExtensions, WHAT), WHAT);
    const explicit = tbs.context(2, WHAT);
    tbs.finish(WHAT);
    const extensions = explicit ? readOcspExtensions(explicit, WHAT) : [];
    refuseCritical(extensions, WHAT);
    return { certId, nonce: readNonce(extensions, WHAT) };
  });
}

/** The nonce extension (RFC 9654). */
export function nonceExtension(nonce: Uint8Array): DerValue {
  if (nonce.length < 1 || nonce.length > MAX_NONCE) {
    throw new TypeError(`an OCSP nonce has 1 to ${MAX_NONCE} octets, got ${nonce.length}`);
  }
  return extension(NONCE, false, octetString(nonce));
}

/** The nonce among extensions, if there is one. */
export function readNonce(extensions: readonly Extension[], what: string): Uint8Array | undefined {
  const found = extensions.find(({ oid }) => oid === OID.ocspNonce);
  if (!found) return undefined;
  const reader = new DerReader(found.value);
  const nonce = reader.octetString(what);
  reader.finish(what);
  if (nonce.length < 1 || nonce.length > MAX_NONCE) {
    throw malformed(what, `has a nonce of ${nonce.length} octets, expected 1 to ${MAX_NONCE}`);
  }
  return nonce;
}

/** The content of an explicit tag that holds Extensions and nothing else. */
export function readOcspExtensions(explicit: DerReader, what: string): Extension[] {
  const extensions = readExtensions(explicit, what);
  explicit.finish(what);
  return extensions;
}

/** No critical extension of OCSP is understood but the nonce, which nobody makes critical. */
export function refuseCritical(extensions: readonly Extension[], what: string): void {
  const unknown = extensions.find(({ oid, critical }) => critical && oid !== OID.ocspNonce);
  if (unknown) throw malformed(what, `has the unknown critical extension ${unknown.oid}`);
}

const WHAT = "request";
const MAX_LENGTH = 4096;
const MAX_NONCE = 128;
const NONCE: Uint8Array = oid(OID.ocspNonce);
