import assert from "node:assert/strict";
import { createPrivateKey, sign, verify } from "node:crypto";
import { describe, test } from "node:test";
import {
  decodePem,
  encodePem,
  encodePrivateKey,
  encodePrivateKeyInfo,
  exportKeyPair,
  generateKeyPair,
  parseCertificatesPem,
  parsePrivateKey,
  parsePrivateKeyInfo,
  parsePublicKeyInfo,
  verifySignature,
  type KeyAlgorithm,
} from "@handfast/x509";
import { encodeDer, integer, NULL, octetString, octetStringOf, oid, sequence } from "../src/der.ts";
import { encryptPbes2, encryptedNode } from "../src/pbes2.ts";
import { openssl, withoutOpenssl } from "./openssl.ts";
import { rfc9881, withoutVectors } from "./vectors.ts";

const algorithms: readonly KeyAlgorithm[] = [
  "ecdsa-p256",
  "ecdsa-p384",
  "ed25519",
  "rsa-2048",
  "ml-dsa-44",
  "ml-dsa-65",
  "ml-dsa-87",
];
const passphrase = "correct horse";

describe("a private key", () => {
  for (const algorithm of algorithms) {
    const { privateKey, publicKey } = generateKeyPair(algorithm);

    test(`of ${algorithm} reads back`, () => {
      assert.ok(parsePrivateKey(encodePrivateKey(privateKey)).equals(privateKey));
    });

    test(`of ${algorithm} is written exactly as OpenSSL writes it`, () => {
      const pair = exportKeyPair({ privateKey, publicKey });
      assert.deepEqual(
        Buffer.from(pair.publicKey),
        publicKey.export({ type: "spki", format: "der" }),
      );
      assert.deepEqual(
        Buffer.from(pair.privateKey),
        privateKey.export({ type: "pkcs8", format: "der" }),
      );
    });
  }

  // One for all: each use of scrypt takes a quarter of a second.
  const { privateKey } = generateKeyPair();
  const encrypted = encodePrivateKey(privateKey, { passphrase: Buffer.from(passphrase) });

  test("reads back encrypted, by Node too", () => {
    assert.match(encrypted, /^-----BEGIN ENCRYPTED PRIVATE KEY-----\n/);
    assert.ok(parsePrivateKey(encrypted, { passphrase }).equals(privateKey));
    assert.ok(createPrivateKey({ key: encrypted, passphrase }).equals(privateKey));
  });

  test("encrypted is read by the openssl command", { skip: withoutOpenssl }, () => {
    const clear = openssl(["pkey", "-in", "key.pem", "-passin", `pass:${passphrase}`], {
      "key.pem": encrypted,
    });
    assert.ok(parsePrivateKey(clear).equals(privateKey));
  });

  test("is encrypted with scrypt N=2^14 r=8 p=8 and AES-256-CBC (S53)", () => {
    const hex = Buffer.from(parseBlock(encrypted)).toString("hex");
    assert.match(hex, /06092b06010401da47040b/); // 1.3.6.1.4.1.11591.4.11
    assert.match(hex, /02024000020108020108/); // 16384, 8, 8
    assert.match(hex, /060960864801650304012a0410/); // aes256-CBC, 16 octets
  });

  for (const [name, args] of [
    ["PBKDF2 and HMAC-SHA-256", ["-v2", "aes-256-cbc"]],
    ["PBKDF2 and HMAC-SHA-1", ["-v2", "aes-128-cbc", "-v2prf", "hmacWithSHA1"]],
    ["PBKDF2 and HMAC-SHA-512", ["-v2", "aes-192-cbc", "-v2prf", "hmacWithSHA512"]],
    ["scrypt", ["-scrypt"]],
  ] as const) {
    test(`encrypted by openssl with ${name} is read`, { skip: withoutOpenssl }, () => {
      const { privateKey } = generateKeyPair();
      const encrypted = openssl(
        ["pkcs8", "-topk8", "-in", "key.pem", "-passout", `pass:${passphrase}`, ...args],
        { "key.pem": encodePrivateKey(privateKey) },
      );
      assert.ok(parsePrivateKey(encrypted, { passphrase }).equals(privateKey));
    });
  }

  test("in SEC 1 or PKCS #1 form is read, also beside certificates and parameters", () => {
    const ec = generateKeyPair().privateKey;
    const rsa = generateKeyPair("rsa-2048").privateKey;
    const sec1 = ec.export({ type: "sec1", format: "pem" });
    assert.ok(
      parsePrivateKey(
        `-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n${sec1}`,
      ).equals(ec),
    );
    assert.ok(parsePrivateKey(rsa.export({ type: "pkcs1", format: "pem" })).equals(rsa));
  });

  test("that is encrypted needs its passphrase, and the right one", () => {
    assert.throws(() => parsePrivateKey(encrypted), { code: "PASSPHRASE_REQUIRED" });
    assert.throws(() => parsePrivateKey(encrypted, { passphrase: "" }), {
      code: "PASSPHRASE_REQUIRED",
    });
    assert.throws(() => parsePrivateKey(encrypted, { passphrase: "wrong" }), {
      code: "PASSPHRASE_WRONG",
    });
  });

  test("is not written with an empty passphrase, and a public key not at all", () => {
    const { privateKey, publicKey } = generateKeyPair();
    assert.throws(() => encodePrivateKey(privateKey, { passphrase: "" }), TypeError);
    assert.throws(() => encodePrivateKey(publicKey), TypeError);
  });

  test("never appears in an error", () => {
    const der = parseBlock(encodePrivateKey(generateKeyPair().privateKey));
    der[40] = (der[40] as number) ^ 0xff;
    assert.throws(
      () => parsePrivateKey(encodePem("PRIVATE KEY", der.subarray(0, -1))),
      (error: Error) => {
        assert.equal(
          error.message.includes(Buffer.from(der.subarray(36, 68)).toString("hex")),
          false,
        );
        return true;
      },
    );
  });

  const cases: [string, string, () => string][] = [
    ["no key at all", "PRIVATE_KEY_MALFORMED", () => ""],
    [
      "two keys",
      "PRIVATE_KEY_MALFORMED",
      () => encodePrivateKey(generateKeyPair().privateKey).repeat(2),
    ],
    [
      "a DSA key block",
      "PRIVATE_KEY_MALFORMED",
      () => encodePem("DSA PRIVATE KEY", Uint8Array.of(0x30, 0)),
    ],
    [
      "explicit EC parameters (S44)",
      "PRIVATE_KEY_MALFORMED",
      () =>
        pkcs8(
          sequence([oid("1.2.840.10045.2.1"), sequence([integer(1)])]),
          octetString(new Uint8Array(32)),
        ),
    ],
    [
      "explicit EC parameters in SEC 1 (S44)",
      "PRIVATE_KEY_MALFORMED",
      () =>
        encodePem(
          "EC PRIVATE KEY",
          encodeDer(
            sequence([
              integer(1),
              octetString(new Uint8Array(32)),
              { tag: 0xa0, length: 5, content: [sequence([integer(1)])] },
            ]),
          ),
        ),
    ],
    [
      "an RSA modulus of 8,200 bits (S44)",
      "PRIVATE_KEY_MALFORMED",
      () => rsaKey(new Uint8Array(1025).fill(0x7f), integer(65_537)),
    ],
    [
      "an RSA exponent of 33 bits (S44)",
      "PRIVATE_KEY_MALFORMED",
      () => rsaKey(new Uint8Array(256).fill(0x7f), integer(2 ** 32 + 1)),
    ],
    [
      "a PKCS #8 version of 2",
      "PRIVATE_KEY_MALFORMED",
      () => pkcs8(sequence([oid("1.3.101.112")]), octetString(new Uint8Array(32)), 2),
    ],
  ];
  for (const [name, code, make] of cases) {
    test(`text with ${name} is refused`, () => {
      // Our own reader says so; OpenSSL is not asked.
      assert.throws(() => parsePrivateKey(make()), { code, message: /^(?!.*OpenSSL)/ });
    });
  }
});

