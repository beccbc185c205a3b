import { isIPv6 } from "node:net";

/** How many handshakes one source may begin, before any TLS work is done for it (S20). */
export interface HandshakeLimits {
  /** New connections per second from one source (an IPv4 address, an IPv6 /64). Default 50. */
  readonly perSourcePerSecond?: number;
  /** How many a source may open at once after a pause. Default 200. */
  readonly perSourceBurst?: number;
  /** Handshakes under way at once, all sources together. One source has at most an eighth. Default 1,024. */
  readonly pendingHandshakes?: number;
}

/** Admission of connections before TLS: a token bucket per source and bounded places for handshakes. */
export interface SourceLimits {
  /**
   * Whether a connection from this address may begin a handshake. If it may and all places are taken, the
   * oldest pending handshake is dropped to make room.
   *
   * @returns undefined if refused, else a function to call once the handshake is over, either way.
   */
  enter(address: string, drop: () => void): (() => void) | undefined;
  readonly pending: number;
}

/** @param clock milliseconds, monotonic. */
export function createSourceLimits(limits: HandshakeLimits, clock: () => number): SourceLimits {
  const rate = limits.perSourcePerSecond ?? 50;
  const burst = limits.perSourceBurst ?? 200;
  const places = limits.pendingHandshakes ?? 1024;
  const buckets = new Map<string, Bucket>();
  const pending = new Set<Place>();

  /** A full bucket says nothing, so it may be forgotten: the table holds only sources seen lately. */
  function prune(now: number): void {
    for (const [source, bucket] of buckets) {
      if (bucket.pending === 0 && level(bucket, now) >= burst) buckets.delete(source);
    }
  }

  function level(bucket: Bucket, now: number): number {
    return Math.min(burst, bucket.tokens + ((now - bucket.at) / 1000) * rate);
  }

  return {
    enter(address, drop) {
      const now = clock();
      if (buckets.size >= MAX_SOURCES) prune(now);
      const source = sourceOf(address);
      const shared = buckets.has(source) || buckets.size < MAX_SOURCES ? source : "everyone else";
      const bucket = buckets.get(shared) ?? { tokens: burst, at: now, pending: 0 };
      buckets.set(shared, bucket);
      const tokens = level(bucket, now);
      bucket.at = now;
      bucket.tokens = Math.max(tokens - 1, 0);
      if (tokens < 1 || bucket.pending >= Math.max(1, Math.floor(places / 8))) return undefined;

      if (pending.size >= places) {
        for (const oldest of pending) {
          oldest.leave();
          oldest.drop();
          break;
        }
      }
      bucket.pending++;
      const place: Place = {
        drop,
        leave() {
          if (pending.delete(place)) bucket.pending--;
        },
      };
      pending.add(place);
      return place.leave;
    },
    get pending() {
      return pending.size;
    },
  };
}

/** One IPv4 address, or the /64 of an IPv6 address, which one host can have to itself. */
export function sourceOf(address: string): string {
  if (!address.includes(":")) return address;
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address);
  if (mapped?.[1] !== undefined) return mapped[1];
  if (!isIPv6(address)) return address;
  const [head = "", tail] = address.split("%", 1)[0]?.split("::", 2) ?? [];
  const front = head === "" ? [] : head.split(":");
  const back = tail === undefined || tail === "" ? [] : tail.split(":");
  const gap = tail === undefined ? 0 : Math.max(0, 8 - front.length - back.length);
  return [...front, ...Array<string>(gap).fill("0"), ...back].slice(0, 4).join(":");
}

interface Bucket {
  tokens: number;
  at: number;
  pending: number;
}

interface Place {
  readonly drop: () => void;
  readonly leave: () => void;
}

const MAX_SOURCES = 65_536;
