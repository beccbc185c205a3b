import type { Fields } from "./fields.ts";
import { DynamicTable, entrySize, lastStaticIndex, staticTable } from "./hpack-table.ts";
import { huffmanLength, putHuffman } from "./huffman.ts";
import type { Output } from "./output.ts";

/** How an encoder chooses between the representations of RFC 7541 section 6. */
export interface EncoderOptions {
  /** Octets of dynamic table to use at most, whatever the peer would allow. */
  readonly tableSize: number;
  /** Names sent never-indexed (RFC 7541 section 7.1.3): no table on the way may keep their values. */
  readonly neverIndexed: ReadonlySet<string>;
  /** Names whose values seldom repeat: indexing them would only push out better entries. */
  readonly seldomRepeated: ReadonlySet<string>;
  /** Whether indexed strings are Huffman coded where that is not longer. */
  readonly huffman: boolean;
}

/**
 * Encodes header blocks against the peer's dynamic table. One per connection; blocks must be sent in the
 * order they were encoded.
 */
export class HpackEncoder {
  #options: EncoderOptions;
  #table: DynamicTable;
  /** Name, then value, then the running number of the entry. */
  #numbers: Map<string, Map<string, number>> = new Map();
  /** The least capacity since the last block, where a size update is due (RFC 7541 section 4.2). */
  #leastCapacity: number | undefined;

  constructor(options: EncoderOptions) {
    this.#options = options;
    this.#table = new DynamicTable(Math.min(options.tableSize, defaultTableSize), (entry, number) =>
      this.#forget(entry.name, entry.value, number),
    );
    if (this.#table.capacity < defaultTableSize) {
      this.#leastCapacity = this.#table.capacity;
    }
  }

  /** Takes the peer's SETTINGS_HEADER_TABLE_SIZE; the next block announces what became of it. */
  setPeerCapacity(peerCapacity: number): void {
    const capacity = Math.min(peerCapacity, this.#options.tableSize);
    if (capacity !== this.#table.capacity) {
      this.#leastCapacity = Math.min(this.#leastCapacity ?? capacity, capacity);
      this.#table.resize(capacity);
    }
  }

  /** Appends the size updates that are due; called before the first field of every block. */
  beginBlock(output: Output): void {
    if (this.#leastCapacity === undefined) {
      return;
    }
    if (this.#leastCapacity < this.#table.capacity) {
      appendInteger(output, 0x20, 0x1f, this.#leastCapacity);
    }
    appendInteger(output, 0x20, 0x1f, this.#table.capacity);
    this.#leastCapacity = undefined;
  }

  /** Appends fields, which must have been checked. */
  encode(output: Output, fields: Fields): void {
    for (let index = 0; index < fields.length; index += 2) {
      this.#field(output, fields[index]!, fields[index + 1]!);
    }
  }

  #field(output: Output, name: string, value: string): void {
    const known = staticFields.get(name);
    const staticIndex = known?.values.get(value);
    if (staticIndex !== undefined) {
      appendInteger(output, 0x80, 0x7f, staticIndex);
      return;
    }
    const numbers = this.#numbers.get(name);
    const number = numbers?.get(value);
    if (number !== undefined) {
      appendInteger(output, 0x80, 0x7f, this.#indexOf(number));
      return;
    }
    const nameIndex = known?.index ?? this.#anyIndexOf(numbers);
    const { neverIndexed, seldomRepeated, huffman } = this.#options;
    if (neverIndexed.has(name)) {
      appendLiteral(output, { prefix: 0x10, mask: 0x0f, nameIndex, huffman: false }, [name, value]);
    } else if (seldomRepeated.has(name) || entrySize(name, value) > this.#table.capacity >> 1) {
      appendLiteral(output, { prefix: 0, mask: 0x0f, nameIndex, huffman: false }, [name, value]);
    } else {
      appendLiteral(output, { prefix: 0x40, mask: 0x3f, nameIndex, huffman }, [name, value]);
      this.#remember(name, value);
    }
  }

  #remember(name: string, value: string): void {
    this.#table.add({ name, value, traits: 0 });
    let numbers = this.#numbers.get(name);
    if (numbers === undefined) {
      numbers = new Map();
      this.#numbers.set(name, numbers);
    }
    numbers.set(value, this.#table.added);
  }

  #forget(name: string, value: string, number: number): void {
    const numbers = this.#numbers.get(name);
    if (numbers?.get(value) === number) {
      numbers.delete(value);
      if (numbers.size === 0) {
        this.#numbers.delete(name);
      }
    }
  }

  #indexOf(number: number): number {
    return lastStaticIndex + 1 + this.#table.added - number;
  }

  #anyIndexOf(numbers: Map<string, number> | undefined): number {
    for (const number of numbers?.values() ?? []) {
      return this.#indexOf(number);
    }
    return 0;
  }
}

