import { pingPurposes } from "./core.ts";
import type { Core, FloodName } from "./core.ts";
import { Http2Error, errorCodeName, errorCodes } from "./errors.ts";
import type { ErrorCode, Http2ErrorCode } from "./errors.ts";
import type { StreamReset } from "./events.ts";
import { ConnectionFault } from "./fault.ts";
import { appendGoaway, appendPing, appendUint32Frame, frameTypes, largestInt31 } from "./frames.ts";
import { Stream } from "./stream.ts";

// What begins and ends: streams, and the connection. No function here reads frames or sends data.

/** Takes a record into use for a stream. */
export function openStream(core: Core, id: number): Stream {
  const stream = core.spareRecords.pop() ?? new Stream();
  stream.open(id, core.streamWindow, core.peerInitialWindow);
  core.streams.set(id, stream);
  core.idleSince = Infinity;
  return stream;
}

/** Closes a stream whose two sides have ended. */
export function closeIfEnded(core: Core, stream: Stream): void {
  if (!stream.localEnded) {
    return;
  }
  if (stream.remoteEnded) {
    core.recentlyEnded.add(stream.id);
    creditConnection(core, stream.unconsumed);
    removeStream(core, stream);
  } else if (stream.discarding && core.isServer) {
    // The answer is complete and the rest of the question is not wanted (RFC 9113 section 8.1).
    resetStream(core, stream, errorCodes.NO_ERROR);
  }
}

/** Resets a stream for the application: it is told nothing. */
export function resetStream(core: Core, stream: Stream, code: ErrorCode): void {
  appendUint32Frame(core.output, frameTypes.RST_STREAM, stream.id, code);
  core.recentlyReset.add(stream.id);
  creditConnection(core, stream.unconsumed);
  removeStream(core, stream);
}

/**
 * Cuts a stream and tells the application. While a server's application still works on the answer, the
 * stream keeps its place until `release`: else a peer could open and reset faster than handlers end.
 */
export function cutStream(core: Core, stream: Stream, reset: StreamReset): void {
  const { id, call, unconsumed } = stream;
  const worksOnIt = core.isServer && !stream.endGiven;
  if (reset.by === "machine") {
    appendUint32Frame(core.output, frameTypes.RST_STREAM, id, reset.code);
    core.recentlyReset.add(id);
  } else if (reset.by === "peer") {
    core.recentlyEnded.add(id);
  }
  if (worksOnIt) {
    core.held.set(id, unconsumed);
  } else {
    creditConnection(core, unconsumed);
  }
  removeStream(core, stream);
  if (id === core.announcedStream) {
    core.announcedReset = reset;
  } else {
    core.events.onReset(call, reset);
  }
}

/** Frees the place of a stream that was cut; what it had not consumed counts as consumed. */
export function releaseStream(core: Core, id: number): void {
  const unconsumed = core.held.get(id);
  if (unconsumed !== undefined) {
    core.held.delete(id);
    creditConnection(core, unconsumed);
  }
}

/** Resets a stream for what the peer did on it; too many of these end the connection (CVE-2025-8671). */
export function forceReset(core: Core, id: number, fault: StreamFault): void {
  countFlood(core, "forcedResets");
  const stream = core.streams.get(id);
  if (stream === undefined) {
    appendUint32Frame(core.output, frameTypes.RST_STREAM, id, fault.code);
    core.recentlyReset.add(id);
  } else {
    cutStream(core, stream, { ...fault, by: "machine", unprocessed: false });
  }
}

/** What the peer did wrong on a stream. */
export interface StreamFault {
  readonly code: ErrorCode;
  readonly reason: string;
}

/** Counts an event against a rate and ends the connection if there are too many. */
export function countFlood(core: Core, name: FloodName): void {
  if (!core.bucket(name).take(core.now)) {
    const { burst, perSecond } = core.options[name];
    throw new ConnectionFault(
      errorCodes.ENHANCE_YOUR_CALM,
      `limit ${name}: more than ${burst} at once or ${perSecond} a second`,
    );
  }
}

/** Gives the connection's window octets that were consumed, announcing them when there are enough. */
export function creditConnection(core: Core, length: number): void {
  if (length === 0 || core.phase === "closed") {
    return;
  }
  const increment = core.window.consume(length);
  if (increment > 0) {
    appendUint32Frame(core.output, frameTypes.WINDOW_UPDATE, 0, increment);
    // A window that has to be opened is the sign of data worth measuring.
    if (core.tuner.wantsProbe && core.unacknowledgedSettings.length === 0) {
      core.tuner.begin(core.now);
      sendOwnPing(core, pingPurposes.probe);
    }
  }
}

