import {
  compareBytes,
  DerReader,
  encodeDer,
  malformed,
  oid,
  primitive,
  sequence,
  setOf,
  TAG,
} from "./der.ts";
import { X509Error } from "./errors.ts";
import { hex } from "./identifiers.ts";

/** A distinguished name: its DER, its attributes in encoded order, and its RFC 4514 text. */
export interface Name {
  readonly der: Uint8Array;
  /** All attributes in the order of the encoding, least specific first. */
  readonly attributes: readonly NameAttribute[];
  /** The same by relative distinguished name; almost always one attribute each. */
  readonly relativeNames: readonly (readonly NameAttribute[])[];
  /** RFC 4514 text, most specific first; the empty name is the empty string. */
  readonly text: string;
}

/** One attribute: `CN`, `O`, `OU`, `C`, `ST`, `L`, `STREET`, `DC`, `UID`, else a dotted OID. */
export interface NameAttribute {
  readonly type: string;
  /** The text; for a value that is not a string, `#` and the hexadecimal of its DER. */
  readonly value: string;
  /** The DER of the value as it was read; when given to {@link createName}, it is used as it is. */
  readonly encoded?: Uint8Array;
}

/**
 * Makes a name of attributes in the order given (least specific first, as certificates encode it),
 * each a relative name of its own. Values are UTF8String, but country (PrintableString) and DC
 * (IA5String), as RFC 5280 wants them.
 * @throws X509Error NAME_INVALID for an unknown type, an empty value, or control or bidi characters
 */
export function createName(attributes: readonly NameAttribute[]): Name {
  return encodeName(attributes.map((attribute) => [attribute]));
}

/**
 * Reads RFC 4514 text (`CN=api,O=Bank`, most specific first) into a name.
 * @throws X509Error NAME_INVALID
 */
export function parseName(text: string): Name {
  if (text === "") return encodeName([]);
  const relativeNames: NameAttribute[][] = [[]];
  let at = 0;
  for (;;) {
    const equals = text.indexOf("=", at);
    if (equals < 0) throw invalid(`name has no '=' after position ${at}`);
    const type = normalType(text.slice(at, equals).trim());
    const value = readValue(text, equals + 1);
    relativeNames.at(-1)?.push({ ...value.attribute, type });
    if (value.end >= text.length) break;
    if (text[value.end] !== "+") relativeNames.push([]);
    at = value.end + 1;
  }
  return encodeName(relativeNames.reverse());
}

/**
 * Reads a name by itself, as TLS sends those of authorities.
 * @throws X509Error DER_MALFORMED
 */
export function decodeName(der: Uint8Array): Name {
  const reader = new DerReader(der);
  const name = readName(reader, "name");
  reader.finish("name");
  return name;
}

/**
 * Reads a DER Name (RFC 5280 4.1.2.4) strictly.
 * @throws X509Error DER_MALFORMED
 */
export function readName(reader: DerReader, what: string): Name {
  const element = reader.element(TAG.sequence, what);
  const relativeNames: NameAttribute[][] = [];
  const inner = reader.inside(element);
  while (!inner.done) relativeNames.push(readRelativeName(inner.set(what), what));
  return new LazyName(reader.encoded(element), relativeNames);
}

/** Whether text holds a control character or one that changes the direction of text (S30). */
export function hasHostileCharacters(text: string): boolean {
  return HOSTILE.test(text);
}

/** Reads one attribute set of a relative name (also used by a CRL distribution point). */
function readRelativeName(set: DerReader, what: string): NameAttribute[] {
  const attributes: NameAttribute[] = [];
  let previous: Uint8Array | undefined;
  if (set.done) throw malformed(what, "has an empty relative name");
  while (!set.done) {
    const start = set.offset;
    const pair = set.sequence(what);
    const dotted = pair.oid(what);
    attributes.push(readAttribute(shortNames.get(dotted) ?? dotted, pair, what));
    pair.finish(what);
    const encoded = set.bytes.subarray(start, set.offset);
    if (previous && compareBytes(previous, encoded) >= 0) {
      throw malformed(what, "has a relative name whose attributes are not in DER order");
    }
    previous = encoded;
  }
  return attributes;
}

