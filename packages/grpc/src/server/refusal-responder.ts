import type { Refusal } from "@handfast/tls";
import { encodeStatusMessage } from "../wire/status-message.ts";

/**
 * `answering`: it reads and answers. `exhausted`: a bound is reached, so nothing more is read or answered,
 * and the connection is only held. `broken`: the peer does not speak HTTP/2, so there is nobody to tell.
 */
export type ResponderState = "answering" | "exhausted" | "broken";

/** What one refused connection may cost (security.md S21). */
export interface ResponderBounds {
  /** Bytes read in all. */
  readonly maxBytesIn: number;
  /** Bytes written in all, the opening and the closing included. */
  readonly maxBytesOut: number;
  /** Frames answered: calls, SETTINGS and PINGs together. */
  readonly maxAnswers: number;
}

/** Tells a refused HTTP/2 client why, in the words of its own gRPC status. */
export interface RefusalResponder {
  readonly state: ResponderState;
  /** The bytes to write first: our SETTINGS. */
  open(): Uint8Array;
  /** Takes what the peer sent, however it is cut, and returns what to write; often empty. */
  receive(bytes: Uint8Array): Uint8Array;
  /** The bytes to write last: GOAWAY with INADEQUATE_SECURITY. */
  close(): Uint8Array;
}

/** 16 KiB in, 64 KiB out, 256 answers. */
export const defaultResponderBounds: ResponderBounds = {
  maxBytesIn: 16 * 1024,
  maxBytesOut: 64 * 1024,
  maxAnswers: 256,
};

/**
 * Makes the responder for one refused connection: bytes in, bytes out, no I/O. It reads the nine octets of
 * each frame's header (RFC 9113, 4.1) and, of payloads, only the opaque octets of a PING, which its
 * acknowledgement must repeat; header blocks are skipped, never decoded. Each request is answered with
 * trailers only: `grpc-status`, `grpc-message` and `handfast-refusal: CODE`. Our SETTINGS give streams a
 * window of zero, so that a refused client sends no message bodies.
 */
export function createRefusalResponder(
  refusal: Pick<Refusal, "code" | "publicMessage" | "status">,
  bounds: ResponderBounds = defaultResponderBounds,
): RefusalResponder {
  const text = `${refusal.code}: ${refusal.publicMessage}`;
  const block = trailersOnly(refusal, text);
  const goaway = (lastStream: number): Uint8Array => goawayFrame(lastStream, text);
  const budgetOut = bounds.maxBytesOut - goaway(0).length;

  let state: ResponderState = "answering";
  let bytesIn = 0;
  let bytesOut = 0;
  let answers = 0;
  let lastStream = 0;
  /** How much of the client's preface has matched. */
  let matched = 0;
  const header = new Uint8Array(frameHeaderLength);
  let headerFilled = 0;
  let payloadLeft = 0;
  /** The octets of a PING being collected, where one is. */
  let ping: Uint8Array | undefined;
  /** The stream whose header block goes on in CONTINUATION frames, and whether its HEADERS ended it. */
  let unfinished: { readonly stream: number; readonly ended: boolean } | undefined;
  let output: Uint8Array[] = [];

  return {
    get state() {
      return state;
    },
    open() {
      bytesOut += opening.length;
      return opening;
    },
    receive(bytes) {
      for (let at = 0; at < bytes.length && state === "answering";) at += take(bytes, at);
      const out = Buffer.concat(output);
      output = [];
      return out;
    },
    close: () => goaway(lastStream),
  };

  /** Consumes some bytes at `at` and returns how many; at least one. */
  function take(bytes: Uint8Array, at: number): number {
    const room = bounds.maxBytesIn - bytesIn;
    if (room <= 0) {
      state = "exhausted";
      return bytes.length;
    }
    const available = Math.min(bytes.length - at, room);
    let taken: number;
    if (matched < preface.length) taken = takePreface(bytes, at);
    else if (payloadLeft > 0) taken = takePayload(bytes.subarray(at, at + available));
    else taken = takeHeader(bytes.subarray(at, at + available));
    bytesIn += taken;
    return taken;
  }

  function takePreface(bytes: Uint8Array, at: number): number {
    if (bytes[at] === preface[matched]) matched += 1;
    else state = "broken";
    return 1;
  }

  function takeHeader(bytes: Uint8Array): number {
    const taken = Math.min(frameHeaderLength - headerFilled, bytes.length);
    header.set(bytes.subarray(0, taken), headerFilled);
    headerFilled += taken;
    if (headerFilled === frameHeaderLength) {
      headerFilled = 0;
      startFrame(header);
    }
    return taken;
  }

  function takePayload(bytes: Uint8Array): number {
    const taken = Math.min(payloadLeft, bytes.length);
    ping?.set(bytes.subarray(0, taken), pingLength - payloadLeft);
    payloadLeft -= taken;
    if (payloadLeft === 0 && ping !== undefined) {
      answer(frame({ type: frameTypes.ping, flags: ackFlag, stream: 0 }, ping));
      ping = undefined;
    }
    return taken;
  }

  function startFrame(octets: Uint8Array): void {
    const { length, type, flags, stream } = readFrameHeader(octets);
    if (length > maxFrameLength) {
      state = "broken";
      return;
    }
    payloadLeft = length;
    if (unfinished !== undefined) {
      if (type === frameTypes.continuation && stream === unfinished.stream)
        finishHeaders(unfinished, flags);
      else state = "broken";
    } else if (type === frameTypes.settings) startSettings(length, flags);
    else if (type === frameTypes.ping) startPing(length, flags);
    else if (type === frameTypes.headers) startHeaders(stream, flags);
  }

  function startSettings(length: number, flags: number): void {
    if ((flags & ackFlag) === 0)
      answer(frame({ type: frameTypes.settings, flags: ackFlag, stream: 0 }));
    else if (length > 0) state = "broken";
  }

  function startPing(length: number, flags: number): void {
    if (length !== pingLength) state = "broken";
    else if ((flags & ackFlag) === 0) ping = new Uint8Array(pingLength);
  }

  function startHeaders(stream: number, flags: number): void {
    if (stream % 2 === 0) state = "broken";
    else finishHeaders({ stream, ended: (flags & endStreamFlag) !== 0 }, flags);
  }

  function finishHeaders(
    head: { readonly stream: number; readonly ended: boolean },
    flags: number,
  ): void {
    unfinished = (flags & endHeadersFlag) === 0 ? head : undefined;
    // A second HEADERS on an answered stream is the caller's trailers: nothing is owed.
    if (unfinished !== undefined || head.stream <= lastStream) return;
    const response = frame(
      { type: frameTypes.headers, flags: endHeadersFlag | endStreamFlag, stream: head.stream },
      block,
    );
    const reset = { type: frameTypes.rstStream, flags: 0, stream: head.stream };
    const answered = answer(
      head.ended ? response : Buffer.concat([response, frame(reset, noErrorCode)]),
    );
    if (answered) lastStream = head.stream;
  }

  function answer(bytes: Uint8Array): boolean {
    if (answers >= bounds.maxAnswers || bytesOut + bytes.length > budgetOut) {
      state = "exhausted";
      return false;
    }
    answers += 1;
    bytesOut += bytes.length;
    output.push(bytes);
    return true;
  }
}

