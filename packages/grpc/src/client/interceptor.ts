import type { DescMethod } from "@bufbuild/protobuf";
import type { Next } from "../intercept.ts";
import type { Metadata } from "../metadata.ts";

/** What an interceptor of a client knows of the call it runs around. */
export interface ClientCall {
  /** "/bank.v1.BankService/Deposit". */
  readonly method: string;
  readonly descriptor: DescMethod;
  /** As the client was given it. */
  readonly target: string;
  /** When the caller stops waiting; undefined if never. */
  readonly deadline: Date | undefined;
  /** What is sent; an interceptor may add to it before it calls `next`. */
  readonly requestHeaders: Metadata;
}

/**
 * Runs around a client's call, whatever its shape and however many attempts it takes. `next()` runs what
 * is listed after it and the call; it resolves when the call has ended with OK and rejects with the
 * GrpcError it ended with. Throwing without calling it fails the call before anything is sent.
 */
export type ClientInterceptor = (call: ClientCall, next: Next) => Promise<void>;
