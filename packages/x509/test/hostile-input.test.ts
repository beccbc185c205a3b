import assert from "node:assert/strict";
import { describe, test } from "node:test";
import * as fc from "fast-check";
import { createTestAuthority } from "@handfast/x509/testing";
import {
  createName,
  createRequest,
  decodePem,
  encodePem,
  encodePkcs12,
  generateKeyPair,
  inspect,
  parseCertificate,
  parseCertificatesPem,
  parsePkcs12,
  parsePrivateKey,
  parsePublicKeyInfo,
  parseRequest,
  verifySignature,
  X509Error,
  type Certificate,
} from "@handfast/x509";
import { exportPrivateKey, exportPublicKey } from "../src/keys.ts";
import { limboCertificates, rfc9881, withoutVectors } from "./vectors.ts";

/** Every octet and several flips with HANDFAST_FUZZ=full; otherwise a sample of each certificate. */
const full = process.env["HANDFAST_FUZZ"] === "full";

/** Of each certificate; all but a few, which are there for their size, have fewer octets than this. */
const positions = full ? 4096 : 16;

const root = createTestAuthority();
const leaf = root.issue({ name: "api", ip: ["::1"], email: ["a@b.example"] });
const bound = root.intermediate({ nameConstraints: { permitted: { dns: ["example.org"] } } });
const { privateKey, publicKey } = generateKeyPair();
const subject = createName([{ type: "CN", value: "api" }]);
const asKey = (der: Uint8Array): unknown => parsePrivateKey(encodePem("PRIVATE KEY", der));

/** Each parser, with bytes it accepts. */
const parsers: readonly [string, (bytes: Uint8Array) => unknown, Uint8Array][] = [
  ["parseCertificate", parseCertificate, leaf.certificate.der],
  ["parseCertificate of a CA", parseCertificate, bound.certificate.der],
  ["parseCertificatesPem", parseCertificatesPem, Buffer.from(root.bundlePem)],
  [
    "parseRequest",
    parseRequest,
    createRequest({ subject, subjectAltNames: { dns: ["a.example"] }, privateKey }),
  ],
  ["parsePublicKeyInfo", parsePublicKeyInfo, exportPublicKey(publicKey)],
  ["parsePrivateKey", asKey, exportPrivateKey(privateKey)],
  ["parsePrivateKey of ML-DSA", asKey, exportPrivateKey(generateKeyPair("ml-dsa-44").privateKey)],
  [
    "parsePkcs12",
    (bytes) => parsePkcs12(bytes, { passphrase: "p" }),
    encodePkcs12({ ...leaf, passphrase: "p" }),
  ],
];

for (const [name, parse, valid] of parsers) {
  describe(`${name} gives a value or a typed error`, () => {
    test("for what it accepts", () => assert.doesNotThrow(() => parse(valid)));

    test("for any bytes", () => {
      fc.assert(
        fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => void total(parse, bytes)),
      );
    });

    test("for valid bytes with octets replaced, removed and inserted", () => {
      const edit = fc.record({
        at: fc.nat({ max: valid.length - 1 }),
        remove: fc.nat({ max: 4 }),
        insert: fc.uint8Array({ maxLength: 4 }),
      });
      fc.assert(
        fc.property(fc.array(edit, { minLength: 1, maxLength: 4 }), (edits) => {
          let bytes = Array.from(valid);
          for (const { at, insert, remove } of edits) bytes.splice(at, remove, ...insert);
          total(parse, Uint8Array.from(bytes));
        }),
        // Each PKCS #12 file costs 10,000 rounds of its integrity check.
        { numRuns: name === "parsePkcs12" ? 50 : 300 },
      );
    });

    test("for valid bytes cut off anywhere, which it always refuses", () => {
      for (let length = 0; length < valid.length - 1; length += full ? 1 : 3) {
        assert.equal(total(parse, valid.subarray(0, length)), false);
      }
    });
  });
}