describe("a key derivation is refused before any work (S44)", () => {
  const salt = octetString(new Uint8Array(16));
  const pbkdf2 = (iterations: number): string =>
    encryptedWith(
      sequence([
        oid("1.2.840.113549.1.5.12"),
        sequence([salt, integer(iterations), sequence([oid("1.2.840.113549.2.9"), NULL])]),
      ]),
    );
  const scrypt = (n: number, r: number, p: number): string =>
    encryptedWith(
      sequence([
        oid("1.3.6.1.4.1.11591.4.11"),
        sequence([salt, integer(n), integer(r), integer(p)]),
      ]),
    );
  for (const [name, make] of [
    ["with 10,000,001 iterations", () => pbkdf2(10_000_001)],
    ["with no iteration", () => pbkdf2(0)],
    ["with scrypt over 256 MiB", () => scrypt(2 ** 19, 8, 1)],
    ["with scrypt over 256 MiB by its parallelism", () => scrypt(2, 8, 2 ** 20)],
    ["with scrypt that would run for minutes", () => scrypt(2 ** 17, 8, 2 ** 10)],
    ["with a scrypt cost that is no power of two", () => scrypt(10_000, 8, 1)],
  ] as const) {
    test(name, () => {
      assert.throws(() => parsePrivateKey(make(), { passphrase }), {
        code: "KEY_DERIVATION_REFUSED",
      });
    });
  }

  test("but a key derivation, a digest or a cipher it does not know is called unsupported", () => {
    const known = sequence([
      oid("1.2.840.113549.1.5.12"),
      sequence([salt, integer(1), sequence([oid("1.2.840.113549.2.9"), NULL])]),
    ]);
    for (const text of [
      encryptedWith(sequence([oid("1.2.3"), sequence([salt])])),
      encryptedWith(
        sequence([
          oid("1.2.840.113549.1.5.12"),
          sequence([salt, integer(1), sequence([oid("1.2.3")])]),
        ]),
      ),
      encryptedWith(
        sequence([oid("1.2.840.113549.1.5.12"), sequence([salt, integer(1), integer(16)])]),
      ),
      encryptedWith(known, "1.2.840.113549.3.7"),
    ]) {
      assert.throws(() => parsePrivateKey(text, { passphrase }), { code: "ALGORITHM_UNSUPPORTED" });
    }
  });

  test("but another scheme is called unsupported", () => {
    const encrypted = encodePem(
      "ENCRYPTED PRIVATE KEY",
      encodeDer(
        sequence([
          sequence([oid("1.2.840.113549.1.12.1.3"), sequence([salt, integer(2048)])]),
          octetString(new Uint8Array(16)),
        ]),
      ),
    );
    assert.throws(() => parsePrivateKey(encrypted, { passphrase }), {
      code: "ALGORITHM_UNSUPPORTED",
    });
  });

  test("and what decrypts to something else than a key is a wrong passphrase", () => {
    const sealed = encryptPbes2(Buffer.from("not a key"), passphrase, "scrypt");
    const text = encodePem("ENCRYPTED PRIVATE KEY", encodeDer(encryptedNode(sealed)));
    assert.throws(() => parsePrivateKey(text, { passphrase }), { code: "PASSPHRASE_WRONG" });
  });
});

