import { DerReader, malformed, TAG } from "./der.ts";
import { readExtensions } from "./extensions.ts";
import { hex } from "./identifiers.ts";
import { OID } from "./oid.ts";
import {
  revocationReasonOf,
  revocationReasons,
  type RevocationReason,
} from "./revocation-reason.ts";

/** One revoked certificate of a list. */
export interface CrlEntry {
  /** Lower-case hexadecimal, as {@link SerialNumber} writes it. */
  readonly serialNumber: string;
  readonly revokedAt: Date;
  /** Undefined where the list gives none, which means unspecified. */
  readonly reason: RevocationReason | undefined;
  /** When the key is thought to have been compromised, if the list says so. */
  readonly invalidityDate: Date | undefined;
}

/** Where the entries of a list lie in its bytes. */
export interface EntryRange {
  readonly start: number;
  readonly end: number;
}

/** What {@link checkEntries} found. */
interface EntryFindings {
  count: number;
  /** An entry names another issuer: the list is indirect. */
  indirect: boolean;
  /** An entry takes a certificate off the list: it is a delta. */
  removes: boolean;
  unknownCritical: string | undefined;
}

/**
 * Checks every entry strictly, without an object for any: a million take some tens of milliseconds.
 * @throws X509Error DER_MALFORMED
 */
export function checkEntries(bytes: Uint8Array, { start, end }: EntryRange): EntryFindings {
  const found: EntryFindings = {
    count: 0,
    indirect: false,
    removes: false,
    unknownCritical: undefined,
  };
  for (let at = start; at < end; found.count++) {
    const next = plainEntryEnd(bytes, at, end);
    at = next > 0 ? next : checkOddEntry(bytes, at, end, found);
  }
  return found;
}

/** Where the content of the serial number of a checked entry begins; the octet before is its length. */
export function serialStart(bytes: Uint8Array, entry: number): number {
  return contentStart(bytes, entry) + 2;
}

/** Where a checked entry ends. */
export function entryEnd(bytes: Uint8Array, entry: number): number {
  const short = bytes[entry + 1] as number;
  return short < 0x80 ? entry + 2 + short : new DerReader(bytes, entry).any(WHAT).end;
}

/** A checked entry; read when first asked for anything. */
export class CrlEntryView implements CrlEntry {
  readonly #bytes: Uint8Array;
  readonly #offset: number;
  #read: CrlEntry | undefined;

  constructor(bytes: Uint8Array, offset: number) {
    this.#bytes = bytes;
    this.#offset = offset;
  }

  get serialNumber(): string {
    return this.#entry.serialNumber;
  }

  get revokedAt(): Date {
    return this.#entry.revokedAt;
  }

  get reason(): RevocationReason | undefined {
    return this.#entry.reason;
  }

  get invalidityDate(): Date | undefined {
    return this.#entry.invalidityDate;
  }

  get #entry(): CrlEntry {
    this.#read ??= readEntry(this.#bytes, this.#offset);
    return this.#read;
  }
}

/**
 * Where an entry of the usual form ends: short lengths, a UTCTime, and no extension or the reason
 * alone. 0 for any other form, also a broken one: {@link checkOddEntry} tells.
 */
function plainEntryEnd(bytes: Uint8Array, at: number, end: number): number {
  const length = bytes[at + 1] as number;
  const entry = at + 2 + length;
  if (bytes[at] !== TAG.sequence || length >= 0x80 || entry > end) return 0;
  const serialLength = bytes[at + 3] as number;
  const first = bytes[at + 4] as number;
  const second = bytes[at + 5] as number;
  const minimal = serialLength === 1 || (first === 0 ? second >= 0x80 : first < 0xff);
  const time = at + 4 + serialLength;
  if (bytes[at + 2] !== TAG.integer || serialLength === 0 || !minimal) return 0;
  if (time + 15 > entry || !isPlainTime(bytes, time)) return 0;
  if (time + 15 === entry) return entry;
  return isPlainReason(bytes, time + 15, entry) ? entry : 0;
}

