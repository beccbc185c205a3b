import type { Core } from "./core.ts";
import { errorCodes } from "./errors.ts";
import { ConnectionFault } from "./fault.ts";
import { flags } from "./frames.ts";
import {
  closeIfEnded,
  countFlood,
  creditConnection,
  creditStream,
  forceReset,
} from "./lifecycle.ts";
import { isIdle } from "./receive-control.ts";
import type { Stream } from "./stream.ts";

/**
 * Begins a DATA frame (RFC 9113 section 6.1): `length` octets of payload begin at `start`, of which only
 * the pad length need be there yet. Its whole length counts against the windows at once.
 */
export function beginData(core: Core, bytes: Uint8Array, start: number, length: number): void {
  const id = core.frameStream;
  const isPadded = (core.frameFlags & flags.PADDED) !== 0;
  const overhead = isPadded ? 1 + (bytes[start] ?? 0) : 0;
  if (id === 0) {
    throw new ConnectionFault(errorCodes.PROTOCOL_ERROR, "DATA on stream 0 (6.1)");
  }
  if (isPadded && (length === 0 || overhead > length)) {
    throw new ConnectionFault(
      errorCodes.PROTOCOL_ERROR,
      "DATA with more padding than payload (6.1)",
    );
  }
  if (!core.window.receive(length)) {
    throw new ConnectionFault(
      errorCodes.FLOW_CONTROL_ERROR,
      "DATA beyond the connection's window (6.9.1)",
    );
  }
  if (core.tuner.probing) {
    core.tuner.count(length);
  }
  core.dataEnds = (core.frameFlags & flags.END_STREAM) !== 0;
  core.dataLeft = length - overhead;
  core.paddingLeft = isPadded ? overhead - 1 : 0;
  if (core.dataLeft > 0 || core.dataEnds) {
    core.pings.forgive();
  } else {
    countFlood(core, "emptyFrames");
  }
  const stream = acceptData(core, id, length);
  core.dataStream = stream === undefined ? 0 : id;
  if (stream === undefined) {
    // Nobody will consume it.
    creditConnection(core, length);
  } else if (overhead > 0) {
    creditConnection(core, overhead);
    creditStream(core, stream, overhead);
  }
  if (core.dataLeft + core.paddingLeft === 0) {
    finishData(core);
  }
}

/** Passes on what the chunk has of the frame that has begun; returns the next position. */
export function continueData(core: Core, bytes: Uint8Array, from: number): number {
  let position = from;
  if (core.dataLeft > 0) {
    const length = Math.min(core.dataLeft, bytes.length - position);
    core.dataLeft -= length;
    passOn(core, bytes, position, length);
    position += length;
  }
  if (core.dataLeft === 0) {
    const skipped = Math.min(core.paddingLeft, bytes.length - position);
    core.paddingLeft -= skipped;
    position += skipped;
    if (core.paddingLeft === 0) {
      finishData(core);
    }
  }
  return position;
}

/** The stream that takes the frame, or undefined if none does. */
function acceptData(core: Core, id: number, length: number): Stream | undefined {
  const stream = core.streams.get(id);
  if (stream === undefined) {
    if (isIdle(core, id)) {
      throw new ConnectionFault(errorCodes.PROTOCOL_ERROR, "DATA on an idle stream (5.1)");
    }
    if (!core.recentlyReset.has(id)) {
      forceReset(core, id, {
        code: errorCodes.STREAM_CLOSED,
        reason: "DATA on a closed stream (5.1)",
      });
    }
    return undefined;
  }
  let code: number;
  let reason: string;
  if (stream.remoteEnded) {
    code = errorCodes.STREAM_CLOSED;
    reason = "DATA after END_STREAM (5.1)";
  } else if (!stream.headReceived) {
    code = errorCodes.PROTOCOL_ERROR;
    reason = "DATA before the response's head (8.1)";
  } else if (!stream.receiveWindow.receive(length)) {
    code = errorCodes.FLOW_CONTROL_ERROR;
    reason = "DATA beyond the stream's window (6.9.1)";
  } else if (!keepsPromise(core, stream)) {
    code = errorCodes.PROTOCOL_ERROR;
    reason = "the body is not as long as content-length said (8.1.1)";
  } else {
    return stream;
  }
  forceReset(core, id, { code, reason });
  return undefined;
}

/** Counts the frame's data against the content-length; false if it is too much, or at the end too little. */
function keepsPromise(core: Core, stream: Stream): boolean {
  if (stream.bodyLeft === -1) {
    return true;
  }
  if (core.dataLeft > stream.bodyLeft) {
    return false;
  }
  stream.bodyLeft -= core.dataLeft;
  return !core.dataEnds || stream.bodyLeft === 0;
}

/** Gives a piece of the frame's data to the application. */
function passOn(core: Core, bytes: Uint8Array, from: number, length: number): void {
  if (core.dataStream === 0) {
    return;
  }
  const stream = core.streams.get(core.dataStream);
  if (stream === undefined || stream.discarding) {
    creditConnection(core, length);
    if (stream !== undefined) {
      creditStream(core, stream, length);
    }
    return;
  }
  stream.unconsumed += length;
  // Always a plain Uint8Array, whatever the driver reads into.
  let piece = new Uint8Array(bytes.buffer as ArrayBuffer, bytes.byteOffset + from, length);
  if (length < core.options.copyBelow && length * 4 <= bytes.length) {
    piece = piece.slice();
  }
  if (core.dataEnds && core.dataLeft + core.paddingLeft === 0) {
    endRemoteSide(core, stream, piece);
  } else {
    core.events.onData(stream.call, piece, false);
  }
}

/** The frame is over: its END_STREAM takes effect, if it has not done so with the last piece. */
function finishData(core: Core): void {
  if (!core.dataEnds || core.dataStream === 0) {
    return;
  }
  const stream = core.streams.get(core.dataStream);
  if (stream !== undefined) {
    endRemoteSide(core, stream, noData);
  }
}

function endRemoteSide(core: Core, stream: Stream, lastPiece: Uint8Array): void {
  const { id } = stream;
  core.dataEnds = false;
  stream.remoteEnded = true;
  if (!stream.discarding) {
    core.events.onData(stream.call, lastPiece, true);
  }
  if (stream.id === id) {
    closeIfEnded(core, stream);
  }
}

const noData = new Uint8Array(0);
