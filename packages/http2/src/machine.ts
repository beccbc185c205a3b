import type {
  Answer,
  ClientConnection,
  RequestOptions,
  SendOptions,
  ServerConnection,
} from "./api.ts";
import { pingPurposes } from "./core.ts";
import type { Core, Phase } from "./core.ts";
import { Http2Error, errorCodes } from "./errors.ts";
import type { ErrorCode } from "./errors.ts";
import { largestInt31 } from "./frames.ts";
import { headerValue } from "./header-block.ts";
import type { Headers } from "./header-block.ts";
import {
  closeIfEnded,
  creditConnection,
  creditStream,
  endConnection,
  beginShutdown,
  failConnection,
  finishShutdown,
  openStream,
  peerGoawayError,
  releaseStream,
  resetStream,
  sendOwnPing,
  settle,
} from "./lifecycle.ts";
import { receiveBytes } from "./receive.ts";
import { checkHeaders, pumpStreams, sendData, sendHeaders } from "./send.ts";
import type { Data } from "./send.ts";
import type { Stream } from "./stream.ts";
import { nextTickAt, planLooks, runDeadlines } from "./timing.ts";

/** The commands over the core; one class for both roles. */
export class Machine implements ServerConnection, ClientConnection<unknown> {
  readonly #core: Core;

  constructor(core: Core) {
    this.#core = core;
  }

  receive(bytes: Uint8Array, now: number): void {
    const core = this.#core;
    if (core.phase === "closed") {
      return;
    }
    enter(core, now);
    core.lastReceivedAt = now;
    core.keepaliveDeadline = Infinity;
    try {
      receiveBytes(core, bytes);
      checkUnread(core);
      settle(core);
    } finally {
      core.running = false;
    }
  }

  tick(now: number): void {
    const core = this.#core;
    if (core.phase === "closed") {
      return;
    }
    enter(core, now);
    try {
      runDeadlines(core, now);
      settle(core);
    } finally {
      core.running = false;
    }
  }

