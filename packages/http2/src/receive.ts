import type { Core } from "./core.ts";
import { errorCodes } from "./errors.ts";
import { ConnectionFault, faultName } from "./fault.ts";
import { clientPreface, flags, frameHeaderLength, frameTypes, readUint31 } from "./frames.ts";
import { countFlood, failConnection } from "./lifecycle.ts";
import {
  receiveGoaway,
  receivePing,
  receivePriority,
  receiveReset,
  receiveSettings,
  receiveWindowUpdate,
} from "./receive-control.ts";
import { beginData, continueData } from "./receive-data.ts";
import { receiveContinuation, receiveHeaders } from "./receive-headers.ts";

// What arrives, cut into frames. The hot path: frames that lie whole in the chunk are read where they
// are, and nothing is copied or made for them. A frame that the chunk cuts is gathered in `core.partial`,
// but for DATA, whose payload is passed on as it comes.

/**
 * Reads a chunk. Faults of the peer end the connection; what an event function throws does too, and is
 * thrown on.
 */
export function receiveBytes(core: Core, bytes: Uint8Array): void {
  try {
    readFrames(core, bytes);
  } catch (error) {
    if (error instanceof ConnectionFault) {
      failConnection(core, faultName(error.wireCode), {
        code: error.wireCode,
        reason: error.message,
      });
    } else {
      failConnection(core, "EVENT_THREW", {
        code: errorCodes.INTERNAL_ERROR,
        reason: "internal error",
      });
      throw error;
    }
  }
}

function readFrames(core: Core, bytes: Uint8Array): void {
  const end = bytes.length;
  let position = core.prefaceSeen < clientPreface.length ? readPreface(core, bytes) : 0;
  while (position < end && core.phase !== "closed") {
    if (core.dataLeft + core.paddingLeft > 0) {
      position = continueData(core, bytes, position);
    } else if (core.partialLength > 0) {
      position = completeFrame(core, bytes, position);
    } else {
      const needed = neededLength(core, bytes, position, end);
      if (end - position < needed) {
        keepPartial(core, bytes.subarray(position), needed);
        return;
      }
      readFrame(core, bytes, position);
      position += needed;
    }
  }
}

/** The octets from `position` that must be there before the frame can be read: all, but for DATA. */
function neededLength(core: Core, bytes: Uint8Array, position: number, end: number): number {
  if (end - position < frameHeaderLength) {
    return frameHeaderLength;
  }
  const length = (bytes[position]! << 16) | (bytes[position + 1]! << 8) | bytes[position + 2]!;
  if (length > core.options.maxFrameSize) {
    throw new ConnectionFault(
      errorCodes.FRAME_SIZE_ERROR,
      `frame of ${length} octets, where at most ${core.options.maxFrameSize} are allowed (4.2)`,
    );
  }
  if (bytes[position + 3] !== frameTypes.DATA) {
    return frameHeaderLength + length;
  }
  return frameHeaderLength + ((bytes[position + 4]! & flags.PADDED) !== 0 && length > 0 ? 1 : 0);
}

