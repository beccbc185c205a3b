import { createHash, createHmac, randomBytes, timingSafeEqual, type KeyObject } from "node:crypto";
import { parseCertificate, type Certificate } from "./certificate.ts";
import {
  context,
  DerReader,
  encodeDer,
  integer,
  NULL,
  octetString,
  octetStringOf,
  oid,
  primitive,
  sequence,
  setOf,
  TAG,
  type DerValue,
} from "./der.ts";
import { malformedAs, X509Error } from "./errors.ts";
import { exportPrivateKey, publicKeyMatches } from "./keys.ts";
import { OID } from "./oid.ts";
import { decryptPbes2, encryptedNode, encryptPbes2 } from "./pbes2.ts";
import { parseEncryptedPkcs8, parsePkcs8 } from "./private-key.ts";

/** What goes into a PKCS #12 file. */
export interface Pkcs12Input {
  readonly privateKey: KeyObject;
  /** The key's own certificate. */
  readonly certificate: Certificate;
  /** Its issuers, in any order. */
  readonly issuers?: readonly Certificate[];
  readonly passphrase: string;
  /** The name under which browsers and Java list the key. */
  readonly friendlyName?: string;
}

/** What came out of a PKCS #12 file. */
export interface Pkcs12Contents {
  readonly privateKey: KeyObject;
  readonly certificate: Certificate;
  readonly issuers: readonly Certificate[];
  readonly friendlyName?: string;
}

/**
 * Writes a PKCS #12 file (RFC 7292) for browsers, Windows and Java: PBES2 with PBKDF2 (600,000
 * rounds; Java reads no scrypt) and AES-256-CBC, integrity by HMAC-SHA-256.
 * @throws X509Error KEY_MISMATCH
 */
export function encodePkcs12(input: Pkcs12Input): Uint8Array {
  const { certificate, passphrase, privateKey } = input;
  if (passphrase === "") throw new TypeError("passphrase must not be empty");
  if (!publicKeyMatches(certificate, privateKey)) {
    throw new X509Error(
      "KEY_MISMATCH",
      `private key does not belong to ${certificate.subject.text}`,
    );
  }
  const attributes = keyAttributes(certificate, input.friendlyName);
  const clearKey = exportPrivateKey(privateKey);
  const keyBag = bag(
    OID.shroudedKeyBag,
    encryptedNode(encryptPbes2(clearKey, passphrase, "pbkdf2")),
    attributes,
  );
  clearKey.fill(0);
  const certificateBags = [
    certificateBag(certificate, attributes),
    ...(input.issuers ?? []).map((issuer) => certificateBag(issuer, undefined)),
  ];
  const authenticatedSafe = encodeDer(
    sequence([
      encryptedContent(encodeDer(sequence(certificateBags)), passphrase),
      dataContent(encodeDer(sequence([keyBag]))),
    ]),
  );
  const mac = { digest: "sha256", salt: randomBytes(16), iterations: MAC_ITERATIONS } as const;
  return encodeDer(
    sequence([
      integer(3),
      dataContent(authenticatedSafe),
      sequence([
        sequence([
          sequence([oid(OID.sha256), NULL]),
          octetString(computeMac(authenticatedSafe, passphrase, mac)),
        ]),
        octetString(mac.salt),
        integer(mac.iterations),
      ]),
    ]),
  );
}

/**
 * Reads a PKCS #12 file with one key and its certificate. Encryption must be PBES2, integrity an HMAC
 * of the SHA-2 family; the MAC is checked in constant time (S47) before anything is decrypted.
 * @throws X509Error PKCS12_MALFORMED, PASSPHRASE_WRONG, KEY_DERIVATION_REFUSED,
 *   ALGORITHM_UNSUPPORTED, CERTIFICATE_MALFORMED, PRIVATE_KEY_MALFORMED
 */
export function parsePkcs12(der: Uint8Array, options: { passphrase: string }): Pkcs12Contents {
  return malformedAs("PKCS12_MALFORMED", "PKCS #12 file", () => {
    const file = new DerReader(der);
    const pfx = file.sequence("file");
    file.finish("file");
    if (pfx.smallInteger("version") !== 3) throw broken("version is not 3");
    const safe = readData(pfx.sequence("authSafe"));
    if (pfx.done) throw broken("has no integrity check");
    checkMac(pfx.sequence("macData"), safe, options.passphrase);
    pfx.finish("file");
    return assemble(readSafe(safe, options.passphrase));
  });
}

