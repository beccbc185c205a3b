import { badValue, nameKind, nameTraits, valueTraits } from "./fields.ts";
import { ConnectionFault } from "./fault.ts";
import { errorCodes } from "./errors.ts";
import { DynamicTable, lastStaticIndex, staticTable } from "./hpack-table.ts";
import type { TableEntry } from "./hpack-table.ts";
import { decodeHuffman, huffmanExpansion } from "./huffman.ts";

/** Where decoded fields go, one call each; `traits` are those of fields.ts. */
export interface FieldSink {
  field(name: string, value: string, traits: number): void;
}

/**
 * Decodes header blocks (RFC 7541 section 3). One per connection: it holds the dynamic table that the
 * peer's encoder steers, so every block must be decoded, in order, also those of streams nobody wants.
 */
export class HpackDecoder {
  /**
   * Whether the last block read or wrote the dynamic table. If it did not, the same octets always decode
   * to the same fields (S37).
   */
  touchedTable: boolean = false;
  #table: DynamicTable;
  #allowedCapacity: number;
  #capacityMustShrink: boolean = false;
  #position: number = 0;
  #text: string = "";
  #textTraits: number = 0;
  #scratch: Uint8Array = new Uint8Array(256);

  /** @param allowedCapacity the SETTINGS_HEADER_TABLE_SIZE the peer goes by */
  constructor(allowedCapacity: number) {
    this.#allowedCapacity = allowedCapacity;
    this.#table = new DynamicTable(allowedCapacity);
  }

  /** Octets of strings in the table, for accounts of memory. */
  get tableSize(): number {
    return this.#table.size;
  }

  /**
   * The peer has acknowledged another SETTINGS_HEADER_TABLE_SIZE. If the table is larger, the next block
   * must begin by shrinking it (RFC 7541 section 4.2).
   */
  allowCapacity(allowedCapacity: number): void {
    this.#allowedCapacity = allowedCapacity;
    this.#capacityMustShrink = this.#table.capacity > allowedCapacity;
  }