/** Gives a stream's window octets that were consumed, announcing them when there are enough. */
export function creditStream(core: Core, stream: Stream, length: number): void {
  const increment = stream.receiveWindow.consume(length);
  if (increment > 0 && !stream.remoteEnded) {
    appendUint32Frame(core.output, frameTypes.WINDOW_UPDATE, stream.id, increment);
  }
}

/** Sends a ping of our own. */
export function sendOwnPing(core: Core, purpose: number): void {
  core.pingCounter = (core.pingCounter + 1) | 0;
  appendPing(core.output, 0, purpose, core.pingCounter);
}

/** Begins a graceful end (RFC 9113 section 6.8): a server first says that it will, then what it took on. */
export function beginShutdown(core: Core, now: number): void {
  if (core.phase === "closed" || core.goawayFinal || core.goawayDeadline !== Infinity) {
    return;
  }
  if (core.isServer) {
    appendGoaway(core.output, largestInt31, errorCodes.NO_ERROR, "");
    sendOwnPing(core, pingPurposes.goaway);
    core.goawayDeadline = now + core.options.goawayMs;
    startDraining(core);
  } else {
    finishShutdown(core);
  }
}

/** The second step: requests that arrive from now on are not taken. */
export function finishShutdown(core: Core): void {
  core.goawayDeadline = Infinity;
  core.goawayFinal = true;
  core.goawayLast = core.lastPeerStream;
  appendGoaway(core.output, core.goawayLast, errorCodes.NO_ERROR, "");
  startDraining(core);
}

/** No new requests from now on. */
export function startDraining(core: Core): void {
  if (core.phase === "open") {
    core.phase = "draining";
    core.events.onDraining();
  }
}

/** Ends the connection for what the peer did or failed to do, and tells it so in a GOAWAY. */
export function failConnection(core: Core, name: Http2ErrorCode, fault: StreamFault): void {
  if (core.phase === "closed") {
    return;
  }
  const last = Math.min(core.goawayLast, core.lastPeerStream);
  appendGoaway(core.output, last, fault.code, fault.reason);
  endConnection(core, new Http2Error(name, fault.reason, { wireCode: fault.code }));
}

/** The error of a connection that the peer ended. */
export function peerGoawayError(core: Core): Http2Error {
  const code = core.peerGoawayCode;
  return new Http2Error("PEER_ENDED_WITH_ERROR", `peer sent GOAWAY ${errorCodeName(code)}`, {
    wireCode: code,
  });
}

/** Ends the connection: every stream is cut, then the application is told. */
export function endConnection(core: Core, error: Http2Error | undefined): void {
  if (core.phase === "closed") {
    return;
  }
  core.phase = "closed";
  core.partial = core.block = new Uint8Array(0);
  const reset: StreamReset = {
    code: error?.wireCode ?? errorCodes.CANCEL,
    by: "connection",
    unprocessed: false,
    reason: error?.message ?? "the connection was closed",
  };
  const thrown: unknown[] = [];
  const attempt = (action: () => void): void => {
    try {
      action();
    } catch (error) {
      thrown.push(error);
    }
  };
  for (const stream of core.streams.values()) {
    attempt(() => cutStream(core, stream, reset));
  }
  attempt(() => core.events.onClose(error === undefined ? {} : { error }));
  if (thrown.length > 0) {
    throw thrown[0];
  }
}

/** What waits until the machine has finished a step: the end of a drained connection, and new room. */
export function settle(core: Core): void {
  closeIfDrained(core);
  if (core.requestRefused && core.phase === "open" && core.streams.size < core.peerMaxStreams) {
    core.requestRefused = false;
    core.events.onAvailable();
  }
}

/** Ends a draining connection when its last stream has gone. */
function closeIfDrained(core: Core): void {
  const mayClose = core.goawayFinal || core.peerGoawayReceived;
  if (core.phase !== "draining" || core.streams.size > 0 || !mayClose) {
    return;
  }
  if (core.peerGoawayCode !== errorCodes.NO_ERROR) {
    endConnection(core, peerGoawayError(core));
    return;
  }
  if (!core.goawayFinal) {
    appendGoaway(core.output, core.lastPeerStream, errorCodes.NO_ERROR, "");
  }
  endConnection(core, undefined);
}

function removeStream(core: Core, stream: Stream): void {
  core.streams.delete(stream.id);
  core.queued -= stream.queued;
  stream.clear();
  // A record that still stands in a list must not stand in it twice.
  if (!stream.listed && core.spareRecords.length < mostSpareRecords) {
    core.spareRecords.push(stream);
  }
  if (core.streams.size === 0) {
    core.idleSince = core.now;
  }
}

const mostSpareRecords = 64;
