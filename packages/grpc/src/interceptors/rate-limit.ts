import { retryInfo } from "../details.ts";
import { GrpcError } from "../errors.ts";
import type { Gate } from "../server/interceptor.ts";
import { bucketKey, createStoreWithFallback } from "./shared-limit.ts";
import type { SharedBuckets, StoreListener } from "./shared-limit.ts";

/** How often each identity may call the methods of one class. */
export interface RateLimitRule {
  /** Full names ("/bank.v1.BankService/Deposit"), a whole service ("/bank.v1.BankService/*"), or "*". */
  readonly methods: readonly string[];
  /** Calls a second in the long run; more than 0. */
  readonly perSecond: number;
  /** Calls at once after a rest; at least 1. */
  readonly burst: number;
}

/** The limits of a server on how often it is called. */
export interface RateLimitOptions {
  /** A call counts against the first rule that names its method; one that none names is not limited. */
  readonly rules: readonly RateLimitRule[];
  /**
   * How many buckets are kept, of all rules together; 10,000 if absent. When that many are in use,
   * identities without one share one bucket per rule: a flood of identities costs the flood, not
   * those who have theirs (security.md S41).
   */
  readonly maxBuckets?: number;
  /**
   * Buckets that all instances share, so that a caller has his rate once and not once per instance. Each call that
   * this instance would allow is put to the store before anything of its body is read; while the store is
   * away the limits are each instance's own.
   */
  readonly shared?: SharedBuckets;
  /** How long a call waits for the shared store before it goes on without; 250 ms if absent. */
  readonly sharedTimeoutMs?: number;
  /** Milliseconds that only grow; for tests. */
  readonly now?: () => number;
}

/**
 * Limits rates by the caller's `identity`, which a renewed certificate keeps; callers without one share a bucket.
 * What is over the limit is RESOURCE_EXHAUSTED with RetryInfo, before anything of its body is read.
 *
 * @throws {TypeError} for a rule that allows nothing.
 */
export function createRateLimit(
  options: RateLimitOptions,
  onStore: StoreListener = () => undefined,
): Gate {
  const now = options.now ?? (() => performance.now());
  const classes = options.rules.map((rule) => createClass(rule));
  const table = createTable(options.maxBuckets ?? 10_000);
  const { shared, sharedTimeoutMs = 250 } = options;
  const store =
    shared && createStoreWithFallback(shared, { timeoutMs: sharedTimeoutMs, onChange: onStore });
  const byMethod = new Map<string, RateClass | undefined>();

  return (call) => {
    let found = byMethod.get(call.method);
    if (found === undefined && !byMethod.has(call.method)) {
      found = classes.find((each) => each.names(call.method));
      byMethod.set(call.method, found);
    }
    if (found === undefined) return undefined;
    const identity = call.caller?.identity ?? "";
    const waitMs = table.take(found, identity, now());
    if (waitMs > 0) return tooMany(waitMs);
    const { name, costMs, toleranceMs } = found;
    return store
      ?.take({ key: bucketKey(name, identity), costMs, toleranceMs })
      ?.then((sharedWaitMs) => (sharedWaitMs > 0 ? tooMany(sharedWaitMs) : undefined));
  };
}

function tooMany(waitMs: number): GrpcError {
  return new GrpcError("RESOURCE_EXHAUSTED", "too many calls, try again later", {
    details: [retryInfo({ delayMs: waitMs })],
  });
}

interface RateClass {
  /** What instances know the class by: its methods. */
  readonly name: string;
  names(method: string): boolean;
  /** Milliseconds that one call uses up. */
  readonly costMs: number;
  /** How far ahead of now a bucket may be used up. */
  readonly toleranceMs: number;
  /**
   * By identity: when the bucket is full again. This one number is the whole bucket (GCRA): a call moves
   * it `costMs` on, and is refused if that would be more than `toleranceMs` ahead of now.
   */
  readonly fullAt: Map<string, number>;
  /** The bucket of those who have none. */
  sharedFullAt: number;
}

function createClass({ methods, perSecond, burst }: RateLimitRule): RateClass {
  if (!(perSecond > 0 && burst >= 1 && Number.isFinite(perSecond) && Number.isFinite(burst))) {
    throw new TypeError(
      `a rate limit needs perSecond over 0 and burst of at least 1, not ${perSecond} and ${burst}`,
    );
  }
  const exact = new Set(methods);
  const prefixes = methods.filter((name) => name.endsWith("*")).map((name) => name.slice(0, -1));
  const costMs = 1_000 / perSecond;
  return {
    name: methods.join(" "),
    names: (method) => exact.has(method) || prefixes.some((prefix) => method.startsWith(prefix)),
    costMs,
    toleranceMs: costMs * burst,
    fullAt: new Map(),
    sharedFullAt: 0,
  };
}

/** The buckets of all classes, bounded together. */
function createTable(maxBuckets: number): {
  /** Takes one call out of a bucket; 0, or how long until there is one again. */
  take(rateClass: RateClass, identity: string, now: number): number;
} {
  const swept = new Set<RateClass>();
  let size = 0;
  let nextSweep = 0;
  return {
    take(rateClass, identity, now) {
      swept.add(rateClass);
      const known = rateClass.fullAt.get(identity);
      if (known === undefined && size >= maxBuckets && now >= nextSweep) {
        nextSweep = now + sweepMs;
        for (const each of swept) size -= sweep(each.fullAt, now);
      }
      const own = known !== undefined || size < maxBuckets;
      const fullAt = Math.max(now, (own ? known : rateClass.sharedFullAt) ?? 0);
      const next = fullAt + rateClass.costMs;
      const waitMs = next - rateClass.toleranceMs - now;
      // Half a nanosecond: what adding up fractions of milliseconds may be off by.
      if (waitMs > 0.000_000_5) return waitMs;
      if (!own) {
        rateClass.sharedFullAt = next;
      } else {
        if (known === undefined) size += 1;
        rateClass.fullAt.set(identity, next);
      }
      return 0;
    },
  };
}

/** Forgets the buckets that are full again; only these may be, or forgetting would refill them. */
function sweep(fullAt: Map<string, number>, now: number): number {
  let forgotten = 0;
  for (const [identity, at] of fullAt) {
    if (at > now) continue;
    fullAt.delete(identity);
    forgotten += 1;
  }
  return forgotten;
}

/** How often a full table is looked through at most. */
const sweepMs = 100;