describe("the examples of RFC 9881", { skip: withoutVectors }, () => {
  const message = Buffer.from("handfast");
  for (const { name, text } of rfc9881(/^ML-DSA.*\.priv$/)) {
    test(`${name} is read, signs, and is written again byte for byte`, () => {
      const der = parseBlock(text);
      assert.deepEqual(encodePrivateKeyInfo(parsePrivateKeyInfo(der)), der);
      const key = parsePrivateKey(text);
      const [example] = rfc9881(new RegExp(`^${name.slice(0, 9)}\\.pub$`));
      const publicKey = parsePublicKeyInfo(parseBlock(example?.text ?? ""));
      assert.ok(verify(null, message, publicKey.keyObject, sign(null, message, key)));
    });

    test(`${name} is written as its seed where it has one`, () => {
      const { mlDsa } = parsePrivateKeyInfo(parseBlock(encodePrivateKey(parsePrivateKey(text))));
      assert.equal(mlDsa?.form, name.includes("expanded") ? "expanded" : "seed");
    });
  }

  for (const { name, text } of rfc9881(/\.pub$/)) {
    test(`${name} is read and written again byte for byte`, () => {
      const info = parsePublicKeyInfo(parseBlock(text));
      assert.equal(info.kind, name.slice(0, 9).toLowerCase());
      assert.deepEqual(Buffer.from(info.der), Buffer.from(parseBlock(text)));
      assert.deepEqual(
        info.keyObject.export({ type: "spki", format: "der" }),
        Buffer.from(parseBlock(text)),
      );
    });
  }

  for (const { name, text } of rfc9881(/\.crt$/)) {
    test(`${name} is read, verified, and written again byte for byte`, () => {
      const [certificate, ...rest] = parseCertificatesPem(text);
      assert.ok(certificate);
      assert.equal(rest.length, 0);
      assert.equal(certificate.subject.text, "CN=LAMPS WG,O=IETF");
      assert.equal(verifySignature(certificate, certificate.publicKeyInfo), true);
      assert.equal(encodePem("CERTIFICATE", certificate.der), text);
      const [key] = rfc9881(new RegExp(`^${name.slice(0, 9)}\\.pub$`));
      assert.deepEqual(
        Buffer.from(certificate.subjectPublicKeyInfo),
        Buffer.from(parseBlock(key?.text ?? "")),
      );
    });
  }

  for (const { name, text } of rfc9881(/^bad-/)) {
    test(`${name} is refused`, () => {
      assert.throws(() => parsePrivateKey(text), { code: "PRIVATE_KEY_MALFORMED" });
    });
  }
});

