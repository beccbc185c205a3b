import { createHash } from "node:crypto";

/**
 * Buckets that several instances of a service share. `sharedLimitsInPostgres` and `sharedLimitsInValkey` are
 * two; a store of another kind has to take from a bucket in one atomic step, by one clock.
 */
export interface SharedBuckets {
  /**
   * Takes one call out of a bucket: 0, or how long until there is one again, in milliseconds. A rejection means
   * that the store is away.
   */
  take(bucket: SharedBucket): Promise<number>;
}

/** One bucket, as GCRA has it: a single moment, at which it is full again. */
export interface SharedBucket {
  /** 43 characters; it does not tell whose the bucket is. */
  readonly key: string;
  /** How far one call moves the moment on; over 0. */
  readonly costMs: number;
  /** How far ahead of now it may be; at least `costMs`. */
  readonly toleranceMs: number;
}

/** What a server is told when the shared store goes away or comes back. */
export type StoreListener = (change: {
  readonly available: boolean;
  readonly error: unknown;
}) => void;

/** Asks a shared store, and does without while it is away. */
export interface StoreWithFallback {
  /** Undefined where the store does not say: the local limit then decides alone. */
  take(bucket: SharedBucket): Promise<number> | undefined;
}

/**
 * Bounds how long calls wait for a store, and leaves it alone for a second after it failed: while it is away
 * each instance limits by itself (security.md S41).
 */
export function createStoreWithFallback(
  store: SharedBuckets,
  { timeoutMs, onChange }: { readonly timeoutMs: number; readonly onChange: StoreListener },
): StoreWithFallback {
  let available = true;
  let askAgainAt = -Infinity;
  const is = (now: boolean, error: unknown): void => {
    if (!now) askAgainAt = performance.now() + restMs;
    if (now === available) return;
    available = now;
    onChange({ available, error });
  };
  return {
    take(bucket) {
      if (performance.now() < askAgainAt) return undefined;
      return withinTime(() => store.take(bucket), timeoutMs).then(
        (waitMs) => {
          is(true, undefined);
          return waitMs;
        },
        (error: unknown) => {
          is(false, error);
          return 0;
        },
      );
    },
  };
}

/** The key of a caller's bucket. */
export function bucketKey(rule: string, identity: string): string {
  return createHash("sha256").update(`${rule}\n${identity}`).digest("base64url");
}

function withinTime(work: () => Promise<number>, timeoutMs: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const late = new Error(`the shared store did not answer within ${timeoutMs} ms`);
    const timer = setTimeout(reject, timeoutMs, late);
    answerOf(work)
      .then(resolve, reject)
      .finally(() => clearTimeout(timer));
  });
}

/** What throws at once has failed like what rejects, and so has what is no time. */
async function answerOf(work: () => Promise<number>): Promise<number> {
  const waitMs = await work();
  if (waitMs >= 0) return waitMs;
  throw new Error("the shared store answered with no time");
}

const restMs = 1_000;
