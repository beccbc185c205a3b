import { createCipheriv, createDecipheriv, pbkdf2Sync, randomBytes, scryptSync } from "node:crypto";
import {
  bytesEqual,
  DerReader,
  encodeDer,
  integer,
  NULL,
  octetString,
  oid,
  sequence,
  type DerNode,
} from "./der.ts";
import { X509Error } from "./errors.ts";
import { OID } from "./oid.ts";

/** An EncryptedPrivateKeyInfo (RFC 5958) or the encrypted content of a PKCS #12 safe. */
interface Encrypted {
  /** The DER of the AlgorithmIdentifier: PBES2 with its parameters. */
  readonly algorithm: Uint8Array;
  readonly ciphertext: Uint8Array;
}

/** How a key is derived from the passphrase when writing. */
type KeyDerivation = "scrypt" | "pbkdf2";

/**
 * Encrypts with PBES2 (RFC 8018) and AES-256-CBC. `scrypt` has N=2^14, r=8, p=8 (S53: the most that
 * OpenSSL and Node read by default); `pbkdf2` has 600,000 rounds of HMAC-SHA-256, for readers that
 * know no scrypt (Java).
 */
export function encryptPbes2(
  plaintext: Uint8Array,
  passphrase: string | Uint8Array,
  derivation: KeyDerivation,
): Encrypted {
  const salt = randomBytes(16);
  const iv = randomBytes(16);
  const key =
    derivation === "scrypt"
      ? scryptSync(passphrase, salt, 32, { ...SCRYPT, maxmem: MEMORY_LIMIT })
      : pbkdf2Sync(passphrase, salt, PBKDF2_ROUNDS, 32, "sha256");
  const cipher = createCipheriv("aes-256-cbc", key, iv);
  const ciphertext = Buffer.concat([cipher.update(plaintext), cipher.final()]);
  key.fill(0);
  const parameters =
    derivation === "scrypt"
      ? sequence([octetString(salt), integer(SCRYPT.N), integer(SCRYPT.r), integer(SCRYPT.p)])
      : sequence([
          octetString(salt),
          integer(PBKDF2_ROUNDS),
          sequence([oid(OID.hmacSha256), NULL]),
        ]);
  const algorithm = encodeDer(
    sequence([
      oid(OID.pbes2),
      sequence([
        sequence([oid(derivation === "scrypt" ? OID.scrypt : OID.pbkdf2), parameters]),
        sequence([oid(OID.aes256Cbc), octetString(iv)]),
      ]),
    ]),
  );
  return { algorithm, ciphertext };
}

/**
 * Decrypts PBES2 with scrypt or PBKDF2 (HMAC-SHA-1 and SHA-2) and AES-CBC. The derivation is refused
 * before any work if it asks for more than 10,000,000 iterations or 256 MiB (S44).
 * @throws X509Error KEY_DERIVATION_REFUSED, PASSPHRASE_WRONG, ALGORITHM_UNSUPPORTED, DER_MALFORMED
 */
export function decryptPbes2(encrypted: Encrypted, passphrase: string | Uint8Array): Uint8Array {
  const outer = new DerReader(encrypted.algorithm).sequence(WHAT);
  const scheme = outer.oid(WHAT);
  if (scheme !== OID.pbes2) {
    throw unsupported(`encryption scheme ${scheme} is not supported, expected PBES2`);
  }
  const parameters = outer.sequence(WHAT);
  outer.finish(WHAT);
  const derive = readDerivation(parameters.sequence(WHAT));
  const cipher = parameters.sequence(WHAT);
  parameters.finish(WHAT);
  const name = cipher.oid(WHAT);
  const iv = cipher.octetString(WHAT);
  cipher.finish(WHAT);
  const known = ciphers.get(name);
  if (!known || iv.length !== 16) {
    throw unsupported(`encryption cipher ${name} is not supported, expected AES-CBC`);
  }
  const key = derive(passphrase, known.keyLength);
  try {
    const decipher = createDecipheriv(known.name, key, iv);
    return Buffer.concat([decipher.update(encrypted.ciphertext), decipher.final()]);
  } catch (error) {
    throw wrongPassphrase(error);
  } finally {
    key.fill(0);
  }
}

/** The error for a passphrase that does not open what it should. */
export function wrongPassphrase(cause?: unknown): X509Error {
  return new X509Error(
    "PASSPHRASE_WRONG",
    "passphrase does not decrypt the private key",
    cause === undefined ? undefined : { cause },
  );
}

