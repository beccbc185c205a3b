import type { Any } from "@bufbuild/protobuf/wkt";
import type { Refusal } from "@handfast/tls";
import { Metadata } from "./metadata.ts";
import type { GrpcErrorCode } from "./status.ts";

/** Extras of a GrpcError. */
export interface GrpcErrorOptions {
  /** google.rpc details, sent to the peer: see errorInfo, badRequest, retryInfo. */
  readonly details?: readonly Any[];
  /** What was caught; never sent to the peer. */
  readonly cause?: unknown;
  /** What to do next; the table's hint if absent. Never sent to the peer. */
  readonly hint?: string;
  /** Sent by a server beside the status; on a client, what came with it. */
  readonly trailers?: Metadata;
  /** Set where the connection itself was refused, by us or by the peer. */
  readonly refusal?: Refusal;
}

/**
 * The one error of gRPC calls: a handler throws it to end a call with this status, a client's call
 * rejects with it. `message` is sent to the peer as `grpc-message`.
 */
export class GrpcError extends Error {
  override readonly name = "GrpcError";
  readonly code: GrpcErrorCode;
  /** The gRPC status number of `code`. */
  readonly status: number;
  readonly hint: string;
  readonly details: readonly Any[];
  readonly trailers: Metadata;
  readonly refusal: Refusal | undefined;

  constructor(code: GrpcErrorCode, message: string, options: GrpcErrorOptions = {}) {
    super(message, "cause" in options ? { cause: options.cause } : undefined);
    this.code = code;
    this.status = grpcErrors[code].status;
    this.hint = options.hint ?? grpcErrors[code].hint;
    this.details = options.details ?? [];
    this.trailers = options.trailers ?? new Metadata();
    this.refusal = options.refusal;
  }
}

/** What each code means and what to do about it; `public` says that the peer sees the message. */
export const grpcErrors: Readonly<Record<GrpcErrorCode, GrpcErrorEntry>> = {
  CANCELLED: {
    message: "the caller gave the call up",
    hint: "nothing to mend, unless the caller did not mean to: look for an aborted signal",
    status: 1,
    public: true,
  },
  UNKNOWN: {
    message: "the peer answered with a status that says nothing",
    hint: "look at the server's log for this time and method",
    status: 2,
    public: true,
  },
  INVALID_ARGUMENT: {
    message: "the request is wrong, whatever the state of the system",
    hint: "mend the request; the BadRequest detail names the fields",
    status: 3,
    public: true,
  },
  DEADLINE_EXCEEDED: {
    message: "the deadline passed before the call was done",
    hint: "see whether the server is slow or the deadline short; the call may still have had its effect",
    status: 4,
    public: true,
  },
  NOT_FOUND: {
    message: "what the request names does not exist",
    hint: "check the name, and whose it is",
    status: 5,
    public: true,
  },
  ALREADY_EXISTS: {
    message: "what the request would create exists already",
    hint: "read it, or choose another name",
    status: 6,
    public: true,
  },
  PERMISSION_DENIED: {
    message: "the caller is known and may not do this",
    hint: "ask who owns the server's policy; `handfast policy decide` says which rule decides",
    status: 7,
    public: true,
  },
  RESOURCE_EXHAUSTED: {
    message: "a limit is used up: rate, message size or quota",
    hint: "wait as the RetryInfo detail says, or send less at a time",
    status: 8,
    public: true,
  },
  FAILED_PRECONDITION: {
    message: "the system is not in the state that the request needs",
    hint: "change the state first; trying the same again will not help",
    status: 9,
    public: true,
  },
  ABORTED: {
    message: "the operation met another one that was under way",
    hint: "try the whole operation again",
    status: 10,
    public: true,
  },
  OUT_OF_RANGE: {
    message: "a value is past the end of what is valid",
    hint: "stay within the range",
    status: 11,
    public: true,
  },
  UNIMPLEMENTED: {
    message: "the server does not have this method, or not this way of calling it",
    hint: "check that client and server were generated from the same proto file",
    status: 12,
    public: true,
  },
  INTERNAL: {
    message: "something the server relies on is broken",
    hint: "look at the server's events for the request id",
    status: 13,
    public: true,
  },
  UNAVAILABLE: {
    message: "the server cannot be reached or is not taking calls",
    hint: "check address, port and that it runs; `handfast doctor HOST:PORT` says more",
    status: 14,
    public: true,
  },
  DATA_LOSS: {
    message: "data are lost or damaged beyond repair",
    hint: "stop writing and look at the server's store",
    status: 15,
    public: true,
  },
  UNAUTHENTICATED: {
    message: "there is no verified certificate behind the call",
    hint: "see the refusal's code; `handfast verify FILE` says whether a peer would accept a certificate",
    status: 16,
    public: true,
  },
};

/** One row of the table of errors. */
export interface GrpcErrorEntry {
  readonly message: string;
  readonly hint: string;
  readonly status: number;
  readonly public: boolean;
}
