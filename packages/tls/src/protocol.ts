import type { TLSSocket } from "node:tls";

import type { VerifiedPeer } from "./peer.ts";
import type { Refusal } from "./refusal.ts";

/**
 * What speaks on a connection once it is judged: the seam between this package and gRPC, HTTP or whatever
 * else. Neither function runs, and no byte of the peer is delivered, before the verdict.
 */
export interface Protocol {
  /**
   * Takes over an admitted connection. `peer` is undefined exactly on a listener with
   * `clientCertificates: "none"`.
   */
  accept(socket: TLSSocket, peer: VerifiedPeer | undefined, session: Session): LiveProtocol;
  /**
   * Tells a refused peer why, in the protocol's own words, and ends the connection itself: it must do so
   * within 5 s. Only fixed text and `refusal.publicMessage` may be sent.
   */
  refuse(socket: TLSSocket, refusal: Refusal): void;
}

/** A protocol at work on one connection. */
export interface LiveProtocol {
  /** No new calls from now on; those in flight go on until the socket is destroyed. */
  drain(reason: DrainReason): void;
  activity(): { readonly callsInFlight: number };
}

/** Why a session is to end: the peer's standing changed, the listener closes, or the connection is old. */
export type DrainReason =
  | { readonly kind: "refused"; readonly refusal: Refusal }
  | { readonly kind: "closing" }
  | { readonly kind: "aged" };

/** One live session, as its protocol sees it. */
export interface Session {
  /** Unique within the runtime. */
  readonly id: number;
  /**
   * Whether the peer would be admitted now. A protocol asks before it starts a call: after a change of trust,
   * revocation or rules this judges the peer again, otherwise it compares two integers (S11).
   */
  admitted(): boolean;
}
