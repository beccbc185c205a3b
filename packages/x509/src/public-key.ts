import { createPublicKey, type KeyObject } from "node:crypto";
import { bytesEqual, DerReader, malformed, TAG } from "./der.ts";
import { X509Error } from "./errors.ts";
import { OID } from "./oid.ts";

/** The key algorithms this package makes keys for. */
export type KeyAlgorithm = (typeof keyAlgorithms)[number];

/** All of them. */
export const keyAlgorithms = [
  "ecdsa-p256",
  "ecdsa-p384",
  "ed25519",
  "rsa-2048",
  "rsa-3072",
  "rsa-4096",
  "ml-dsa-44",
  "ml-dsa-65",
  "ml-dsa-87",
] as const;

/** What kind of key a certificate holds; `unknown` kinds can be read and not used. */
export type PublicKeyKind =
  | "ecdsa-p256"
  | "ecdsa-p384"
  | "ecdsa-p521"
  | "ed25519"
  | "ed448"
  | "rsa"
  | "rsa-pss"
  | "ml-dsa-44"
  | "ml-dsa-65"
  | "ml-dsa-87"
  | "unknown";

/** A SubjectPublicKeyInfo that obeys the rules of its algorithm. */
export interface PublicKeyInfo {
  readonly der: Uint8Array;
  readonly kind: PublicKeyKind;
  /** The dotted OID of the algorithm. */
  readonly algorithm: string;
  /** The content of the subjectPublicKey BIT STRING. */
  readonly bits: Uint8Array;
  /** RSA only. */
  readonly modulusBits?: number;
  /**
   * The key for `node:crypto`, made when first asked for.
   * @throws X509Error ALGORITHM_UNSUPPORTED
   */
  readonly keyObject: KeyObject;
}

/**
 * Reads a SubjectPublicKeyInfo. Refused before any arithmetic (S44): explicit EC parameters, RSA
 * over 8,192 bits or with an exponent over 32 bits, points and keys of the wrong length.
 * @throws X509Error DER_MALFORMED
 */
export function readPublicKeyInfo(reader: DerReader, what: string): PublicKeyInfo {
  const start = reader.offset;
  const outer = reader.sequence(what);
  const identifier = outer.sequence(what);
  const algorithm = identifier.oid(what);
  const parameters = identifier.done ? undefined : identifier.encoded(identifier.any(what));
  identifier.finish(what);
  const bits = outer.bitString(what);
  outer.finish(what);
  const der = reader.bytes.subarray(start, reader.offset);
  const judged = judge(algorithm, parameters, bits, what);
  return new LazyPublicKey({ der, algorithm, bits, ...judged });
}

/**
 * Reads a SubjectPublicKeyInfo that stands alone.
 * @throws X509Error PUBLIC_KEY_MALFORMED
 */
export function parsePublicKeyInfo(der: Uint8Array): PublicKeyInfo {
  const reader = new DerReader(new Uint8Array(der));
  try {
    const info = readPublicKeyInfo(reader, "public key");
    reader.finish("public key");
    return info;
  } catch (error) {
    if (!(error instanceof X509Error)) throw error;
    throw new X509Error("PUBLIC_KEY_MALFORMED", error.message, { cause: error });
  }
}

class LazyPublicKey implements PublicKeyInfo {
  readonly der: Uint8Array;
  readonly kind: PublicKeyKind;
  readonly algorithm: string;
  readonly bits: Uint8Array;
  readonly modulusBits?: number;
  #keyObject: KeyObject | undefined;

  constructor(parts: Omit<PublicKeyInfo, "keyObject">) {
    this.der = parts.der;
    this.algorithm = parts.algorithm;
    this.bits = parts.bits;
    this.kind = parts.kind;
    if (parts.modulusBits !== undefined) this.modulusBits = parts.modulusBits;
  }

  get keyObject(): KeyObject {
    this.#keyObject ??= this.#import();
    return this.#keyObject;
  }

  #import(): KeyObject {
    if (this.kind === "unknown") {
      throw new X509Error(
        "ALGORITHM_UNSUPPORTED",
        `public key algorithm ${this.algorithm} is not supported`,
      );
    }
    try {
      return createPublicKey({ key: Buffer.from(this.der), format: "der", type: "spki" });
    } catch (error) {
      throw new X509Error(
        "ALGORITHM_UNSUPPORTED",
        `public key (${this.kind}) is refused by OpenSSL`,
        {
          cause: error,
        },
      );
    }
  }
}

