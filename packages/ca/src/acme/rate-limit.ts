import { isIPv6 } from "node:net";
import { canonicalAddress, wordsOf } from "./ip-address.ts";

/** A token bucket per key. */
export interface RateLimit {
  /** Milliseconds until it may be tried again; 0 if it may be done now, and is counted. */
  take(key: string): number;
  /** The same, without counting it. */
  look(key: string): number;
}

/** How fast a bucket fills, and how much it holds. */
export interface RateLimitOptions {
  readonly perSecond: number;
  readonly burst: number;
  readonly clock: () => Date;
}

/**
 * A rate limit whose memory is bounded: a bucket is forgotten once it is full again, and when the
 * table is full those who are not in it share one bucket (security.md S41).
 */
export function createRateLimit({ perSecond, burst, clock }: RateLimitOptions): RateLimit {
  const buckets = new Map<string, { level: number; at: number }>();
  const fullAgainMs = (burst / perSecond) * 1_000;
  let sweptAt = -Infinity;

  return {
    take(key): number {
      const now = clock().getTime();
      const bucket = bucketOf(key, now);
      bucket.level = levelAt(bucket, now);
      bucket.at = now;
      const waitMs = waitOf(bucket.level);
      if (waitMs === 0) bucket.level -= 1;
      return waitMs;
    },
    look(key): number {
      const bucket = buckets.get(key) ?? buckets.get(sharedKey);
      return bucket === undefined ? 0 : waitOf(levelAt(bucket, clock().getTime()));
    },
  };

  function bucketOf(key: string, now: number): { level: number; at: number } {
    const known = buckets.get(key);
    if (known !== undefined) return known;
    if (buckets.size >= maxBuckets) forgetFull(now);
    const place = buckets.size >= maxBuckets ? sharedKey : key;
    const bucket = buckets.get(place) ?? { level: burst, at: now };
    buckets.set(place, bucket);
    return bucket;
  }

  function waitOf(level: number): number {
    return level >= 1 ? 0 : Math.ceil(((1 - level) / perSecond) * 1_000);
  }

  function forgetFull(now: number): void {
    if (now - sweptAt < 1_000) return;
    sweptAt = now;
    for (const [key, { at }] of buckets) if (now - at >= fullAgainMs) buckets.delete(key);
  }

  function levelAt({ level, at }: { level: number; at: number }, now: number): number {
    return Math.min(burst, level + (Math.max(0, now - at) / 1_000) * perSecond);
  }
}

/** What counts as one source: an IPv4 address, or the first half of an IPv6 address. */
export function sourceKey(address: string | undefined): string {
  const text = canonicalAddress((address ?? "").replace(/^::ffff:(?=\d+\.)|%.*$/gi, "")) ?? "";
  return isIPv6(text) ? wordsOf(text).slice(0, 4).join(":") : text;
}

const maxBuckets = 10_000;
const sharedKey = "";