/**
 * Appends fields in a form that neither reads nor changes a dynamic table, so that the same octets serve
 * every connection: static indices, and literals without indexing.
 */
export function appendStateless(
  output: Output,
  fields: Fields,
  neverIndexed: ReadonlySet<string>,
): void {
  for (let index = 0; index < fields.length; index += 2) {
    const name = fields[index]!;
    const value = fields[index + 1]!;
    const known = staticFields.get(name);
    const staticIndex = known?.values.get(value);
    if (staticIndex === undefined) {
      const prefix = neverIndexed.has(name) ? 0x10 : 0;
      const nameIndex = known?.index ?? 0;
      appendLiteral(output, { prefix, mask: 0x0f, nameIndex, huffman: true }, [name, value]);
    } else {
      appendInteger(output, 0x80, 0x7f, staticIndex);
    }
  }
}

/** The table size both ends begin with (RFC 9113 section 6.5.2). */
export const defaultTableSize = 4_096;

/** Names an encoder never indexes unless told otherwise. */
export const defaultNeverIndexed: ReadonlySet<string> = new Set([
  "authorization",
  "proxy-authorization",
  "cookie",
  "set-cookie",
]);

/** Names whose values an encoder takes to be new each time unless told otherwise. */
export const defaultSeldomRepeated: ReadonlySet<string> = new Set([
  "grpc-timeout",
  "grpc-message",
  "grpc-status-details-bin",
  "grpc-trace-bin",
  "grpc-tags-bin",
  "traceparent",
  "tracestate",
  "x-request-id",
  "content-length",
  "date",
  "etag",
]);

interface LiteralForm {
  readonly prefix: number;
  readonly mask: number;
  readonly nameIndex: number;
  readonly huffman: boolean;
}

function appendLiteral(
  output: Output,
  form: LiteralForm,
  [name, value]: readonly [name: string, value: string],
): void {
  appendInteger(output, form.prefix, form.mask, form.nameIndex);
  if (form.nameIndex === 0) {
    appendString(output, name, form.huffman);
  }
  appendString(output, value, form.huffman);
}

function appendString(output: Output, text: string, huffman: boolean): void {
  const coded = huffman ? huffmanLength(text) : text.length + 1;
  if (coded <= text.length) {
    appendInteger(output, 0x80, 0x7f, coded);
    const at = output.reserve(coded);
    output.end = putHuffman(output.bytes, at, text);
    return;
  }
  appendInteger(output, 0, 0x7f, text.length);
  const at = output.reserve(text.length);
  const bytes = output.bytes;
  for (let index = 0; index < text.length; index += 1) {
    bytes[at + index] = text.charCodeAt(index);
  }
  output.end = at + text.length;
}

/** An integer with the high bits of its first octet in `prefix` (RFC 7541 section 5.1). */
export function appendInteger(output: Output, prefix: number, mask: number, value: number): void {
  let at = output.reserve(longestInteger);
  const bytes = output.bytes;
  if (value < mask) {
    bytes[at] = prefix | value;
    output.end = at + 1;
    return;
  }
  bytes[at] = prefix | mask;
  at += 1;
  let rest = value - mask;
  while (rest >= 0x80) {
    bytes[at] = 0x80 | (rest & 0x7f);
    at += 1;
    rest >>>= 7;
  }
  bytes[at] = rest;
  output.end = at + 1;
}

const longestInteger = 6;

interface StaticName {
  readonly index: number;
  readonly values: ReadonlyMap<string, number>;
}

const staticFields: ReadonlyMap<string, StaticName> = indexStaticTable();

function indexStaticTable(): Map<string, StaticName> {
  const names = new Map<string, { index: number; values: Map<string, number> }>();
  for (let index = 1; index < staticTable.length; index += 1) {
    const { name, value } = staticTable[index]!;
    const known = names.get(name) ?? { index, values: new Map<string, number>() };
    known.values.set(value, index);
    names.set(name, known);
  }
  return names;
}
