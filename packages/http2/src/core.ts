import type { ConnectionEnd, StreamReset } from "./events.ts";
import type { Fields } from "./fields.ts";
import { ReceiveWindow, WindowTuner } from "./flow-control.ts";
import {
  clientPreface,
  largestInt31,
  protocolInitialWindow,
  smallestMaxFrameSize,
} from "./frames.ts";
import { HeadMemo } from "./head-memo.ts";
import { HeadReader } from "./head.ts";
import type { RequestHead, ResponseHead } from "./head.ts";
import { HpackDecoder } from "./hpack-decoder.ts";
import { HpackEncoder, defaultTableSize } from "./hpack-encoder.ts";
import type { EncoderOptions } from "./hpack-encoder.ts";
import { PingStrikes, TokenBucket } from "./limits.ts";
import type { RateLimit, ResolvedOptions } from "./limits.ts";
import { Output } from "./output.ts";
import { RecentStreams, StreamList } from "./stream.ts";
import type { Stream } from "./stream.ts";

/** The events of both roles with nothing optional, so that each call site sees one shape. */
export interface CoreEvents {
  readonly onRequest: (streamId: number, head: RequestHead, end: boolean) => unknown;
  readonly onResponse: (call: unknown, head: ResponseHead, end: boolean) => void;
  readonly onInformational: (call: unknown, head: ResponseHead) => void;
  readonly onData: (call: unknown, bytes: Uint8Array, end: boolean) => void;
  readonly onTrailers: (call: unknown, fields: Fields) => void;
  readonly onReset: (call: unknown, reset: StreamReset) => void;
  readonly onDrain: (call: unknown) => void;
  readonly onClose: (end: ConnectionEnd) => void;
  readonly onDraining: () => void;
  readonly onAvailable: () => void;
  readonly onPong: (roundTripMs: number) => void;
}

/**
 * `open`: in use. `draining`: no new requests, open streams go on. `closed`: over; input and commands
 * are ignored, the last output may still be taken.
 */
export type Phase = "open" | "draining" | "closed";

/** Our own pings say in their first half what they are for, and in the second which one they are. */
export const pingPurposes = { keepalive: 1, probe: 2, goaway: 3, application: 4 } as const;

/**
 * The state of one connection. The modules beside this one are the functions that change it: receive*
 * for what arrives, send for what goes out, lifecycle for what begins and ends, timing for deadlines.
 */
export class Core {
  readonly isServer: boolean;
  readonly events: CoreEvents;
  readonly options: ResolvedOptions;
  /** The time of the last call that brought it. */
  now: number;
  phase: Phase = "open";
  /** Guards against events calling back into the driver's functions. */
  running: boolean = false;

  // Streams.
  readonly streams: Map<number, Stream> = new Map();
  /** Records of closed streams, to be used again. */
  readonly spareRecords: Stream[] = [];
  /** Server: streams that were cut while the application works on them, and what they have not consumed. */
  readonly held: Map<number, number> = new Map();
  /** Streams that ended in order, or by the peer's reset. */
  readonly recentlyEnded: RecentStreams = new RecentStreams(128);
  /** Streams this side reset: frames for them may still be on the way. */
  readonly recentlyReset: RecentStreams = new RecentStreams(1_024);
  /** Server: the stream whose onRequest is running, and why it was cut meanwhile, if it was. */
  announcedStream: number = 0;
  announcedReset: StreamReset | undefined;
  /** The highest stream the peer opened. */
  lastPeerStream: number = 0;
  /** The next stream this side opens. */
  nextOwnStream: number;
  /** Client: `request` gave 0, the application waits for onAvailable. */
  requestRefused: boolean = false;

  // What the peer announced.
  peerSettingsReceived: boolean = false;
  peerMaxFrameSize: number = smallestMaxFrameSize;
  peerInitialWindow: number = protocolInitialWindow;
  peerMaxStreams: number = 100;
  peerMaxHeaderListSize: number = Infinity;

  // What this side announced and the peer has not acknowledged, oldest first.
  readonly unacknowledgedSettings: { readonly deadline: number; readonly streamWindow: number }[] =
    [];

