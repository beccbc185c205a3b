import { errorCodes } from "./errors.ts";
import type { ErrorCode, Http2ErrorCode } from "./errors.ts";

/**
 * The peer did what ends the whole connection (RFC 9113 section 5.4.1). Thrown inside the machine while
 * it reads, caught where reading begins, turned into GOAWAY and the close event; no caller sees it.
 */
export class ConnectionFault extends Error {
  readonly wireCode: ErrorCode;

  constructor(wireCode: ErrorCode, message: string) {
    super(message);
    this.wireCode = wireCode;
  }
}

/** The name in the error table for a wire code. */
export function faultName(wireCode: ErrorCode): Http2ErrorCode {
  switch (wireCode) {
    case errorCodes.FLOW_CONTROL_ERROR:
      return "PEER_BROKE_FLOW_CONTROL";
    case errorCodes.FRAME_SIZE_ERROR:
      return "PEER_BROKE_FRAMING";
    case errorCodes.COMPRESSION_ERROR:
      return "PEER_BROKE_COMPRESSION";
    case errorCodes.ENHANCE_YOUR_CALM:
      return "PEER_EXCEEDED_LIMIT";
    case errorCodes.SETTINGS_TIMEOUT:
      return "PEER_TOO_SLOW";
    default:
      return "PEER_BROKE_PROTOCOL";
  }
}