  /**
   * Decodes one whole block.
   *
   * @throws ConnectionFault COMPRESSION_ERROR (RFC 9113 section 4.3)
   */
  decode(bytes: Uint8Array, start: number, end: number, sink: FieldSink): void {
    this.touchedTable = false;
    this.#position = start;
    if (start < end && (bytes[start]! & 0xe0) === 0x20) {
      this.#readSizeUpdates(bytes, end);
    }
    if (this.#capacityMustShrink) {
      throw compressionFault("a block does not begin with the table size update that was due");
    }
    const table = this.#table;
    while (this.#position < end) {
      const first = bytes[this.#position]!;
      if (first >= 0x80) {
        // Indexed field (6.1): the common case, and no string is made.
        let index = first & 0x7f;
        if (index < 0x7f) {
          this.#position += 1;
        } else {
          index = this.#readInteger(bytes, end, 0x7f);
        }
        const entry = index <= lastStaticIndex ? staticTable[index]! : this.#dynamicEntry(index);
        if (index === 0) {
          throw compressionFault("index 0 in an indexed field");
        }
        sink.field(entry.name, entry.value, entry.traits);
      } else if (first >= 0x40) {
        // Literal with incremental indexing (6.2.1).
        const entry = this.#readLiteral(bytes, end, 0x3f);
        this.touchedTable = true;
        table.add(entry);
        sink.field(entry.name, entry.value, entry.traits);
      } else if (first >= 0x20) {
        throw compressionFault("a table size update after the first field of a block");
      } else {
        // Literal without indexing (6.2.2) or never indexed (6.2.3).
        const entry = this.#readLiteral(bytes, end, 0x0f);
        sink.field(entry.name, entry.value, entry.traits);
      }
    }
  }

  /** Dynamic table size updates (6.3): at most two, of which the first may only be a step down. */
  #readSizeUpdates(bytes: Uint8Array, end: number): void {
    this.touchedTable = true;
    for (let count = 0; this.#position < end; count += 1) {
      if ((bytes[this.#position]! & 0xe0) !== 0x20) {
        return;
      }
      if (count === 2) {
        throw compressionFault("more than two table size updates in a block");
      }
      const capacity = this.#readInteger(bytes, end, 0x1f);
      if (capacity > this.#allowedCapacity) {
        throw compressionFault(
          `a table size update to ${capacity}, where at most ${this.#allowedCapacity} is allowed`,
        );
      }
      this.#table.resize(capacity);
      this.#capacityMustShrink = false;
    }
  }

  #dynamicEntry(index: number): TableEntry {
    this.touchedTable = true;
    const entry = this.#table.at(index - lastStaticIndex - 1);
    if (entry === undefined) {
      throw compressionFault(`index ${index} is beyond the table`);
    }
    return entry;
  }

  #readLiteral(bytes: Uint8Array, end: number, prefixMask: number): TableEntry {
    let index = bytes[this.#position]! & prefixMask;
    if (index < prefixMask) {
      this.#position += 1;
    } else {
      index = this.#readInteger(bytes, end, prefixMask);
    }
    let name: string;
    let traits: number;
    if (index === 0) {
      this.#readString(bytes, end, true);
      name = this.#text;
      traits = this.#textTraits === 0 ? nameKind(name) : this.#textTraits;
    } else {
      const named = index <= lastStaticIndex ? staticTable[index]! : this.#dynamicEntry(index);
      name = named.name;
      traits = named.traits & ~badValue;
    }
    this.#readString(bytes, end, false);
    return { name, value: this.#text, traits: traits | this.#textTraits };
  }

  /** An integer whose prefix is all ones or has not been looked at (5.1), below 2^28. */
  #readInteger(bytes: Uint8Array, end: number, prefixMask: number): number {
    let value = bytes[this.#position]! & prefixMask;
    this.#position += 1;
    if (value < prefixMask) {
      return value;
    }
    for (let shift = 0; shift <= 21; shift += 7) {
      if (this.#position >= end) {
        throw compressionFault("a block ends inside an integer");
      }
      const octet = bytes[this.#position]!;
      this.#position += 1;
      value += (octet & 0x7f) << shift;
      if (octet < 0x80) {
        return value;
      }
    }
    throw compressionFault("an integer of more than 28 bits");
  }

  /** A string (5.2), into #text and #textTraits. */
  #readString(bytes: Uint8Array, end: number, isName: boolean): void {
    if (this.#position >= end) {
      throw compressionFault("a block ends where a string should begin");
    }
    const isHuffman = bytes[this.#position]! >= 0x80;
    const length = this.#readInteger(bytes, end, 0x7f);
    const start = this.#position;
    if (length > end - start) {
      throw compressionFault(`a string of ${length} octets, where ${end - start} are left`);
    }
    this.#position = start + length;
    if (!isHuffman) {
      this.#keepText(bytes, start, { end: start + length, isName });
      return;
    }
    if (this.#scratch.length < length * huffmanExpansion) {
      this.#scratch = new Uint8Array(Math.ceil(length * huffmanExpansion * 1.25));
    }
    const decoded = decodeHuffman(bytes, start, start + length, this.#scratch);
    if (decoded < 0) {
      throw compressionFault("a string with wrong Huffman code or padding");
    }
    this.#keepText(this.#scratch, 0, { end: decoded, isName });
  }

  #keepText(
    bytes: Uint8Array,
    start: number,
    { end, isName }: { readonly end: number; readonly isName: boolean },
  ): void {
    this.#textTraits = isName ? nameTraits(bytes, start, end) : valueTraits(bytes, start, end);
    this.#text =
      end - start > longText && this.#textTraits === 0
        ? asciiDecoder.decode(bytes.subarray(start, end))
        : latin1(bytes, start, end);
  }
}

/** Octets to a string of the same char codes, eight at a time: for short strings the fastest way there is. */
function latin1(bytes: Uint8Array, start: number, end: number): string {
  let text = "";
  let at = start;
  for (; at + 8 <= end; at += 8) {
    text += String.fromCharCode(
      bytes[at]!,
      bytes[at + 1]!,
      bytes[at + 2]!,
      bytes[at + 3]!,
      bytes[at + 4]!,
      bytes[at + 5]!,
      bytes[at + 6]!,
      bytes[at + 7]!,
    );
  }
  for (; at < end; at += 1) {
    text += String.fromCharCode(bytes[at]!);
  }
  return text;
}

function compressionFault(what: string): ConnectionFault {
  return new ConnectionFault(errorCodes.COMPRESSION_ERROR, `header block: ${what} (RFC 7541)`);
}

const longText = 96;
const asciiDecoder: TextDecoder = new TextDecoder();
