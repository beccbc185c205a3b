import type { ServerPolicy } from "@handfast/grpc";
import type { ListenAddress } from "@handfast/tls";
import type { Acme } from "../acme/create-acme.ts";
import type { AuditTrail } from "../audit.ts";
import type { Authority } from "../authority.ts";
import type { CrlSet } from "./crl-feed.ts";
import type { AuthorityServiceEventListener } from "./events.ts";
import type { ServiceLimits } from "./limits.ts";
import type { AuthorityCounters } from "./metrics.ts";

/** How an authority is put online. */
export interface AuthorityServiceOptions {
  /** Not closed with the service. */
  readonly authority: Authority;
  /**
   * The DNS names and addresses at which both listeners are dialled: its own certificate carries them.
   * The first stands in URLs.
   */
  readonly names: readonly [string, ...string[]];
  /** For whoever has no certificate: Enrolment, roots, lists, ACME; gRPC and plain HTTP. */
  readonly enrolment: TcpAddress;
  /** For whoever has one: Authority; gRPC and JSON. */
  readonly authorityListener: TcpAddress;
  /** Serves roots, lists and OCSP over plain HTTP, and nothing else; not if not given. */
  readonly publication?: TcpAddress;
  /** Serves `/healthz`, `/readyz` and `/metrics` over plain HTTP, on a loopback address. */
  readonly operations?: TcpAddress;
  /** Lets everybody who reaches the address read the metrics. */
  readonly dangerouslyOperationsBeyondLoopback?: boolean;
  /** Counted by `createAuthorityMetrics().counting(…)`; `/metrics` has none of them if not given. */
  readonly counters?: AuthorityCounters;
  /** How long an OCSP response may be used; 3,600 s if not given. */
  readonly ocspValiditySeconds?: number;
  /** The address that tokens name: `https://FIRST-NAME:PORT` of the enrolment listener if not given. */
  readonly audience?: string;
  /**
   * Who may revoke and find certificates of others: asked with the paths
   * `/handfast.ca.v1.Authority/Revoke`, `…/Find` and `…/Inspect`. Nobody if not given.
   */
  readonly admins?: ServerPolicy;
  /**
   * Makes the ACME server that is mounted on the enrolment listener, over HTTP/1.1; its URLs begin with
   * the one given. Closed with the service.
   */
  readonly acme?: (enrolmentUrl: string) => Promise<MountedAcme>;
  /** Where refusals of the service itself are recorded; the authority records its own acts. */
  readonly audit?: AuditTrail;
  readonly limits?: ServiceLimits;
  /** From one revocation list to its next update; 7 days if not given. */
  readonly crlValiditySeconds?: number;
  /** How old a list may be before it is signed again though nothing was revoked; 1 day if not given. */
  readonly crlRepublishSeconds?: number;
  /** Of the authority's own certificates; 6 hours if not given. */
  readonly ownValiditySeconds?: number;
  /** How long a certificate is kept in the inventory after its end; 90 days if not given. */
  readonly keepEndedSeconds?: number;
  /** How often the store is asked what other processes changed there; 500 if not given. */
  readonly pollMs?: number;
  readonly clock?: () => Date;
  /** Told of each set of lists, at the start too: to put them where others read them. */
  readonly onCrls?: (lists: CrlSet) => void;
  /** Called synchronously; must not throw. */
  readonly onEvent?: AuthorityServiceEventListener;
}

/** A host and a port; port 0 takes a free one. */
export type TcpAddress = Extract<ListenAddress, { readonly host: string }>;

/** The ACME server, as it is mounted. */
export type MountedAcme = Pick<Acme, "handles" | "handle" | "close">;
