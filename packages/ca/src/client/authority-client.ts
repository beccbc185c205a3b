import type { KeyObject } from "node:crypto";
import { timestampDate, timestampFromDate } from "@bufbuild/protobuf/wkt";
import { createClient } from "@handfast/grpc";
import {
  createMutualTls,
  identityFromMemory,
  nobody,
  noRevocation,
  trustFromMemory,
} from "@handfast/tls";
import type { Expectation, IdentitySource, RevocationSource, TrustSource } from "@handfast/tls";
import { createName, createRequest } from "@handfast/x509";
import type { Fingerprint } from "@handfast/x509";
import { CaError } from "../errors.ts";
import { Authority } from "../gen/handfast/ca/v1/ca_pb.ts";
import type { InventoryEntry } from "../gen/handfast/ca/v1/ca_pb.ts";
import { reasonFromWire, reasonToWire, statusFromWire, statusToWire } from "../wire.ts";
import type { CertificateName, CertificateStatus, RevocationReason } from "../store/store.ts";
import { readBundle, readIssued, remoteError } from "./received.ts";
import type { ReceivedBundle, ReceivedCertificate } from "./received.ts";

/** Where an authority is, and who asks it. */
export interface AuthorityClientOptions {
  /** host:port of its Authority service. */
  readonly target: string;
  /** The certificate that is renewed, or that of an admin. */
  readonly identity: IdentitySource;
  readonly trust: TrustSource;
  /** About the authority's own certificate; `noRevocation()` if not given: it lives for hours. */
  readonly revocation?: RevocationSource;
  /** Whom to expect; the host of the target if not given. */
  readonly expect?: Expectation;
  /** Of each call; 30,000 if not given. */
  readonly deadlineMs?: number;
}

/** An online authority, as whoever has a certificate of it sees it. */
export interface AuthorityClient {
  /**
   * The next certificate of the identity's own, for the next key. The same key again gets the same
   * certificate: keep it before you ask.
   *
   * @throws CaError RENEWAL_REFUSED, RENEWAL_REPEATED, …; ANSWER_INVALID; GrpcError
   */
  renew(next: {
    readonly privateKey: KeyObject;
    readonly validitySeconds?: number;
  }): Promise<ReceivedCertificate>;
  /** @throws CaError NOT_PERMITTED, REVOCATION_REFUSED, CRL_UNPUBLISHED, …; GrpcError */
  revoke(request: {
    readonly certificate: Fingerprint;
    readonly reason: RevocationReason;
    readonly onlyThis?: boolean;
  }): Promise<readonly RemoteRecord[]>;
  /** One page, newest first. @throws CaError NOT_PERMITTED, REQUEST_INVALID, …; GrpcError */
  find(query: RemoteQuery): Promise<RemotePage>;
  bundle(): Promise<ReceivedBundle>;
  /** The bundle now and after each change; ends when the authority does, or the signal aborts. */
  watchBundle(signal: AbortSignal): AsyncIterable<ReceivedBundle>;
  /** The newest list of each of its keys, and each new one; ends likewise. */
  watchCrls(signal: AbortSignal): AsyncIterable<RemoteCrl>;
  close(): Promise<void>;
}

/** A revocation list that was pushed. */
export interface RemoteCrl {
  readonly issuer: string;
  readonly number: number;
  readonly der: Uint8Array;
}

/** Everything given must hold; nothing given finds all that the caller may see. */
export interface RemoteQuery {
  readonly name?: string;
  readonly text?: string;
  readonly fingerprint?: string;
  readonly serialNumber?: string;
  readonly identity?: string;
  readonly profile?: string;
  readonly status?: CertificateStatus;
  readonly expiresBefore?: Date;
  /** 1 to 1,000; 100 if not given. */
  readonly limit?: number;
  /** The `next` of the page before. */
  readonly after?: string;
}

/** Some of what a query finds. */
export interface RemotePage {
  readonly records: readonly RemoteRecord[];
  /** For the next page; undefined on the last. */
  readonly next: string | undefined;
}

/** A certificate of the inventory, without its bytes. */
export interface RemoteRecord {
  readonly fingerprint: string;
  readonly serialNumber: string;
  readonly status: CertificateStatus;
  readonly profile: string;
  readonly identity: string | undefined;
  readonly subject: string;
  readonly names: readonly CertificateName[];
  readonly issuer: string;
  readonly requester: string;
  readonly parent: string | undefined;
  /** The fingerprint of the first of its line. */
  readonly enrolment: string;
  readonly notBefore: Date;
  readonly notAfter: Date;
  readonly issuedAt: Date;
  readonly revocation:
    | {
        readonly revokedAt: Date;
        readonly reason: RevocationReason;
        readonly cause: string;
        readonly requester: string;
      }
    | undefined;
}

/**
 * Connects to an authority when it is first asked something.
 *
 * @throws TlsError IDENTITY_INVALID, TRUST_INVALID
 */
