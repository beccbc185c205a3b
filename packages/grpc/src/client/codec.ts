import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import type { DescMessage, DescMethod, MessageInitShape } from "@bufbuild/protobuf";
import { GrpcError } from "../errors.ts";
import type { AnyMessage, MessageTaps } from "../intercept.ts";

/** Turns the messages of a method into bytes and back, past the taps of its interceptors. */
export interface Codec {
  /** @throws {GrpcError} RESOURCE_EXHAUSTED for a message over the limit. */
  encode(init: MessageInitShape<DescMessage>): {
    readonly message: AnyMessage;
    readonly bytes: Uint8Array;
  };
  /** @throws {GrpcError} INTERNAL for bytes that are no such message. */
  decode(bytes: Uint8Array): AnyMessage;
}

/** The codec of a client's call. */
export function codecOf(
  { input, output }: DescMethod,
  taps: readonly MessageTaps[],
  maxSendMessageBytes: number,
): Codec {
  return {
    encode(init) {
      const message = create(input, init);
      for (const tap of taps) tap.request?.(message);
      const bytes = toBinary(input, message);
      if (bytes.length <= maxSendMessageBytes) return { message, bytes };
      throw new GrpcError(
        "RESOURCE_EXHAUSTED",
        `request message of ${bytes.length} bytes is larger than the limit of ${maxSendMessageBytes}`,
      );
    },
    decode(bytes) {
      const message = read(output, bytes);
      for (const tap of taps) tap.response?.(message);
      return message;
    },
  };
}

function read(schema: DescMessage, bytes: Uint8Array): AnyMessage {
  try {
    return fromBinary(schema, bytes);
  } catch (cause) {
    throw new GrpcError("INTERNAL", `the response is no valid ${schema.typeName}`, { cause });
  }
}
