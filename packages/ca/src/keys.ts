import type { KeyObject } from "node:crypto";
import { join } from "node:path";
import { FilesError, readBounded, writeFileAtomic } from "@handfast/files";
import { encodePrivateKey, parsePrivateKey, X509Error } from "@handfast/x509";
import type { ExternalSigner } from "@handfast/x509";
import { CaError } from "./errors.ts";

/**
 * Where an authority's private keys are. Names are those of issuer records (`root-1`, `issuing-1`).
 *
 * - `save` MUST NOT replace a key that is there, and MUST NOT resolve before it would survive the
 *   loss of power.
 * - `load` MUST read the named key and no other: an authority runs without its root key (S53).
 */
export interface KeyStore {
  /** @throws CaError KEY_NOT_FOUND, KEY_LOCKED, PASSPHRASE_WRONG, KEY_UNREADABLE */
  load(name: string): Promise<KeyObject>;
  /** @throws CaError KEY_EXISTS */
  save(name: string, key: KeyObject): Promise<void>;
  /**
   * The seam for tokens (PKCS #11, a KMS): a signer for the key of an issuer, which then is never
   * loaded; undefined for keys that are kept as all others.
   */
  signer?(name: string): Promise<ExternalSigner | undefined>;
}

/** How the keys in a folder are protected. */
export interface KeyDirectoryOptions {
  /**
   * Encrypts the keys that are saved, and opens those that are encrypted: asked at most once, and
   * only when needed. Without it, or when it answers undefined, keys are saved in the clear.
   */
  readonly passphrase?: () => Promise<string | undefined>;
  /** Whether a key that is not encrypted is opened; `allow` if not given (security.md S53). */
  readonly clearKeys?: "allow" | "refuse";
}

/**
 * Keys as `NAME-key.pem` in a folder: PKCS#8, encrypted with PBES2 (scrypt, AES-256-CBC) if there
 * is a passphrase, mode 0600. A folder that anyone but root or ourselves can write is refused (S56).
 */
export function keysFromDirectory(
  directory: string,
  { passphrase = noPassphrase, clearKeys = "allow" }: KeyDirectoryOptions = {},
): KeyStore {
  let asked: Promise<string | undefined> | undefined;
  const ask = () => (asked ??= passphrase());
  const saved = new Map<string, KeyObject>();
  const pathOf = (name: string) => join(directory, `${name}-key.pem`);

  return {
    async load(name): Promise<KeyObject> {
      const own = saved.get(name);
      if (own !== undefined) return own;
      const path = pathOf(name);
      const pem = Buffer.from(await readKeyFile(path)).toString("latin1");
      if (!pem.includes(encryptedLabel)) {
        if (clearKeys === "allow") return parseKey(pem, { path });
        throw new CaError("KEY_CLEAR", `${path} is not encrypted`);
      }
      const given = await ask();
      if (given === undefined) {
        throw new CaError("KEY_LOCKED", `${path} is encrypted and no passphrase was given`);
      }
      return parseKey(pem, { path, passphrase: given });
    },
    async save(name, key): Promise<void> {
      const given = await ask();
      const pem = encodePrivateKey(key, given === undefined ? {} : { passphrase: given });
      try {
        await writeFileAtomic(pathOf(name), pem, { mode: 0o600, trustedDirectory: true });
      } catch (error) {
        if (error instanceof FilesError && error.code === "FILE_EXISTS") {
          throw new CaError("KEY_EXISTS", `${pathOf(name)} is there already`, { cause: error });
        }
        throw error;
      }
      saved.set(name, key);
    },
  };
}

/**
 * The passphrase on the first line of a file, which may be followed by one line end.
 *
 * @throws CaError PASSPHRASE_REFUSED
 */
export async function readPassphraseFile(path: string): Promise<string> {
  let bytes;
  try {
    bytes = await readBounded(path, { maxBytes: maxPassphraseBytes });
  } catch (error) {
    throw new CaError("PASSPHRASE_REFUSED", `passphrase file: ${(error as Error).message}`, {
      cause: error,
    });
  }
  const text = Buffer.from(bytes)
    .toString("utf8")
    .replace(/\r?\n$/, "");
  if (text === "" || /[\r\n\0]/.test(text)) {
    throw new CaError(
      "PASSPHRASE_REFUSED",
      `passphrase file ${path} must hold one line that is not empty`,
    );
  }
  return text;
}

async function readKeyFile(path: string): Promise<Uint8Array> {
  try {
    return await readBounded(path, { maxBytes: maxKeyBytes });
  } catch (error) {
    const missing = error instanceof FilesError && error.code === "FILE_NOT_FOUND";
    throw new CaError(missing ? "KEY_NOT_FOUND" : "KEY_UNREADABLE", (error as Error).message, {
      cause: error,
    });
  }
}

function parseKey(
  pem: string,
  { path, passphrase }: { path: string; passphrase?: string },
): KeyObject {
  try {
    return parsePrivateKey(pem, passphrase === undefined ? {} : { passphrase });
  } catch (error) {
    if (error instanceof X509Error && error.code === "PASSPHRASE_WRONG") {
      throw new CaError("PASSPHRASE_WRONG", `the passphrase does not open ${path}`, {
        cause: error,
      });
    }
    throw new CaError("KEY_UNREADABLE", `${path}: ${(error as Error).message}`, { cause: error });
  }
}

async function noPassphrase(): Promise<undefined> {
  return undefined;
}

const encryptedLabel = "-----BEGIN ENCRYPTED PRIVATE KEY-----";
const maxKeyBytes = 64 * 1_024;
const maxPassphraseBytes = 4_096;
