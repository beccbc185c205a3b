import type { DescMessage } from "@bufbuild/protobuf";
import { GrpcError } from "../errors.ts";
import type { Attempt } from "./attempt.ts";
import type { Codec } from "./codec.ts";
import type { Outgoing } from "./method-types.ts";
import type { AttemptEnd } from "./retry.ts";

/** A call as its caller reads it, however many attempts it takes. */
export interface Exchange {
  /** The next response message; undefined once the call has ended, however. One at a time. */
  next(): Promise<Uint8Array | undefined>;
  /** Gives the call up; without effect once it has ended. */
  cancel(): void;
  /** Resolves when the call has ended: with its error, or undefined for OK. Never rejects. */
  readonly ended: Promise<AttemptEnd>;
}

/** Sends the requests of a single attempt, each when there is room; what goes wrong with them ends it. */
export function sendStream(
  attempt: Attempt,
  requests: Outgoing<DescMessage>,
  codec: Codec,
): Exchange {
  void pump();
  return attempt;

  async function pump(): Promise<void> {
    try {
      for await (const request of requests) {
        if (attempt.over) return;
        await attempt.send(codec.encode(request).bytes);
      }
      attempt.halfClose();
    } catch (thrown) {
      attempt.fail(thrown);
    }
  }
}

/** How a call with one request is tried again. */
export interface Retrying {
  /** Starts another attempt, after so many; `onHeaders` is called when its response has begun. */
  begin(previousAttempts: number, onHeaders: () => void): Attempt;
  /** How long to wait before the next attempt; undefined is that there is none. */
  waitAfter(end: AttemptEnd, attempts: number): number | undefined;
  readonly signal: AbortSignal | undefined;
}

/** Makes attempts with one request until one is answered, or the rules say that it is enough. */
export function sendOnce(request: Uint8Array, retrying: Retrying): Exchange {
  const ended = Promise.withResolvers<AttemptEnd>();
  let attempts = 0;
  let answered = false;
  let cancelled = false;
  let endPause: (() => void) | undefined;
  let attempt = begin();

  return {
    ended: ended.promise,
    cancel() {
      cancelled = true;
      attempt.cancel();
      endPause?.();
      void attempt.ended.then(ended.resolve);
    },
    async next() {
      for (;;) {
        const bytes = await attempt.next();
        if (bytes !== undefined) {
          answered = true;
          return bytes;
        }
        const end = await attempt.ended;
        const waitMs = retrying.waitAfter(end, attempts);
        if (waitMs === undefined || answered || cancelled) {
          ended.resolve(end);
          return undefined;
        }
        await pause(waitMs);
        if (cancelled || retrying.signal?.aborted === true) {
          const options = { cause: retrying.signal?.reason, trailers: end.trailers };
          const error = new GrpcError("CANCELLED", "the call was cancelled by its signal", options);
          ended.resolve({ error, trailers: end.trailers });
          return undefined;
        }
        attempt = begin();
      }
    },
  };

  function begin(): Attempt {
    const next = retrying.begin(attempts, () => {
      answered = true;
    });
    attempts += 1;
    void next.send(request);
    next.halfClose();
    return next;
  }

  function pause(milliseconds: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(end, milliseconds);
      const { signal } = retrying;
      endPause = end;
      signal?.addEventListener("abort", end, { once: true });
      function end(): void {
        clearTimeout(timer);
        signal?.removeEventListener("abort", end);
        resolve();
      }
    });
  }
}
