/** A value of an entry: text, or bytes where the name ends in `-bin`. */
export type MetadataValue = string | Uint8Array;

/**
 * The headers or trailers of a call. Names are compared in lower case. A name ending in `-bin` holds
 * bytes (getBinary, setBinary, appendBinary), every other name text of the characters 0x20 to 0x7e
 * without outer spaces. Several values of one name keep their order.
 *
 * Names that belong to the protocol (`:…`, `grpc-…`, `content-type`, `te`, `connection` and kin) are
 * a TypeError to set, as are values that cannot travel.
 */
export class Metadata {
  readonly #entries = new Map<string, MetadataValue[]>();

  constructor(init: Readonly<Record<string, MetadataValue>> = {}) {
    for (const [name, value] of Object.entries(init)) {
      if (typeof value === "string") this.append(name, value);
      else this.appendBinary(name, value);
    }
  }

  /** All values of a name joined by ",", as a policy sees them; undefined if there is none. */
  get(name: string): string | undefined {
    const values = this.#entries.get(textKey(name));
    return values?.join(",");
  }

  /** The values of a name one by one. */
  getAll(name: string): readonly string[] {
    return [...((this.#entries.get(textKey(name)) ?? []) as string[])];
  }

  /** The first value of a `-bin` name. */
  getBinary(name: string): Uint8Array | undefined {
    return this.#entries.get(binaryKey(name))?.[0] as Uint8Array | undefined;
  }

  /** All values of a `-bin` name. */
  getAllBinary(name: string): readonly Uint8Array[] {
    return [...((this.#entries.get(binaryKey(name)) ?? []) as Uint8Array[])];
  }

  has(name: string): boolean {
    return this.#entries.has(name.toLowerCase());
  }

  /** Replaces every value of a name by this one. */
  set(name: string, value: string): void {
    this.#entries.set(ownName(textKey(name)), [checkedText(name, value)]);
  }

  /** Adds a value to those a name has. */
  append(name: string, value: string): void {
    this.#add(ownName(textKey(name)), checkedText(name, value));
  }

  /** Replaces every value of a `-bin` name by these bytes. */
  setBinary(name: string, value: Uint8Array): void {
    this.#entries.set(ownName(binaryKey(name)), [value]);
  }

  /** Adds bytes to the values a `-bin` name has. */
  appendBinary(name: string, value: Uint8Array): void {
    this.#add(ownName(binaryKey(name)), value);
  }

  delete(name: string): void {
    this.#entries.delete(name.toLowerCase());
  }

  /** Adds every value of another; names that belong to the protocol are left out. */
  merge(other: Metadata): void {
    for (const [name, value] of other) {
      if (!isReserved(name)) this.#add(name, value);
    }
  }

  /** Every value with its name, in the order of the names' first appearance. */
  *[Symbol.iterator](): IterableIterator<readonly [name: string, value: MetadataValue]> {
    for (const [name, values] of this.#entries) {
      for (const value of values) yield [name, value];
    }
  }

  /** The size as RFC 9113, 6.5.2 counts it: names, values and 32 for each. */
  get wireSize(): number {
    let size = 0;
    for (const [name, values] of this.#entries) {
      for (const value of values) size += name.length + value.length + 32;
    }
    return size;
  }

  /** Every name once. */
  names(): readonly string[] {
    return [...this.#entries.keys()];
  }

  #add(key: string, value: MetadataValue): void {
    const values = this.#entries.get(key);
    if (values === undefined) this.#entries.set(key, [value]);
    else values.push(value);
  }

  /**
   * Metadata that arrived. Unlike the setters it takes the protocol's own names; it returns undefined
   * if a name or a value has bytes that may not travel (security.md S39).
   */
  static fromWire(
    entries: Iterable<readonly [name: string, value: MetadataValue]>,
  ): Metadata | undefined {
    const metadata = new Metadata();
    for (const [name, value] of entries) {
      if (!namePattern.test(name)) return undefined;
      if (typeof value === "string" && !isText(value)) return undefined;
      metadata.#add(name, value);
    }
    return metadata;
  }
}

/** Metadata that is only read: what arrived. */
export type ReadonlyMetadata = Pick<
  Metadata,
  "get" | "getAll" | "getBinary" | "getAllBinary" | "has" | "names" | typeof Symbol.iterator
>;

function textKey(name: string): string {
  const key = name.toLowerCase();
  if (key.endsWith("-bin")) {
    throw new TypeError(
      `metadata ${name}: a name ending in -bin holds bytes, use the Binary methods`,
    );
  }
  return key;
}

function binaryKey(name: string): string {
  const key = name.toLowerCase();
  if (!key.endsWith("-bin")) {
    throw new TypeError(`metadata ${name}: only a name ending in -bin holds bytes`);
  }
  return key;
}

function ownName(key: string): string {
  if (!namePattern.test(key)) {
    throw new TypeError(
      `metadata name ${JSON.stringify(key)}: expected letters, digits, "-", "_", "."`,
    );
  }
  if (isReserved(key)) {
    throw new TypeError(`metadata ${key}: the name belongs to the protocol`);
  }
  return key;
}

function isReserved(key: string): boolean {
  return key.startsWith("grpc-") || reservedNames.has(key);
}

function checkedText(name: string, value: string): string {
  if (!isText(value)) {
    throw new TypeError(
      `metadata ${name}: expected characters 0x20 to 0x7e without outer spaces; use a -bin name for others`,
    );
  }
  return value;
}

function isText(value: string): boolean {
  return textPattern.test(value) && !value.startsWith(" ") && !value.endsWith(" ");
}

const namePattern = /^[0-9a-z_.-]+$/;
const textPattern = /^[\x20-\x7e]*$/;
const reservedNames: ReadonlySet<string> = new Set([
  "connection",
  "content-type",
  "host",
  "keep-alive",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
  "user-agent",
]);