/** Reads the frame at `position`, all of whose needed octets are there. */
function readFrame(core: Core, bytes: Uint8Array, position: number): void {
  const length = (bytes[position]! << 16) | (bytes[position + 1]! << 8) | bytes[position + 2]!;
  const type = bytes[position + 3]!;
  const start = position + frameHeaderLength;
  const end = start + length;
  core.frameFlags = bytes[position + 4]!;
  core.frameStream = readUint31(bytes, position + 5);
  checkOrder(core, type);
  switch (type) {
    case frameTypes.DATA:
      beginData(core, bytes, start, length);
      break;
    case frameTypes.HEADERS:
      receiveHeaders(core, bytes, start, end);
      break;
    case frameTypes.PRIORITY:
      receivePriority(core, bytes, start, end);
      break;
    case frameTypes.RST_STREAM:
      receiveReset(core, bytes, start, end);
      break;
    case frameTypes.SETTINGS:
      receiveSettings(core, bytes, start, end);
      break;
    case frameTypes.PUSH_PROMISE:
      // A client may not push, and ours says that it takes none (RFC 9113 sections 6.6 and 8.4).
      throw new ConnectionFault(errorCodes.PROTOCOL_ERROR, "PUSH_PROMISE is not allowed (6.6)");
    case frameTypes.PING:
      receivePing(core, bytes, start, end);
      break;
    case frameTypes.GOAWAY:
      receiveGoaway(core, bytes, start, end);
      break;
    case frameTypes.WINDOW_UPDATE:
      receiveWindowUpdate(core, bytes, start, end);
      break;
    case frameTypes.CONTINUATION:
      receiveContinuation(core, bytes, start, end);
      break;
    default:
      // RFC 9113 section 5.5: unknown types are ignored.
      countFlood(core, "unknownFrames");
  }
}

/** What must come first, and what may not come between. */
function checkOrder(core: Core, type: number): void {
  if (core.blockStream !== 0) {
    if (type !== frameTypes.CONTINUATION || core.frameStream !== core.blockStream) {
      throw new ConnectionFault(
        errorCodes.PROTOCOL_ERROR,
        `frame of type ${type} inside a header block (6.10)`,
      );
    }
  } else if (!core.peerSettingsReceived) {
    if (type !== frameTypes.SETTINGS || (core.frameFlags & flags.ACK) !== 0) {
      throw new ConnectionFault(
        errorCodes.PROTOCOL_ERROR,
        `the first frame is of type ${type}, where SETTINGS is due (3.4)`,
      );
    }
  }
}

/** The client's connection preface (RFC 9113 section 3.4), which may come in pieces. */
function readPreface(core: Core, bytes: Uint8Array): number {
  let position = 0;
  while (core.prefaceSeen < clientPreface.length && position < bytes.length) {
    if (bytes[position] !== clientPreface[core.prefaceSeen]) {
      throw new ConnectionFault(errorCodes.PROTOCOL_ERROR, "the preface is not HTTP/2's (3.4)");
    }
    position += 1;
    core.prefaceSeen += 1;
  }
  return position;
}

/** Begins to gather a frame that the chunk cuts. */
function keepPartial(core: Core, piece: Uint8Array, needed: number): void {
  growPartial(core, Math.min(needed, Math.max(piece.length, smallPartial)));
  core.partial.set(piece);
  core.partialLength = piece.length;
  core.frameDeadline = Math.min(core.frameDeadline, core.now + core.options.frameMs);
}

/** Adds to the frame that is being gathered, and reads it when it is complete. Returns the next position. */
function completeFrame(core: Core, bytes: Uint8Array, from: number): number {
  let position = from;
  let needed = neededLength(core, core.partial, 0, core.partialLength);
  while (core.partialLength < needed) {
    const take = Math.min(needed - core.partialLength, bytes.length - position);
    if (take === 0) {
      return position;
    }
    growPartial(core, core.partialLength + take);
    core.partial.set(bytes.subarray(position, position + take), core.partialLength);
    core.partialLength += take;
    position += take;
    // With the header complete, the need becomes known.
    needed = neededLength(core, core.partial, 0, core.partialLength);
  }
  const frame = core.partial;
  core.partialLength = 0;
  if (frame.length > smallPartial) {
    core.partial = noBytes;
  }
  if (core.blockStream === 0) {
    core.frameDeadline = Infinity;
  }
  readFrame(core, frame, 0);
  return position;
}

/** Room follows what has arrived, not what a header promises. */
function growPartial(core: Core, length: number): void {
  if (core.partial.length < length) {
    const grown = new Uint8Array(Math.max(length, smallPartial, core.partial.length * 2));
    grown.set(core.partial.subarray(0, core.partialLength));
    core.partial = grown;
  }
}

const smallPartial = 64;
const noBytes = new Uint8Array(0);
