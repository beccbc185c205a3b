import {
  largestInt31,
  largestMaxFrameSize,
  protocolInitialWindow,
  smallestMaxFrameSize,
} from "./frames.ts";

/** A token bucket: `burst` at once, then `perSecond`. */
export interface RateLimit {
  readonly burst: number;
  readonly perSecond: number;
}

/** What this side announces in SETTINGS, and how its windows grow. */
export interface Settings {
  /** Requests the peer may have open at once; server only. Default 100. */
  readonly maxConcurrentStreams?: number;
  /**
   * Octets of a decoded header list, each field counting 32 more (RFC 9113 section 10.5.1). Default
   * 16,384. A request beyond it is answered 431, a response or trailers beyond it reset the stream.
   */
  readonly maxHeaderListSize?: number;
  /** Octets of dynamic table for the peer's encoder, 0 to 65,536. Default 4,096. */
  readonly headerTableSize?: number;
  /** Octets of one frame's payload, 16,384 to 16,777,215. Default 16,384. */
  readonly maxFrameSize?: number;
  /** Octets a stream may have received and not consumed, at first. Default 262,144. */
  readonly streamWindow?: number;
  /** The same for all streams together, at least 65,535. Default 1,048,576. */
  readonly connectionWindow?: number;
  /**
   * What both windows may grow to as the measured bandwidth-delay product asks. Default 8,388,608. Equal
   * to or below the two above: no growth and no probing pings.
   */
  readonly maxWindow?: number;
}

/** Bounds on what a hostile or broken peer can cost. Exceeding one of the rates ends the connection with ENHANCE_YOUR_CALM. */
export interface Limits {
  /** Streams the peer opens and resets itself (CVE-2023-44487). Default 500, then 100 a second. */
  readonly peerResets?: RateLimit;
  /** Streams we must reset for what the peer did on them (CVE-2025-8671). Default 100, then 10 a second. */
  readonly forcedResets?: RateLimit;
  /** Requests refused because too many are open or still being worked on. Default 1,000, then 100 a second. */
  readonly refusedStreams?: RateLimit;
  /** SETTINGS frames (CVE-2019-9515). Default 20, then 1 a second. */
  readonly settingsFrames?: RateLimit;
  /** DATA without data or end (CVE-2019-9518), and PING answers nobody asked for. Default 200, then 50 a second. */
  readonly emptyFrames?: RateLimit;
  /** PRIORITY frames (CVE-2019-9513). Default 200, then 20 a second. */
  readonly priorityFrames?: RateLimit;
  /** Frames of unknown type (RFC 9113 section 5.5). Default 200, then 20 a second. */
  readonly unknownFrames?: RateLimit;
  /** WINDOW_UPDATE frames; each DATA frame we send earns two more. Default 2,000, then 1,000 a second. */
  readonly windowUpdates?: RateLimit;
  /** Interim (1xx) responses, client only. Default 100, then 10 a second. */
  readonly informationalHeads?: RateLimit;
  /**
   * PING frames (CVE-2019-9512), counted as gRPC does: a ping within `minIntervalMs` of the last is a
   * strike, more than `maxStrikes` end the connection, and data or heads flowing either way forgive all.
   * Default 5,000 ms, 2 strikes.
   */
  readonly pings?: { readonly minIntervalMs: number; readonly maxStrikes: number };
  /** CONTINUATION frames of one header block (CVE-2024-27316). Default 8. */
  readonly maxContinuations?: number;
  /** Encoded octets of one header block. Default maxHeaderListSize + 1,024. */
  readonly maxHeaderBlockSize?: number;
  /** Entries of one SETTINGS frame. Default 32. */
  readonly maxSettingsEntries?: number;
  /** Octets of answers (PING and SETTINGS acknowledgements, resets) that may wait for a peer that does not read. Default 262,144 beyond `outputHighWater`. */
  readonly maxUnreadAnswers?: number;
  /** Octets gathered for one write; what is more waits with its stream. Default 131,072. */
  readonly outputHighWater?: number;
  /** Octets a stream may queue before `sendData` says false. Default 65,536. */
  readonly streamHighWater?: number;
  /** Octets all streams together may queue; the stream that goes beyond is reset with ENHANCE_YOUR_CALM. Default 67,108,864. */
  readonly maxQueued?: number;
  /**
   * A received piece of data shorter than this is copied if its chunk is four times as long or more, so
   * that a kept piece does not pin a chunk. 0 never copies: for applications that keep no views. Default
   * 1,024.
   */
  readonly copyBelow?: number;
}