/** The text of a DirectoryString or IA5String; undefined for a tag that is not a string. */
function decodeString(tag: number, content: Uint8Array, what: string): string | undefined {
  switch (tag) {
    case TAG.utf8String:
      if (isAscii(content)) return latin1(content);
      try {
        return utf8.decode(content);
      } catch {
        throw malformed(what, "has a UTF8String that is not UTF-8");
      }
    case TAG.printableString: {
      const text = latin1(content);
      if (!PRINTABLE.test(text))
        throw malformed(what, "has a PrintableString with other characters");
      return text;
    }
    case TAG.ia5String:
      if (!isAscii(content)) throw malformed(what, "has an IA5String that is not ASCII");
      return latin1(content);
    case TAG.teletexString:
      return latin1(content);
    case TAG.bmpString:
      if (content.length % 2 !== 0) throw malformed(what, "has a BMPString of odd length");
      return wellFormed(utf16be(content), what);
    case TAG.universalString:
      return universalString(content, what);
    default:
      return undefined;
  }
}

class LazyName implements Name {
  readonly der: Uint8Array;
  readonly relativeNames: readonly (readonly NameAttribute[])[];
  #attributes: readonly NameAttribute[] | undefined;
  #text: string | undefined;

  constructor(der: Uint8Array, relativeNames: readonly (readonly NameAttribute[])[]) {
    this.der = der;
    this.relativeNames = relativeNames;
  }

  get attributes(): readonly NameAttribute[] {
    this.#attributes ??= this.relativeNames.flat();
    return this.#attributes;
  }

  get text(): string {
    this.#text ??= this.relativeNames
      .map((attributes) => attributes.map(attributeText).join("+"))
      .reverse()
      .join(",");
    return this.#text;
  }

  toString(): string {
    return this.text;
  }
}

function readAttribute(type: string, pair: DerReader, what: string): NameAttribute {
  const element = pair.any(what);
  const encoded = pair.encoded(element);
  const text = decodeString(element.tag, pair.content(element), what);
  if (text === undefined) return { type, value: `#${hex(encoded)}`, encoded };
  if (text === "") throw malformed(what, "has an empty attribute value");
  if (hasHostileCharacters(text)) {
    throw malformed(what, "has control or bidirectional characters");
  }
  return { type, value: text, encoded };
}

function encodeName(relativeNames: readonly (readonly NameAttribute[])[]): Name {
  const der = encodeDer(
    sequence(relativeNames.map((attributes) => setOf(attributes.map(encodeAttribute)))),
  );
  try {
    return readName(new DerReader(der), "name");
  } catch (error) {
    throw new X509Error("NAME_INVALID", "name has a value that a name may not hold", {
      cause: error,
    });
  }
}

function encodeAttribute(attribute: NameAttribute): Uint8Array {
  const type = normalType(attribute.type);
  const dotted = longNames.get(type) ?? type;
  const value = attribute.encoded ?? encodeValue(type, attribute.value);
  return encodeDer(sequence([oid(dotted), value]));
}

function encodeValue(type: string, value: string): Uint8Array {
  if (value === "") throw invalid(`name attribute ${type} is empty`);
  if (hasHostileCharacters(value) || !value.isWellFormed()) {
    throw invalid(`name attribute ${type} has control, bidirectional or broken characters`);
  }
  const bytes = Buffer.from(value, "utf8");
  if (type === "C") {
    if (!/^[A-Z]{2}$/.test(value)) throw invalid("name attribute C must be two capital letters");
    return encodeDer(primitive(TAG.printableString, bytes));
  }
  if (type === "DC" || type === EMAIL_ADDRESS) {
    if (!/^[\x20-\x7e]+$/.test(value)) throw invalid(`name attribute ${type} must be ASCII`);
    return encodeDer(primitive(TAG.ia5String, bytes));
  }
  const limit = upperBounds.get(type);
  if (limit !== undefined && characterCount(value) > limit) {
    throw invalid(`name attribute ${type} is longer than ${limit} characters`);
  }
  return encodeDer(primitive(TAG.utf8String, bytes));
}

