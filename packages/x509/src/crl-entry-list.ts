import type { Crl } from "./crl.ts";
import {
  encodeDer,
  generalizedTime,
  oid,
  primitive,
  sequence,
  TAG,
  time,
  type DerValue,
} from "./der.ts";
import { extension } from "./extensions.ts";
import type { SerialNumber } from "./identifiers.ts";
import { hexDigit } from "./serial-index.ts";

import { OID } from "./oid.ts";
import { revocationReasons, type RevocationReason } from "./revocation-reason.ts";

/** One certificate to be listed as revoked. */
export interface CrlEntryInput {
  readonly serialNumber: SerialNumber;
  readonly revokedAt: Date;
  /** `unspecified` is left out, as RFC 5280 5.3.1 wants. */
  readonly reason?: Exclude<RevocationReason, "removeFromCRL">;
  readonly invalidityDate?: Date;
}

/** The entries of a list, encoded once and kept, so that adding one and signing again is cheap. */
export interface CrlEntryList {
  readonly size: number;
  /** The encoded entries, in pieces of whole entries. */
  readonly encoded: readonly Uint8Array[];
  /** Adds an entry; each serial number is to be added once. */
  add(entry: CrlEntryInput): void;
}

/** Starts a list of entries: empty, of these entries, or with all of an existing list. */
export function createCrlEntryList(from: Iterable<CrlEntryInput> | Crl = []): CrlEntryList {
  const full: Uint8Array[] = [];
  let open = new Uint8Array(FIRST_PIECE);
  let used = 0;
  let size = 0;
  const list: CrlEntryList = {
    get size() {
      return size;
    },
    get encoded() {
      return used === 0 ? full : [...full, open.subarray(0, used)];
    },
    add(entry) {
      if (used + LONGEST_ENTRY > open.length) {
        full.push(open.subarray(0, used));
        open = new Uint8Array(PIECE);
        used = 0;
      }
      used = writeEntry(open, used, entry);
      size++;
    },
  };
  if ("entryBytes" in from) {
    if (from.size > 0) full.push(from.entryBytes);
    size = from.size;
  } else for (const entry of from) list.add(entry);
  return list;
}

/**
 * Writes one entry and gives where it ends. A million are written in half a second, so the usual entry
 * goes straight into place, and its two lengths are filled in afterwards.
 */
function writeEntry(bytes: Uint8Array, at: number, entry: CrlEntryInput): number {
  const { serialNumber, revokedAt, reason, invalidityDate } = entry;
  let next = at + 4;
  if (hexDigit(serialNumber.charCodeAt(0)) >= 8) bytes[next++] = 0;
  for (let i = 0; i < serialNumber.length; i += 2) {
    bytes[next++] =
      (hexDigit(serialNumber.charCodeAt(i)) << 4) | hexDigit(serialNumber.charCodeAt(i + 1));
  }
  bytes[at + 2] = TAG.integer;
  bytes[at + 3] = next - at - 4;
  next = writeTime(bytes, next, revokedAt);
  if (invalidityDate) {
    const since = extension(INVALIDITY_DATE, false, generalizedTime(invalidityDate));
    const named = reason !== undefined && reason !== "unspecified";
    next = put(
      bytes,
      next,
      encodeDer(sequence(named ? [reasonExtension(reason), since] : [since])),
    );
  } else if (reason !== undefined && reason !== "unspecified") {
    next = put(bytes, next, reasonOnly(reason));
  }
  bytes[at] = TAG.sequence;
  bytes[at + 1] = next - at - 2;
  return next;
}

/** Writes a time: a UTCTime by hand where it is one, for it is half of the work. */
function writeTime(bytes: Uint8Array, at: number, date: Date): number {
  const second = Math.floor(date.getTime() / 1000);
  if (!(second >= YEAR_1970 && second < YEAR_2050)) return put(bytes, at, encodeDer(time(date)));
  const day = Math.floor(second / 86_400);
  if (day !== lastDay.day) {
    lastDay.encoded = encodeDer(time(date));
    lastDay.day = day;
  }
  put(bytes, at, lastDay.encoded);
  const ofDay = second - day * 86_400;
  writeTwoDigits(bytes, at + 8, Math.floor(ofDay / 3600));
  writeTwoDigits(bytes, at + 10, Math.floor(ofDay / 60) % 60);
  writeTwoDigits(bytes, at + 12, ofDay % 60);
  return at + 15;
}

function writeTwoDigits(bytes: Uint8Array, at: number, value: number): void {
  const tens = Math.floor(value / 10);
  bytes[at] = 0x30 + tens;
  bytes[at + 1] = 0x30 + value - 10 * tens;
}

function put(bytes: Uint8Array, at: number, value: Uint8Array): number {
  for (let i = 0; i < value.length; i++) bytes[at + i] = value[i] as number;
  return at + value.length;
}

function reasonOnly(reason: RevocationReason): Uint8Array {
  const known = encodedReasons.get(reason);
  if (known) return known;
  throw new TypeError(`revocation reason must be one of RFC 5280 5.3.1, got ${reason}`);
}

function reasonExtension(reason: RevocationReason): DerValue {
  const code = Uint8Array.of(revocationReasons[reason]);
  return extension(REASON_CODE, false, primitive(TAG.enumerated, code));
}

/** 21 octets of serial number, a time, a reason and an invalidity date come to 76. */
const LONGEST_ENTRY = 96;
/** The last day encoded is kept: revocations of one day come together. */
const lastDay: { day: number; encoded: Uint8Array } = {
  day: Number.NaN,
  encoded: new Uint8Array(),
};
const YEAR_1970 = 0;
const YEAR_2050: number = Date.UTC(2050, 0, 1) / 1000;
const FIRST_PIECE = 4096;
const PIECE = 1024 * 1024;
const REASON_CODE: Uint8Array = oid(OID.reasonCode);
const INVALIDITY_DATE: Uint8Array = oid(OID.invalidityDate);
const encodedReasons: ReadonlyMap<string, Uint8Array> = new Map(
  (Object.keys(revocationReasons) as RevocationReason[])
    .filter((reason) => reason !== "unspecified" && reason !== "removeFromCRL")
    .map((reason) => [reason, encodeDer(sequence([reasonExtension(reason)]))]),
);