/** Refuses an iteration count that would keep the process busy for ever. */
function checkIterations(iterations: number): void {
  if (iterations < 1 || iterations > ITERATION_LIMIT) {
    throw new X509Error(
      "KEY_DERIVATION_REFUSED",
      `key derivation asks for ${iterations} iterations, 1 to ${ITERATION_LIMIT} are allowed`,
    );
  }
}

type Derive = (passphrase: string | Uint8Array, keyLength: number) => Buffer;

function readDerivation(identifier: DerReader): Derive {
  const name = identifier.oid(WHAT);
  const parameters = identifier.sequence(WHAT);
  identifier.finish(WHAT);
  if (name === OID.scrypt) return readScrypt(parameters);
  if (name === OID.pbkdf2) return readPbkdf2(parameters);
  throw unsupported(`key derivation ${name} is not supported, expected scrypt or PBKDF2`);
}

function readScrypt(parameters: DerReader): Derive {
  const salt = parameters.octetString(WHAT);
  const N = parameters.smallInteger(WHAT);
  const r = parameters.smallInteger(WHAT);
  const p = parameters.smallInteger(WHAT);
  const keyLength = parameters.done ? undefined : parameters.smallInteger(WHAT);
  parameters.finish(WHAT);
  const powerOfTwo = N > 1 && (N & (N - 1)) === 0;
  const memory = 128 * r * (N + p + 2);
  if (!powerOfTwo || r < 1 || p < 1 || memory > MEMORY_LIMIT || N * r * p > SCRYPT_WORK_LIMIT) {
    throw new X509Error(
      "KEY_DERIVATION_REFUSED",
      `key derivation asks for scrypt with N=${N}, r=${r}, p=${p}, at most 256 MiB are allowed`,
    );
  }
  return (passphrase, length) => {
    checkKeyLength(keyLength, length);
    return scryptSync(passphrase, salt, length, { N, r, p, maxmem: 2 * MEMORY_LIMIT });
  };
}

function readPbkdf2(parameters: DerReader): Derive {
  const salt = parameters.octetString(WHAT);
  const iterations = parameters.smallInteger(WHAT);
  const keyLength = parameters.peek() === 2 ? parameters.smallInteger(WHAT) : undefined;
  const digest = parameters.done ? "sha1" : readHmac(parameters.sequence(WHAT));
  parameters.finish(WHAT);
  checkIterations(iterations);
  return (passphrase, length) => {
    checkKeyLength(keyLength, length);
    return pbkdf2Sync(passphrase, salt, iterations, length, digest);
  };
}

function readHmac(identifier: DerReader): string {
  const name = identifier.oid(WHAT);
  const parameters = identifier.done ? NULL : identifier.encoded(identifier.any(WHAT));
  identifier.finish(WHAT);
  const digest = digests.get(name);
  if (!digest || !bytesEqual(parameters, NULL)) {
    throw unsupported(`key derivation digest ${name} is not supported`);
  }
  return digest;
}

function checkKeyLength(stated: number | undefined, needed: number): void {
  if (stated !== undefined && stated !== needed) {
    throw unsupported(`key derivation makes ${stated} octets, the cipher needs ${needed}`);
  }
}

function unsupported(message: string): X509Error {
  return new X509Error("ALGORITHM_UNSUPPORTED", message, {
    hint: "encrypt the key again with PBES2, scrypt or PBKDF2, and AES-256-CBC",
  });
}

/** The AlgorithmIdentifier and the ciphertext as EncryptedPrivateKeyInfo. */
export function encryptedNode(encrypted: Encrypted): DerNode {
  return sequence([encrypted.algorithm, octetString(encrypted.ciphertext)]);
}

const WHAT = "encryption parameters";
const SCRYPT = { N: 2 ** 14, r: 8, p: 8 } as const;
const PBKDF2_ROUNDS = 600_000;
const ITERATION_LIMIT = 10_000_000;
const MEMORY_LIMIT = 256 * 1024 * 1024;
/** N·r·p: 32 times the work of what we write ourselves, some seconds. */
const SCRYPT_WORK_LIMIT = 2 ** 25;

const ciphers: ReadonlyMap<string, { name: string; keyLength: number }> = new Map([
  [OID.aes128Cbc, { name: "aes-128-cbc", keyLength: 16 }],
  [OID.aes192Cbc, { name: "aes-192-cbc", keyLength: 24 }],
  [OID.aes256Cbc, { name: "aes-256-cbc", keyLength: 32 }],
] as const);

const digests: ReadonlyMap<string, string> = new Map([
  [OID.hmacSha1, "sha1"],
  [OID.hmacSha256, "sha256"],
  [OID.hmacSha384, "sha384"],
  [OID.hmacSha512, "sha512"],
] as const);
