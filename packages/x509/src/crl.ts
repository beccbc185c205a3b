import { randomBytes } from "node:crypto";
import type { Certificate } from "./certificate.ts";
import {
  checkEntries,
  entryEnd,
  CrlEntryView,
  type CrlEntry,
  type EntryRange,
} from "./crl-entries.ts";
import { readCrlExtensions, type CrlLimitation } from "./crl-extensions.ts";
import { bytesEqual, DerReader, malformed, TAG } from "./der.ts";
import { malformedAs, X509Error } from "./errors.ts";
import type { Extension } from "./extensions.ts";
import type { Fingerprint, SerialNumber } from "./identifiers.ts";
import { readName, type Name } from "./name.ts";
import { decodePem } from "./pem.ts";
import { hexDigit, indexEntries, SerialIndex, type SerialIndexSlots } from "./serial-index.ts";
import { verifySignature, type Signed } from "./signature.ts";

declare const crlBrand: unique symbol;

/** A parsed certificate revocation list (RFC 5280 section 5), indexed by serial number. */
export interface Crl extends Signed {
  readonly [crlBrand]: true;
  readonly der: Uint8Array;
  readonly issuer: Name;
  readonly thisUpdate: Date;
  readonly nextUpdate: Date;
  /** CRLNumber: of two lists of one issuer, the greater is the newer (S5). */
  readonly number: bigint;
  readonly authorityKeyIdentifier: Uint8Array;
  readonly extensions: readonly Extension[];
  /** How many entries the list has. */
  readonly size: number;
  /** The entries as encoded, one after the other. */
  readonly entryBytes: Uint8Array;
  /** Why the list cannot decide alone; undefined if it is complete and direct. */
  readonly limitation: CrlLimitation | undefined;
  /** The entry of a certificate, in under a microsecond whatever the size; undefined if it has none. */
  lookup(serialNumber: SerialNumber): CrlEntry | undefined;
  /** All entries, in the order of the list. */
  entries(): IterableIterator<CrlEntry>;
  /**
   * Whether the list is complete and this certificate's key signed it: same name, byte for byte, key
   * identifiers that agree, cRLSign where there are key usages, and a good signature (S1). The answer
   * is remembered.
   */
  verify(issuer: Certificate): boolean;
  /** What another thread needs to have this list without reading it again. */
  parts(): CrlParts;
}

/** A list taken apart, fit for structured clone; its buffers may be transferred. */
export interface CrlParts {
  readonly der: Uint8Array;
  readonly index: SerialIndexSlots;
  readonly size: number;
  readonly limitation: CrlLimitation | undefined;
  /** The certificates under whose keys the list has been verified. */
  readonly verified: readonly Fingerprint[];
}

/**
 * Reads a revocation list strictly: DER or one PEM block `X509 CRL`, version 2, with nextUpdate, an
 * authority key identifier and a CRL number that is not critical. The bytes are copied; the index
 * takes at most fifteen octets an entry more. A list that is not complete and direct is read, and says
 * so in `limitation`.
 * @throws X509Error CRL_MALFORMED
 */
export function parseCrl(bytes: Uint8Array | string): Crl {
  return malformedAs("CRL_MALFORMED", "CRL", () => {
    const isDer = typeof bytes !== "string" && bytes[0] === TAG.sequence;
    return new ParsedCrl(isDer ? bytes.slice() : derOfPem(bytes));
  });
}

/** Puts a list together again that {@link parseCrl} has read and {@link Crl.parts} has taken apart. */
export function crlFromParts(parts: CrlParts): Crl {
  return new ParsedCrl(parts.der, parts);
}

class ParsedCrl implements Omit<Crl, typeof crlBrand> {
  declare readonly [crlBrand]: true;
  readonly der: Uint8Array;
  readonly signedBytes: Uint8Array;
  readonly signatureAlgorithm: Uint8Array;
  readonly signature: Uint8Array;
  readonly issuer: Name;
  readonly thisUpdate: Date;
  readonly nextUpdate: Date;
  readonly number: bigint;
  readonly authorityKeyIdentifier: Uint8Array;
  readonly extensions: readonly Extension[];
  readonly size: number;
  readonly limitation: CrlLimitation | undefined;
  readonly #range: EntryRange;
  readonly #index: SerialIndex;
  readonly #verified: Set<Fingerprint>;
  readonly #refuted: Set<Fingerprint> = new Set();

