import { entryEnd, serialStart, type EntryRange } from "./crl-entries.ts";

/** 64 secret bits. */
type SerialIndexKey = readonly [number, number];

/** What an index consists of, beside the list itself. */
export interface SerialIndexSlots {
  readonly table: Uint32Array;
  readonly tags: Uint8Array;
  readonly key: SerialIndexKey;
}

/**
 * The entries of a list by serial number: a hash table of offsets into its bytes, at most fifteen
 * octets an entry and no object. The hash is keyed (HalfSipHash-1-3): whoever chooses serial numbers
 * cannot choose where they fall.
 */
export class SerialIndex {
  /** Offsets of entries, by slot. A power of two long, at most two thirds full. */
  readonly table: Uint32Array;
  /** For each slot seven bits of the hash and the top bit, or 0 if it is empty: most misses end here. */
  readonly tags: Uint8Array;
  readonly key: SerialIndexKey;
  readonly #bytes: Uint8Array;
  #tag = 0;

  constructor(bytes: Uint8Array, slots: SerialIndexSlots) {
    this.#bytes = bytes;
    this.table = slots.table;
    this.tags = slots.tags;
    this.key = slots.key;
  }

  /** The offset of the entry with that serial number (content octets of its INTEGER), or -1. */
  find(serial: Uint8Array): number {
    const slot = this.#slotOf(serial, 0, serial.length);
    return this.tags[slot] === 0 ? -1 : (this.table[slot] as number);
  }

  /** Adds a checked entry; of two with one serial number the first counts. */
  add(entry: number): void {
    const start = serialStart(this.#bytes, entry);
    const slot = this.#slotOf(this.#bytes, start, this.#bytes[start - 1] as number);
    if (this.tags[slot] !== 0) return;
    this.tags[slot] = this.#tag;
    this.table[slot] = entry;
  }

  /** HalfSipHash-1-3 with 32 bits of output (Aumasson and Bernstein). */
  static hash(
    from: Uint8Array,
    { start, length }: { readonly start: number; readonly length: number },
    key: SerialIndexKey,
  ): number {
    let v0 = key[0] | 0;
    let v1 = key[1] | 0;
    let v2 = v0 ^ 0x6c796765;
    let v3 = v1 ^ 0x74656462;
    const words = (length >> 2) + 1;
    for (let round = 0; round < words + 3; round++) {
      let word = 0;
      if (round < words) {
        const at = start + round * 4;
        if (round < words - 1) {
          word =
            (from[at] as number) |
            ((from[at + 1] as number) << 8) |
            ((from[at + 2] as number) << 16) |
            ((from[at + 3] as number) << 24);
        } else {
          word = length << 24;
          for (let i = 0; i < (length & 3); i++) word |= (from[at + i] as number) << (8 * i);
        }
        v3 ^= word;
      } else if (round === words) v2 ^= 0xff;
      v0 = (v0 + v1) | 0;
      v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0;
      v0 = (v0 << 16) | (v0 >>> 16);
      v2 = (v2 + v3) | 0;
      v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2;
      v0 = (v0 + v3) | 0;
      v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0;
      v2 = (v2 + v1) | 0;
      v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2;
      v2 = (v2 << 16) | (v2 >>> 16);
      v0 ^= word;
    }
    return v1 ^ v3;
  }

  /** The slot that holds a serial number, or the empty one where it would go; leaves its tag. */
  #slotOf(from: Uint8Array, start: number, length: number): number {
    const { table, tags } = this;
    const mask = tags.length - 1;
    const hash = SerialIndex.hash(from, { start, length }, this.key);
    const tag = (hash >>> 24) | 0x80;
    this.#tag = tag;
    let slot = hash & mask;
    for (;;) {
      const found = tags[slot] as number;
      if (found === 0) return slot;
      if (found === tag && this.#isAt(table[slot] as number, from, { start, length })) return slot;
      slot = (slot + 1) & mask;
    }
  }

  #isAt(entry: number, from: Uint8Array, range: { start: number; length: number }): boolean {
    const bytes = this.#bytes;
    const own = serialStart(bytes, entry);
    if (bytes[own - 1] !== range.length) return false;
    for (let i = 0; i < range.length; i++) {
      if (bytes[own + i] !== from[range.start + i]) return false;
    }
    return true;
  }
}

/** Indexes the checked entries of a list. */
export function indexEntries(
  bytes: Uint8Array,
  range: EntryRange & { readonly count: number },
  key: SerialIndexKey,
): SerialIndex {
  let slots = 8;
  while (slots * 2 < range.count * 3) slots *= 2;
  const index = new SerialIndex(bytes, {
    table: new Uint32Array(slots),
    tags: new Uint8Array(slots),
    key,
  });
  for (let at = range.start; at < range.end; at = entryEnd(bytes, at)) index.add(at);
  return index;
}

/** The value of a lower-case hexadecimal digit, by its character code. */
export function hexDigit(code: number): number {
  return code < 0x61 ? code - 0x30 : code - 0x57;
}