/** Deadlines in milliseconds. */
export interface Timing {
  /** For the peer's preface and first SETTINGS. Default 10,000. */
  readonly handshakeMs?: number;
  /** For the acknowledgement of our SETTINGS (RFC 9113 section 6.5.3). Default 10,000. */
  readonly settingsAckMs?: number;
  /** For the rest of a header block or control frame once it has begun. Default 10,000. */
  readonly frameMs?: number;
  /** For queued data or unread output to move at all; found at the latest after half as long again. Default 60,000. */
  readonly stallMs?: number;
  /** Without streams this long, the connection shuts down gracefully. Default 0: never. */
  readonly idleMs?: number;
  /** Silence after which a ping is sent. Default 0: never. */
  readonly keepaliveMs?: number;
  /** For anything to arrive after a keepalive ping. Default 20,000. */
  readonly keepaliveTimeoutMs?: number;
  /** Whether keepalive pings are also sent while no stream is open. Default false. */
  readonly keepaliveWithoutStreams?: boolean;
  /** For the round trip between the two GOAWAY frames of a graceful shutdown. Default 1,000. */
  readonly goawayMs?: number;
}

/** All three, complete and checked. */
export type ResolvedOptions = Required<Settings> & Required<Limits> & Required<Timing>;

/**
 * Fills in the defaults.
 *
 * @throws TypeError for a setting outside what RFC 9113 section 6.5.2 allows
 */
export function resolveOptions(
  settings: Settings = {},
  limits: Limits = {},
  timing: Timing = {},
): ResolvedOptions {
  const maxHeaderListSize = settings.maxHeaderListSize ?? 16_384;
  const outputHighWater = limits.outputHighWater ?? 131_072;
  const resolved: ResolvedOptions = {
    maxConcurrentStreams: settings.maxConcurrentStreams ?? 100,
    maxHeaderListSize,
    headerTableSize: settings.headerTableSize ?? 4_096,
    maxFrameSize: settings.maxFrameSize ?? smallestMaxFrameSize,
    streamWindow: settings.streamWindow ?? 262_144,
    connectionWindow: settings.connectionWindow ?? 1_048_576,
    maxWindow: settings.maxWindow ?? 8_388_608,
    peerResets: limits.peerResets ?? { burst: 500, perSecond: 100 },
    forcedResets: limits.forcedResets ?? { burst: 100, perSecond: 10 },
    refusedStreams: limits.refusedStreams ?? { burst: 1_000, perSecond: 100 },
    settingsFrames: limits.settingsFrames ?? { burst: 20, perSecond: 1 },
    emptyFrames: limits.emptyFrames ?? { burst: 200, perSecond: 50 },
    priorityFrames: limits.priorityFrames ?? { burst: 200, perSecond: 20 },
    unknownFrames: limits.unknownFrames ?? { burst: 200, perSecond: 20 },
    windowUpdates: limits.windowUpdates ?? { burst: 2_000, perSecond: 1_000 },
    informationalHeads: limits.informationalHeads ?? { burst: 100, perSecond: 10 },
    pings: limits.pings ?? { minIntervalMs: 5_000, maxStrikes: 2 },
    maxContinuations: limits.maxContinuations ?? 8,
    maxHeaderBlockSize: limits.maxHeaderBlockSize ?? maxHeaderListSize + 1_024,
    maxSettingsEntries: limits.maxSettingsEntries ?? 32,
    maxUnreadAnswers: limits.maxUnreadAnswers ?? 262_144,
    outputHighWater,
    streamHighWater: limits.streamHighWater ?? 65_536,
    maxQueued: limits.maxQueued ?? 67_108_864,
    copyBelow: limits.copyBelow ?? 1_024,
    handshakeMs: timing.handshakeMs ?? 10_000,
    settingsAckMs: timing.settingsAckMs ?? 10_000,
    frameMs: timing.frameMs ?? 10_000,
    stallMs: timing.stallMs ?? 60_000,
    idleMs: timing.idleMs ?? 0,
    keepaliveMs: timing.keepaliveMs ?? 0,
    keepaliveTimeoutMs: timing.keepaliveTimeoutMs ?? 20_000,
    keepaliveWithoutStreams: timing.keepaliveWithoutStreams ?? false,
    goawayMs: timing.goawayMs ?? 1_000,
  };
  checkRange("maxConcurrentStreams", resolved.maxConcurrentStreams, [0, largestInt31]);
  checkRange("maxHeaderListSize", maxHeaderListSize, [256, largestMaxFrameSize]);
  checkRange("headerTableSize", resolved.headerTableSize, [0, 65_536]);
  checkRange("maxFrameSize", resolved.maxFrameSize, [smallestMaxFrameSize, largestMaxFrameSize]);
  checkRange("streamWindow", resolved.streamWindow, [0, largestInt31]);
  checkRange("connectionWindow", resolved.connectionWindow, [protocolInitialWindow, largestInt31]);
  checkRange("maxWindow", resolved.maxWindow, [0, largestInt31]);
  return resolved;
}