function characterCount(text: string): number {
  let count = 0;
  for (const _ of text) count++;
  return count;
}

function rawValue(digits: string): Uint8Array {
  const bytes = Uint8Array.from(Buffer.from(digits, "hex"));
  if (bytes.length === 0 || bytes.length * 2 !== digits.length) {
    throw invalid("name attribute value after '#' must be hexadecimal DER");
  }
  const reader = new DerReader(bytes);
  try {
    reader.any("name");
    reader.finish("name");
  } catch (error) {
    throw new X509Error("NAME_INVALID", "name attribute value after '#' must be one DER value", {
      cause: error,
    });
  }
  return bytes;
}

/** `cn`, `CN` and `2.5.4.3` are `CN`; anything else must be a dotted OID. */
function normalType(type: string): string {
  const upper = type.toUpperCase();
  if (longNames.has(upper)) return upper;
  const dotted = extraNames.get(upper) ?? type;
  const short = shortNames.get(dotted);
  if (short !== undefined) return short;
  if (!isOid(dotted)) throw invalid("name attribute type must be a known keyword or a dotted OID");
  return dotted;
}

function isOid(dotted: string): boolean {
  try {
    return oid(dotted).length > 0;
  } catch {
    return false;
  }
}

/** RFC 4514 section 2.3: a dotted type, and a value that is no string, go with the value's DER. */
function attributeText({ type, value, encoded }: NameAttribute): string {
  const isText = longNames.has(type) && encoded !== undefined && stringTags.has(encoded[0] ?? 0);
  return `${type}=${isText ? escape(value) : `#${hex(encoded ?? new Uint8Array())}`}`;
}

/** RFC 4514 section 2.4, and every character that could move a terminal's cursor as hex pairs. */
function escape(value: string): string {
  const last = value.length - 1;
  let text = "";
  let index = 0;
  for (const character of value) {
    const edgeSpace = character === " " && (index === 0 || index === last);
    if (hasHostileCharacters(character)) {
      for (const octet of Buffer.from(character, "utf8")) {
        text += `\\${octet.toString(16).padStart(2, "0")}`;
      }
    } else if (SPECIAL.has(character) || edgeSpace || (character === "#" && index === 0)) {
      text += `\\${character}`;
    } else text += character;
    index += character.length;
  }
  return text;
}

/** Reads one value from `start`; gives it unescaped, and where its `,` or `+` is. */
function readValue(
  text: string,
  start: number,
): { attribute: Omit<NameAttribute, "type">; end: number } {
  let at = start;
  while (text[at] === " ") at++;
  if (text[at] === "#") {
    const found = /[,+]/.exec(text.slice(at));
    const end = found ? at + found.index : text.length;
    const digits = text.slice(at + 1, end).trim();
    return { attribute: { value: `#${digits}`, encoded: rawValue(digits) }, end };
  }
  const octets: number[] = [];
  let keep = 0;
  for (;;) {
    const character = String.fromCodePoint(text.codePointAt(at) ?? 0x2c);
    if (at >= text.length || character === "," || character === "+") break;
    if (character === "\\") {
      const pair = /^[0-9a-fA-F]{2}/.exec(text.slice(at + 1, at + 3));
      const next = text[at + 1];
      if (pair) octets.push(Number.parseInt(pair[0], 16));
      else if (next !== undefined && ESCAPABLE.has(next)) octets.push(next.charCodeAt(0));
      else throw invalid("name has a backslash that escapes nothing");
      at += pair ? 3 : 2;
      keep = octets.length;
    } else {
      if (character === '"' || character === ";" || character === "<" || character === ">") {
        throw invalid(`name has an unescaped '${character}'`);
      }
      octets.push(...Buffer.from(character, "utf8"));
      at += character.length;
      if (character !== " ") keep = octets.length;
    }
  }
  try {
    return { attribute: { value: utf8.decode(Uint8Array.from(octets.slice(0, keep))) }, end: at };
  } catch (error) {
    throw new X509Error("NAME_INVALID", "name has escaped bytes that are not UTF-8", {
      cause: error,
    });
  }
}

