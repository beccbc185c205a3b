import { X509Error } from "./errors.ts";

/** One encoded value inside a larger input: `start` is its first header byte, `end` one past it. */
interface DerElement {
  readonly tag: number;
  readonly start: number;
  readonly contentStart: number;
  readonly end: number;
}

/**
 * A cursor over DER (X.690) that accepts nothing else: definite minimal lengths, one-byte tags,
 * minimal integers, canonical booleans, times in the form of RFC 5280.
 *
 * It is total: any input either yields a value or throws `DER_MALFORMED`. It never allocates by a
 * length it has not checked, and the work is linear in the input. `what` names the field in errors.
 */
export class DerReader {
  readonly bytes: Uint8Array;
  readonly end: number;
  offset: number;
  /** Where the content of the value read last begins; it ends at `offset`. */
  #contentStart: number;

  constructor(bytes: Uint8Array, start = 0, end: number = bytes.length) {
    this.bytes = bytes;
    this.offset = start;
    this.end = end;
    this.#contentStart = start;
  }

  /** Whether everything has been read. */
  get done(): boolean {
    return this.offset >= this.end;
  }

  /** The next tag without reading it, or -1 at the end. */
  peek(): number {
    return this.offset < this.end ? (this.bytes[this.offset] ?? -1) : -1;
  }

