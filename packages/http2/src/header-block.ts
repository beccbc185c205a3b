import { checkFields, fieldOverhead, fieldValue } from "./fields.ts";
import type { Fields } from "./fields.ts";
import { appendStateless, defaultNeverIndexed } from "./hpack-encoder.ts";
import { Output } from "./output.ts";

/**
 * Fields encoded once, for any number of streams of any number of connections: heads and trailers that
 * repeat. Made by {@link encodeHeaderBlock} alone.
 */
export class HeaderBlock {
  /** The fields it was made from. */
  readonly fields: Fields;
  /** The encoded octets; not to be changed. */
  readonly bytes: Uint8Array;
  /** Its part of a header list's size (RFC 9113 section 10.5.1). */
  readonly listSize: number;

  constructor(fields: Fields, bytes: Uint8Array, listSize: number) {
    this.fields = fields;
    this.bytes = bytes;
    this.listSize = listSize;
  }
}

/**
 * What a command takes as a head or as trailers: fields, a block encoded before, or such a block
 * followed by fields that vary.
 */
export type Headers = Fields | HeaderBlock | readonly [block: HeaderBlock, more: Fields];

/** `neverIndexed`: names whose values no table on the way may keep; the default is authorization and cookies. */
export interface EncodeHeaderBlockOptions {
  readonly neverIndexed?: ReadonlySet<string>;
}

/**
 * Encodes fields once so that they can be sent often.
 *
 * @throws TypeError if a name or value could not be sent
 */
export function encodeHeaderBlock(fields: Fields, options?: EncodeHeaderBlockOptions): HeaderBlock {
  checkFields(fields);
  const output = new Output();
  appendStateless(output, fields, options?.neverIndexed ?? defaultNeverIndexed);
  const bytes = output.take()?.slice() ?? new Uint8Array(0);
  return new HeaderBlock(Object.freeze([...fields]), bytes, listSizeOf(fields));
}

/** What fields count for against SETTINGS_MAX_HEADER_LIST_SIZE. */
export function listSizeOf(fields: Fields): number {
  let size = 0;
  for (const text of fields) {
    size += text.length;
  }
  return size + (fields.length >> 1) * fieldOverhead;
}

/** The first value of a name in headers of any form. */
export function headerValue(headers: Headers, name: string): string | undefined {
  if (headers instanceof HeaderBlock) {
    return fieldValue(headers.fields, name);
  }
  const first = headers[0];
  return first instanceof HeaderBlock
    ? (fieldValue(first.fields, name) ??
        fieldValue((headers as readonly [HeaderBlock, Fields])[1], name))
    : fieldValue(headers as Fields, name);
}