export async function createAuthorityClient(
  options: AuthorityClientOptions,
): Promise<AuthorityClient> {
  const { target, identity, trust, revocation = noRevocation(), expect } = options;
  const tls = await createMutualTls({ identity, trust, revocation, admit: nobody() });
  const client = createClient(Authority, {
    target,
    tls,
    deadlineMs: options.deadlineMs ?? 30_000,
    limits: { maxReceiveMessageBytes: largestListBytes },
    ...(expect && { expect }),
  });

  return {
    async renew({ privateKey, validitySeconds = 0 }) {
      const certificateRequest = createRequest({ subject: createName([]), privateKey });
      const request = { certificateRequest, validitySeconds: BigInt(validitySeconds) };
      return readIssued(await told(client.renew(request)), privateKey);
    },
    async revoke({ certificate: fingerprint, reason, onlyThis = false }) {
      const request = { fingerprint, reason: reasonToWire(reason), onlyThis };
      return (await told(client.revoke(request))).revoked.map(recordFromWire);
    },
    async find({ status, expiresBefore, limit = 100, after = "", ...query }) {
      const { certificates, nextPageToken } = await told(
        client.find({
          ...query,
          pageSize: limit,
          pageToken: after,
          ...(status && { status: statusToWire(status) }),
          ...(expiresBefore && { expiresBefore: timestampFromDate(expiresBefore) }),
        }),
      );
      const next = nextPageToken === "" ? undefined : nextPageToken;
      return { records: certificates.map(recordFromWire), next };
    },
    async bundle() {
      return readBundle((await told(client.getBundle({}))).bundle);
    },
    async *watchBundle(signal) {
      for await (const { bundle } of client.watchBundle({}, { signal, deadlineMs: Infinity })) {
        yield readBundle(bundle);
      }
    },
    async *watchCrls(signal) {
      for await (const list of client.watchCrls({}, { signal, deadlineMs: Infinity })) {
        yield { issuer: list.issuer, number: Number(list.number), der: list.crl };
      }
    },
    async close() {
      client.close();
      await tls.close();
    },
  };
}

/** Who renews, with what. */
export interface RenewOnlineOptions {
  /** host:port of the Authority service. */
  readonly target: string;
  /** The present certificate and those above it, PEM. */
  readonly certificateChain: string | Uint8Array;
  /** Its key, PEM. */
  readonly privateKey: string | Uint8Array;
  /** The bundle, PEM. */
  readonly roots: string | Uint8Array;
  /** Keep it before you ask: the same key again gets the same certificate. */
  readonly nextKey: KeyObject;
  readonly validitySeconds?: number;
  readonly expect?: Expectation;
  /** 30,000 if not given. */
  readonly timeoutMs?: number;
}

/**
 * Renews a certificate online, over a connection that is its own proof.
 *
 * @throws CaError RENEWAL_REFUSED, RENEWAL_REPEATED, …; ANSWER_INVALID; TlsError; GrpcError
 */
export async function renewOnline(options: RenewOnlineOptions): Promise<ReceivedCertificate> {
  const { target, certificateChain, privateKey, roots, nextKey, validitySeconds } = options;
  const client = await createAuthorityClient({
    target,
    identity: identityFromMemory({ certificateChain, privateKey }),
    trust: trustFromMemory(roots),
    ...(options.expect && { expect: options.expect }),
    ...(options.timeoutMs !== undefined && { deadlineMs: options.timeoutMs }),
  });
  try {
    return await client.renew({
      privateKey: nextKey,
      ...(validitySeconds !== undefined && { validitySeconds }),
    });
  } finally {
    await client.close();
  }
}

async function told<Value>(answer: Promise<Value>): Promise<Value> {
  try {
    return await answer;
  } catch (error) {
    throw remoteError(error);
  }
}

function recordFromWire(entry: InventoryEntry): RemoteRecord {
  const { notBefore, notAfter, issuedAt, revocation, identity, parent } = entry;
  const status = statusFromWire(entry.status);
  if (!status || !notBefore || !notAfter || !issuedAt) {
    throw new CaError("ANSWER_INVALID", "the authority's answer holds a record that is not whole");
  }
  return {
    fingerprint: entry.fingerprint,
    serialNumber: entry.serialNumber,
    status,
    profile: entry.profile,
    identity: identity === "" ? undefined : identity,
    subject: entry.subject,
    names: entry.names.map(({ kind, value }) => ({ kind, value }) as CertificateName),
    issuer: entry.issuer,
    requester: entry.requester,
    parent: parent === "" ? undefined : parent,
    enrolment: entry.enrolment,
    notBefore: timestampDate(notBefore),
    notAfter: timestampDate(notAfter),
    issuedAt: timestampDate(issuedAt),
    revocation: revocation?.revokedAt && {
      revokedAt: timestampDate(revocation.revokedAt),
      reason: reasonFromWire(revocation.reason) ?? "unspecified",
      cause: revocation.cause,
      requester: revocation.requester,
    },
  };
}

const largestListBytes = 64 * 1_024 * 1_024;