/** A UTCTime on one of the days that every month has. */
function isPlainTime(bytes: Uint8Array, at: number): boolean {
  const month = twoDigits(bytes, at + 4);
  const day = twoDigits(bytes, at + 6);
  const hour = twoDigits(bytes, at + 8);
  const minute = twoDigits(bytes, at + 10);
  const second = twoDigits(bytes, at + 12);
  return (
    bytes[at] === TAG.utcTime &&
    bytes[at + 1] === 13 &&
    twoDigits(bytes, at + 2) >= 0 &&
    month > 0 &&
    month <= 12 &&
    day > 0 &&
    day <= 28 &&
    hour >= 0 &&
    hour < 24 &&
    minute >= 0 &&
    minute < 60 &&
    second >= 0 &&
    second < 60 &&
    bytes[at + 14] === 0x5a
  );
}

/** The number that two ASCII digits make; -1 if they are none. */
function twoDigits(bytes: Uint8Array, at: number): number {
  const tens = (bytes[at] as number) - 0x30;
  const ones = (bytes[at + 1] as number) - 0x30;
  return tens >= 0 && tens <= 9 && ones >= 0 && ones <= 9 ? tens * 10 + ones : -1;
}

function isPlainReason(bytes: Uint8Array, at: number, end: number): boolean {
  if (end - at !== PLAIN_REASON.length + 1) return false;
  for (let i = 0; i < PLAIN_REASON.length; i++) if (bytes[at + i] !== PLAIN_REASON[i]) return false;
  const code = bytes[end - 1] as number;
  return code <= 10 && code !== 7 && code !== revocationReasons.removeFromCRL;
}

function readEntry(bytes: Uint8Array, offset: number): CrlEntry {
  const reader = new DerReader(bytes, offset).sequence(WHAT);
  const serial = reader.integer(WHAT);
  const revokedAt = new Date(reader.time(WHAT));
  let reason: RevocationReason | undefined;
  let invalidityDate: Date | undefined;
  for (const { oid, value } of reader.done ? [] : readExtensions(reader, WHAT)) {
    if (oid === OID.reasonCode) reason = readReason(value);
    else if (oid === OID.invalidityDate) invalidityDate = new Date(readInvalidityDate(value));
  }
  const unsigned = serial[0] === 0 && serial.length > 1 ? serial.subarray(1) : serial;
  return { serialNumber: hex(unsigned), revokedAt, reason, invalidityDate };
}

function checkOddEntry(bytes: Uint8Array, at: number, end: number, found: EntryFindings): number {
  const list = new DerReader(bytes, at, end);
  const reader = list.sequence(WHAT);
  const serial = reader.integer(WHAT);
  if (serial.length > MAX_SERIAL) {
    throw malformed(WHAT, `have a serial number of ${serial.length} octets at byte ${at}`);
  }
  reader.time(WHAT);
  for (const { oid, critical, value } of reader.done ? [] : readExtensions(reader, WHAT)) {
    if (oid === OID.reasonCode) found.removes ||= readReason(value) === "removeFromCRL";
    else if (oid === OID.invalidityDate) readInvalidityDate(value);
    else if (oid === OID.certificateIssuer) found.indirect = true;
    else if (critical) found.unknownCritical ??= oid;
  }
  reader.finish(WHAT);
  return list.offset;
}

function readReason(value: Uint8Array): RevocationReason {
  const reader = new DerReader(value);
  const code = reader.smallInteger(WHAT, TAG.enumerated);
  reader.finish(WHAT);
  const reason = revocationReasonOf(code);
  if (reason === undefined) throw malformed(WHAT, `have the unknown reason ${code}`);
  return reason;
}

function readInvalidityDate(value: Uint8Array): number {
  const reader = new DerReader(value);
  const time = reader.generalizedTime(WHAT);
  reader.finish(WHAT);
  return time;
}

function contentStart(bytes: Uint8Array, entry: number): number {
  const length = bytes[entry + 1] as number;
  return entry + 2 + (length < 0x80 ? 0 : length & 0x7f);
}

const WHAT = "CRL entries";
/** What one octet of length can say; RFC 5280 allows 20. */
const MAX_SERIAL = 127;
/** Extensions of one: reasonCode, not critical, an ENUMERATED of one octet. */
const PLAIN_REASON = Uint8Array.of(0x30, 12, 0x30, 10, 6, 3, 0x55, 0x1d, 0x15, 4, 3, 0x0a, 1);