function judge(
  algorithm: string,
  parameters: Uint8Array | undefined,
  bits: Uint8Array,
  what: string,
): { kind: PublicKeyKind; modulusBits?: number } {
  const fixed = fixedLengthKinds.get(algorithm);
  if (fixed) {
    if (parameters) throw malformed(what, `has parameters, expected none for ${fixed.kind}`);
    if (bits.length !== fixed.length) {
      throw malformed(
        what,
        `has ${bits.length} octets, expected ${fixed.length} for ${fixed.kind}`,
      );
    }
    return { kind: fixed.kind };
  }
  if (algorithm === OID.ec) return { kind: judgeEc(parameters, bits, what) };
  if (algorithm === OID.rsa) {
    if (!parameters || !bytesEqual(parameters, NULL)) {
      throw malformed(what, "has RSA parameters other than NULL");
    }
    return { kind: "rsa", modulusBits: judgeRsa(bits, what) };
  }
  if (algorithm === OID.rsaPss) return { kind: "rsa-pss", modulusBits: judgeRsa(bits, what) };
  return { kind: "unknown" };
}

function judgeEc(
  parameters: Uint8Array | undefined,
  point: Uint8Array,
  what: string,
): PublicKeyKind {
  if (parameters?.[0] !== TAG.oid) {
    throw malformed(what, "has explicit or missing EC parameters, expected a named curve");
  }
  const curve = curves.get(new DerReader(parameters).oid(what));
  if (!curve) return "unknown";
  const form = point[0];
  const expected = form === 4 ? 2 * curve.octets + 1 : curve.octets + 1;
  if ((form !== 2 && form !== 3 && form !== 4) || point.length !== expected) {
    throw malformed(what, `is not a point on ${curve.kind}`);
  }
  return curve.kind;
}

function judgeRsa(bits: Uint8Array, what: string): number {
  const reader = new DerReader(bits);
  const key = reader.sequence(what);
  reader.finish(what);
  const modulus = key.integer(`${what} modulus`);
  const exponent = key.integer(`${what} exponent`);
  key.finish(what);
  const modulusBits = bitLength(modulus);
  const exponentBits = bitLength(exponent);
  const odd = (modulus.at(-1) as number) & (exponent.at(-1) as number) & 1;
  const negative = ((modulus[0] as number) | (exponent[0] as number)) & 0x80;
  if (negative || !odd) throw malformed(what, "is not an RSA key of positive odd numbers");
  if (modulusBits > 8192)
    throw malformed(what, `has ${modulusBits} RSA bits, at most 8192 are allowed`);
  if (exponentBits < 2 || exponentBits > 32) {
    throw malformed(what, `has an RSA exponent of ${exponentBits} bits, expected 2 to 32`);
  }
  return modulusBits;
}

function bitLength(integer: Uint8Array): number {
  const start = integer[0] === 0 ? 1 : 0;
  const first = integer[start];
  return first === undefined ? 0 : (integer.length - start) * 8 - (Math.clz32(first) - 24);
}

const NULL = Uint8Array.of(TAG.null, 0);

const fixedLengthKinds: ReadonlyMap<string, { kind: PublicKeyKind; length: number }> = new Map([
  [OID.ed25519, { kind: "ed25519", length: 32 }],
  [OID.ed448, { kind: "ed448", length: 57 }],
  [OID.mlDsa44, { kind: "ml-dsa-44", length: 1312 }],
  [OID.mlDsa65, { kind: "ml-dsa-65", length: 1952 }],
  [OID.mlDsa87, { kind: "ml-dsa-87", length: 2592 }],
] as const);

const curves: ReadonlyMap<string, { kind: PublicKeyKind; octets: number }> = new Map([
  [OID.p256, { kind: "ecdsa-p256", octets: 32 }],
  [OID.p384, { kind: "ecdsa-p384", octets: 48 }],
  [OID.p521, { kind: "ecdsa-p521", octets: 66 }],
] as const);