  constructor(der: Uint8Array, known?: CrlParts) {
    this.der = der;
    if (der.length > MAX_LENGTH) throw malformed("file", `has ${der.length} octets`);
    const file = new DerReader(der);
    const outer = file.sequence("file");
    file.finish("file");
    const tbsElement = outer.element(TAG.sequence, "tbsCertList");
    this.signedBytes = outer.encoded(tbsElement);
    this.signatureAlgorithm = outer.encoded(outer.element(TAG.sequence, "signatureAlgorithm"));
    this.signature = outer.bitString("signature");
    outer.finish("file");

    const tbs = outer.inside(tbsElement);
    if (tbs.peek() !== TAG.integer || tbs.smallInteger("version") !== 1) {
      throw malformed("version", "is not 2");
    }
    const inner = tbs.encoded(tbs.element(TAG.sequence, "signature algorithm"));
    if (!bytesEqual(inner, this.signatureAlgorithm)) {
      throw malformed("signature algorithm", "differs inside and outside of the signed part");
    }
    this.issuer = readName(tbs, "issuer");
    this.thisUpdate = new Date(tbs.time("thisUpdate"));
    if (tbs.peek() !== TAG.utcTime && tbs.peek() !== TAG.generalizedTime) {
      throw malformed("nextUpdate", "is missing");
    }
    this.nextUpdate = new Date(tbs.time("nextUpdate"));
    const list = tbs.optional(TAG.sequence, "CRL entries");
    const explicit = tbs.context(0, "extensions");
    tbs.finish("tbsCertList");
    if (list && list.contentStart === list.end)
      throw malformed("CRL entries", "are present and empty");

    const findings = readCrlExtensions(explicit);
    this.extensions = findings.extensions;
    this.number = findings.number;
    this.authorityKeyIdentifier = findings.authorityKeyIdentifier;
    this.#range = { start: list?.contentStart ?? 0, end: list?.end ?? 0 };
    this.#verified = new Set(known?.verified);
    if (known) {
      this.size = known.size;
      this.limitation = known.limitation;
      this.#index = new SerialIndex(der, known.index);
      return;
    }
    const entries = checkEntries(der, this.#range);
    this.size = entries.count;
    if (entries.removes && findings.limitation !== "delta") {
      throw malformed("CRL entries", "take a certificate off a list that is no delta");
    }
    this.limitation =
      findings.limitation ??
      (entries.indirect
        ? "indirect"
        : entries.unknownCritical !== undefined
          ? "unknown-critical-extension"
          : undefined);
    const random = randomBytes(8);
    this.#index = indexEntries(der, { ...this.#range, count: entries.count }, [
      random.readInt32LE(0),
      random.readInt32LE(4),
    ]);
  }

  lookup(serialNumber: SerialNumber): CrlEntry | undefined {
    const found = this.#index.find(serialContent(serialNumber));
    return found < 0 ? undefined : new CrlEntryView(this.der, found);
  }

  get entryBytes(): Uint8Array {
    return this.der.subarray(this.#range.start, this.#range.end);
  }

  *entries(): IterableIterator<CrlEntry> {
    const { start, end } = this.#range;
    for (let at = start; at < end; at = entryEnd(this.der, at)) {
      yield new CrlEntryView(this.der, at);
    }
  }

  verify(issuer: Certificate): boolean {
    const { fingerprint } = issuer;
    if (this.#verified.has(fingerprint)) return true;
    if (!this.#mayBeFrom(issuer) || this.#refuted.has(fingerprint)) return false;
    const good = verifySignature(this, issuer.publicKeyInfo);
    if (this.#refuted.size >= MAX_REFUTED) this.#refuted.clear();
    (good ? this.#verified : this.#refuted).add(fingerprint);
    return good;
  }

  parts(): CrlParts {
    return {
      der: this.der,
      index: { table: this.#index.table, tags: this.#index.tags, key: this.#index.key },
      size: this.size,
      limitation: this.limitation,
      verified: [...this.#verified],
    };
  }

  /** All that can be told without the signature. */
  #mayBeFrom({ subject, subjectKeyIdentifier, keyUsage }: Certificate): boolean {
    return (
      this.limitation === undefined &&
      bytesEqual(subject.der, this.issuer.der) &&
      subjectKeyIdentifier !== undefined &&
      bytesEqual(subjectKeyIdentifier, this.authorityKeyIdentifier) &&
      (keyUsage?.includes("cRLSign") ?? true)
    );
  }
}

function derOfPem(pem: Uint8Array | string): Uint8Array {
  let blocks;
  try {
    blocks = decodePem(pem);
  } catch (error) {
    throw new X509Error("CRL_MALFORMED", "CRL is neither DER nor PEM", { cause: error });
  }
  const [block] = blocks;
  if (block?.label !== LABEL || blocks.length > 1) {
    throw new X509Error("CRL_MALFORMED", `CRL is not one PEM block ${LABEL}`);
  }
  return block.der;
}

/** The content octets of a serial number's INTEGER, in a buffer that the next call reuses. */
function serialContent(serialNumber: SerialNumber): Uint8Array {
  const length = serialNumber.length >> 1;
  for (let i = 0; i < length; i++) {
    scratch[i + 1] =
      (hexDigit(serialNumber.charCodeAt(2 * i)) << 4) |
      hexDigit(serialNumber.charCodeAt(2 * i + 1));
  }
  return scratch.subarray((scratch[1] as number) >= 0x80 ? 0 : 1, length + 1);
}

const LABEL = "X509 CRL";
/** Offsets into the list are kept in 32 bits. */
const MAX_LENGTH = 2 ** 32 - 2;
const MAX_REFUTED = 64;
/** A zero for the sign, and twenty octets. */
const scratch = new Uint8Array(21);
