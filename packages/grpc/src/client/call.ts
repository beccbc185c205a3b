import type { DescMethod } from "@bufbuild/protobuf";
import type { EngineChannel, EngineClientCall, EngineOutcome } from "../engine.ts";
import { GrpcError } from "../errors.ts";
import { Metadata } from "../metadata.ts";
import { errorOf } from "./outcome.ts";

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

/** How one attempt at a call is made. */
export interface AttemptOptions {
  readonly path: string;
  readonly headers: Metadata;
  /** Milliseconds since 1970; Infinity for none. */
  readonly deadline: number;
  readonly waitForReady: boolean;
  readonly target: string;
  readonly signal: AbortSignal | undefined;
  onHeaders(headers: Metadata): void;
}

/** One attempt at a call: bytes out, bytes in, and a status. */
export interface Attempt {
  /** The next response message; undefined once the call has ended, however. One at a time. */
  next(): Promise<Uint8Array | undefined>;
  /** Sends a request message; resolves when there is room for the next, or the call is over. */
  send(message: Uint8Array): Promise<void>;
  halfClose(): void;
  /** Gives the call up; without effect once it has ended. */
  cancel(): void;
  /** Gives the call up because of this, which `ended` then tells. */
  fail(thrown: unknown): void;
  readonly over: boolean;
  /** Resolves when the call has ended: with its error, or undefined for OK. Never rejects. */
  readonly ended: Promise<{ readonly error: GrpcError | undefined; readonly trailers: Metadata }>;
}

/** Starts one attempt at a call. */
export function startAttempt(channel: EngineChannel, options: AttemptOptions): Attempt {
  const ended = Promise.withResolvers<{ error: GrpcError | undefined; trailers: Metadata }>();
  let over = false;
  let failure: GrpcError | undefined;
  let pending: ((message: Uint8Array | undefined) => void) | undefined;
  const settle = (message: Uint8Array | undefined): void => {
    const resolve = pending;
    pending = undefined;
    resolve?.(message);
  };
  const { signal } = options;
  const call: EngineClientCall = channel.start(options, {
    onHeaders: (headers) => options.onHeaders(headers),
    onMessage: settle,
    onStatus(outcome) {
      over = true;
      signal?.removeEventListener("abort", cancel);
      const error = failure ?? endOf(outcome, options);
      ended.resolve({ error, trailers: outcome.trailers });
      settle(undefined);
    },
  });
  function cancel(): void {
    if (!over) call.cancel();
  }
  if (signal?.aborted === true) cancel();
  else signal?.addEventListener("abort", cancel, { once: true });

  return {
    ended: ended.promise,
    get over() {
      return over;
    },
    cancel,
    fail(thrown) {
      failure ??=
        thrown instanceof GrpcError
          ? thrown
          : new GrpcError("CANCELLED", "the requests could not be produced", { cause: thrown });
      cancel();
    },
    halfClose: () => call.halfClose(),
    send: (message) =>
      over ? Promise.resolve() : new Promise((resolve) => call.send(message, resolve)),
    next() {
      if (over) return Promise.resolve(undefined);
      return new Promise((resolve) => {
        pending = resolve;
        call.read();
      });
    },
  };
}

function endOf(outcome: EngineOutcome, { signal, target }: AttemptOptions): GrpcError | undefined {
  const error = errorOf(outcome, target);
  if (error?.code !== "CANCELLED" || signal?.aborted !== true) return error;
  return new GrpcError("CANCELLED", "the call was cancelled by its signal", {
    cause: signal.reason,
    trailers: outcome.trailers,
  });
}
