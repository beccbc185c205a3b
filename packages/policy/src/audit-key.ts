import { createPrivateKey, createPublicKey, generateKeyPairSync, sign } from "node:crypto";
import type { KeyObject } from "node:crypto";
import { stat } from "node:fs/promises";
import { FilesError, readBounded, writeFileAtomic } from "@handfast/files";
import type { AuditSigner } from "./audit-head.ts";
import { PolicyError } from "./errors.ts";

/**
 * Opens the key that signs an audit log: Ed25519, PKCS#8 PEM, readable by its owner alone. Where
 * there is no file yet a key is made and written. It is not the key of any certificate.
 *
 * @throws {PolicyError} AUDIT_KEY_INVALID; FilesError if it cannot be written
 */
export async function openAuditKey(path: string): Promise<AuditSigner> {
  const privateKey = (await readPrivateKey(path)) ?? (await makePrivateKey(path));
  return {
    publicKey: createPublicKey(privateKey),
    sign: (message) => sign(null, message, privateKey),
  };
}

/**
 * The public key, as PEM, of the key file of an audit log: what the verifier needs from outside.
 *
 * @throws {PolicyError} AUDIT_KEY_INVALID, also if there is no such file
 */
export async function auditPublicKey(path: string): Promise<string> {
  const privateKey = await readPrivateKey(path);
  if (privateKey === undefined) throw keyInvalid(path, "there is no such file");
  return createPublicKey(privateKey).export({ type: "spki", format: "pem" });
}

/**
 * Reads the public key of an audit log from PEM.
 *
 * @throws {PolicyError} AUDIT_KEY_INVALID
 */
export function parseAuditPublicKey(pem: string | Uint8Array): KeyObject {
  const text = Buffer.from(pem).toString();
  // A private key would do for the platform; here it is in the wrong hands.
  if (text.includes("PRIVATE KEY")) throw keyInvalid("the key", "expected a public key");
  let key: KeyObject;
  try {
    key = createPublicKey(text);
  } catch (cause) {
    throw keyInvalid("the key", "expected a public key in PEM", cause);
  }
  return requireEd25519(key, "the key");
}

async function readPrivateKey(path: string): Promise<KeyObject | undefined> {
  let pem: Uint8Array;
  try {
    pem = await readBounded(path, { maxBytes: maxKeyBytes });
    const { mode } = await stat(path);
    if (process.platform !== "win32" && (mode & 0o077) !== 0) {
      throw keyInvalid(
        path,
        `expected mode 0600, got ${(mode & 0o777).toString(8).padStart(4, "0")}`,
      );
    }
  } catch (thrown) {
    if (thrown instanceof PolicyError) throw thrown;
    if (thrown instanceof FilesError && thrown.code === "FILE_NOT_FOUND") return undefined;
    throw keyInvalid(path, "cannot be read", thrown);
  }
  try {
    return requireEd25519(createPrivateKey(Buffer.from(pem)), path);
  } catch (thrown) {
    if (thrown instanceof PolicyError) throw thrown;
    throw keyInvalid(path, "expected a private key in PEM");
  }
}

async function makePrivateKey(path: string): Promise<KeyObject> {
  const { privateKey } = generateKeyPairSync("ed25519");
  try {
    await writeFileAtomic(path, privateKey.export({ type: "pkcs8", format: "pem" }));
    return privateKey;
  } catch (thrown) {
    // Another process was first: both use its key.
    const isThere = thrown instanceof FilesError && thrown.code === "FILE_EXISTS";
    const theirs = isThere ? await readPrivateKey(path) : undefined;
    if (theirs === undefined) throw thrown;
    return theirs;
  }
}

function requireEd25519(key: KeyObject, subject: string): KeyObject {
  if (key.asymmetricKeyType === "ed25519") return key;
  throw keyInvalid(subject, `expected an Ed25519 key, got ${key.asymmetricKeyType ?? "a secret"}`);
}

function keyInvalid(subject: string, problem: string, cause?: unknown): PolicyError {
  return new PolicyError("AUDIT_KEY_INVALID", `${subject}: ${problem}`, { cause });
}

const maxKeyBytes = 64 * 1024;