  /** Reads one value of any kind. */
  any(what: string): DerElement {
    const start = this.offset;
    const tag = this.#step(what);
    return { tag, start, contentStart: this.#contentStart, end: this.offset };
  }

  /** Reads one value that must have this tag. */
  element(tag: number, what: string): DerElement {
    const start = this.offset;
    this.#expect(tag, what);
    return { tag, start, contentStart: this.#contentStart, end: this.offset };
  }

  /** Reads one value with this tag if it comes next. */
  optional(tag: number, what: string): DerElement | undefined {
    return this.peek() === tag ? this.any(what) : undefined;
  }

  /** Reads one value that must have this tag and gives its whole encoding, as a view. */
  whole(tag: number, what: string): Uint8Array {
    const start = this.offset;
    this.#expect(tag, what);
    return this.bytes.subarray(start, this.offset);
  }

  /** A reader over the content of one value. */
  inside(element: DerElement): DerReader {
    return new DerReader(this.bytes, element.contentStart, element.end);
  }

  /** The content octets of one value, as a view. */
  content(element: DerElement): Uint8Array {
    return this.bytes.subarray(element.contentStart, element.end);
  }

  /** The whole encoding of one value, as a view. */
  encoded(element: DerElement): Uint8Array {
    return this.bytes.subarray(element.start, element.end);
  }

  /** Enters a constructed value. */
  enter(tag: number, what: string): DerReader {
    this.#expect(tag, what);
    return new DerReader(this.bytes, this.#contentStart, this.offset);
  }

  sequence(what: string): DerReader {
    return this.enter(TAG.sequence, what);
  }

  set(what: string): DerReader {
    return this.enter(TAG.set, what);
  }

  /** Enters `[n]` (constructed, context class) if it comes next. */
  context(n: number, what: string): DerReader | undefined {
    return this.peek() === (0xa0 | n) ? this.enter(0xa0 | n, what) : undefined;
  }

  /** Demands that nothing is left. */
  finish(what: string): void {
    if (!this.done) throw malformed(what, `has ${this.end - this.offset} octets too many`);
  }

  /** A BOOLEAN; DER knows 0x00 and 0xff only. */
  boolean(what: string): boolean {
    this.#expect(TAG.boolean, what);
    const octet = this.bytes[this.#contentStart];
    if (this.offset - this.#contentStart !== 1 || (octet !== 0 && octet !== 0xff)) {
      throw malformed(what, "is not a BOOLEAN of 0x00 or 0xff");
    }
    return octet === 0xff;
  }

  /** A BOOLEAN DEFAULT FALSE: absent or TRUE, since DER does not write a default. */
  defaultFalse(what: string): boolean {
    if (this.peek() !== TAG.boolean) return false;
    if (!this.boolean(what)) throw malformed(what, "has a default of FALSE written out");
    return true;
  }

  null(what: string): void {
    this.#expect(TAG.null, what);
    if (this.offset !== this.#contentStart) throw malformed(what, "has a NULL with content");
  }

  /** The content of a minimal two's complement INTEGER. */
  integer(what: string, tag: number = TAG.integer): Uint8Array {
    this.#expect(tag, what);
    const content = this.bytes.subarray(this.#contentStart, this.offset);
    const [first, second] = content;
    if (first === undefined) throw malformed(what, "is an INTEGER without content");
    if (second !== undefined && first === ((second & 0x80) === 0 ? 0 : 0xff)) {
      throw malformed(what, "is an INTEGER that is not minimal");
    }
    return content;
  }

  /** An INTEGER from 0 to 2^31-1. */
  smallInteger(what: string, tag: number = TAG.integer): number {
    const content = this.integer(what, tag);
    if ((content[0] as number) & 0x80) throw malformed(what, "is negative");
    if (content.length > 4) throw malformed(what, "is greater than 2147483647");
    let value = 0;
    for (const octet of content) value = value * 256 + octet;
    return value;
  }

  /** An OBJECT IDENTIFIER in dotted form. */
  oid(what: string, tag: number = TAG.oid): string {
    this.#expect(tag, what);
    return oidText(this.bytes, this.#contentStart, this.offset, what);
  }

  octetString(what: string, tag: number = TAG.octetString): Uint8Array {
    this.#expect(tag, what);
    return this.bytes.subarray(this.#contentStart, this.offset);
  }

  /** Enters the encoding that an OCTET STRING holds. */
  octetStringOf(what: string): DerReader {
    return this.enter(TAG.octetString, what);
  }

  /** A BIT STRING of whole octets. */
  bitString(what: string, tag: number = TAG.bitString): Uint8Array {
    this.#expect(tag, what);
    if (this.offset === this.#contentStart || this.bytes[this.#contentStart] !== 0) {
      throw malformed(what, "is not a BIT STRING of whole octets");
    }
    return this.bytes.subarray(this.#contentStart + 1, this.offset);
  }

  /** The numbers of the bits set in a named bit list (X.680 22.7: no trailing zero bits). */
  namedBits(what: string, tag: number = TAG.bitString): number[] {
    const content = this.octetString(what, tag);
    const unused = content[0] ?? 8;
    if (unused > 7 || content.length > 5) throw malformed(what, "is not a short BIT STRING");
    const last = content.at(-1) as number;
    const minimal =
      content.length === 1 ? unused === 0 : (last & ((1 << (unused + 1)) - 1)) === 1 << unused;
    if (!minimal) throw malformed(what, "is a bit list with trailing zero bits");
    const bits: number[] = [];
    for (let i = 0; i < (content.length - 1) * 8; i++) {
      if ((content[1 + (i >> 3)] as number) & (0x80 >> (i & 7))) bits.push(i);
    }
    return bits;
  }

  /**
   * A UTCTime (to 2049) or GeneralizedTime (from 2050) as RFC 5280 4.1.2.5 writes them, in
   * milliseconds since 1970.
   */
  time(what: string): number {
    const tag = this.#step(what);
    const length = this.offset - this.#contentStart;
    if (tag === TAG.utcTime && length === 13) {
      return readTime(this.bytes, this.#contentStart, 2, what);
    }
    if (tag === TAG.generalizedTime && length === 15) {
      const time = readTime(this.bytes, this.#contentStart, 4, what);
      if (time < GENERALIZED_TIME_START) {
        throw malformed(what, "is a GeneralizedTime before 2050, expected UTCTime");
      }
      return time;
    }
    throw malformed(what, "is not a time of the form YYMMDDhhmmssZ or YYYYMMDDhhmmssZ");
  }

  /** A GeneralizedTime of any year, without fractions (CRL entries, OCSP), in milliseconds. */
  generalizedTime(what: string, tag: number = TAG.generalizedTime): number {
    this.#expect(tag, what);
    if (this.offset - this.#contentStart !== 15) {
      throw malformed(what, "is not a time of the form YYYYMMDDhhmmssZ");
    }
    return readTime(this.bytes, this.#contentStart, 4, what);
  }

  #expect(tag: number, what: string): void {
    const found = this.peek();
    if (found !== tag) {
      const arrived = found < 0 ? "the end" : describeTag(found);
      throw malformed(
        what,
        `expected ${describeTag(tag)}, found ${arrived} at byte ${this.offset}`,
      );
    }
    this.#step(what);
  }

  /** Reads a header, notes where the content begins, steps over the value, and gives its tag. */
  #step(what: string): number {
    const { bytes, end } = this;
    const start = this.offset;
    if (start + 2 > end) throw malformed(what, "ends before a tag and a length");
    const tag = bytes[start] as number;
    if ((tag & 0x1f) === 0x1f) throw malformed(what, `has a multi-byte tag at byte ${start}`);
    let length = bytes[start + 1] as number;
    let contentStart = start + 2;
    if (length >= 0x80) {
      const count = length & 0x7f;
      if (count === 0) throw malformed(what, `has an indefinite length at byte ${start}`);
      if (count > 4) throw malformed(what, `has a length of ${count} octets at byte ${start}`);
      if (contentStart + count > end) throw malformed(what, "ends inside a length");
      length = 0;
      for (let i = 0; i < count; i++) length = length * 256 + (bytes[contentStart + i] as number);
      contentStart += count;
      if (length < 0x80 || length < 256 ** (count - 1)) {
        throw malformed(what, `has a length that is not minimal at byte ${start}`);
      }
    }
    const left = end - contentStart;
    if (length > left) {
      throw malformed(what, `claims ${length} octets at byte ${start}, ${left} are left`);
    }
    this.#contentStart = contentStart;
    this.offset = contentStart + length;
    return tag;
  }
}

/** Reads input that is exactly one SEQUENCE with nothing after it. */
export function readDer(bytes: Uint8Array, what: string): DerReader {
  const reader = new DerReader(bytes);
  const inside = reader.sequence(what);
  reader.finish(what);
  return inside;
}

/** Something to be written: bytes already encoded, or a node whose length is already known. */
export type DerValue = Uint8Array | DerNode;

/** A value with its tag and the exact number of its content octets. */
export interface DerNode {
  readonly tag: number;
  readonly length: number;
  readonly content: Uint8Array | readonly DerValue[];
}

/** Writes a value into one buffer of exactly its length (nothing is copied twice). */
export function encodeDer(value: DerValue): Uint8Array {
  if (value instanceof Uint8Array) return value;
  const bytes = new Uint8Array(encodedLength(value));
  write(value, bytes, 0);
  return bytes;
}

/** A value made of values. */
export function constructed(tag: number, parts: readonly DerValue[]): DerNode {
  let length = 0;
  for (const part of parts) length += encodedLength(part);
  return { tag, length, content: parts };
}

/** A value made of content octets. */
export function primitive(tag: number, content: Uint8Array): DerNode {
  return { tag, length: content.length, content };
}

export function sequence(parts: readonly DerValue[]): DerNode {
  return constructed(TAG.sequence, parts);
}

/** A SET OF: the encodings are sorted, as DER demands (X.690 11.6). */
export function setOf(parts: readonly DerValue[]): DerNode {
  if (parts.length === 1) return constructed(TAG.set, parts);
  return constructed(TAG.set, parts.map(encodeDer).sort(compareBytes));
}

/** `[n] EXPLICIT` or `[n] IMPLICIT` constructed. */
export function context(n: number, parts: readonly DerValue[]): DerNode {
  return constructed(0xa0 | n, parts);
}

/** `[n] IMPLICIT` primitive. */
export function contextPrimitive(n: number, content: Uint8Array): DerNode {
  return primitive(0x80 | n, content);
}

/** An INTEGER from a number of at most 53 bits or from big-endian unsigned bytes. */
export function integer(value: number | Uint8Array): DerNode {
  return primitive(TAG.integer, integerContent(value));
}

/** The content octets of a non-negative INTEGER. */
function integerContent(value: number | Uint8Array): Uint8Array {
  const magnitude = typeof value === "number" ? numberBytes(value) : value;
  let start = 0;
  while (start < magnitude.length - 1 && magnitude[start] === 0) start++;
  if (start < magnitude.length && (magnitude[start] as number) < 0x80) {
    return magnitude.subarray(start);
  }
  const padded = new Uint8Array(magnitude.length - start + 1);
  padded.set(magnitude.subarray(start), 1);
  return padded;
}

export function octetString(content: Uint8Array): DerNode {
  return primitive(TAG.octetString, content);
}

/** An OCTET STRING that holds an encoding (extensions, PKCS #8). */
export function octetStringOf(value: DerValue): DerNode {
  return { tag: TAG.octetString, length: encodedLength(value), content: [value] };
}

/** A BIT STRING of whole octets. */
export function bitString(content: Uint8Array): DerNode {
  return { tag: TAG.bitString, length: content.length + 1, content: [ZERO_OCTET, content] };
}

/** A named bit list: the numbers of the bits that are set. */
export function namedBits(bits: readonly number[], tag: number = TAG.bitString): DerNode {
  const highest = bits.length === 0 ? -1 : Math.max(...bits);
  const content = new Uint8Array(1 + Math.ceil((highest + 1) / 8));
  content[0] = highest < 0 ? 0 : 7 - (highest & 7);
  for (const bit of bits)
    content[1 + (bit >> 3)] = (content[1 + (bit >> 3)] ?? 0) | (0x80 >> (bit & 7));
  return primitive(tag, content);
}

/** A UTCTime to 2049, a GeneralizedTime from 2050 (RFC 5280 4.1.2.5); fractions are dropped. */
export function time(value: Date): DerNode {
  const generalized = value.getTime() >= GENERALIZED_TIME_START;
  return generalized ? generalizedTime(value) : primitive(TAG.utcTime, timeText(value).subarray(2));
}

export function generalizedTime(value: Date): DerNode {
  return primitive(TAG.generalizedTime, timeText(value));
}

/** Compares byte strings from the left; a prefix comes first. */
export function compareBytes(a: Uint8Array, b: Uint8Array): number {
  const shorter = Math.min(a.length, b.length);
  for (let i = 0; i < shorter; i++) {
    const difference = (a[i] as number) - (b[i] as number);
    if (difference !== 0) return difference;
  }
  return a.length - b.length;
}

/** Whether two byte strings are the same. Not for secrets. */
export function bytesEqual(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && compareBytes(a, b) === 0;
}

/**
 * An OBJECT IDENTIFIER, encoded.
 * @throws TypeError if the text is not a dotted OID of at most 127 octets
 */
export function oid(dotted: string): Uint8Array {
  const [root = 0n, second = 0n, ...rest] = DOTTED.test(dotted)
    ? dotted.split(".").map(BigInt)
    : [];
  if (!DOTTED.test(dotted) || (root < 2n && second > 39n)) throw notAnOid(dotted);
  const octets: number[] = [];
  for (let arc of [root * 40n + second, ...rest]) {
    const group = [Number(arc & 0x7fn)];
    while ((arc >>= 7n) > 0n) group.unshift(Number(arc & 0x7fn) | 0x80);
    octets.push(...group);
  }
  if (octets.length > 127) throw notAnOid(dotted);
  return Uint8Array.of(TAG.oid, octets.length, ...octets);
}

/** The error every reader of this package throws about an encoding. */
export function malformed(what: string, problem: string): X509Error {
  return new X509Error("DER_MALFORMED", `${what} ${problem}`);
}

function notAnOid(text: string): TypeError {
  return new TypeError(`${JSON.stringify(text)} is not a dotted object identifier`);
}

function oidText(bytes: Uint8Array, start: number, end: number, what: string): string {
  const length = end - start;
  if (length === 0 || length > 128) {
    throw malformed(what, `is an OBJECT IDENTIFIER of ${length} octets`);
  }
  if ((bytes[end - 1] as number) & 0x80) throw malformed(what, "ends inside an OBJECT IDENTIFIER");
  let text = "";
  let arc: number | bigint = 0;
  let arcStarts = true;
  for (let at = start; at < end; at++) {
    const octet = bytes[at] as number;
    if (arcStarts && octet === 0x80) {
      throw malformed(what, "is an OBJECT IDENTIFIER that is not minimal");
    }
    arc =
      typeof arc === "number" && arc < MAX_SAFE_ARC
        ? arc * 128 + (octet & 0x7f)
        : BigInt(arc) * 128n + BigInt(octet & 0x7f);
    arcStarts = (octet & 0x80) === 0;
    if (!arcStarts) continue;
    text = text === "" ? firstArcs(arc) : `${text}.${arc}`;
    arc = 0;
  }
  return text;
}

/** The first subidentifier holds two arcs (X.690 8.19.4). */
function firstArcs(value: number | bigint): string {
  if (value < 40) return `0.${value}`;
  if (value < 80) return `1.${Number(value) - 40}`;
  return `2.${typeof value === "bigint" ? value - 80n : value - 80}`;
}

function encodedLength(value: DerValue): number {
  if (value instanceof Uint8Array) return value.length;
  return 1 + lengthOctets(value.length) + value.length;
}

function lengthOctets(length: number): number {
  if (length < 0x80) return 1;
  if (length < 0x100) return 2;
  if (length < 0x10000) return 3;
  return length < 0x1000000 ? 4 : 5;
}

function write(value: DerValue, bytes: Uint8Array, at: number): number {
  if (value instanceof Uint8Array) return copy(value, bytes, at);
  bytes[at++] = value.tag;
  const octets = lengthOctets(value.length);
  if (octets === 1) bytes[at++] = value.length;
  else {
    bytes[at++] = 0x80 | (octets - 1);
    for (let shift = octets - 2; shift >= 0; shift--) {
      bytes[at++] = Math.floor(value.length / 256 ** shift) & 0xff;
    }
  }
  if (value.content instanceof Uint8Array) return copy(value.content, bytes, at);
  for (const part of value.content) at = write(part, bytes, at);
  return at;
}

/** A loop beats `set` for the few octets most values have. */
function copy(from: Uint8Array, bytes: Uint8Array, at: number): number {
  const { length } = from;
  if (length > 48) bytes.set(from, at);
  else for (let i = 0; i < length; i++) bytes[at + i] = from[i] as number;
  return at + length;
}

function readTime(bytes: Uint8Array, start: number, yearDigits: 2 | 4, what: string): number {
  const at = start + yearDigits;
  if (bytes[at + 10] !== 0x5a) throw malformed(what, "is a time that does not end in Z");
  let year = twoDigits(bytes, start, what);
  if (yearDigits === 4) year = year * 100 + twoDigits(bytes, start + 2, what);
  else year += year < 50 ? 2000 : 1900;
  const month = twoDigits(bytes, at, what);
  const day = twoDigits(bytes, at + 2, what);
  const hour = twoDigits(bytes, at + 4, what);
  const minute = twoDigits(bytes, at + 6, what);
  const second = twoDigits(bytes, at + 8, what);
  const exact =
    year >= 1000 &&
    month >= 1 &&
    month <= 12 &&
    day >= 1 &&
    day <= daysIn(year, month) &&
    hour < 24 &&
    minute < 60 &&
    second < 60;
  if (!exact) throw malformed(what, "is a time that does not exist");
  return Date.UTC(year, month - 1, day, hour, minute, second);
}

function daysIn(year: number, month: number): number {
  if (month === 2) return (year % 4 === 0 && year % 100 !== 0) || year % 400 === 0 ? 29 : 28;
  return month === 4 || month === 6 || month === 9 || month === 11 ? 30 : 31;
}

function twoDigits(content: Uint8Array, at: number, what: string): number {
  const tens = (content[at] ?? 0) - 0x30;
  const ones = (content[at + 1] ?? 0) - 0x30;
  if (tens < 0 || tens > 9 || ones < 0 || ones > 9) {
    throw malformed(what, "is a time with something other than digits");
  }
  return tens * 10 + ones;
}

function timeText(value: Date): Uint8Array {
  const year = value.getUTCFullYear();
  if (!(year >= 1950 && year <= 9999)) {
    throw new TypeError(`a certificate time must lie between 1950 and 9999, got year ${year}`);
  }
  const text = new Uint8Array(15);
  writeTwoDigits(text, 0, Math.floor(year / 100));
  writeTwoDigits(text, 2, year % 100);
  writeTwoDigits(text, 4, value.getUTCMonth() + 1);
  writeTwoDigits(text, 6, value.getUTCDate());
  writeTwoDigits(text, 8, value.getUTCHours());
  writeTwoDigits(text, 10, value.getUTCMinutes());
  writeTwoDigits(text, 12, value.getUTCSeconds());
  text[14] = 0x5a;
  return text;
}

function writeTwoDigits(text: Uint8Array, at: number, value: number): void {
  text[at] = 0x30 + Math.floor(value / 10);
  text[at + 1] = 0x30 + (value % 10);
}

function numberBytes(value: number): Uint8Array {
  const octets: number[] = [];
  for (let rest = value; rest > 0; rest = Math.floor(rest / 256)) octets.unshift(rest % 256);
  return Uint8Array.from(octets);
}

function describeTag(tag: number): string {
  return tagNames.get(tag) ?? `tag 0x${tag.toString(16).padStart(2, "0")}`;
}

/** The identifier octets of the universal types in use. */
export const TAG = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  null: 0x05,
  oid: 0x06,
  enumerated: 0x0a,
  utf8String: 0x0c,
  printableString: 0x13,
  teletexString: 0x14,
  ia5String: 0x16,
  utcTime: 0x17,
  generalizedTime: 0x18,
  universalString: 0x1c,
  bmpString: 0x1e,
  sequence: 0x30,
  set: 0x31,
} as const;

/** BOOLEAN TRUE, encoded. */
export const TRUE: Uint8Array = Uint8Array.of(TAG.boolean, 1, 0xff);

/** NULL, encoded. */
export const NULL: Uint8Array = Uint8Array.of(TAG.null, 0);

const ZERO_OCTET: Uint8Array = Uint8Array.of(0);
const DOTTED = /^[0-2](?:\.(?:0|[1-9]\d{0,99})){1,64}$/;
/** Above this, the next seven bits might not fit into a number. */
const MAX_SAFE_ARC = 2 ** 46;
const GENERALIZED_TIME_START = Date.UTC(2050, 0, 1);
const tagNames: ReadonlyMap<number, string> = new Map(
  Object.entries(TAG).map(([name, tag]) => [tag, name]),
);
