import { sign, verify, constants, type KeyObject } from "node:crypto";
import { bytesEqual, DerReader, encodeDer, NULL, oid, sequence } from "./der.ts";
import { X509Error } from "./errors.ts";
import { OID } from "./oid.ts";
import type { PublicKeyInfo, PublicKeyKind } from "./public-key.ts";

/** Something signed: a certificate, a request, a revocation list, an OCSP response. */
export interface Signed {
  /** The DER of the AlgorithmIdentifier. */
  readonly signatureAlgorithm: Uint8Array;
  /** Exactly the bytes the signature covers. */
  readonly signedBytes: Uint8Array;
  readonly signature: Uint8Array;
}

/**
 * Whether the signature was made over these bytes with this key. An algorithm that is unknown,
 * unfit for the key or too weak (S44: SHA-1, MD5, RSA under 2,048 bits) is false before any
 * arithmetic.
 */
export function verifySignature(signed: Signed, key: PublicKeyInfo): boolean {
  const scheme = schemeOf(signed.signatureAlgorithm, key);
  if (typeof scheme === "string") return false;
  let keyObject: KeyObject;
  try {
    keyObject = key.keyObject;
  } catch {
    return false;
  }
  const { digest, pss } = scheme;
  try {
    return verify(
      digest,
      signed.signedBytes,
      pss
        ? { key: keyObject, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: pss.saltLength }
        : keyObject,
      signed.signature,
    );
  } catch {
    return false;
  }
}

/** Why this package does not accept the signature's algorithm with this key; undefined if it does. */
export function signatureAlgorithmProblem(
  signed: Pick<Signed, "signatureAlgorithm">,
  key: PublicKeyInfo,
): string | undefined {
  const scheme = schemeOf(signed.signatureAlgorithm, key);
  return typeof scheme === "string" ? scheme : undefined;
}

/** A private key with the AlgorithmIdentifier it signs under, prepared once. */
export interface Signer {
  readonly signatureAlgorithm: Uint8Array;
  sign(bytes: Uint8Array): Uint8Array;
}

/**
 * A key that stays where it is: in a PKCS #11 token, or behind a service. `sign` is synchronous, as
 * PKCS #11 is; `signatureAlgorithm` is the one of the key's kind, and what is signed is verified under
 * `publicKey` by whoever reads it.
 */
export interface ExternalSigner extends Signer {
  readonly publicKey: KeyObject;
}

/**
 * The AlgorithmIdentifier that this package signs under with keys of this kind: what an
 * {@link ExternalSigner} of such a key says.
 * @throws X509Error ALGORITHM_UNSUPPORTED
 */
export function signatureAlgorithmFor(publicKey: KeyObject): Uint8Array {
  return signingSchemeOf(publicKey).identifier;
}

/**
 * Prepares a private key for signing: ECDSA with the digest of the curve's size, RSA with SHA-256
 * (PKCS #1 v1.5, which every verifier knows), Ed25519, ML-DSA with an empty context (RFC 9881).
 * @throws X509Error ALGORITHM_UNSUPPORTED
 */
export function createSigner(privateKey: KeyObject): Signer {
  if (privateKey.type !== "private") throw new TypeError("a signer needs a private key");
  const scheme = signingSchemeOf(privateKey);
  return {
    signatureAlgorithm: scheme.identifier,
    sign: (bytes) => sign(scheme.digest, bytes, privateKey),
  };
}

/** The name of a signature algorithm (`ECDSA-SHA256`), or its dotted OID. */
export function signatureAlgorithmName(identifier: Uint8Array): string {
  const known = fixedSchemes.find((scheme) => bytesEqual(scheme.identifier, identifier));
  if (known) return known.name;
  const dotted = algorithmOid(identifier);
  return dotted === OID.rsaPss ? "RSASSA-PSS" : (weakAlgorithms.get(dotted) ?? dotted);
}

/** The dotted OID in an AlgorithmIdentifier. */
function algorithmOid(identifier: Uint8Array): string {
  return new DerReader(identifier).sequence("algorithm").oid("algorithm");
}

interface Scheme {
  readonly digest: string | null;
  readonly pss?: { readonly saltLength: number };
}

function schemeOf(identifier: Uint8Array, key: PublicKeyInfo): Scheme | string {
  for (const known of fixedSchemes) {
    if (!bytesEqual(known.identifier, identifier)) continue;
    if (!known.keys.has(key.kind))
      return `a ${known.name} signature cannot come from a ${key.kind} key`;
    return weakKey(key) ?? known;
  }
  let dotted: string;
  try {
    dotted = algorithmOid(identifier);
  } catch {
    return "the signature algorithm is malformed";
  }
  if (dotted === OID.rsaPss && (key.kind === "rsa" || key.kind === "rsa-pss")) {
    return weakKey(key) ?? pssScheme(identifier) ?? "the RSASSA-PSS parameters are not accepted";
  }
  return weakAlgorithms.has(dotted)
    ? `the signature algorithm ${weakAlgorithms.get(dotted)} is too weak`
    : `the signature algorithm ${dotted} is not accepted`;
}

function weakKey(key: PublicKeyInfo): string | undefined {
  return key.modulusBits !== undefined && key.modulusBits < 2048
    ? `an RSA key of ${key.modulusBits} bits is too weak`
    : undefined;
}

/** RFC 4055 parameters: one of SHA-256/384/512 for both digests, trailer 1. */
function pssScheme(identifier: Uint8Array): Scheme | undefined {
  for (const digest of pssDigests) {
    if (bytesEqual(digest.identifier, identifier)) return digest;
  }
  return undefined;
}

