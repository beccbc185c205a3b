import type { ListenerLimits } from "@handfast/tls";

/** How often something may happen: so many at once after a rest, then so many a second. */
export interface Rate {
  readonly perSecond: number;
  readonly burst: number;
}

/** What the service takes; each has a default. */
export interface ServiceLimits {
  /** Enrolments of one source address (an IPv6 /64): 5 a second, 20 at once. */
  readonly enrolmentsPerSource?: Rate;
  /** Other requests of one source without a certificate: 50 a second, 200 at once. */
  readonly requestsPerSource?: Rate;
  /** Renewals of one identity: 2 a second, 20 at once. */
  readonly renewalsPerIdentity?: Rate;
  /** Other requests of one identity: 20 a second, 100 at once. */
  readonly requestsPerIdentity?: Rate;
  /** Streams (bundle, revocation lists) of one identity at a time: 64. */
  readonly streamsPerIdentity?: number;
  /** Requests at a time, of each listener: 1,000. What is more is told to come back. */
  readonly pending?: number;
  /** Requests of one source at the listener that publishes: 500 a second, 2,000 at once. */
  readonly publicRequestsPerSource?: Rate;
  /** OCSP responses signed on demand, for all together: 5,000 a second. */
  readonly ocspSignatures?: Rate;
  /** How long caches may keep roots, lists and OCSP responses: 300 s. */
  readonly maxAgeSeconds?: number;
  /** Connections of the listener without client certificates: 2,000 at a time. */
  readonly enrolmentListener?: ListenerLimits;
  readonly authorityListener?: ListenerLimits;
}

/** All of them. */
export type ResolvedLimits = Required<ServiceLimits>;

/** Fills in the defaults. */
export function resolveLimits(limits: ServiceLimits = {}): ResolvedLimits {
  return {
    enrolmentsPerSource: { perSecond: 5, burst: 20 },
    requestsPerSource: { perSecond: 50, burst: 200 },
    renewalsPerIdentity: { perSecond: 2, burst: 20 },
    requestsPerIdentity: { perSecond: 20, burst: 100 },
    streamsPerIdentity: 64,
    pending: 1_000,
    publicRequestsPerSource: { perSecond: 500, burst: 2_000 },
    ocspSignatures: { perSecond: 5_000, burst: 5_000 },
    maxAgeSeconds: 300,
    enrolmentListener: { sessions: 2_000, pendingHandshakes: 256, refusalNotice: false },
    authorityListener: {},
    ...limits,
  };
}
