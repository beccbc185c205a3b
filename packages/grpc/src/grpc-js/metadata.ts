import { Metadata as JsMetadata } from "@grpc/grpc-js";
import { Metadata } from "../metadata.ts";

/** Our metadata as that of grpc-js. */
export function toJs(metadata: Metadata): JsMetadata {
  const result = new JsMetadata();
  for (const [name, value] of metadata) {
    result.add(name, typeof value === "string" ? value : asBuffer(value));
  }
  return result;
}

/** Undefined if a value has bytes that may not travel. What belongs to HTTP is left out. */
export function fromJs(metadata: JsMetadata): Metadata | undefined {
  const names = Object.keys(metadata.getMap()).filter((name) => !transportNames.has(name));
  return Metadata.fromWire(
    names.flatMap((name) => metadata.get(name).map((value) => [name, value] as const)),
  );
}

/** The same bytes as a Buffer, which is what grpc-js takes. */
function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

const transportNames: ReadonlySet<string> = new Set([
  "content-type",
  "date",
  "grpc-accept-encoding",
  "grpc-encoding",
]);
