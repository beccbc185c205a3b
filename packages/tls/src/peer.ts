import { identityOf, spiffeIdOf } from "@handfast/x509";
import type { Certificate, Fingerprint, SerialNumber, SpiffeId } from "@handfast/x509";

declare const verified: unique symbol;
declare const forwarded: unique symbol;

/** What a certificate that was verified says of its holder. Read once, never changes. */
export interface PeerCertificate {
  /** The leaf. */
  readonly certificate: Certificate;
  /** The validated path, leaf first, trust anchor last; never what was sent. Issuers are shared objects. */
  readonly chain: readonly Certificate[];
  readonly leafDer: Uint8Array;
  /** SHA-256 of the leaf's DER, lower-case hex. */
  readonly fingerprint: Fingerprint;
  readonly serialNumber: SerialNumber;
  /** RFC 4514 text, most specific attribute first. */
  readonly subject: string;
  readonly commonNames: readonly string[];
  readonly organizations: readonly string[];
  readonly organizationalUnits: readonly string[];
  readonly dnsSans: readonly string[];
  readonly ipSans: readonly string[];
  readonly uriSans: readonly string[];
  readonly emailSans: readonly string[];
  /**
   * One canonical name (S14): the SPIFFE id if the certificate has exactly one URI SAN and it is a valid one;
   * else `uri:`, `dns:` or `dn:` and the value, if the first non-empty kind has exactly one; else undefined.
   * Ownership, limits and audit use it and nothing else.
   */
  readonly identity: string | undefined;
  readonly spiffeId: SpiffeId | undefined;
  readonly notBefore: Date;
  readonly notAfter: Date;
}

/** The facts about a connection that a verified peer carries. */
export interface ConnectionFacts {
  /** "TLSv1.3" or "TLSv1.2". */
  readonly tlsVersion: string;
  /** The standard name of the cipher suite. */
  readonly cipher: string;
  readonly resumed: boolean;
}

/**
 * A peer whose certificate was verified, admitted, and whose possession of the key TLS proved. Only the
 * verifier makes one; {@link isVerifiedPeer} tells a real one at run time. It is computed once per connection
 * and never changes.
 */
export interface VerifiedPeer extends PeerCertificate, ConnectionFacts {
  readonly [verified]: true;
}

/**
 * Who calls through a proxy that has ended the caller's TLS: the certificate that the proxy handed on was
 * verified and would be admitted here, and that its holder has the key is the proxy's word. Only the verifier
 * makes one; {@link isForwardedPeer} tells a real one at run time. It is no {@link VerifiedPeer} (S63).
 */
export interface ForwardedPeer {
  readonly [forwarded]: true;
  readonly peer: PeerCertificate;
  /** The proxy. */
  readonly via: VerifiedPeer;
}

/** Reads everything that handlers and policies may ask of a peer out of its path. */
export function describeCertificate(path: readonly Certificate[]): PeerCertificate {
  const [leaf] = path;
  if (leaf === undefined) throw new TypeError("a validated path holds at least the leaf");
  const sans = leaf.subjectAltNames;
  return {
    certificate: leaf,
    chain: path,
    leafDer: leaf.der,
    fingerprint: leaf.fingerprint,
    serialNumber: leaf.serialNumber,
    subject: leaf.subject.text,
    commonNames: attributesOf(leaf, "CN"),
    organizations: attributesOf(leaf, "O"),
    organizationalUnits: attributesOf(leaf, "OU"),
    dnsSans: sans.dns,
    ipSans: sans.ip,
    uriSans: sans.uri,
    emailSans: sans.email,
    identity: identityOf(leaf),
    spiffeId: spiffeIdOf(leaf),
    notBefore: leaf.notBefore,
    notAfter: leaf.notAfter,
  };
}

/** When a path ends: with the first of its certificates. */
export function expiryOf(chain: readonly Certificate[]): Date {
  return new Date(Math.min(...chain.map(({ notAfter }) => notAfter.getTime())));
}

function attributesOf(certificate: Certificate, type: string): readonly string[] {
  return certificate.subject.attributes
    .filter((attribute) => attribute.type === type)
    .map((attribute) => attribute.value);
}
