import type { EngineChannel, EngineClientCall, EngineOutcome } from "../engine.ts";
import { GrpcError } from "../errors.ts";
import type { Metadata } from "../metadata.ts";
import type { ClientTelemetry } from "../telemetry/client-telemetry.ts";
import type { Exchange } from "./exchange.ts";
import { errorOf } from "./outcome.ts";
import type { AttemptEnd } from "./retry.ts";

/** How one attempt at a call is made. */
export interface AttemptOptions {
  readonly path: string;
  readonly headers: Metadata;
  /** Milliseconds since 1970; Infinity for none. */
  readonly deadline: number;
  readonly waitForReady: boolean;
  readonly whateverHealth: boolean;
  readonly previousAttempts: number;
  readonly target: string;
  readonly signal: AbortSignal | undefined;
  readonly telemetry: ClientTelemetry | undefined;
  onHeaders(headers: Metadata): void;
}

/** One attempt at a call: bytes out, bytes in, and a status. */
export interface Attempt extends Exchange {
  /** Sends a request message; resolves when there is room for the next, or the call is over. */
  send(message: Uint8Array): Promise<void>;
  halfClose(): void;
  /** Gives the call up because of this, which `ended` then tells. */
  fail(thrown: unknown): void;
  readonly over: boolean;
}

/** Starts one attempt at a call. */
export function startAttempt(channel: EngineChannel, options: AttemptOptions): Attempt {
  const ended = Promise.withResolvers<AttemptEnd>();
  const measure = options.telemetry?.attempt(options);
  let sentBytes = 0;
  let receivedBytes = 0;
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
    onMessage(message) {
      receivedBytes += message.length;
      settle(message);
    },
    onStatus(outcome) {
      over = true;
      signal?.removeEventListener("abort", cancel);
      const error = failure ?? endOf(outcome, options);
      measure?.({ error, sentBytes, receivedBytes });
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
    send(message) {
      if (over) return Promise.resolve();
      sentBytes += message.length;
      return new Promise((resolve) => call.send(message, resolve));
    },
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
