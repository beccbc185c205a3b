import type { DescMethod } from "@bufbuild/protobuf";
import { MethodOptions_IdempotencyLevel } from "@bufbuild/protobuf/wkt";
import { readRetryInfo } from "../details.ts";
import type { GrpcError } from "../errors.ts";
import type { AnyMessage } from "../intercept.ts";
import type { Metadata } from "../metadata.ts";
import type { GrpcErrorCode } from "../status.ts";

/** How failed calls are tried again. Calls whose requests are a stream are not. */
export interface RetryOptions {
  /** Attempts in all, the first included; 4 if absent. */
  readonly maxAttempts?: number;
  /** The wait before the second attempt, give or take a fifth; 100 ms if absent. It doubles each time. */
  readonly initialBackoffMs?: number;
  /** The longest wait; 5,000 ms if absent. */
  readonly maxBackoffMs?: number;
  /** Which statuses are tried again; UNAVAILABLE alone if absent. Refusals of the caller never are. */
  readonly codes?: readonly Exclude<GrpcErrorCode, "PERMISSION_DENIED" | "UNAUTHENTICATED">[];
  /**
   * Which calls may be made twice. If absent: those of methods marked `idempotency_level` in the proto
   * file, and those whose request has a `request_id` that is set.
   */
  readonly retryable?: (method: DescMethod, request: AnyMessage) => boolean;
  /** From 0 to 1, evenly; for tests. */
  readonly random?: () => number;
}

/** How an attempt ended. */
export interface AttemptEnd {
  readonly error: GrpcError | undefined;
  readonly trailers: Metadata;
}

/** The retry rules of a client, with the budget that its calls share. */
export interface RetryRules {
  mayRepeat(method: DescMethod, request: AnyMessage): boolean;
  /**
   * How long to wait before trying again after `attempts` attempts; undefined is not to. Counts the end
   * against the budget.
   */
  waitAfter(end: AttemptEnd, attempts: number): number | undefined;
}

/**
 * Creates the retry rules of a client. The budget is that of gRFC A6: a failed attempt costs a token, an
 * answered one gives back a tenth, and retries stop while half of the ten tokens are gone, so that a
 * server in trouble is not given several times its load.
 *
 * @throws {TypeError} for codes that must not be tried again.
 */
export function createRetryRules(options: RetryOptions | "never" = {}): RetryRules {
  if (options === "never") return { mayRepeat: () => false, waitAfter: () => undefined };
  const codes = new Set<GrpcErrorCode>(options.codes ?? ["UNAVAILABLE"]);
  if (codes.has("PERMISSION_DENIED") || codes.has("UNAUTHENTICATED")) {
    throw new TypeError("retry codes: PERMISSION_DENIED and UNAUTHENTICATED are never tried again");
  }
  const { maxAttempts = 4, initialBackoffMs = 100, maxBackoffMs = 5_000 } = options;
  const random = options.random ?? Math.random;
  let tokens = maxTokens;

  return {
    mayRepeat: options.retryable ?? isRepeatable,
    waitAfter({ error, trailers }, attempts) {
      const failed = error !== undefined && codes.has(error.code);
      tokens = failed ? Math.max(0, tokens - 1) : Math.min(maxTokens, tokens + tokenRatio);
      // What is wrong with a certificate does not mend itself by trying again.
      if (!failed || error.refusal?.status === 16) return undefined;
      if (attempts >= maxAttempts || tokens <= maxTokens / 2) return undefined;
      const pushback = trailers.get("grpc-retry-pushback-ms");
      if (pushback !== undefined)
        return pushbackPattern.test(pushback) ? Number(pushback) : undefined;
      const backoff = Math.min(maxBackoffMs, initialBackoffMs * 2 ** (attempts - 1));
      return Math.max(backoff * (0.8 + 0.4 * random()), readRetryInfo(error)?.delayMs ?? 0);
    },
  };
}

function isRepeatable(method: DescMethod, request: AnyMessage): boolean {
  if (method.idempotency !== MethodOptions_IdempotencyLevel.IDEMPOTENCY_UNKNOWN) return true;
  const { requestId } = request as unknown as { readonly requestId?: unknown };
  return typeof requestId === "string" && requestId !== "";
}

const maxTokens = 10;
const tokenRatio = 0.1;
const pushbackPattern = /^\d{1,9}$/;