describe("time and memory stay bounded", () => {
  const mebibyte = 1024 * 1024;
  const cases: [string, Uint8Array][] = [
    [
      "nested sequences of indefinite length",
      new Uint8Array(mebibyte).fill(0x80).map((_, i) => (i % 2 === 0 ? 0x30 : 0x80)),
    ],
    ["nested sequences of definite length", nested(20_000)],
    ["a claim of 4 GiB", Uint8Array.of(0x30, 0x84, 0xff, 0xff, 0xff, 0xff)],
    ["a mebibyte of zeros", new Uint8Array(mebibyte)],
    ["a mebibyte of 0xff", new Uint8Array(mebibyte).fill(0xff)],
    [
      "a mebibyte of empty values in a sequence",
      wrapped(new Uint8Array(mebibyte).map((_, i) => (i % 2 === 0 ? 5 : 0))),
    ],
    ["a mebibyte of OID octets", wrapped(wrapped(new Uint8Array(mebibyte).fill(0x81), 0x06))],
    ["a mebibyte of BEGIN lines", Buffer.from("-----BEGIN CERTIFICATE-----\n".repeat(37_000))],
    [
      "a mebibyte of line feeds in a block",
      Buffer.from(
        `-----BEGIN CERTIFICATE-----\n${"\n".repeat(mebibyte)}-----END CERTIFICATE-----\n`,
      ),
    ],
    ["a mebibyte of dashes", Buffer.from("-".repeat(mebibyte))],
  ];
  for (const [what, bytes] of cases) {
    test(`on ${what}`, () => {
      for (const [, parse] of parsers) {
        const started = process.cpuUsage();
        assert.equal(total(parse, bytes), false);
        const { system, user } = process.cpuUsage(started);
        assert.ok(user + system < 1_000_000, `took ${(user + system) / 1000} ms`);
      }
    });
  }
});

describe("each certificate of the vectors", { skip: withoutVectors }, () => {
  const certificates = [...limboCertificates(), ...rfc9881(/\.crt$/).map(({ text }) => text)].map(
    (pem) => Uint8Array.from(decodePem(pem)[0]?.der ?? []),
  );

  test("is read or refused with a typed error, with octets flipped", () => {
    assert.ok(certificates.length > 500);
    for (const der of certificates) {
      const stride = Math.ceil(der.length / positions);
      for (let at = der.length % stride; at < der.length; at += stride) {
        for (const mask of full ? [0xff, 0x01, 0x20, 0x80] : [0xff]) {
          const flipped = Uint8Array.from(der);
          flipped[at] = (flipped[at] as number) ^ mask;
          total((bytes) => use(parseCertificate(bytes)), flipped);
        }
      }
    }
  });

  test("is refused with a typed error, cut off", () => {
    for (const der of certificates) {
      const stride = Math.ceil(der.length / positions);
      for (let length = 0; length < der.length; length += stride) {
        assert.equal(total(parseCertificate, der.subarray(0, length)), false);
      }
    }
  });
});

/** Whether the parser gave a value; anything but a typed error fails the test. */
function total(parse: (bytes: Uint8Array) => unknown, bytes: Uint8Array): boolean {
  try {
    parse(bytes);
    return true;
  } catch (error) {
    if (error instanceof X509Error) return false;
    throw error;
  }
}

/** Everything one can ask a certificate. */
function use(certificate: Certificate): void {
  inspect(certificate);
  verifySignature(certificate, certificate.publicKeyInfo);
  total(() => certificate.publicKey, certificate.der);
}

function wrapped(content: Uint8Array, tag = 0x30): Uint8Array {
  const length = [24, 16, 8, 0].map((shift) => (content.length >> shift) & 0xff);
  const minimal = length.slice(length.findIndex((octet) => octet !== 0));
  const header = content.length < 128 ? [content.length] : [0x80 | minimal.length, ...minimal];
  const bytes = new Uint8Array(1 + header.length + content.length);
  bytes.set([tag, ...header]);
  bytes.set(content, 1 + header.length);
  return bytes;
}

function nested(depth: number): Uint8Array {
  let bytes = new Uint8Array();
  for (let i = 0; i < Math.min(depth, 2_000); i++) bytes = new Uint8Array(wrapped(bytes));
  return bytes;
}
