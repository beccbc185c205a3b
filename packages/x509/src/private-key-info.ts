import {
  DerReader,
  encodeDer,
  integer,
  octetString,
  octetStringOf,
  oid,
  sequence,
  TAG,
} from "./der.ts";
import { malformedAs, X509Error } from "./errors.ts";
import {
  encodeMlDsaPrivateKey,
  isMlDsa,
  readMlDsaPrivateKey,
  type MlDsaPrivateKey,
} from "./ml-dsa.ts";
import { OID } from "./oid.ts";

/** A PrivateKeyInfo (RFC 5958) taken apart, without the key being computed with. */
export interface PrivateKeyInfo {
  readonly version: number;
  /** Dotted OID. */
  readonly algorithm: string;
  /** The DER of the algorithm's parameters. */
  readonly parameters?: Uint8Array;
  /** The content of the privateKey OCTET STRING. */
  readonly content: Uint8Array;
  /** ML-DSA only: `content` read. */
  readonly mlDsa?: MlDsaPrivateKey;
  /** What follows the key: `[0]` attributes and `[1]` public key, as encoded. */
  readonly rest: readonly Uint8Array[];
}

/**
 * Takes a PrivateKeyInfo apart, in the form it has. Refused before any arithmetic (S44): explicit EC
 * parameters, RSA over 8,192 bits or with an exponent over 32 bits, ML-DSA parts of the wrong length.
 * @throws X509Error PRIVATE_KEY_MALFORMED
 */
export function parsePrivateKeyInfo(der: Uint8Array): PrivateKeyInfo {
  return malformedAs("PRIVATE_KEY_MALFORMED", "private key", () => {
    const outer = new DerReader(der);
    const info = outer.sequence("PrivateKeyInfo");
    outer.finish("PrivateKeyInfo");
    const version = info.smallInteger("version");
    if (version > 1) throw new X509Error("DER_MALFORMED", `version is ${version}, expected 0 or 1`);
    const identifier = info.sequence("algorithm");
    const algorithm = identifier.oid("algorithm");
    const parameters = identifier.done
      ? undefined
      : identifier.encoded(identifier.any("algorithm"));
    identifier.finish("algorithm");
    const content = info.octetString("privateKey");
    const attributes = info.optional(0xa0, "attributes");
    const publicKey = info.optional(0x81, "publicKey");
    info.finish("PrivateKeyInfo");
    const rest = [attributes, publicKey].flatMap((element) =>
      element ? [info.encoded(element)] : [],
    );
    return {
      version,
      algorithm,
      ...(parameters && { parameters }),
      content,
      rest,
      ...judge(algorithm, parameters, content),
    };
  });
}

/** Writes a PrivateKeyInfo from its parts, ML-DSA in the form it was read. */
export function encodePrivateKeyInfo(info: PrivateKeyInfo): Uint8Array {
  const algorithm = info.parameters
    ? [oid(info.algorithm), info.parameters]
    : [oid(info.algorithm)];
  return encodeDer(
    sequence([
      integer(info.version),
      sequence(algorithm),
      info.mlDsa ? octetStringOf(encodeMlDsaPrivateKey(info.mlDsa)) : octetString(info.content),
      ...info.rest,
    ]),
  );
}

/**
 * The strict look at an ECPrivateKey (RFC 5915) that stands alone.
 * @throws X509Error PRIVATE_KEY_MALFORMED
 */
export function checkEcPrivateKey(der: Uint8Array): void {
  malformedAs("PRIVATE_KEY_MALFORMED", "private key", () => {
    const outer = new DerReader(der);
    const key = outer.sequence("ECPrivateKey");
    outer.finish("ECPrivateKey");
    key.smallInteger("version");
    key.octetString("privateKey");
    const parameters = key.context(0, "parameters");
    if (parameters?.peek() !== TAG.oid) throw explicitCurve();
  });
}

/**
 * The strict look at an RSAPrivateKey (RFC 8017 A.1.2).
 * @throws X509Error PRIVATE_KEY_MALFORMED
 */
export function checkRsaPrivateKey(der: Uint8Array): void {
  malformedAs("PRIVATE_KEY_MALFORMED", "private key", () => {
    const outer = new DerReader(der);
    const key = outer.sequence("RSAPrivateKey");
    outer.finish("RSAPrivateKey");
    key.smallInteger("version");
    checkSize(key.integer("modulus"), 8192, "modulus");
    checkSize(key.integer("publicExponent"), 32, "publicExponent");
  });
}

function judge(
  algorithm: string,
  parameters: Uint8Array | undefined,
  content: Uint8Array,
): { mlDsa?: MlDsaPrivateKey } {
  if (algorithm === OID.ec && parameters?.[0] !== TAG.oid) throw explicitCurve();
  if (algorithm === OID.rsa || algorithm === OID.rsaPss) checkRsaPrivateKey(content);
  if (!isMlDsa(algorithm)) return {};
  if (parameters) throw new X509Error("DER_MALFORMED", "ML-DSA has parameters, expected none");
  return { mlDsa: readMlDsaPrivateKey(content, algorithm) };
}

/** A positive INTEGER of so many bits has a sign octet at most. */
function checkSize(value: Uint8Array, bits: number, what: string): void {
  if (value.length > bits / 8 + 1 || (value.length > bits / 8 && value[0] !== 0)) {
    throw new X509Error("DER_MALFORMED", `${what} is over ${bits} bits`);
  }
}

function explicitCurve(): X509Error {
  return new X509Error(
    "DER_MALFORMED",
    "EC parameters are explicit or missing, expected a named curve",
  );
}
