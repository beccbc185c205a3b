import { fieldOverhead, nameKind } from "./fields.ts";

/** A field as the tables keep it; `traits` are those of fields.ts. */
export interface TableEntry {
  readonly name: string;
  readonly value: string;
  readonly traits: number;
}

/** Octets an entry counts for (RFC 7541 section 4.1). */
export function entrySize(name: string, value: string): number {
  return name.length + value.length + fieldOverhead;
}

/**
 * The dynamic table (RFC 7541 section 2.3.2): a ring of entries, the newest first. Both ends of a
 * connection keep one each way; the encoder also asks where a field stands, by its running number.
 */
export class DynamicTable {
  /** Entries ever added; the newest one's running number. */
  added: number = 0;
  /** Entries held now. */
  length: number = 0;
  /** Their size in octets. */
  size: number = 0;
  #capacity: number;
  #ring: (TableEntry | undefined)[] = [];
  #onEvict: ((entry: TableEntry, number: number) => void) | undefined;

  constructor(capacity: number, onEvict?: (entry: TableEntry, number: number) => void) {
    this.#capacity = capacity;
    this.#onEvict = onEvict;
  }

  /** The greatest size in octets. */
  get capacity(): number {
    return this.#capacity;
  }

  /** The entry `index` places behind the newest (0 is the newest), or undefined if there is none. */
  at(index: number): TableEntry | undefined {
    return index < this.length
      ? this.#ring[(this.added - index) & (this.#ring.length - 1)]
      : undefined;
  }

  /** Adds an entry, evicting the oldest; one larger than the table empties it (RFC 7541 section 4.4). */
  add(entry: TableEntry): void {
    const size = entrySize(entry.name, entry.value);
    this.#evictTo(this.#capacity - size);
    if (size > this.#capacity) {
      return;
    }
    if (this.length === this.#ring.length) {
      this.#growRing();
    }
    this.added += 1;
    this.length += 1;
    this.size += size;
    this.#ring[this.added & (this.#ring.length - 1)] = entry;
  }

  /** Changes the greatest size, evicting what no longer fits (RFC 7541 section 4.3). */
  resize(capacity: number): void {
    this.#capacity = capacity;
    this.#evictTo(capacity);
  }

  #evictTo(target: number): void {
    while (this.length > 0 && this.size > target) {
      const number = this.added - this.length + 1;
      const slot = number & (this.#ring.length - 1);
      const entry = this.#ring[slot]!;
      this.#ring[slot] = undefined;
      this.length -= 1;
      this.size -= entrySize(entry.name, entry.value);
      this.#onEvict?.(entry, number);
    }
  }

  #growRing(): void {
    const old = this.#ring;
    const ring: (TableEntry | undefined)[] = Array.from(
      { length: Math.max(8, old.length * 2) },
      () => undefined,
    );
    for (let index = 0; index < this.length; index += 1) {
      const number = this.added - index;
      ring[number & (ring.length - 1)] = old[number & (old.length - 1)];
    }
    this.#ring = ring;
  }
}

/** The static table (RFC 7541 Appendix A); index 1 is the first entry, index 0 is not used. */
export const staticTable: readonly TableEntry[] = [
  ["", ""],
  [":authority", ""],
  [":method", "GET"],
  [":method", "POST"],
  [":path", "/"],
  [":path", "/index.html"],
  [":scheme", "http"],
  [":scheme", "https"],
  [":status", "200"],
  [":status", "204"],
  [":status", "206"],
  [":status", "304"],
  [":status", "400"],
  [":status", "404"],
  [":status", "500"],
  ["accept-charset", ""],
  ["accept-encoding", "gzip, deflate"],
  ["accept-language", ""],
  ["accept-ranges", ""],
  ["accept", ""],
  ["access-control-allow-origin", ""],
  ["age", ""],
  ["allow", ""],
  ["authorization", ""],
  ["cache-control", ""],
  ["content-disposition", ""],
  ["content-encoding", ""],
  ["content-language", ""],
  ["content-length", ""],
  ["content-location", ""],
  ["content-range", ""],
  ["content-type", ""],
  ["cookie", ""],
  ["date", ""],
  ["etag", ""],
  ["expect", ""],
  ["expires", ""],
  ["from", ""],
  ["host", ""],
  ["if-match", ""],
  ["if-modified-since", ""],
  ["if-none-match", ""],
  ["if-range", ""],
  ["if-unmodified-since", ""],
  ["last-modified", ""],
  ["link", ""],
  ["location", ""],
  ["max-forwards", ""],
  ["proxy-authenticate", ""],
  ["proxy-authorization", ""],
  ["range", ""],
  ["referer", ""],
  ["refresh", ""],
  ["retry-after", ""],
  ["server", ""],
  ["set-cookie", ""],
  ["strict-transport-security", ""],
  ["transfer-encoding", ""],
  ["user-agent", ""],
  ["vary", ""],
  ["via", ""],
  ["www-authenticate", ""],
].map(([name = "", value = ""]) => Object.freeze({ name, value, traits: nameKind(name) }));

/** The last index of the static table. */
export const lastStaticIndex: number = staticTable.length - 1;
