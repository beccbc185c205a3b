import type { Fingerprint, RevocationReason as CrlReason, SerialNumber } from "@handfast/x509";
import type { AcmeReads, AcmeWrites } from "./acme-records.ts";

/**
 * Where an authority keeps what it must never forget: every certificate it has signed, what became
 * of it, and the numbers it may not use twice. The contract, for every implementation:
 *
 * - A transaction MUST be atomic and serialisable: its work sees one state of the store, nothing
 *   changes under it, and of two that contradict each other one MUST NOT succeed.
 * - `transaction` MUST NOT resolve before its changes would survive the loss of power.
 * - When the work throws, none of its changes MUST remain, and the same error MUST come out.
 * - The work MAY be run more than once (where two transactions collide), so it MUST NOT do anything
 *   but read and write records; it MUST NOT wait for anything else, nor begin a transaction.
 * - Reads outside a transaction MUST show committed records only.
 * - A serial number MUST NOT be recorded twice for one issuer, nor a certificate twice at all.
 * - Several processes MAY share one store; what holds for two transactions holds across them.
 * - A store written by a newer release MUST be refused, and an older one migrated before first use.
 */
export interface Store extends RecordReads {
  transaction<Result>(work: (records: Records) => Promise<Result>): Promise<Result>;
  close(): Promise<void>;
}

/** What can be read, inside a transaction and outside. */
export interface RecordReads extends AcmeReads {
  /** The authority of this store, or undefined before `init`. */
  authority(): Promise<AuthorityRecord | undefined>;
  /** The authority's own keys and what they are for, by generation, oldest first. */
  issuers(): Promise<readonly IssuerRecord[]>;
  certificate(fingerprint: Fingerprint): Promise<CertificateRecord | undefined>;
  /** Newest first; at most `query.limit`. */
  certificates(query: CertificateQuery): Promise<readonly CertificateRecord[]>;
  /** The revoked certificates of an issuer that end at or after a time, in the order of their revocation. */
  revoked(issuer: string, query: { endingFrom: Date }): Promise<readonly RevokedCertificate[]>;
  /** The list of the greatest number. */
  latestCrl(issuer: string): Promise<CrlRecord | undefined>;
  /** The number of that list, without reading it. */
  crlNumber(issuer: string): Promise<number | undefined>;
  /**
   * Whether the renewals of an identity were blocked after the enrolment of this certificate, which
   * is recorded: that of the first of its line.
   */
  renewalBlocked(fingerprint: Fingerprint): Promise<boolean>;
  /** What a one-time token was spent on. */
  spentToken(id: string): Promise<SpentToken | undefined>;
  /** Whether a certificate of this key was ever revoked for keyCompromise, pruned ones included. */
  keyCompromised(publicKey: Fingerprint): Promise<boolean>;
}

/** What can be read and written within one transaction. */
export interface Records extends RecordReads, AcmeWrites {
  /** MUST refuse a second authority in the same store. */
  addAuthority(authority: AuthorityRecord): Promise<void>;
  /** MUST refuse a name that is taken. */
  addIssuer(issuer: IssuerRecord): Promise<void>;
  /** MUST refuse a name that is not there. */
  setIssuerState(name: string, state: IssuerState): Promise<void>;
  /** The greater of `atLeast` and one more than the last; it is the bundle's from then on (S50). */
  raiseBundleSequence(atLeast: number): Promise<number>;
  /** MUST refuse a fingerprint, or a serial number of the same issuer, that is recorded already. */
  addCertificate(certificate: NewCertificateRecord): Promise<void>;
  /** MUST refuse a certificate that is not recorded, or that is revoked already. */
  addRevocation(fingerprint: Fingerprint, revocation: RevocationRecord): Promise<void>;
  /** MUST block all certificates of the identity whose line was enrolled so far, and no later one. */
  blockRenewals(identity: string): Promise<void>;
  /** The greater of `atLeast` and one more than the last; MUST never give a number twice (S55). */
  nextCrlNumber(issuer: string, atLeast: number): Promise<number>;
  /**
   * MUST refuse an id that is recorded; MUST keep it until `keepUntil` at least, and MAY forget it
   * then.
   */
  spendToken(token: SpentToken & { readonly keepUntil: Date }): Promise<void>;
  /** MUST keep the list of the greatest number; lists of smaller numbers MAY be dropped. */
  addCrl(crl: CrlRecord): Promise<void>;
  /**
   * Forgets at most `limit` certificates that ended before a time, and what is known of them and of
   * tokens and blocks that no longer say anything; gives how many certificates. MUST keep those of
   * issuers, and those that were renewed from a certificate that is kept, so that revocation finds
   * its way down a line; MUST keep a block for what it blocks and the keys that were compromised.
   */
  prune(rule: {
    readonly endedBefore: Date;
    readonly now: Date;
    readonly limit: number;
  }): Promise<number>;
}