function signingSchemeOf(key: KeyObject): {
  readonly identifier: Uint8Array;
  readonly digest: string | null;
} {
  const scheme = signingSchemes.get(signingKind(key));
  if (scheme) return scheme;
  throw new X509Error(
    "ALGORITHM_UNSUPPORTED",
    `${key.type} key of type ${key.asymmetricKeyType ?? "unknown"} cannot sign certificates`,
  );
}

function signingKind(key: KeyObject): string {
  const type: string = key.asymmetricKeyType ?? "";
  return type === "ec" ? `ec ${key.asymmetricKeyDetails?.namedCurve ?? ""}` : type;
}

function identifierOf(dotted: string, parameters?: Uint8Array): Uint8Array {
  return encodeDer(sequence(parameters ? [oid(dotted), parameters] : [oid(dotted)]));
}

function pssIdentifier(digestOid: string, saltLength: number, nullParameters: boolean): Uint8Array {
  const digest = sequence(nullParameters ? [oid(digestOid), NULL] : [oid(digestOid)]);
  const wrap = (n: number, value: Uint8Array): Uint8Array =>
    Uint8Array.of(0xa0 | n, value.length, ...value);
  return encodeDer(
    sequence([
      oid(OID.rsaPss),
      sequence([
        wrap(0, encodeDer(digest)),
        wrap(1, encodeDer(sequence([oid(OID.mgf1), digest]))),
        wrap(2, Uint8Array.of(2, 1, saltLength)),
      ]),
    ]),
  );
}

const EC_KINDS: ReadonlySet<PublicKeyKind> = new Set([
  "ecdsa-p256",
  "ecdsa-p384",
  "ecdsa-p521",
] as const);
const RSA_KINDS: ReadonlySet<PublicKeyKind> = new Set(["rsa"] as const);

function fixed(
  name: string,
  identifier: Uint8Array,
  digest: string | null,
  keys: ReadonlySet<PublicKeyKind>,
): Scheme & { name: string; identifier: Uint8Array; keys: ReadonlySet<PublicKeyKind> } {
  return { name, identifier, digest, keys };
}

// RFC 4055 section 5: RSA parameters are NULL, and absent must be accepted too.
const fixedSchemes = [
  fixed("ECDSA-SHA256", identifierOf(OID.ecdsaSha256), "sha256", EC_KINDS),
  fixed("ECDSA-SHA384", identifierOf(OID.ecdsaSha384), "sha384", EC_KINDS),
  fixed("ECDSA-SHA512", identifierOf(OID.ecdsaSha512), "sha512", EC_KINDS),
  fixed("RSA-SHA256", identifierOf(OID.rsaSha256, NULL), "sha256", RSA_KINDS),
  fixed("RSA-SHA256", identifierOf(OID.rsaSha256), "sha256", RSA_KINDS),
  fixed("RSA-SHA384", identifierOf(OID.rsaSha384, NULL), "sha384", RSA_KINDS),
  fixed("RSA-SHA384", identifierOf(OID.rsaSha384), "sha384", RSA_KINDS),
  fixed("RSA-SHA512", identifierOf(OID.rsaSha512, NULL), "sha512", RSA_KINDS),
  fixed("RSA-SHA512", identifierOf(OID.rsaSha512), "sha512", RSA_KINDS),
  fixed("Ed25519", identifierOf(OID.ed25519), null, new Set(["ed25519"] as const)),
  fixed("Ed448", identifierOf(OID.ed448), null, new Set(["ed448"] as const)),
  fixed("ML-DSA-44", identifierOf(OID.mlDsa44), null, new Set(["ml-dsa-44"] as const)),
  fixed("ML-DSA-65", identifierOf(OID.mlDsa65), null, new Set(["ml-dsa-65"] as const)),
  fixed("ML-DSA-87", identifierOf(OID.mlDsa87), null, new Set(["ml-dsa-87"] as const)),
];

const pssDigests = [
  { oid: OID.sha256, digest: "sha256", saltLength: 32 },
  { oid: OID.sha384, digest: "sha384", saltLength: 48 },
  { oid: OID.sha512, digest: "sha512", saltLength: 64 },
].flatMap(({ oid, digest, saltLength }) =>
  [true, false].map((nullParameters) => ({
    digest,
    pss: { saltLength },
    identifier: pssIdentifier(oid, saltLength, nullParameters),
  })),
);

const signingSchemes: ReadonlyMap<string, { identifier: Uint8Array; digest: string | null }> =
  new Map([
    ["ec prime256v1", { identifier: identifierOf(OID.ecdsaSha256), digest: "sha256" }],
    ["ec secp384r1", { identifier: identifierOf(OID.ecdsaSha384), digest: "sha384" }],
    ["rsa", { identifier: identifierOf(OID.rsaSha256, NULL), digest: "sha256" }],
    ["ed25519", { identifier: identifierOf(OID.ed25519), digest: null }],
    ["ml-dsa-44", { identifier: identifierOf(OID.mlDsa44), digest: null }],
    ["ml-dsa-65", { identifier: identifierOf(OID.mlDsa65), digest: null }],
    ["ml-dsa-87", { identifier: identifierOf(OID.mlDsa87), digest: null }],
  ]);

const weakAlgorithms: ReadonlyMap<string, string> = new Map([
  ["1.2.840.113549.1.1.4", "MD5 with RSA"],
  ["1.2.840.113549.1.1.5", "SHA-1 with RSA"],
  ["1.2.840.10045.4.1", "ECDSA with SHA-1"],
  ["1.2.840.10040.4.3", "DSA with SHA-1"],
]);
