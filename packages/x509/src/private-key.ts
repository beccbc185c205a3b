import { createPrivateKey, type KeyObject } from "node:crypto";
import { DerReader, encodeDer, TAG } from "./der.ts";
import { malformedAs, X509Error } from "./errors.ts";
import { exportPrivateKey } from "./keys.ts";
import { decryptPbes2, encryptedNode, encryptPbes2, wrongPassphrase } from "./pbes2.ts";
import { decodePem, encodePem } from "./pem.ts";
import { checkEcPrivateKey, checkRsaPrivateKey, parsePrivateKeyInfo } from "./private-key-info.ts";

/**
 * Reads a private key from PEM: PKCS #8 (clear, or encrypted with PBES2), SEC 1 or PKCS #1. The text
 * must hold exactly one key; certificates beside it are skipped. A passphrase given for a clear key
 * is not used. ML-DSA keys that hold a seed and an expanded key which disagree are refused.
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
      return parseEncryptedPkcs8(block.der, options?.passphrase);
    case "EC PRIVATE KEY":
      checkEcPrivateKey(block.der);
      return importKey(block.der, "sec1");
    case "RSA PRIVATE KEY":
      checkRsaPrivateKey(block.der);
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
 * (N=2^14, r=8, p=8) and AES-256-CBC (S53). ML-DSA keys are written as their seed where they have
 * one (RFC 9881).
 */
export function encodePrivateKey(
  key: KeyObject,
  options?: { passphrase?: string | Uint8Array },
): string {
  if (key.type !== "private") throw new TypeError("encodePrivateKey needs a private key");
  const passphrase = options?.passphrase;
  const der = exportPrivateKey(key);
  if (passphrase === undefined) return encodePem("PRIVATE KEY", der);
  if (passphrase.length === 0) throw new TypeError("passphrase must not be empty");
  const encrypted = encryptPbes2(der, passphrase, "scrypt");
  der.fill(0);
  return encodePem("ENCRYPTED PRIVATE KEY", encodeDer(encryptedNode(encrypted)));
}

/**
 * Reads a DER PrivateKeyInfo (RFC 5958): our own reader first, then OpenSSL (S44).
 * @throws X509Error PRIVATE_KEY_MALFORMED
 */
export function parsePkcs8(der: Uint8Array): KeyObject {
  parsePrivateKeyInfo(der);
  return importKey(der, "pkcs8");
}

/**
 * Reads a DER EncryptedPrivateKeyInfo.
 * @throws X509Error PRIVATE_KEY_MALFORMED, PASSPHRASE_REQUIRED, PASSPHRASE_WRONG,
 *   KEY_DERIVATION_REFUSED, ALGORITHM_UNSUPPORTED
 */
export function parseEncryptedPkcs8(
  der: Uint8Array,
  passphrase: string | Uint8Array | undefined,
): KeyObject {
  if (passphrase === undefined || passphrase.length === 0) {
    throw new X509Error("PASSPHRASE_REQUIRED", "private key is encrypted and needs a passphrase");
  }
  const clear = malformedAs("PRIVATE_KEY_MALFORMED", "encrypted private key", () => {
    const outer = new DerReader(der);
    const inner = outer.sequence("file");
    outer.finish("file");
    const algorithm = inner.whole(TAG.sequence, "algorithm");
    const ciphertext = inner.octetString("ciphertext");
    inner.finish("file");
    return decryptPbes2({ algorithm, ciphertext }, passphrase);
  });
  try {
    parsePrivateKeyInfo(clear);
  } catch {
    // A wrong passphrase passes the padding check once in 256 times, and then this is no key.
    throw wrongPassphrase();
  }
  const key = importKey(clear, "pkcs8");
  clear.fill(0);
  return key;
}

function importKey(der: Uint8Array, type: "pkcs8" | "sec1" | "pkcs1"): KeyObject {
  try {
    return createPrivateKey({ key: Buffer.from(der), format: "der", type });
  } catch {
    // OpenSSL's error is not kept as the cause: it may quote its input.
    throw new X509Error("PRIVATE_KEY_MALFORMED", "private key is refused by OpenSSL");
  }
}