interface FrameHead {
  readonly type: number;
  readonly flags: number;
  readonly stream: number;
}

function readFrameHeader(octets: Uint8Array): FrameHead & { readonly length: number } {
  const view = new DataView(octets.buffer, octets.byteOffset, octets.byteLength);
  return {
    length: view.getUint32(0) >>> 8,
    type: view.getUint8(3),
    flags: view.getUint8(4),
    stream: view.getUint32(5) & 0x7fffffff,
  };
}

function frame(head: FrameHead, payload: Uint8Array = new Uint8Array(0)): Uint8Array {
  const bytes = Buffer.alloc(frameHeaderLength + payload.length);
  bytes.writeUIntBE(payload.length, 0, 3);
  bytes.writeUInt8(head.type, 3);
  bytes.writeUInt8(head.flags, 4);
  bytes.writeUInt32BE(head.stream, 5);
  bytes.set(payload, frameHeaderLength);
  return bytes;
}

function goawayFrame(lastStream: number, text: string): Uint8Array {
  const codes = Buffer.alloc(8);
  codes.writeUInt32BE(lastStream, 0);
  codes.writeUInt32BE(inadequateSecurity, 4);
  const payload = Buffer.concat([codes, Buffer.from(text)]);
  return frame({ type: frameTypes.goaway, flags: 0, stream: 0 }, payload);
}

/** The header block of an answer (RFC 7541): one indexed field, then literals that touch no table. */
function trailersOnly(refusal: Pick<Refusal, "code" | "status">, text: string): Uint8Array {
  return Buffer.concat([
    Uint8Array.of(status200),
    literal("content-type", "application/grpc"),
    literal("grpc-status", String(refusal.status)),
    literal("grpc-message", encodeStatusMessage(text)),
    literal("handfast-refusal", refusal.code),
  ]);
}

function literal(name: string, value: string): Uint8Array {
  return Buffer.concat([Uint8Array.of(literalNewName), hpackString(name), hpackString(value)]);
}

function hpackString(text: string): Uint8Array {
  const length: number[] = [];
  let rest = text.length;
  if (rest < prefixLimit) {
    length.push(rest);
  } else {
    length.push(prefixLimit);
    for (rest -= prefixLimit; rest >= 128; rest >>>= 7) length.push((rest & 127) | 128);
    length.push(rest);
  }
  return Buffer.concat([Uint8Array.from(length), Buffer.from(text, "latin1")]);
}

const preface = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "latin1");
const frameHeaderLength = 9;
const maxFrameLength = 16_384;
const pingLength = 8;
const frameTypes = {
  headers: 1,
  rstStream: 3,
  settings: 4,
  ping: 6,
  goaway: 7,
  continuation: 9,
} as const;
const ackFlag = 0x1;
const endStreamFlag = 0x1;
const endHeadersFlag = 0x4;
const inadequateSecurity = 0xc;
const noErrorCode = new Uint8Array(4);
/** HPACK: the static table's ":status: 200", indexed. */
const status200 = 0x88;
/** HPACK: a literal without indexing whose name is written out. */
const literalNewName = 0x00;
/** HPACK: the largest value of a seven-bit prefix. */
const prefixLimit = 127;
/** SETTINGS with INITIAL_WINDOW_SIZE (4) = 0. */
const opening = frame(
  { type: frameTypes.settings, flags: 0, stream: 0 },
  Uint8Array.of(0, 4, 0, 0, 0, 0),
);
