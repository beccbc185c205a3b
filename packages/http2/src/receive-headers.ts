import type { Core } from "./core.ts";
import { errorCodes } from "./errors.ts";
import { ConnectionFault } from "./fault.ts";
import type { Fields } from "./fields.ts";
import { appendUint32Frame, flags, frameTypes, readUint31 } from "./frames.ts";
import { blockKinds } from "./head.ts";
import type { BlockKind, HeadBlock, RequestHead } from "./head.ts";
import { encodeHeaderBlock } from "./header-block.ts";
import { closeIfEnded, countFlood, forceReset, openStream } from "./lifecycle.ts";
import type { StreamFault } from "./lifecycle.ts";
import { isIdle } from "./receive-control.ts";
import { appendHeaders } from "./send.ts";
import type { Stream } from "./stream.ts";

/** Reads a HEADERS frame (RFC 9113 section 6.2), and the block if it is all there. */
export function receiveHeaders(core: Core, bytes: Uint8Array, start: number, end: number): void {
  const id = core.frameStream;
  const frameFlags = core.frameFlags;
  let from = start;
  let to = end;
  if (id === 0) {
    throw new ConnectionFault(errorCodes.PROTOCOL_ERROR, "HEADERS on stream 0 (6.2)");
  }
  const hasPriority = (frameFlags & flags.PRIORITY) !== 0;
  const isPadded = (frameFlags & flags.PADDED) !== 0;
  if (end - start < (isPadded ? 1 : 0) + (hasPriority ? 5 : 0)) {
    throw new ConnectionFault(errorCodes.FRAME_SIZE_ERROR, "HEADERS too short for its flags (6.2)");
  }
  if (isPadded) {
    to -= bytes[from]!;
    from += 1;
  }
  core.blockSelfDependent = hasPriority && readUint31(bytes, from) === id;
  if (hasPriority) {
    from += 5;
  }
  if (from > to) {
    throw new ConnectionFault(
      errorCodes.PROTOCOL_ERROR,
      "HEADERS with more padding than payload (6.2)",
    );
  }
  checkStreamOfHeaders(core, id);
  core.blockEnds = (frameFlags & flags.END_STREAM) !== 0;
  if ((frameFlags & flags.END_HEADERS) !== 0) {
    checkBlockSize(core, to - from);
    readBlock(core, bytes, from, to);
    return;
  }
  core.blockStream = id;
  core.blockFrames = 0;
  core.blockLength = 0;
  core.frameDeadline = core.now + core.options.frameMs;
  keepFragment(core, bytes.subarray(from, to));
}

/** Reads a CONTINUATION frame (RFC 9113 section 6.10), within bounds (CVE-2024-27316). */
export function receiveContinuation(
  core: Core,
  bytes: Uint8Array,
  start: number,
  end: number,
): void {
  const id = core.blockStream;
  if (id === 0) {
    throw new ConnectionFault(errorCodes.PROTOCOL_ERROR, "CONTINUATION without HEADERS (6.10)");
  }
  core.blockFrames += 1;
  if (core.blockFrames > core.options.maxContinuations) {
    throw new ConnectionFault(
      errorCodes.ENHANCE_YOUR_CALM,
      `limit maxContinuations: more than ${core.options.maxContinuations} in a header block`,
    );
  }
  keepFragment(core, bytes.subarray(start, end));
  if ((core.frameFlags & flags.END_HEADERS) !== 0) {
    const { block, blockLength } = core;
    core.block = noBytes;
    core.blockStream = 0;
    core.frameDeadline = Infinity;
    readBlock(core, block, 0, blockLength);
  }
}

function keepFragment(core: Core, fragment: Uint8Array): void {
  const length = core.blockLength + fragment.length;
  checkBlockSize(core, length);
  if (core.block.length < length) {
    const grown = new Uint8Array(Math.max(length, core.block.length * 2));
    grown.set(core.block.subarray(0, core.blockLength));
    core.block = grown;
  }
  core.block.set(fragment, core.blockLength);
  core.blockLength = length;
}

function checkBlockSize(core: Core, length: number): void {
  if (length > core.options.maxHeaderBlockSize) {
    throw new ConnectionFault(
      errorCodes.ENHANCE_YOUR_CALM,
      `limit maxHeaderBlockSize: a header block of more than ${core.options.maxHeaderBlockSize} octets`,
    );
  }
}