  // Receiving. The registers of the frame that is being read; `partial` holds its octets while it is
  // not complete.
  prefaceSeen: number;
  partial: Uint8Array = noBytes;
  partialLength: number = 0;
  frameFlags: number = 0;
  frameStream: number = 0;
  /** DATA is passed on as it arrives: what is left of the frame that has begun. */
  dataLeft: number = 0;
  paddingLeft: number = 0;
  dataEnds: boolean = false;
  dataStream: number = 0;
  /** A header block is passed on whole: what has arrived while CONTINUATION is due, or 0 for its stream. */
  blockStream: number = 0;
  blockEnds: boolean = false;
  blockSelfDependent: boolean = false;
  block: Uint8Array = noBytes;
  blockLength: number = 0;
  blockFrames: number = 0;
  readonly decoder: HpackDecoder;
  readonly headReader: HeadReader = new HeadReader();
  readonly memo: HeadMemo = new HeadMemo();
  readonly window: ReceiveWindow = new ReceiveWindow();
  /** What new streams may send us at first. */
  streamWindow: number;
  readonly tuner: WindowTuner;

  // Sending.
  readonly output: Output = new Output();
  readonly encoder: HpackEncoder;
  sendWindow: number = protocolInitialWindow;
  /** Octets of data that wait in streams. */
  queued: number = 0;
  /** Streams that have something to send. */
  readonly ready: StreamList = new StreamList();
  /** Streams that wait for the connection's window. */
  readonly windowBlocked: StreamList = new StreamList();
  /** Streams whose application is to be told that the queue has drained. */
  readonly drained: number[] = [];
  /** DATA frames sent since the peer's WINDOW_UPDATE frames were last counted against them. */
  dataFramesSent: number = 0;

  // The end.
  /** Streams above it were not and will not be processed, as told in a GOAWAY. */
  goawayLast: number = largestInt31;
  goawayFinal: boolean = false;
  peerGoawayLast: number = largestInt31;
  peerGoawayCode: number = 0;
  peerGoawayReceived: boolean = false;

  // Deadlines; Infinity where none runs.
  handshakeDeadline: number;
  frameDeadline: number = Infinity;
  goawayDeadline: number = Infinity;
  idleSince: number;
  lastReceivedAt: number;
  keepaliveDeadline: number = Infinity;
  nextStallLook: number = Infinity;
  outputStalledSince: number = -1;
  slabDeadline: number = Infinity;
  pingCounter: number = 0;
  applicationPingAt: number = -1;

  // Counters against floods, made when first needed.
  readonly pings: PingStrikes;
  readonly #buckets: Map<FloodName, TokenBucket> = new Map();

  constructor(
    isServer: boolean,
    events: CoreEvents,
    { options, encoder, now, firstStreamId }: CoreOptions,
  ) {
    this.isServer = isServer;
    this.events = events;
    this.options = options;
    this.now = now;
    this.nextOwnStream = firstStreamId;
    this.prefaceSeen = isServer ? 0 : clientPreface.length;
    this.decoder = new HpackDecoder(defaultTableSize);
    this.encoder = new HpackEncoder(encoder);
    // A smaller window binds the peer only once it has acknowledged it (RFC 9113 section 6.9.2).
    this.streamWindow = Math.max(options.streamWindow, protocolInitialWindow);
    this.tuner = new WindowTuner(options.streamWindow, options.maxWindow);
    this.handshakeDeadline = now + options.handshakeMs;
    this.idleSince = now;
    this.lastReceivedAt = now;
    this.pings = new PingStrikes(options.pings);
  }

  /** The bucket that counts one kind of event. */
  bucket(name: FloodName): TokenBucket {
    let bucket = this.#buckets.get(name);
    if (bucket === undefined) {
      bucket = new TokenBucket(this.options[name], this.now);
      this.#buckets.set(name, bucket);
    }
    return bucket;
  }
}

/** What a core is made with, beside role and events. */
export interface CoreOptions {
  readonly options: ResolvedOptions;
  readonly encoder: EncoderOptions;
  readonly now: number;
  readonly firstStreamId: number;
}

/** The limits that are rates. */
export type FloodName = {
  [Name in keyof ResolvedOptions]: ResolvedOptions[Name] extends RateLimit ? Name : never;
}[keyof ResolvedOptions];

const noBytes = new Uint8Array(0);
