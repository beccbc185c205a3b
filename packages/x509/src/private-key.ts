import { createPrivateKey, type KeyObject } from "node:crypto";
import { DerReader, encodeDer, TAG } from "./der.ts";
import { malformedAs, X509Error } from "./errors.ts";
import { OID } from "./oid.ts";
import { decryptPbes2, encryptedNode, encryptPbes2, wrongPassphrase } from "./pbes2.ts";
import { exportPrivateKey } from "./keys.ts";
import { decodePem, encodePem } from "./pem.ts";

/**
 * Reads a private key from PEM: PKCS #8 (clear, or encrypted with PBES2), SEC 1 or PKCS #1. The text
 * must hold exactly one key; certificates beside it are skipped.
 * @throws X509Error PEM_MALFORMED, PRIVATE_KEY_MALFORMED, PASSPHRASE_REQUIRED, PASSPHRASE_WRONG,
 *   KEY_DERIVATION_REFUSED, ALGORITHM_UNSUPPORTED
 */
export function parsePrivateKey(
  pem: string | Uint8Array,
  options?: { passphrase?: string | Uint8Array },
): KeyObject {
  const blocks = decodePem(pem).filter(({ label }) => label.endsWith("PRIVATE KEY"));
  const [block] = blocks;
  if (!block || blocks.length > 1) {
    throw new X509Error(
      "PRIVATE_KEY_MALFORMED",
      `private key text must hold one private key block, found ${blocks.length}`,
    );
  }
  switch (block.label) {
    case "PRIVATE KEY":
      return parsePkcs8(block.der);
    case "ENCRYPTED PRIVATE KEY":
      return parsePkcs8(decryptPkcs8(block.der, options?.passphrase), wrongPassphrase);
    case "EC PRIVATE KEY":
      checkSec1(block.der);
      return importKey(block.der, "sec1");
    case "RSA PRIVATE KEY":
      checkRsa(block.der);
      return importKey(block.der, "pkcs1");
    default:
      throw new X509Error(
        "PRIVATE_KEY_MALFORMED",
        `private key block ${block.label} is not PKCS #8, SEC 1 or PKCS #1`,
      );
  }
}

/**
 * Writes a private key as PKCS #8 PEM. With a passphrase it is encrypted with PBES2: scrypt
 * (N=2^14, r=8, p=8) and AES-256-CBC (S53). ML-DSA keys are written as their seed (RFC 9881).
 */
export function encodePrivateKey(
  key: KeyObject,
  options?: { passphrase?: string | Uint8Array },
): string {
  if (key.type !== "private") throw new TypeError("encodePrivateKey needs a private key");
  const der = exportPrivateKey(key);
  const passphrase = options?.passphrase;
  if (passphrase === undefined) return encodePem("PRIVATE KEY", der);
  if (passphrase.length === 0) throw new TypeError("passphrase must not be empty");
  const encrypted = encryptPbes2(der, passphrase, "scrypt");
  der.fill(0);
  return encodePem("ENCRYPTED PRIVATE KEY", encodeDer(encryptedNode(encrypted)));
}

/**
 * Reads a DER PrivateKeyInfo (RFC 5958).
 * @throws X509Error PRIVATE_KEY_MALFORMED, ALGORITHM_UNSUPPORTED
 */
export function parsePkcs8(der: Uint8Array, onFailure?: (cause: unknown) => X509Error): KeyObject {
  try {
    malformedAs("PRIVATE_KEY_MALFORMED", "private key", () => checkPkcs8(der));
  } catch (error) {
    throw onFailure ? onFailure(error) : error;
  }
  return importKey(der, "pkcs8");
}

function decryptPkcs8(der: Uint8Array, passphrase: string | Uint8Array | undefined): Uint8Array {
  if (passphrase === undefined || passphrase.length === 0) {
    throw new X509Error("PASSPHRASE_REQUIRED", "private key is encrypted and needs a passphrase");
  }
  return malformedAs("PRIVATE_KEY_MALFORMED", "encrypted private key", () => {
    const outer = new DerReader(der);
    const inner = outer.sequence("file");
    outer.finish("file");
    const algorithm = inner.encoded(inner.element(TAG.sequence, "algorithm"));
    const ciphertext = inner.octetString("ciphertext");
    inner.finish("file");
    return decryptPbes2({ algorithm, ciphertext }, passphrase);
  });
}

/** The strict look before OpenSSL's (S44). */
function checkPkcs8(der: Uint8Array): void {
  const outer = new DerReader(der);
  const info = outer.sequence("PrivateKeyInfo");
  outer.finish("PrivateKeyInfo");
  const version = info.smallInteger("version");
  if (version > 1) throw new X509Error("DER_MALFORMED", `version is ${version}, expected 0 or 1`);
  const identifier = info.sequence("algorithm");
  const algorithm = identifier.oid("algorithm");
  const parameters = identifier.done ? undefined : identifier.any("algorithm parameters");
  identifier.finish("algorithm");
  if (algorithm === OID.ec && parameters?.tag !== TAG.oid) throw explicitCurve();
  const content = info.octetString("privateKey");
  if (algorithm === OID.rsa) checkRsa(content);
  info.optional(0xa0, "attributes");
  info.optional(0x81, "publicKey");
  info.finish("PrivateKeyInfo");
}

function checkSec1(der: Uint8Array): void {
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

function checkRsa(der: Uint8Array): void {
  malformedAs("PRIVATE_KEY_MALFORMED", "private key", () => {
    const outer = new DerReader(der);
    const key = outer.sequence("RSAPrivateKey");
    outer.finish("RSAPrivateKey");
    key.smallInteger("version");
    const octets = key.integer("modulus").length;
    if (octets > 1025) {
      throw new X509Error("DER_MALFORMED", "modulus is over 8192 bits");
    }
    if (key.integer("publicExponent").length > 5) {
      throw new X509Error("DER_MALFORMED", "publicExponent is over 32 bits");
    }
  });
}

function importKey(der: Uint8Array, type: "pkcs8" | "sec1" | "pkcs1"): KeyObject {
  try {
    return createPrivateKey({ key: Buffer.from(der), format: "der", type });
  } catch {
    // OpenSSL's error is not kept as the cause: it may quote its input.
    throw new X509Error("PRIVATE_KEY_MALFORMED", "private key is refused by OpenSSL");
  }
}

function explicitCurve(): X509Error {
  return new X509Error(
    "DER_MALFORMED",
    "EC parameters are explicit or missing, expected a named curve",
  );
}
