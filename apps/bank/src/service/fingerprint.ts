import { createHash } from "node:crypto";
import { toBinary } from "@bufbuild/protobuf";
import type { DescMessage, Message, MessageShape } from "@bufbuild/protobuf";

/** SHA-256 of the encoding of all known fields but request_id (S59). */
export function fingerprintOf<Desc extends DescMessage>(
  schema: Desc,
  request: MessageShape<Desc> & Message & { readonly requestId: string },
): Uint8Array {
  const content = { ...request, requestId: "" };
  return createHash("sha256")
    .update(toBinary(schema, content, { writeUnknownFields: false }))
    .digest();
}