function isAscii(content: Uint8Array): boolean {
  for (let at = 0; at < content.length; at++) if ((content[at] as number) > 0x7f) return false;
  return true;
}

function latin1(content: Uint8Array): string {
  // A call into Node costs more than the few characters most names have.
  if (content.length < 32) return String.fromCharCode(...content);
  return Buffer.from(content.buffer, content.byteOffset, content.byteLength).toString("latin1");
}

function utf16be(content: Uint8Array): string {
  return Buffer.from(content).swap16().toString("utf16le");
}

function wellFormed(text: string, what: string): string {
  if (!text.isWellFormed()) throw malformed(what, "has a string with half a surrogate pair");
  return text;
}

function universalString(content: Uint8Array, what: string): string {
  if (content.length % 4 !== 0) throw malformed(what, "has a UniversalString of odd length");
  const view = new DataView(content.buffer, content.byteOffset, content.byteLength);
  let text = "";
  for (let at = 0; at < content.length; at += 4) {
    const point = view.getUint32(at);
    if (point > 0x10ffff) throw malformed(what, "has a UniversalString beyond Unicode");
    text += String.fromCodePoint(point);
  }
  return wellFormed(text, what);
}

function invalid(message: string): X509Error {
  return new X509Error("NAME_INVALID", message);
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
// The controls are the point of this pattern.
// oxlint-disable-next-line no-control-regex
const HOSTILE = /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/;
const PRINTABLE = /^[A-Za-z0-9 '()+,\-./:=?]*$/;
const SPECIAL: ReadonlySet<string> = new Set('"+,;<>\\');
const ESCAPABLE: ReadonlySet<string> = new Set('"+,;<>\\ #=');
const stringTags: ReadonlySet<number> = new Set([
  TAG.utf8String,
  TAG.printableString,
  TAG.ia5String,
  TAG.teletexString,
  TAG.bmpString,
  TAG.universalString,
]);
const EMAIL_ADDRESS = "1.2.840.113549.1.9.1";

/** The keywords of RFC 4514 section 3. */
const longNames: ReadonlyMap<string, string> = new Map([
  ["CN", "2.5.4.3"],
  ["L", "2.5.4.7"],
  ["ST", "2.5.4.8"],
  ["O", "2.5.4.10"],
  ["OU", "2.5.4.11"],
  ["C", "2.5.4.6"],
  ["STREET", "2.5.4.9"],
  ["DC", "0.9.2342.19200300.100.1.25"],
  ["UID", "0.9.2342.19200300.100.1.1"],
]);
const shortNames: ReadonlyMap<string, string> = new Map(
  [...longNames].map(([short, dotted]) => [dotted, short]),
);

/** Keywords that are read but not written: RFC 4514 text has dotted OIDs for them. */
const extraNames: ReadonlyMap<string, string> = new Map([
  ["SN", "2.5.4.4"],
  ["SERIALNUMBER", "2.5.4.5"],
  ["TITLE", "2.5.4.12"],
  ["POSTALCODE", "2.5.4.17"],
  ["GN", "2.5.4.42"],
  ["E", EMAIL_ADDRESS],
  ["EMAILADDRESS", EMAIL_ADDRESS],
]);

/** RFC 5280 appendix A.1. */
const upperBounds: ReadonlyMap<string, number> = new Map([
  ["CN", 64],
  ["O", 64],
  ["OU", 64],
  ["L", 128],
  ["ST", 128],
]);