/** Counts events against a {@link RateLimit}; time comes with each question. */
export class TokenBucket {
  readonly #limit: RateLimit;
  #tokens: number;
  #at: number;

  constructor(limit: RateLimit, now: number) {
    this.#limit = limit;
    this.#tokens = limit.burst;
    this.#at = now;
  }

  /** Takes one token; false if there is none. */
  take(now: number): boolean {
    const { burst, perSecond } = this.#limit;
    this.#tokens = Math.min(burst, this.#tokens + ((now - this.#at) * perSecond) / 1_000);
    this.#at = now;
    if (this.#tokens < 1) {
      return false;
    }
    this.#tokens -= 1;
    return true;
  }

  /** Gives tokens for something the peer did to deserve them, up to the burst. */
  earn(tokens: number): void {
    this.#tokens = Math.min(this.#limit.burst, this.#tokens + tokens);
  }
}

/**
 * Counts a peer's pings as gRPC does: too many in too short a time, with nothing else going on, are an
 * attack; a client that measures the bandwidth pings once per round trip, but moves data meanwhile.
 */
export class PingStrikes {
  readonly #minIntervalMs: number;
  readonly #maxStrikes: number;
  #lastAt: number = Number.NEGATIVE_INFINITY;
  #strikes: number = 0;

  constructor(limit: { readonly minIntervalMs: number; readonly maxStrikes: number }) {
    this.#minIntervalMs = limit.minIntervalMs;
    this.#maxStrikes = limit.maxStrikes;
  }

  /** Counts a ping; false if it is one too many. */
  take(now: number): boolean {
    this.#strikes = now - this.#lastAt < this.#minIntervalMs ? this.#strikes + 1 : 0;
    this.#lastAt = now;
    return this.#strikes <= this.#maxStrikes;
  }

  /** Data or a head went either way. */
  forgive(): void {
    this.#strikes = 0;
    this.#lastAt = Number.NEGATIVE_INFINITY;
  }
}

function checkRange(
  name: string,
  value: number,
  [least, greatest]: readonly [number, number],
): void {
  if (!Number.isInteger(value) || value < least || value > greatest) {
    throw new TypeError(
      `settings: ${name} must be an integer from ${least} to ${greatest}, found ${value}`,
    );
  }
}
