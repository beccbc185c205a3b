import { fieldValue } from "@handfast/http2";
import type { Fields } from "@handfast/http2";
import { decodeStatusMessage, encodeStatusMessage } from "./status-message.ts";
import type { EngineStatus } from "../engine.ts";
import { Metadata } from "../metadata.ts";
import type { MetadataValue } from "../metadata.ts";
import { statusNumbers } from "../status.ts";

/** Appends metadata to fields; bytes go as base64 without padding. */
export function appendMetadata(fields: string[], metadata: Metadata): void {
  if (metadata.wireSize === 0) return;
  for (const [name, value] of metadata) {
    fields.push(name, typeof value === "string" ? value : encodeBytes(value));
  }
}

/**
 * The metadata in fields that arrived, without what belongs to the transport; undefined if a name or a
 * value has bytes that may not travel (S39).
 */
export function readMetadata(fields: Fields): Metadata | undefined {
  const entries: (readonly [string, MetadataValue])[] = [];
  for (let at = 0; at < fields.length; at += 2) {
    const name = fields[at]!;
    const value = fields[at + 1]!;
    if (transportNames.has(name)) continue;
    if (!name.endsWith("-bin")) {
      entries.push([name, value]);
      continue;
    }
    // Several values of one name may have been joined on the way.
    for (const part of value.split(",")) {
      const bytes = decodeBytes(part.trim());
      if (bytes === undefined) return undefined;
      entries.push([name, bytes]);
    }
  }
  return Metadata.fromWire(entries);
}

/** Appends a status as trailers have it. */
export function appendStatus(fields: string[], { status, message, details }: EngineStatus): void {
  fields.push("grpc-status", String(status));
  if (message !== "") fields.push("grpc-message", encodeStatusMessage(message));
  if (details !== undefined) fields.push(detailsName, encodeBytes(details));
}

/** The trailers in fields, and the status in them, if they have one. */
export function readTrailers(fields: Fields): {
  readonly status: EngineStatus | undefined;
  readonly trailers: Metadata;
} {
  const number = fieldValue(fields, "grpc-status");
  const details = fieldValue(fields, detailsName);
  const trailers = readMetadata(fields) ?? new Metadata();
  for (const name of ["grpc-status", "grpc-message", detailsName]) trailers.delete(name);
  if (number === undefined) return { status: undefined, trailers };
  const status = {
    status: statusPattern.test(number) ? Number(number) : statusNumbers.UNKNOWN,
    message: decodeStatusMessage(fieldValue(fields, "grpc-message") ?? ""),
    details: details === undefined ? undefined : decodeBytes(details),
  };
  return { status, trailers };
}

function encodeBytes(bytes: Uint8Array): string {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("base64");
  return text.replace(/=+$/, "");
}

function decodeBytes(text: string): Uint8Array | undefined {
  return base64Pattern.test(text) ? Buffer.from(text, "base64") : undefined;
}

const base64Pattern = /^[A-Za-z0-9+/]*={0,2}$/;
const statusPattern = /^\d{1,3}$/;
const detailsName = "grpc-status-details-bin";
const transportNames: ReadonlySet<string> = new Set([
  "content-length",
  "content-type",
  "date",
  "grpc-accept-encoding",
  "grpc-encoding",
  "grpc-timeout",
  "host",
  "te",
]);
