import type { Core } from "./core.ts";
import { Http2Error, errorCodes } from "./errors.ts";
import { checkFields } from "./fields.ts";
import type { Fields } from "./fields.ts";
import {
  appendFrameHeader,
  flags,
  frameHeaderLength,
  frameKind,
  frameTypes,
  putFrameHeader,
  smallestMaxFrameSize,
} from "./frames.ts";
import { HeaderBlock, listSizeOf } from "./header-block.ts";
import type { Headers } from "./header-block.ts";
import { closeIfEnded, cutStream } from "./lifecycle.ts";
import type { QueuedItem, Stream } from "./stream.ts";

// What goes out. The hot path is a small answer on a connection that is not congested: its head, data
// and trailers go straight into the output. Whatever may not go yet (a window is shut, or the output is
// full because the transport is slow) waits in the stream's queue, and `pumpStreams` sends it, one DATA
// frame per stream in turn, when the driver next takes output.

/** Data of a command: octets, or parts of them that are sent as if they were one. */
export type Data = Uint8Array | readonly Uint8Array[];

/** Sends checked headers, or queues them behind what the stream already waits to send. */
export function sendHeaders(core: Core, stream: Stream, headers: Headers, end: boolean): void {
  if (end) {
    stream.endGiven = true;
  }
  if (mayWriteNow(core, stream)) {
    writeHeaders(core, stream, headers, end);
  } else {
    enqueue(core, stream, { headers, data: undefined, end });
  }
}

/**
 * Sends data, or what the windows allow of it, and queues the rest; false if the queue is above the
 * high-water mark. The octets are copied only when they go: until then they must not change.
 */
export function sendData(core: Core, stream: Stream, data: Data, end: boolean): boolean {
  if (end) {
    stream.endGiven = true;
  }
  const length = data instanceof Uint8Array ? data.length : totalLength(data);
  if (
    length <= stream.sendWindow &&
    length <= core.sendWindow &&
    length <= core.peerMaxFrameSize &&
    length <= largestDataFrame &&
    mayWriteNow(core, stream)
  ) {
    if (length > 0 || end) {
      writeData(core, stream, length, end);
      if (data instanceof Uint8Array) {
        core.output.append(data);
      } else {
        for (const part of data) {
          core.output.append(part);
        }
      }
      if (end) {
        endLocalSide(core, stream);
      }
    }
    return true;
  }
  return queueData(core, stream, data, end);
}

/** Sends what waits, as far as windows and output allow; called when the driver takes output. */
export function pumpStreams(core: Core): void {
  const highWater = core.options.outputHighWater;
  while (core.output.size < highWater) {
    const stream = core.ready.shift();
    if (stream === undefined) {
      break;
    }
    pumpStream(core, stream);
  }
  while (core.drained.length > 0) {
    const stream = core.streams.get(core.drained.pop()!);
    if (stream !== undefined) {
      core.events.onDrain(stream.call);
    }
  }
}

/** The stream's or the connection's window has opened: what waited for it may go on. */
export function unblock(core: Core, stream: Stream): void {
  if (stream.queue.length > 0) {
    core.ready.push(stream);
  }
}

/** The connection's window has opened. */
export function unblockAll(core: Core): void {
  for (let stream = core.windowBlocked.shift(); stream; stream = core.windowBlocked.shift()) {
    unblock(core, stream);
  }
}

/**
 * Checks headers the application gives.
 *
 * @throws TypeError if a field could not be sent; Http2Error HEADERS_TOO_LARGE
 */
export function checkHeaders(core: Core, headers: Headers): void {
  let size: number;
  if (headers instanceof HeaderBlock) {
    size = headers.listSize;
  } else if (headers[0] instanceof HeaderBlock) {
    const [block, more] = headers as readonly [HeaderBlock, Fields];
    checkFields(more);
    size = block.listSize + listSizeOf(more);
  } else {
    checkFields(headers as Fields);
    size = listSizeOf(headers as Fields);
  }
  if (size > core.peerMaxHeaderListSize) {
    throw new Http2Error(
      "HEADERS_TOO_LARGE",
      `header list: ${size} octets, where the peer accepts ${core.peerMaxHeaderListSize}`,
    );
  }
}

function writeHeaders(core: Core, stream: Stream, headers: Headers, end: boolean): void {
  appendHeaders(core, stream.id, headers, end);
  core.pings.forgive();
  if (end) {
    endLocalSide(core, stream);
  }
}

function mayWriteNow(core: Core, stream: Stream): boolean {
  return stream.queue.length === 0 && core.output.size < core.options.outputHighWater;
}

function totalLength(parts: readonly Uint8Array[]): number {
  let length = 0;
  for (const part of parts) {
    length += part.length;
  }
  return length;
}

/** Puts a HEADERS frame, and CONTINUATION frames where the peer's frame size asks for them, into the output. */
export function appendHeaders(core: Core, streamId: number, headers: Headers, end: boolean): void {
  const { output, encoder } = core;
  output.reserve(frameHeaderLength);
  output.end += frameHeaderLength;
  // Relative to the start, since the slab may be replaced while the block grows.
  const blockAt = output.size;
  encoder.beginBlock(output);
  if (headers instanceof HeaderBlock) {
    output.append(headers.bytes);
  } else if (headers[0] instanceof HeaderBlock) {
    output.append(headers[0].bytes);
    encoder.encode(output, (headers as readonly [HeaderBlock, Fields])[1]);
  } else {
    encoder.encode(output, headers as Fields);
  }
  const length = output.size - blockAt;
  const endFlag = end ? flags.END_STREAM : 0;
  if (length <= core.peerMaxFrameSize) {
    putFrameHeader(output.bytes, output.start + blockAt - frameHeaderLength, {
      length,
      kind: frameKind(frameTypes.HEADERS, flags.END_HEADERS | endFlag),
      streamId,
    });
  } else {
    splitHeaders(core, streamId, blockAt, endFlag);
  }
}