interface Bags {
  readonly keys: KeyObject[];
  readonly certificates: { certificate: Certificate; friendlyName: string | undefined }[];
}

function readSafe(safe: Uint8Array, passphrase: string): Bags {
  const bags: Bags = { keys: [], certificates: [] };
  const reader = new DerReader(safe);
  const contents = reader.sequence("authenticated safe");
  reader.finish("authenticated safe");
  while (!contents.done) {
    const content = contents.sequence("content");
    const type = content.oid("content");
    const wrapped = content.enter(0xa0, "content");
    content.finish("content");
    if (type === OID.data) readBags(wrapped.octetString("content"), passphrase, bags);
    else if (type === OID.encryptedData) {
      readBags(decryptContent(wrapped.sequence("content"), passphrase), passphrase, bags);
    } else throw broken(`has content of the unknown type ${type}`);
    wrapped.finish("content");
  }
  return bags;
}

function decryptContent(data: DerReader, passphrase: string): Uint8Array {
  if (data.smallInteger("content") !== 0) throw broken("has encrypted data of another version");
  const content = data.sequence("content");
  data.finish("content");
  if (content.oid("content") !== OID.data) throw broken("has encrypted content that is no data");
  const algorithm = content.whole(TAG.sequence, "content");
  const ciphertext = content.octetString("content", 0x80);
  content.finish("content");
  return decryptPbes2({ algorithm, ciphertext }, passphrase);
}

function readBags(encoded: Uint8Array, passphrase: string, into: Bags): void {
  const reader = new DerReader(encoded);
  const bags = reader.sequence("bags");
  reader.finish("bags");
  while (!bags.done) {
    const safeBag = bags.sequence("bag");
    const type = safeBag.oid("bag");
    const value = safeBag.enter(0xa0, "bag");
    const friendlyName = safeBag.done ? undefined : readFriendlyName(safeBag.set("attributes"));
    safeBag.finish("bag");
    const encodedValue = value.whole(TAG.sequence, "bag");
    value.finish("bag");
    if (type === OID.keyBag) into.keys.push(parsePkcs8(encodedValue));
    else if (type === OID.shroudedKeyBag)
      into.keys.push(parseEncryptedPkcs8(encodedValue, passphrase));
    else if (type === OID.certBag) {
      into.certificates.push({ certificate: readCertificateBag(encodedValue), friendlyName });
    } else throw broken(`has a bag of the unknown type ${type}`);
  }
}

function readCertificateBag(encoded: Uint8Array): Certificate {
  const inner = new DerReader(encoded).sequence("certificate bag");
  if (inner.oid("certificate bag") !== OID.x509CertificateBag) {
    throw broken("has a certificate that is not X.509");
  }
  const wrapped = inner.enter(0xa0, "certificate bag");
  inner.finish("certificate bag");
  const certificate = parseCertificate(wrapped.octetString("certificate bag"));
  wrapped.finish("certificate bag");
  return certificate;
}

function readFriendlyName(attributes: DerReader): string | undefined {
  let friendlyName: string | undefined;
  while (!attributes.done) {
    const attribute = attributes.sequence("attribute");
    const type = attribute.oid("attribute");
    const values = attribute.set("attribute");
    attribute.finish("attribute");
    if (type !== OID.friendlyName) continue;
    const text = Buffer.from(values.octetString("friendly name", TAG.bmpString));
    if (text.length % 2 !== 0) throw broken("has a friendly name of odd length");
    friendlyName = text.swap16().toString("utf16le");
  }
  return friendlyName;
}

function assemble({ keys, certificates }: Bags): Pkcs12Contents {
  const [privateKey, another] = keys;
  if (!privateKey || another) throw broken(`holds ${keys.length} private keys, expected one`);
  const own = certificates.find(({ certificate }) => publicKeyMatches(certificate, privateKey));
  if (!own) throw broken("holds no certificate of its private key");
  return {
    privateKey,
    certificate: own.certificate,
    issuers: certificates.filter((other) => other !== own).map(({ certificate }) => certificate),
    ...(own.friendlyName !== undefined && { friendlyName: own.friendlyName }),
  };
}

interface MacParameters {
  readonly digest: string;
  readonly salt: Uint8Array;
  readonly iterations: number;
}