  get nextTickAt(): number {
    return nextTickAt(this.#core);
  }

  takeOutput(now: number): Uint8Array | undefined {
    const core = this.#core;
    if (core.phase === "closed") {
      return core.output.take();
    }
    enter(core, now);
    try {
      pumpStreams(core);
      settle(core);
    } finally {
      core.running = false;
    }
    const output = core.output.take();
    core.outputStalledSince = -1;
    planLooks(core, now, output !== undefined);
    return output;
  }

  giveBack(output: Uint8Array): void {
    this.#core.output.giveBack(output);
  }

  transportEnded(now: number, cause?: unknown): void {
    const core = this.#core;
    if (core.phase === "closed") {
      return;
    }
    core.now = now;
    const orderly = core.streams.size === 0 && core.phase === "draining";
    if (core.peerGoawayCode !== errorCodes.NO_ERROR) {
      endConnection(core, peerGoawayError(core));
    } else if (orderly && cause === undefined) {
      endConnection(core, undefined);
    } else {
      endConnection(core, new Http2Error("TRANSPORT_ENDED", "transport ended", { cause }));
    }
  }

  get phase(): Phase {
    return this.#core.phase;
  }

  get openStreams(): number {
    return this.#core.streams.size;
  }

  get queuedBytes(): number {
    return this.#core.queued;
  }

  get availableStreams(): number {
    const core = this.#core;
    return core.phase === "open" ? Math.max(0, core.peerMaxStreams - core.streams.size) : 0;
  }

  request(head: Headers, options: RequestOptions<unknown>): number {
    const core = this.#core;
    if (core.phase !== "open" || core.streams.size >= core.peerMaxStreams) {
      core.requestRefused = true;
      return 0;
    }
    const end = options.end ?? false;
    checkHeaders(core, head);
    const id = core.nextOwnStream;
    const stream = openStream(core, id);
    core.nextOwnStream = id + 2;
    stream.call = options.call;
    stream.headGiven = true;
    stream.answersHead = headerValue(head, ":method") === "HEAD";
    sendHeaders(core, stream, head, end && options.data === undefined);
    if (options.data !== undefined) {
      sendData(core, stream, options.data, end);
    }
    if (core.nextOwnStream > largestInt31) {
      finishShutdown(core);
    }
    return id;
  }

  sendHead(streamId: number, head: Headers, options?: SendOptions): void {
    const stream = this.#core.streams.get(streamId);
    if (stream !== undefined) {
      giveHead(this.#core, stream, head, options?.end ?? false);
    }
  }

  respond(streamId: number, { head, data, trailers }: Answer): void {
    const core = this.#core;
    const stream = core.streams.get(streamId);
    if (stream === undefined) {
      return;
    }
    if (trailers !== undefined) {
      checkHeaders(core, trailers);
    }
    giveHead(core, stream, head, data === undefined && trailers === undefined);
    if (data !== undefined) {
      sendData(core, stream, data, trailers === undefined);
    }
    // The data may have been too much for `maxQueued`, and the stream cut.
    if (trailers !== undefined && stream.id === streamId) {
      sendHeaders(core, stream, trailers, true);
    }
  }

  sendData(streamId: number, data: Data, options?: SendOptions): boolean {
    const stream = this.#core.streams.get(streamId);
    if (stream === undefined) {
      return true;
    }
    checkMaySend(stream);
    return sendData(this.#core, stream, data, options?.end ?? false);
  }

  sendTrailers(streamId: number, trailers: Headers): void {
    const core = this.#core;
    const stream = core.streams.get(streamId);
    if (stream !== undefined) {
      checkMaySend(stream);
      checkHeaders(core, trailers);
      sendHeaders(core, stream, trailers, true);
    }
  }

  reset(streamId: number, code: ErrorCode): void {
    const core = this.#core;
    const stream = core.streams.get(streamId);
    if (stream !== undefined) {
      resetStream(core, stream, code);
    }
  }

  consume(streamId: number, length: number): void {
    const core = this.#core;
    const stream = core.streams.get(streamId);
    const unconsumed = stream?.unconsumed ?? core.held.get(streamId);
    if (unconsumed === undefined || (stream?.discarding ?? false)) {
      return;
    }
    if (length > unconsumed) {
      throw new TypeError(`stream ${streamId}: consumed ${length} octets of ${unconsumed}`);
    }
    if (stream === undefined) {
      core.held.set(streamId, unconsumed - length);
    } else {
      stream.unconsumed = unconsumed - length;
      creditStream(core, stream, length);
    }
    creditConnection(core, length);
  }

  discard(streamId: number): void {
    const core = this.#core;
    const stream = core.streams.get(streamId);
    if (stream === undefined || stream.discarding) {
      return;
    }
    this.consume(streamId, stream.unconsumed);
    stream.discarding = true;
    closeIfEnded(core, stream);
  }

  release(streamId: number): void {
    releaseStream(this.#core, streamId);
  }

  ping(now: number): void {
    const core = this.#core;
    if (core.phase !== "closed" && core.applicationPingAt < 0) {
      core.applicationPingAt = now;
      sendOwnPing(core, pingPurposes.application);
    }
  }

  shutdown(now: number): void {
    beginShutdown(this.#core, now);
  }

  abort(code: ErrorCode = errorCodes.NO_ERROR, reason = "closed by the application"): void {
    failConnection(this.#core, "CONNECTION_CLOSED", { code, reason });
  }
}

/** Begins one of the driver's calls, which do not nest. */
function enter(core: Core, now: number): void {
  if (core.running) {
    throw new TypeError("connection: an event called receive, tick or takeOutput");
  }
  core.running = true;
  core.now = now;
}

/** A peer that asks and does not read the answers (CVE-2019-9517 and kin). */
function checkUnread(core: Core): void {
  const { outputHighWater, maxUnreadAnswers } = core.options;
  if (core.output.size > outputHighWater + maxUnreadAnswers) {
    failConnection(core, "PEER_EXCEEDED_LIMIT", {
      code: errorCodes.ENHANCE_YOUR_CALM,
      reason: `limit maxUnreadAnswers: more than ${maxUnreadAnswers} octets`,
    });
  }
}

/** Sends a head, final or informational. */
function giveHead(core: Core, stream: Stream, head: Headers, end: boolean): void {
  if (stream.headGiven) {
    throw new TypeError(`stream ${stream.id}: its head was sent already`);
  }
  checkHeaders(core, head);
  const status = headerValue(head, ":status");
  if (status === undefined) {
    throw new TypeError(`stream ${stream.id}: the head has no :status`);
  }
  stream.headGiven = !status.startsWith("1");
  sendHeaders(core, stream, head, end);
}

function checkMaySend(stream: Stream): void {
  if (!stream.headGiven) {
    throw new TypeError(`stream ${stream.id}: no head was sent yet`);
  }
  if (stream.endGiven) {
    throw new TypeError(`stream ${stream.id}: its end was sent already`);
  }
}
