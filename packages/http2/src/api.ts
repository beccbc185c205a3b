import type { Phase } from "./core.ts";
import type { ErrorCode } from "./errors.ts";
import type { ClientEvents, ServerEvents } from "./events.ts";
import type { Headers } from "./header-block.ts";
import type { EncoderOptions } from "./hpack-encoder.ts";
import type { Limits, Settings, Timing } from "./limits.ts";
import type { Data } from "./send.ts";

/** What both roles are made with. */
export interface ConnectionOptions {
  /** Milliseconds of a monotonic clock, as in every later call; fractions are welcome. */
  readonly now: number;
  readonly settings?: Settings;
  readonly limits?: Limits;
  readonly timing?: Timing;
  /** How heads and trailers given as fields are compressed; the defaults are those of `EncoderOptions`. */
  readonly compression?: Partial<EncoderOptions>;
}

export interface ServerOptions<Call> extends ConnectionOptions {
  readonly role: "server";
  readonly events: ServerEvents<Call>;
}

export interface ClientOptions<Call> extends ConnectionOptions {
  readonly role: "client";
  readonly events: ClientEvents<Call>;
  /** The number of the first stream: odd. Default 1. */
  readonly firstStreamId?: number;
}

/**
 * What the driver and the application do with a connection of either role.
 *
 * The driver calls `receive` with what the transport read, `tick` when `nextTickAt` has come, and once
 * per turn, after either and after commands, `takeOutput` until it gives undefined or the transport
 * asks to wait; then again when the transport has drained. The application gives commands, at any
 * time, also from within events. A command for a stream that is no longer there does nothing: the event that says
 * so may be on its way while the command is given.
 */
export interface Connection {
  /** Takes bytes from the transport. Events come before it returns. The bytes must not change afterwards. */
  receive(bytes: Uint8Array, now: number): void;
  /** Brings the time, so that deadlines are kept. */
  tick(now: number): void;
  /** When to call `tick` at the latest; Infinity if never. Read it after each turn. */
  readonly nextTickAt: number;
  /** Bytes for the transport, at most about `outputHighWater`. They stay as they are until given back. */
  takeOutput(now: number): Uint8Array | undefined;
  /**
   * Gives back what `takeOutput` gave, once the transport has sent or copied it (in Node, in the callback
   * of `write`). Optional: it saves allocations.
   */
  giveBack(output: Uint8Array): void;
  /** The transport ended or failed. */
  transportEnded(now: number, cause?: unknown): void;

  /** `draining`: takes no new requests. `closed`: nothing more will happen, but the last output may be taken. */
  readonly phase: Phase;
  /** Streams that are open. */
  readonly openStreams: number;
  /** Octets of data that wait in streams for a window or for the transport. */
  readonly queuedBytes: number;

  /**
   * Sends data: one piece, or parts that are sent as one. False: enough is queued, wait for onDrain (more
   * is taken all the same, up to `maxQueued`). Bytes that had to wait are sent from where they are, so
   * they must not change.
   *
   * @throws TypeError after the end, or on a server before a final head
   */
  sendData(streamId: number, data: Data, options?: SendOptions): boolean;
  /**
   * Sends trailers, and with them the end of this side.
   *
   * @throws TypeError as `sendData`, and for fields that cannot be sent; Http2Error HEADERS_TOO_LARGE
   */
  sendTrailers(streamId: number, trailers: Headers): void;
  /** Cuts the stream; no event follows. What it had queued is dropped. */
  reset(streamId: number, code: ErrorCode): void;
  /**
   * Says that received octets have been worked off, so that the peer may send as many more. Octets of a
   * stream that has closed need no report.
   *
   * @throws TypeError for more octets than were received
   */
  consume(streamId: number, length: number): void;
  /**
   * Drops the rest of the peer's side unseen: no further onData, onTrailers or onInformational, and
   * nothing more to consume. A server
   * whose answer is complete resets the stream with NO_ERROR instead of waiting for the end (RFC 9113
   * section 8.1).
   */
  discard(streamId: number): void;
  /** Measures a round trip, reported to onPong; nothing while one is under way. */
  ping(now: number): void;
  /** Begins a graceful end: open streams go on, then the connection closes. */
  shutdown(now: number): void;
  /** Ends the connection at once; the peer is told the code. Default NO_ERROR. */
  abort(code?: ErrorCode, reason?: string): void;
}

/** A server's side. */
export interface ServerConnection extends Connection {
  /**
   * Sends a head: informational ones (status 1xx), then a final one.
   *
   * @throws TypeError for a second final head, and for fields that cannot be sent; Http2Error
   *   HEADERS_TOO_LARGE
   */
  sendHead(streamId: number, head: Headers, options?: SendOptions): void;
  /**
   * Sends a whole answer: head, data and trailers, of which the last given ends the stream. For a small
   * answer on an idle connection this is the shortest way there is.
   *
   * @throws TypeError and Http2Error as `sendHead` and `sendTrailers`, before anything is sent
   */
  respond(streamId: number, answer: Answer): void;
  /** After onReset: nothing works on the stream any more, its place may be given to another. */
  release(streamId: number): void;
}

/** A client's side. */
export interface ClientConnection<Call> extends Connection {
  /** Requests that may be opened now. */
  readonly availableStreams: number;
  /**
   * Opens a stream and returns its number, or 0 if none may be opened now: wait for onAvailable, or, if
   * `phase` is not open, use another connection.
   *
   * @throws TypeError for fields that cannot be sent; Http2Error HEADERS_TOO_LARGE
   */
  request(head: Headers, options: RequestOptions<Call>): number;
}

/** `end`: this is the last of this side. Default false. */
export interface SendOptions {
  readonly end?: boolean;
}

/** What `respond` sends. */
export interface Answer {
  readonly head: Headers;
  readonly data?: Data;
  readonly trailers?: Headers;
}

/** What `request` sends beside the head. */
export interface RequestOptions<Call> {
  /** Attached to the stream and given back with its events. */
  readonly call: Call;
  readonly data?: Data;
  /** No more data follows. Default false. */
  readonly end?: boolean;
}