/** Whether HEADERS may come on this stream at all; what ends only a stream is judged after decoding. */
function checkStreamOfHeaders(core: Core, id: number): void {
  const opens = core.isServer && id > core.lastPeerStream;
  if (opens ? id % 2 === 0 : isIdle(core, id)) {
    throw new ConnectionFault(
      errorCodes.PROTOCOL_ERROR,
      `HEADERS on stream ${id}, which the peer may not open (5.1.1)`,
    );
  }
  if (opens || core.streams.has(id) || core.recentlyReset.has(id)) {
    return;
  }
  throw core.recentlyEnded.has(id)
    ? new ConnectionFault(errorCodes.STREAM_CLOSED, "HEADERS on a closed stream (5.1)")
    : new ConnectionFault(
        errorCodes.PROTOCOL_ERROR,
        `HEADERS on stream ${id}, which is not above the last one (5.1.1)`,
      );
}

/** Decodes a block of the current stream, whoever it is for, and hands it to the stream's side of the matter. */
function readBlock(core: Core, bytes: Uint8Array, from: number, to: number): void {
  const id = core.frameStream;
  const stream = core.streams.get(id);
  const kind = blockKind(core, stream);
  let block = core.memo.find(kind, bytes, from, to);
  if (block === undefined) {
    core.headReader.begin(kind, core.options.maxHeaderListSize);
    core.decoder.decode(bytes, from, to, core.headReader);
    block = core.headReader.finish();
    if (!core.decoder.touchedTable) {
      core.memo.offer(kind, bytes.subarray(from, to), block);
    }
  }
  if (stream === undefined) {
    receiveWithoutStream(core, id, block);
    return;
  }
  const fault = blockFault(core, stream, block);
  if (fault !== undefined) {
    forceReset(core, id, fault);
  } else if (block.response !== undefined) {
    receiveResponse(core, stream, block);
  } else if (block.trailers !== undefined) {
    receiveTrailers(core, stream, block.trailers);
  }
}

/** A block that opens a stream, or comes too late for one that was reset and is dropped. */
function receiveWithoutStream(core: Core, id: number, block: HeadBlock): void {
  if (core.isServer && id > core.lastPeerStream) {
    receiveRequest(core, id, block);
  } else if (core.isServer) {
    // Clients seldom send trailers, so one that sends many is up to something.
    countFlood(core, "emptyFrames");
  }
}

function blockKind(core: Core, stream: Stream | undefined): BlockKind {
  if (stream === undefined || stream.headReceived) {
    return stream === undefined && core.isServer ? blockKinds.request : blockKinds.trailers;
  }
  return blockKinds.response;
}

/** What is wrong with a block on a stream that exists. */
function blockFault(core: Core, stream: Stream, block: HeadBlock): StreamFault | undefined {
  const { malformed, tooLarge } = block;
  if (stream.remoteEnded) {
    return { code: errorCodes.STREAM_CLOSED, reason: "HEADERS after END_STREAM (5.1)" };
  }
  if (core.blockSelfDependent) {
    return selfDependence;
  }
  if (malformed !== undefined) {
    return { code: errorCodes.PROTOCOL_ERROR, reason: malformed };
  }
  if (tooLarge) {
    return { code: errorCodes.ENHANCE_YOUR_CALM, reason: "limit maxHeaderListSize" };
  }
  if (block.trailers !== undefined && !core.blockEnds) {
    return { code: errorCodes.PROTOCOL_ERROR, reason: "trailers without END_STREAM (8.1)" };
  }
  if (core.blockEnds && stream.bodyLeft > 0) {
    return {
      code: errorCodes.PROTOCOL_ERROR,
      reason: "the body is shorter than content-length said (8.1.1)",
    };
  }
  return undefined;
}

