// The public names of @handfast/http2, grouped by reader.

// For who drives a connection.
export { createConnection } from "./connection.ts";
export type {
  Answer,
  ClientConnection,
  ClientOptions,
  Connection,
  ConnectionOptions,
  RequestOptions,
  SendOptions,
  ServerConnection,
  ServerOptions,
} from "./api.ts";
export type {
  ClientEvents,
  ConnectionEnd,
  ConnectionEvents,
  ServerEvents,
  StreamEvents,
  StreamReset,
} from "./events.ts";
export type { Phase } from "./core.ts";

// Heads, trailers and data.
export { fieldValue, fieldValues } from "./fields.ts";
export type { Fields } from "./fields.ts";
export type { RequestHead, ResponseHead } from "./head.ts";
export { encodeHeaderBlock } from "./header-block.ts";
export type { EncodeHeaderBlockOptions, HeaderBlock, Headers } from "./header-block.ts";
export type { Data } from "./send.ts";

// What it is tuned and bounded by.
export type { EncoderOptions } from "./hpack-encoder.ts";
export type { Limits, RateLimit, Settings, Timing } from "./limits.ts";

// What went wrong.
export { Http2Error, errorCodeName, errorCodes, http2Errors } from "./errors.ts";
export type { ErrorCode, Http2ErrorCode, Http2ErrorEntry, Http2ErrorOptions } from "./errors.ts";