function checkMac(macData: DerReader, safe: Uint8Array, passphrase: string): void {
  const digestInfo = macData.sequence("macData");
  const identifier = digestInfo.sequence("macData");
  const name = identifier.oid("macData");
  const expected = digestInfo.octetString("macData");
  digestInfo.finish("macData");
  const salt = macData.octetString("macData");
  const iterations = macData.done ? 1 : macData.smallInteger("macData");
  macData.finish("macData");
  const digest = macDigests.get(name);
  if (!digest) {
    throw new X509Error(
      "ALGORITHM_UNSUPPORTED",
      `PKCS #12 integrity check by ${name} is not supported`,
      {
        hint: "export the file again with PBES2 encryption and a SHA-256 integrity check",
      },
    );
  }
  if (iterations < 1 || iterations > MAC_ITERATION_LIMIT) {
    throw new X509Error(
      "KEY_DERIVATION_REFUSED",
      `PKCS #12 integrity check asks for ${iterations} iterations, 1 to ${MAC_ITERATION_LIMIT} are allowed`,
    );
  }
  const actual = computeMac(safe, passphrase, { digest, salt, iterations });
  if (actual.length !== expected.length || !timingSafeEqual(actual, expected)) {
    throw new X509Error(
      "PASSPHRASE_WRONG",
      "passphrase does not open the PKCS #12 file, or it was changed",
    );
  }
}

/** RFC 7292 appendix B.2 with ID 3; one block, since the MAC key is as long as the digest. */
function computeMac(data: Uint8Array, passphrase: string, mac: MacParameters): Uint8Array {
  const block = mac.digest === "sha256" ? 64 : 128;
  const password = Buffer.from(`${passphrase}\0`, "utf16le").swap16();
  const input = Buffer.concat([
    Buffer.alloc(block, 3),
    fill(mac.salt, block),
    fill(password, block),
  ]);
  let key = createHash(mac.digest).update(input).digest();
  for (let i = 1; i < mac.iterations; i++) key = createHash(mac.digest).update(key).digest();
  return createHmac(mac.digest, key).update(data).digest();
}

/** Repeats bytes up to a whole number of blocks. */
function fill(bytes: Uint8Array, block: number): Buffer {
  return Buffer.alloc(Math.ceil(bytes.length / block) * block, bytes);
}

/** The attributes that tie a key to its certificate. */
function keyAttributes(certificate: Certificate, friendlyName: string | undefined): DerValue {
  const localKeyId = sequence([
    oid(OID.localKeyId),
    setOf([octetString(Buffer.from(certificate.fingerprint, "hex"))]),
  ]);
  if (friendlyName === undefined) return setOf([localKeyId]);
  const text = primitive(TAG.bmpString, Buffer.from(friendlyName, "utf16le").swap16());
  return setOf([localKeyId, sequence([oid(OID.friendlyName), setOf([text])])]);
}

function bag(type: string, value: DerValue, attributes: DerValue | undefined): DerValue {
  const parts = [oid(type), context(0, [value])];
  return sequence(attributes ? [...parts, attributes] : parts);
}

function certificateBag(certificate: Certificate, attributes: DerValue | undefined): DerValue {
  const value = sequence([oid(OID.x509CertificateBag), context(0, [octetString(certificate.der)])]);
  return bag(OID.certBag, value, attributes);
}

function dataContent(data: Uint8Array): DerValue {
  return sequence([oid(OID.data), context(0, [octetStringOf(data)])]);
}

function encryptedContent(data: Uint8Array, passphrase: string): DerValue {
  const { algorithm, ciphertext } = encryptPbes2(data, passphrase, "pbkdf2");
  const content = sequence([oid(OID.data), algorithm, primitive(0x80, ciphertext)]);
  return sequence([oid(OID.encryptedData), context(0, [sequence([integer(0), content])])]);
}

function readData(content: DerReader): Uint8Array {
  const type = content.oid("authSafe");
  if (type !== OID.data) throw broken(`has an authSafe of type ${type}, expected data`);
  const wrapped = content.enter(0xa0, "authSafe");
  content.finish("authSafe");
  const data = wrapped.octetString("authSafe");
  wrapped.finish("authSafe");
  return data;
}

function broken(problem: string): X509Error {
  return new X509Error("PKCS12_MALFORMED", `PKCS #12 file ${problem}`);
}

const MAC_ITERATIONS = 10_000;
/** The derivation runs in JavaScript: a million rounds are about a second. */
const MAC_ITERATION_LIMIT = 1_000_000;
const macDigests: ReadonlyMap<string, string> = new Map([
  [OID.sha256, "sha256"],
  [OID.sha384, "sha384"],
  [OID.sha512, "sha512"],
]);
