/**
 * The seam between gRPC as this package means it and whatever speaks HTTP/2 below. An engine turns
 * connected sockets into calls and calls into frames: it knows message boundaries, header blocks, flow
 * control, compression and GOAWAY; it knows nothing of services, handlers, peers or policies. Messages
 * cross the seam as bytes, one at a time and only when asked for, so that back-pressure passes through.
 */
import type { Duplex } from "node:stream";
import type { Limits, Timing } from "@handfast/http2";
import type { Metadata } from "./metadata.ts";

/** How a call ended, as it stands in the trailers. */
export interface EngineStatus {
  /** 0 to 16. */
  readonly status: number;
  readonly message: string;
  /** The value of `grpc-status-details-bin`. */
  readonly details: Uint8Array | undefined;
}

/** Limits that only the engine can keep. */
export interface EngineLimits {
  /** A longer message from the peer, as sent or as inflated, ends its call with RESOURCE_EXHAUSTED. */
  readonly maxReceiveMessageBytes: number;
  /** Calls at a time on one connection. */
  readonly maxConcurrentStreams: number;
  /** Longer request headers may be cut short by the engine; it takes at least these. */
  readonly maxHeaderBytes: number;
  /** Whether responses are compressed for clients that accept it; `identity` if absent. */
  readonly compression?: "identity" | "gzip";
  /** What a hostile peer may cost on one connection. */
  readonly http2?: Limits;
  readonly timing?: Timing;
}

/** The server's side of an engine. */
export interface ServerEngine {
  /** Makes a path known; a call to any other is answered UNIMPLEMENTED. */
  register(path: string): void;
  /**
   * Takes over a connected socket with no write in flight. `onUnknown` is told of each call to a path that was
   * not registered, once it is answered.
   */
  accept(
    socket: Duplex,
    onCall: (call: EngineServerCall) => void,
    onUnknown?: () => void,
  ): EngineConnection;
}

/** One connection of a server. */
export interface EngineConnection {
  /** GOAWAY: no new calls; the connection ends when those in flight have. */
  drain(): void;
}

/** A call that has arrived, its head read, no message read yet. */
export interface EngineServerCall {
  /** As sent: "/bank.v1.BankService/Deposit". */
  readonly path: string;
  readonly headers: Metadata;
  /** Milliseconds since 1970, from `grpc-timeout`; undefined if there is none. */
  readonly deadline: number | undefined;
  /** Says who listens. Called once, before anything else. */
  start(listener: EngineServerListener): void;
  /** Asks for the next message or the end; at most one request is open. */
  read(): void;
  /** Sends the response headers; at most once, before the first message. */
  sendHeaders(headers: Metadata): void;
  /** Sends a message; `written` is called when there is room for the next. */
  send(message: Uint8Array, written: () => void): void;
  /** Ends the call. Nothing may be sent after it. */
  finish(status: EngineStatus, trailers: Metadata): void;
  /**
   * Nothing works on the call any more. Until this, a call that its client has left keeps its place among
   * those the connection may have, or a client could start work faster than it ends (S38).
   */
  release?(): void;
}

/** What happens to a call on a server. Nothing is called after `onGone`. */
export interface EngineServerListener {
  onMessage(message: Uint8Array): void;
  /** The client will send no more. */
  onEnd(): void;
  /** The call is over without our doing: `status` says how if the engine has ended it, else the client left. */
  onGone(status: EngineStatus | undefined): void;
}

/** The client's side of an engine: one logical channel to a target. */
export interface EngineChannel {
  start(request: EngineRequest, listener: EngineClientListener): EngineClientCall;
  /** No new calls; connections end when their calls have. */
  close(): void;
}

/** What a call begins with. */
export interface EngineRequest {
  readonly path: string;
  readonly headers: Metadata;
  /** Milliseconds since 1970; Infinity for none. */
  readonly deadline: number;
  /** How many attempts at this call came before; sent as `grpc-previous-rpc-attempts` if any. */
  readonly previousAttempts: number;
  /** Whether to wait while the channel cannot connect, rather than fail at once. */
  readonly waitForReady: boolean;
  /** Whether it goes to a server that says it does not serve, too: it is asked for that. Default false. */
  readonly whateverHealth?: boolean;
}

/** A call under way on a client. */
export interface EngineClientCall {
  /** Asks for the next message; at most one request is open. */
  read(): void;
  /** Sends a message; `written` is called when there is room for the next, or the call is over. */
  send(message: Uint8Array, written: () => void): void;
  halfClose(): void;
  /** Gives the call up; `onStatus` follows. */
  cancel(): void;
}

/** What happens to a call on a client. `onStatus` is called once and last. */
export interface EngineClientListener {
  onHeaders(headers: Metadata): void;
  onMessage(message: Uint8Array): void;
  onStatus(outcome: EngineOutcome): void;
}

/** How a call on a client ended. */
export interface EngineOutcome extends EngineStatus {
  readonly trailers: Metadata;
  /** Why no connection could be made, where that is what ended the call. */
  readonly cause: unknown;
}
