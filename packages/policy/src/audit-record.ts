import { hash } from "node:crypto";
import type { RecordValue } from "./canonical-json.ts";
import { canonicalJson } from "./canonical-json.ts";

/**
 * One record of an audit chain, as it stands in the file after the magic bytes:
 *
 *     length  4 bytes  of the body, big-endian
 *     check   8 bytes  the start of SHA-256("handfast-audit-length\n" + hash before + length)
 *     body             canonical JSON {"fields":{…},"kind":"…","seq":n,"time":"…"}
 *     hash   32 bytes  SHA-256("handfast-audit-record\n" + hash before + length + body)
 *
 * The hash before the first record is 32 zero bytes. The check makes sure that an incomplete record
 * at the end is one that was being written, and not a record whose length was changed so that it
 * seems to reach beyond the end and swallows those after it.
 */
export interface AuditRecord {
  /** From 0 in each file. */
  readonly seq: number;
  /** RFC 3339, UTC, milliseconds. */
  readonly time: string;
  readonly kind: string;
  readonly fields: RecordFields;
}

/** What a record says, by name. */
export type RecordFields = Readonly<Record<string, RecordValue | undefined>>;

/**
 * What a record says, in its one form.
 *
 * @throws {TypeError} more than 1 MiB, or a number that is not finite
 */
export function encodeFields(fields: RecordFields): string {
  const text = canonicalJson(fields);
  const bytes = Buffer.byteLength(text);
  if (bytes <= maxFieldsBytes) return text;
  throw new TypeError(`the fields of a record have at most ${maxFieldsBytes} bytes, not ${bytes}`);
}

/** A record as bytes, and the hash that the next one builds on. */
export function encodeRecord(
  record: { seq: number; time: string; kind: string; fields: string },
  before: Uint8Array,
): { bytes: Uint8Array; hash: Uint8Array } {
  const { seq, time, kind, fields } = record;
  const body = Buffer.from(
    `{"fields":${fields},"kind":${canonicalJson(kind)},"seq":${seq},"time":${canonicalJson(time)}}`,
  );
  const length = Buffer.alloc(4);
  length.writeUInt32BE(body.length);
  const own = recordHash(before, length, body);
  return { bytes: Buffer.concat([length, lengthCheck(before, length), body, own]), hash: own };
}

/** What the bytes at some place of a file are. */
type DecodedRecord =
  | {
      readonly type: "record";
      readonly record: AuditRecord;
      readonly hash: Uint8Array;
      readonly bytes: number;
    }
  /** They are the start of a record; `needed` bytes would tell more. */
  | { readonly type: "incomplete"; readonly needed: number }
  | { readonly type: "broken"; readonly problem: string };

/** Decodes the record at the start of `bytes`, which has to be the one with the number `seq`. */
export function decodeRecord(
  bytes: Uint8Array,
  expected: { readonly seq: number; readonly before: Uint8Array },
): DecodedRecord {
  const { seq, before } = expected;
  if (bytes.length < headBytes) return { type: "incomplete", needed: headBytes };
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const length = view.subarray(0, 4);
  const bodyBytes = length.readUInt32BE();
  if (!lengthCheck(before, length).equals(view.subarray(4, headBytes))) {
    return broken("its head does not follow from the record before");
  }
  if (bodyBytes > maxBodyBytes) return broken(`its length of ${bodyBytes} is over the limit`);
  const needed = headBytes + bodyBytes + hashBytes;
  if (bytes.length < needed) return { type: "incomplete", needed };
  const body = view.subarray(headBytes, headBytes + bodyBytes);
  const own = recordHash(before, length, body);
  if (!own.equals(view.subarray(headBytes + bodyBytes, needed))) {
    return broken("its hash does not match its content and the record before");
  }
  const record = parseBody(body);
  if (record === undefined) return broken("its content is not a record");
  if (record.seq !== seq) return broken(`its number is ${record.seq}, expected ${seq}`);
  return { type: "record", record, hash: own, bytes: needed };
}

function parseBody(body: Uint8Array): AuditRecord | undefined {
  try {
    const value = JSON.parse(Buffer.from(body).toString()) as Partial<AuditRecord> | null;
    const { seq, time, kind, fields } = value ?? {};
    if (typeof seq !== "number" || typeof time !== "string" || typeof kind !== "string") {
      return undefined;
    }
    if (typeof fields !== "object" || fields === null) return undefined;
    return { seq, time, kind, fields };
  } catch {
    return undefined;
  }
}

function broken(problem: string): DecodedRecord {
  return { type: "broken", problem };
}

function lengthCheck(before: Uint8Array, length: Uint8Array): Buffer {
  const input = Buffer.concat([lengthPurpose, before, length]);
  return hash("sha256", input, "buffer").subarray(0, headBytes - 4);
}

function recordHash(before: Uint8Array, length: Uint8Array, body: Uint8Array): Buffer {
  return hash("sha256", Buffer.concat([recordPurpose, before, length, body]), "buffer");
}

/** What stands at the start of each file. */
export const chainMagic: Uint8Array = Buffer.from("HFAUDIT1");
/** The hash before the first record of a file. */
export const firstHash: Uint8Array = new Uint8Array(32);

const maxFieldsBytes = 1024 * 1024;
/** With number, time and kind. */
const maxBodyBytes = maxFieldsBytes + 1024;
const headBytes = 12;
const hashBytes = 32;
const lengthPurpose = Buffer.from("handfast-audit-length\n");
const recordPurpose = Buffer.from("handfast-audit-record\n");
