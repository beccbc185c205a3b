import type { ErrorCode, Http2Error } from "./errors.ts";
import type { Fields } from "./fields.ts";
import type { RequestHead, ResponseHead } from "./head.ts";

/**
 * What the machine tells the application, by calling these functions while it runs `receive`, `tick`,
 * `takeOutput` or a command. They may give commands; they must not call `receive`, `tick` or
 * `takeOutput`, and must not throw: a throw ends the connection and comes out of the driver's call.
 *
 * `Call` is whatever the application attaches to a stream: it gets that back with each event, so it
 * needs no table of its own. No event comes for a stream after the one that ends it.
 */
export interface StreamEvents<Call> {
  /**
   * A piece of the body; `end` with the last, which may be empty. Pieces are cut as the bytes arrived.
   * `bytes` is valid for ever and never reused, but may be a view of a whole read chunk (see
   * `Limits.copyBelow`). Report what has been worked off with `consume`, else the peer's window
   * stays shut.
   */
  onData(call: Call, bytes: Uint8Array, end: boolean): void;
  /** Trailers, and with them the end of the peer's side. */
  onTrailers(call: Call, fields: Fields): void;
  /**
   * The stream was cut by the peer, by the machine or with the connection; nothing more can be sent. On
   * a server that had not given the end of its answer, the stream's place among `maxConcurrentStreams`
   * stays occupied until the application, when nothing works on it any more, calls `release`.
   */
  onReset(call: Call, reset: StreamReset): void;
  /** The queue has drained after `sendData` said false. */
  onDrain?(call: Call): void;
}

/** What concerns the connection as a whole. */
export interface ConnectionEvents {
  /** The connection ended; comes once, after a reset event for each open stream. Send what `takeOutput` still gives, then end the transport. */
  onClose(end: ConnectionEnd): void;
  /** No new requests from now on: the peer or this side shuts down, or stream numbers ran out. Open streams go on. */
  onDraining?(): void;
  /** The answer to `ping`, in milliseconds. */
  onPong?(roundTripMs: number): void;
}

/** Events of a server. */
export interface ServerEvents<Call> extends StreamEvents<Call>, ConnectionEvents {
  /** A request; what is returned is attached to the stream. `end`: it has no body. */
  onRequest(streamId: number, head: RequestHead, end: boolean): Call;
}

/** Events of a client. */
export interface ClientEvents<Call> extends StreamEvents<Call>, ConnectionEvents {
  /** The final head of the response. `end`: it has no body; for gRPC, "trailers only". */
  onResponse(call: Call, head: ResponseHead, end: boolean): void;
  /** An interim (1xx) head. */
  onInformational?(call: Call, head: ResponseHead): void;
  /** Requests are possible again after `request` gave 0, or the peer allows more of them. */
  onAvailable?(): void;
}

/** Why a stream was cut. */
export interface StreamReset {
  /** The RFC 9113 section 7 code. */
  readonly code: ErrorCode;
  /** Who cut it: the peer, this machine (for what the peer did, or a stall), or the connection's end. */
  readonly by: "peer" | "machine" | "connection";
  /** Client: the server has done nothing for it, so it is safe to send again (RFC 9113 section 8.7). */
  readonly unprocessed: boolean;
  readonly reason: string;
}

/** How a connection ended. */
export interface ConnectionEnd {
  /** Absent after an orderly shutdown. */
  readonly error?: Http2Error;
}
