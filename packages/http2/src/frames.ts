import type { Output } from "./output.ts";

/** Frame types of RFC 9113 section 6. */
export const frameTypes = {
  DATA: 0x0,
  HEADERS: 0x1,
  PRIORITY: 0x2,
  RST_STREAM: 0x3,
  SETTINGS: 0x4,
  PUSH_PROMISE: 0x5,
  PING: 0x6,
  GOAWAY: 0x7,
  WINDOW_UPDATE: 0x8,
  CONTINUATION: 0x9,
} as const;

/** Frame flags; a bit means different things in different frame types. */
export const flags = {
  ACK: 0x1,
  END_STREAM: 0x1,
  END_HEADERS: 0x4,
  PADDED: 0x8,
  PRIORITY: 0x20,
} as const;

/** Identifiers of RFC 9113 section 6.5.2. */
export const settingIds = {
  HEADER_TABLE_SIZE: 0x1,
  ENABLE_PUSH: 0x2,
  MAX_CONCURRENT_STREAMS: 0x3,
  INITIAL_WINDOW_SIZE: 0x4,
  MAX_FRAME_SIZE: 0x5,
  MAX_HEADER_LIST_SIZE: 0x6,
} as const;

/** Octets of a frame's header (RFC 9113 section 4.1). */
export const frameHeaderLength = 9;

/** The least and greatest SETTINGS_MAX_FRAME_SIZE (RFC 9113 section 6.5.2). */
export const smallestMaxFrameSize = 16_384;
export const largestMaxFrameSize = 16_777_215;

/** The window every stream and connection starts with (RFC 9113 section 6.9.2). */
export const protocolInitialWindow = 65_535;

/** The largest window, and the largest stream identifier: 2^31 - 1. */
export const largestInt31 = 0x7fff_ffff;

/** What a client sends before its first frame (RFC 9113 section 3.4). */
export const clientPreface: Uint8Array = Uint8Array.from(
  "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
  (char) => char.charCodeAt(0),
);

/** Type and flags in one number, so that {@link putFrameHeader} takes four arguments. */
export function frameKind(type: number, flagBits: number): number {
  return (type << 8) | flagBits;
}

/** Writes nine octets at `at`, where room has been reserved (RFC 9113 section 4.1). */
export function putFrameHeader(
  bytes: Uint8Array,
  at: number,
  frame: { readonly length: number; readonly kind: number; readonly streamId: number },
): void {
  bytes[at] = frame.length >>> 16;
  bytes[at + 1] = frame.length >>> 8;
  bytes[at + 2] = frame.length;
  bytes[at + 3] = frame.kind >>> 8;
  bytes[at + 4] = frame.kind;
  putUint32(bytes, at + 5, frame.streamId);
}

/** Appends a frame header and returns nothing: the caller appends `length` octets next. */
export function appendFrameHeader(
  output: Output,
  length: number,
  kind: number,
  streamId: number,
): void {
  const at = output.reserve(frameHeaderLength + length);
  const bytes = output.bytes;
  bytes[at] = length >>> 16;
  bytes[at + 1] = length >>> 8;
  bytes[at + 2] = length;
  bytes[at + 3] = kind >>> 8;
  bytes[at + 4] = kind;
  putUint32(bytes, at + 5, streamId);
  output.end = at + frameHeaderLength;
}

/** Appends a frame whose payload is one 32-bit number: RST_STREAM or WINDOW_UPDATE. */
export function appendUint32Frame(
  output: Output,
  type: number,
  streamId: number,
  value: number,
): void {
  appendFrameHeader(output, 4, frameKind(type, 0), streamId);
  putUint32(output.bytes, output.end, value);
  output.end += 4;
}

/** Appends a PING (RFC 9113 section 6.7) whose eight octets are two 32-bit numbers. */
export function appendPing(output: Output, flagBits: number, high: number, low: number): void {
  appendFrameHeader(output, 8, frameKind(frameTypes.PING, flagBits), 0);
  putUint32(output.bytes, output.end, high);
  putUint32(output.bytes, output.end + 4, low);
  output.end += 8;
}

/** Appends a GOAWAY (RFC 9113 section 6.8); the reason becomes its debug data, ASCII. */
export function appendGoaway(
  output: Output,
  lastStreamId: number,
  code: number,
  reason: string,
): void {
  appendFrameHeader(output, 8 + reason.length, frameKind(frameTypes.GOAWAY, 0), 0);
  const { bytes, end } = output;
  putUint32(bytes, end, lastStreamId);
  putUint32(bytes, end + 4, code);
  for (let index = 0; index < reason.length; index += 1) {
    bytes[end + 8 + index] = reason.charCodeAt(index);
  }
  output.end = end + 8 + reason.length;
}

/** Appends a SETTINGS frame of identifier and value pairs (RFC 9113 section 6.5.1). */
export function appendSettings(
  output: Output,
  settings: readonly (readonly [id: number, value: number])[],
): void {
  appendFrameHeader(output, settings.length * 6, frameKind(frameTypes.SETTINGS, 0), 0);
  for (const [id, value] of settings) {
    output.bytes[output.end] = id >>> 8;
    output.bytes[output.end + 1] = id;
    putUint32(output.bytes, output.end + 2, value);
    output.end += 6;
  }
}

/** The unsigned 32-bit number at `at`; the caller has checked that four octets are there. */
export function readUint32(bytes: Uint8Array, at: number): number {
  return (
    ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0
  );
}

/** The 31-bit number at `at`; the reserved top bit is ignored (RFC 9113 section 4.1). */
export function readUint31(bytes: Uint8Array, at: number): number {
  return (
    ((bytes[at]! & 0x7f) << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!
  );
}

function putUint32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 24;
  bytes[at + 1] = value >>> 16;
  bytes[at + 2] = value >>> 8;
  bytes[at + 3] = value;
}