test(
  "an ML-DSA key whose seed and expanded key disagree is refused",
  { skip: withoutVectors },
  () => {
    const [both] = rfc9881(/^ML-DSA-65-both/);
    const info = parsePrivateKeyInfo(parseBlock(both?.text ?? ""));
    assert.equal(info.mlDsa?.form, "both");
    const seed = Uint8Array.from(info.mlDsa.seed);
    seed[0] = (seed[0] as number) ^ 1;
    const der = encodePrivateKeyInfo({ ...info, mlDsa: { ...info.mlDsa, seed } });
    assert.throws(() => parsePrivateKey(encodePem("PRIVATE KEY", der)), {
      code: "PRIVATE_KEY_MALFORMED",
    });
  },
);

for (const [name, content] of [
  ["a seed of 31 octets", { tag: 0x80, length: 31, content: new Uint8Array(31) }],
  ["an expanded key of another parameter set", octetString(new Uint8Array(2560))],
  ["something that is neither", integer(1)],
] as const) {
  test(`an ML-DSA key with ${name} is refused by our own reader (S44)`, () => {
    const der = encodeDer(
      sequence([integer(0), sequence([oid("2.16.840.1.101.3.4.3.18")]), octetStringOf(content)]),
    );
    assert.throws(() => parsePrivateKeyInfo(der), { code: "PRIVATE_KEY_MALFORMED" });
  });
}

function parseBlock(pem: string): Uint8Array {
  const [block] = decodePem(pem);
  assert.ok(block);
  return Uint8Array.from(block.der);
}

function pkcs8(
  algorithm: ReturnType<typeof sequence>,
  content: ReturnType<typeof sequence>,
  version = 0,
): string {
  return encodePem(
    "PRIVATE KEY",
    encodeDer(sequence([integer(version), algorithm, octetStringOf(content)])),
  );
}

function rsaKey(modulus: Uint8Array, exponent: ReturnType<typeof integer>): string {
  return pkcs8(
    sequence([oid("1.2.840.113549.1.1.1"), NULL]),
    sequence([integer(0), integer(modulus), exponent]),
  );
}

function encryptedWith(
  derivation: ReturnType<typeof sequence>,
  cipherOid = "2.16.840.1.101.3.4.1.42",
): string {
  const cipher = sequence([oid(cipherOid), octetString(new Uint8Array(16))]);
  return encodePem(
    "ENCRYPTED PRIVATE KEY",
    encodeDer(
      sequence([
        sequence([oid("1.2.840.113549.1.5.13"), sequence([derivation, cipher])]),
        octetString(new Uint8Array(32)),
      ]),
    ),
  );
}

test("an ML-DSA key with parameters is refused by our own reader (RFC 9881 2)", () => {
  const seed = { tag: 0x80, length: 32, content: new Uint8Array(32) };
  const der = encodeDer(
    sequence([integer(0), sequence([oid("2.16.840.1.101.3.4.3.18"), NULL]), octetStringOf(seed)]),
  );
  assert.throws(() => parsePrivateKeyInfo(der), { code: "PRIVATE_KEY_MALFORMED" });
});

test("a key of an unknown algorithm is not made", () => {
  assert.throws(() => generateKeyPair("dsa" as KeyAlgorithm), TypeError);
});