/** A block larger than a frame: HEADERS and CONTINUATION (RFC 9113 section 6.10). */
function splitHeaders(core: Core, streamId: number, blockAt: number, endFlag: number): void {
  const { output, peerMaxFrameSize } = core;
  const from = output.start + blockAt;
  const block = output.bytes.slice(from, output.end);
  output.end = from - frameHeaderLength;
  for (let at = 0; at < block.length; at += peerMaxFrameSize) {
    const fragment = block.subarray(at, at + peerMaxFrameSize);
    const type = at === 0 ? frameTypes.HEADERS : frameTypes.CONTINUATION;
    const isLast = at + peerMaxFrameSize >= block.length;
    const flagBits = (at === 0 ? endFlag : 0) | (isLast ? flags.END_HEADERS : 0);
    appendFrameHeader(output, fragment.length, frameKind(type, flagBits), streamId);
    output.append(fragment);
  }
}

/** Puts the header of a DATA frame into the output and counts its octets, which the caller appends. */
function writeData(core: Core, stream: Stream, length: number, end: boolean): void {
  const kind = frameKind(frameTypes.DATA, end ? flags.END_STREAM : 0);
  appendFrameHeader(core.output, length, kind, stream.id);
  stream.sendWindow -= length;
  core.sendWindow -= length;
  core.dataFramesSent += 1;
  core.pings.forgive();
}

function endLocalSide(core: Core, stream: Stream): void {
  stream.localEnded = true;
  closeIfEnded(core, stream);
}

function queueData(core: Core, stream: Stream, data: Data, end: boolean): boolean {
  for (const part of data instanceof Uint8Array ? [data] : data) {
    if (part.length > 0) {
      enqueue(core, stream, { headers: undefined, data: part, end: false });
    }
  }
  if (end) {
    enqueue(core, stream, { headers: undefined, data: noData, end });
  }
  if (core.queued > core.options.maxQueued) {
    cutStream(core, stream, {
      code: errorCodes.ENHANCE_YOUR_CALM,
      by: "machine",
      unprocessed: false,
      reason: `limit maxQueued: more than ${core.options.maxQueued} octets wait to be sent`,
    });
    return false;
  }
  stream.awaitsDrain = stream.queued >= core.options.streamHighWater;
  return !stream.awaitsDrain;
}

function enqueue(core: Core, stream: Stream, item: QueuedItem): void {
  stream.queue.push(item);
  const length = item.data?.length ?? 0;
  stream.queued += length;
  core.queued += length;
  core.ready.push(stream);
}

/** Sends of one stream what may go, up to one DATA frame, and lists the stream where it has to wait next. */
function pumpStream(core: Core, stream: Stream): void {
  let dataSent = false;
  while (stream.queue.length > 0) {
    const item = stream.queue[0]!;
    if (item.headers !== undefined) {
      stream.queue.shift();
      stream.stalledSince = -1;
      writeHeaders(core, stream, item.headers, item.end);
    } else if (dataSent) {
      core.ready.push(stream);
      return;
    } else if (!pumpData(core, stream)) {
      return;
    } else {
      dataSent = true;
    }
  }
}

/** Sends one DATA frame from the queue; false if a window is shut. */
function pumpData(core: Core, stream: Stream): boolean {
  const allowed = Math.min(
    stream.sendWindow,
    core.sendWindow,
    core.peerMaxFrameSize,
    largestDataFrame,
  );
  const { length, ends } = gatherable(stream, Math.max(0, allowed));
  if (length === 0 && !ends) {
    if (stream.sendWindow > 0) {
      core.windowBlocked.push(stream);
    }
    return false;
  }
  writeData(core, stream, length, ends);
  takeQueued(core, stream, length);
  stream.stalledSince = -1;
  if (stream.awaitsDrain && stream.queued * 2 <= core.options.streamHighWater) {
    stream.awaitsDrain = false;
    core.drained.push(stream.id);
  }
  if (ends) {
    endLocalSide(core, stream);
  }
  return true;
}

/** How much of the data at the queue's head fits into `allowed`, and whether END_STREAM goes with it. */
function gatherable(stream: Stream, allowed: number): { length: number; ends: boolean } {
  let length = -stream.queueOffset;
  for (const { data, end } of stream.queue) {
    if (data === undefined) {
      break;
    }
    length += data.length;
    if (length > allowed) {
      return { length: allowed, ends: false };
    }
    if (end) {
      return { length, ends: true };
    }
  }
  return { length, ends: false };
}

/** Moves `length` octets from the queue into the output, and drops the items that are used up. */
function takeQueued(core: Core, stream: Stream, length: number): void {
  const { queue } = stream;
  let left = length;
  stream.queued -= length;
  core.queued -= length;
  while (queue.length > 0 && queue[0]!.data !== undefined) {
    const data = queue[0]!.data;
    const rest = data.length - stream.queueOffset;
    if (rest > left) {
      core.output.append(data.subarray(stream.queueOffset, stream.queueOffset + left));
      stream.queueOffset += left;
      return;
    }
    core.output.append(stream.queueOffset === 0 ? data : data.subarray(stream.queueOffset));
    left -= rest;
    stream.queueOffset = 0;
    queue.shift();
  }
}

/** Larger frames would make other streams wait longer and win nothing. */
const largestDataFrame = smallestMaxFrameSize;
const noData = new Uint8Array(0);
