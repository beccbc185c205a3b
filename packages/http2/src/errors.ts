/**
 * What ended a connection or refused a command. `code` is the stable name to act on; `wireCode` is the
 * RFC 9113 section 7 error code that was sent or received, where there was one.
 */
export class Http2Error extends Error {
  readonly code: Http2ErrorCode;
  readonly hint: string;
  readonly wireCode: ErrorCode;

  constructor(code: Http2ErrorCode, message: string, options?: Http2ErrorOptions) {
    super(message, options?.cause === undefined ? undefined : { cause: options.cause });
    this.name = "Http2Error";
    this.code = code;
    const entry: Http2ErrorEntry = http2Errors[code];
    this.hint = options?.hint ?? entry.hint;
    this.wireCode = options?.wireCode ?? errorCodes.NO_ERROR;
  }
}

/** The cause, a better hint, and the code that goes on the wire. */
export interface Http2ErrorOptions {
  readonly cause?: unknown;
  readonly hint?: string;
  readonly wireCode?: ErrorCode;
}

/** Every reason this package gives: what it means, what to do, the gRPC status, may the peer see it. */
export const http2Errors = {
  PEER_BROKE_PROTOCOL: {
    message: "the peer sent what RFC 9113 forbids",
    hint: "read the message for the section; if the peer is trusted, look for a faulty HTTP/2 library or proxy",
    status: 14,
    public: true,
  },
  PEER_BROKE_FRAMING: {
    message: "the peer sent a frame of a size its type does not allow",
    hint: "check that the peer speaks HTTP/2 on this port",
    status: 14,
    public: true,
  },
  PEER_BROKE_FLOW_CONTROL: {
    message: "the peer sent more than its window allowed, or overflowed ours",
    hint: "look for a faulty HTTP/2 library or proxy on the peer's side",
    status: 14,
    public: true,
  },
  PEER_BROKE_COMPRESSION: {
    message: "the peer's header block could not be decoded",
    hint: "look for a faulty HPACK encoder on the peer's side",
    status: 14,
    public: true,
  },
  PEER_EXCEEDED_LIMIT: {
    message: "the peer exceeded one of this connection's limits",
    hint: "if the peer is honest, raise the limit that the message names",
    status: 14,
    public: true,
  },
  PEER_TOO_SLOW: {
    message: "the peer did not send or take what was due within its deadline",
    hint: "check the network and the peer's load; the deadline is an option",
    status: 14,
    public: true,
  },
  PEER_SILENT: {
    message: "the peer did not answer a keepalive ping",
    hint: "connect again; the network path or the peer is gone",
    status: 14,
    public: false,
  },
  PEER_ENDED_WITH_ERROR: {
    message: "the peer ended the connection and named an error",
    hint: "the wire code says what the peer objected to; connect again",
    status: 14,
    public: false,
  },
  TRANSPORT_ENDED: {
    message: "the transport below the connection ended",
    hint: "connect again",
    status: 14,
    public: false,
  },
  CONNECTION_CLOSED: {
    message: "the connection was closed on this side",
    hint: "connect again",
    status: 14,
    public: false,
  },
  EVENT_THREW: {
    message: "the application's event function threw",
    hint: "catch errors inside the event function; the cause is attached",
    status: 13,
    public: false,
  },
  HEADERS_TOO_LARGE: {
    message: "a header list is larger than the peer accepts",
    hint: "send less metadata",
    status: 8,
    public: true,
  },
} as const;

/** One row of {@link http2Errors}. */
export interface Http2ErrorEntry {
  readonly message: string;
  readonly hint: string;
  readonly status: number;
  readonly public: boolean;
}

/** The names in {@link http2Errors}. */
export type Http2ErrorCode = keyof typeof http2Errors;

/** The error codes of RFC 9113 section 7, as RST_STREAM and GOAWAY carry them. */
export const errorCodes = {
  NO_ERROR: 0x0,
  PROTOCOL_ERROR: 0x1,
  INTERNAL_ERROR: 0x2,
  FLOW_CONTROL_ERROR: 0x3,
  SETTINGS_TIMEOUT: 0x4,
  STREAM_CLOSED: 0x5,
  FRAME_SIZE_ERROR: 0x6,
  REFUSED_STREAM: 0x7,
  CANCEL: 0x8,
  COMPRESSION_ERROR: 0x9,
  CONNECT_ERROR: 0xa,
  ENHANCE_YOUR_CALM: 0xb,
  INADEQUATE_SECURITY: 0xc,
  HTTP_1_1_REQUIRED: 0xd,
} as const;

/** A 32-bit error code; those of {@link errorCodes} and whatever else a peer may send. */
export type ErrorCode = number;

/** The RFC's name of an error code, or its number in hexadecimal where it has none. */
export function errorCodeName(code: ErrorCode): string {
  return errorCodeNames[code] ?? `0x${code.toString(16)}`;
}

const errorCodeNames: readonly string[] = Object.keys(errorCodes);