/** A block that opens a stream on a server (RFC 9113 section 8.3.1). */
function receiveRequest(core: Core, id: number, block: HeadBlock): void {
  const ends = core.blockEnds;
  core.lastPeerStream = id;
  if (core.goawayFinal) {
    // The client was told that this one is not taken (RFC 9113 section 6.8).
    countFlood(core, "refusedStreams");
    core.recentlyReset.add(id);
    return;
  }
  if (core.blockSelfDependent) {
    forceReset(core, id, selfDependence);
    return;
  }
  const { request } = block;
  if (request === undefined) {
    refuseBlock(core, id, block);
    return;
  }
  if (ends && block.contentLength > 0) {
    forceReset(core, id, {
      code: errorCodes.PROTOCOL_ERROR,
      reason: "content-length without a body (8.1.1)",
    });
    return;
  }
  if (core.streams.size + core.held.size >= core.options.maxConcurrentStreams) {
    countFlood(core, "refusedStreams");
    refuse(core, id);
    return;
  }
  core.pings.forgive();
  const stream = openStream(core, id);
  stream.headReceived = true;
  stream.remoteEnded = ends;
  stream.bodyLeft = ends ? -1 : block.contentLength;
  announce(core, stream, request);
}

/** Tells the application of a request, and attaches to the stream what it returns. */
function announce(core: Core, stream: Stream, request: RequestHead): void {
  const { id } = stream;
  core.announcedStream = id;
  const call = core.events.onRequest(id, request, stream.remoteEnded);
  core.announcedStream = 0;
  // The application may have answered already, and the record may serve another stream by now.
  if (stream.id === id) {
    stream.call = call;
  } else if (core.announcedReset !== undefined) {
    const reset = core.announcedReset;
    core.announcedReset = undefined;
    core.events.onReset(call, reset);
  }
}

/** Too many are open: nothing was done, and the client may try again (RFC 9113 section 5.1.2). */
function refuse(core: Core, id: number): void {
  appendUint32Frame(core.output, frameTypes.RST_STREAM, id, errorCodes.REFUSED_STREAM);
  core.recentlyReset.add(id);
}

/**
 * A request that is malformed is reset; one that is too large is answered 431, as RFC 9113 section 10.5.1
 * suggests. Both count as resets that were forced.
 */
function refuseBlock(core: Core, id: number, block: HeadBlock): void {
  if (block.malformed !== undefined) {
    forceReset(core, id, { code: errorCodes.PROTOCOL_ERROR, reason: block.malformed });
    return;
  }
  appendHeaders(core, id, tooLargeHead, true);
  if (core.blockEnds) {
    countFlood(core, "forcedResets");
    core.recentlyEnded.add(id);
  } else {
    forceReset(core, id, { code: errorCodes.NO_ERROR, reason: "limit maxHeaderListSize" });
  }
}

function receiveResponse(core: Core, stream: Stream, block: HeadBlock): void {
  const response = block.response!;
  const ends = core.blockEnds;
  const { id } = stream;
  if (response.status < 200) {
    countFlood(core, "informationalHeads");
    if (ends) {
      forceReset(core, id, {
        code: errorCodes.PROTOCOL_ERROR,
        reason: "an interim head with END_STREAM (8.1)",
      });
    } else if (!stream.discarding) {
      core.events.onInformational(stream.call, response);
    }
    return;
  }
  const hasBody = !stream.answersHead && response.status !== 204 && response.status !== 304;
  if (ends && hasBody && block.contentLength > 0) {
    forceReset(core, id, {
      code: errorCodes.PROTOCOL_ERROR,
      reason: "content-length without a body (8.1.1)",
    });
    return;
  }
  core.pings.forgive();
  stream.headReceived = true;
  stream.remoteEnded = ends;
  stream.bodyLeft = hasBody ? block.contentLength : 0;
  if (!stream.discarding) {
    core.events.onResponse(stream.call, response, ends);
  }
  if (ends && stream.id === id) {
    closeIfEnded(core, stream);
  }
}

function receiveTrailers(core: Core, stream: Stream, trailers: Fields): void {
  const { id } = stream;
  core.pings.forgive();
  stream.remoteEnded = true;
  if (!stream.discarding) {
    core.events.onTrailers(stream.call, trailers);
  }
  if (stream.id === id) {
    closeIfEnded(core, stream);
  }
}

const selfDependence: StreamFault = {
  code: errorCodes.PROTOCOL_ERROR,
  reason: "a stream that depends on itself (RFC 7540 5.3.1)",
};
const tooLargeHead = encodeHeaderBlock([":status", "431"]);
const noBytes = new Uint8Array(0);