export interface AuthorityRecord {
  readonly trustDomain: string;
  readonly createdAt: Date;
  /** Grows with each change of what peers trust; not before 1970 in milliseconds. */
  readonly bundleSequence: number;
}

export interface IssuerRecord {
  /** `root-1`, `issuing-1`, …: names the private key in the key store too. */
  readonly name: string;
  readonly role: IssuerRole;
  /** Counts the rotations, from 1; part of the name, and of the certificate's subject. */
  readonly generation: number;
  readonly state: IssuerState;
  /** Its certificate, which is recorded as every other. */
  readonly certificate: Fingerprint;
  readonly createdAt: Date;
}

export type IssuerRole = "root" | "issuing";

/** `prepared` is published and does not sign yet; `retiring` signs no more and is still published. */
export type IssuerState = "prepared" | "active" | "retiring" | "retired";

export interface NewCertificateRecord {
  readonly fingerprint: Fingerprint;
  readonly serialNumber: SerialNumber;
  /** The name of the issuer record whose key signed it; its own for a root. */
  readonly issuer: string;
  readonly der: Uint8Array;
  /** RFC 4514 text. */
  readonly subject: string;
  readonly names: readonly CertificateName[];
  /** Whom it names, as `peer.identity` says it (security.md S14); undefined if that is nobody. */
  readonly identity: string | undefined;
  /** SHA-256 of the SubjectPublicKeyInfo. */
  readonly publicKey: Fingerprint;
  readonly profile: string;
  /** Who asked for it: `local:USER`, or the identity of an authenticated requester. */
  readonly requester: string;
  /** The certificate that it renews. */
  readonly parent: Fingerprint | undefined;
  /** The first of its line, by renewals; its own fingerprint if it renews none. */
  readonly enrolment: Fingerprint;
  readonly notBefore: Date;
  readonly notAfter: Date;
  readonly issuedAt: Date;
}

export interface CertificateRecord extends NewCertificateRecord {
  readonly revocation: RevocationRecord | undefined;
}

export interface RevocationRecord {
  readonly revokedAt: Date;
  readonly reason: RevocationReason;
  /** The certificate whose revocation took this one with it; its own when it was named itself. */
  readonly cause: Fingerprint;
  readonly requester: string;
}

/** RFC 5280 5.3.1, without those that can take a revocation back. */
export type RevocationReason = Exclude<CrlReason, "certificateHold" | "removeFromCRL">;

/** A certificate as a revocation list needs it. */
export interface RevokedCertificate {
  readonly serialNumber: SerialNumber;
  readonly revokedAt: Date;
  readonly reason: RevocationReason;
}

/** A revocation list that was signed. */
export interface CrlRecord {
  /** The name of the issuer record. */
  readonly issuer: string;
  readonly number: number;
  readonly der: Uint8Array;
  readonly thisUpdate: Date;
  readonly nextUpdate: Date;
}

/** A one-time token that is used up. */
export interface SpentToken {
  readonly id: string;
  readonly spentAt: Date;
  readonly certificate: Fingerprint;
}

/** One of the names that a certificate can be found by; `cn` is a common name of its subject. */
export interface CertificateName {
  readonly kind: "cn" | "dns" | "ip" | "uri" | "email";
  readonly value: string;
}

/** Everything given must hold; nothing given finds everything. */
export interface CertificateQuery {
  /** A subject alternative name or a common name, exactly; DNS names without regard to case. */
  readonly name?: string;
  /** Part of a name or of the subject. */
  readonly text?: string;
  readonly fingerprint?: Fingerprint;
  readonly serialNumber?: SerialNumber;
  readonly identity?: string;
  readonly publicKey?: Fingerprint;
  readonly issuer?: string;
  readonly profile?: string;
  readonly parent?: Fingerprint;
  readonly status?: CertificateStatus;
  /** Revoked, for this reason. */
  readonly revokedFor?: RevocationReason;
  /** Its notAfter is before this. */
  readonly expiresBefore?: Date;
  /** What `status` is judged by; required with it. */
  readonly now?: Date;
  /** 1 to 10,000; 1,000 if not given. */
  readonly limit?: number;
  /** Only certificates recorded before this one: the last of the page before. */
  readonly before?: Fingerprint;
}

/** Revoked is revoked, also after the expiry. */
export type CertificateStatus = "valid" | "expired" | "revoked";
