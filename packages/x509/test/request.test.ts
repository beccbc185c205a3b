import assert from "node:assert/strict";
import { sign } from "node:crypto";
import { describe, test } from "node:test";
import {
  createName,
  createRequest,
  encodePem,
  generateKeyPair,
  parseRequest,
  requestToPem,
  type KeyAlgorithm,
} from "@handfast/x509";
import {
  bitString,
  context,
  encodeDer,
  integer,
  NULL,
  oid,
  sequence,
  setOf,
  type DerValue,
} from "../src/der.ts";
import { exportPublicKey } from "../src/keys.ts";
import { forgeExtension, commonName } from "./forge.ts";
import { openssl, withoutOpenssl } from "./openssl.ts";

const subject = createName([{ type: "CN", value: "api" }]);
const names = { dns: ["api.example"], uri: ["spiffe://example.org/api"], ip: ["192.0.2.1"] };
const algorithms: readonly KeyAlgorithm[] = [
  "ecdsa-p256",
  "ecdsa-p384",
  "ed25519",
  "rsa-2048",
  "ml-dsa-44",
  "ml-dsa-65",
  "ml-dsa-87",
];

describe("a certificate request", () => {
  for (const algorithm of algorithms) {
    test(`of ${algorithm} reads back with the names it asks for`, () => {
      const { privateKey, publicKey } = generateKeyPair(algorithm);
      const der = createRequest({ subject, subjectAltNames: names, privateKey });
      for (const input of [der, requestToPem(der), Buffer.from(requestToPem(der))]) {
        const request = parseRequest(input);
        assert.equal(request.subject.text, "CN=api");
        assert.deepEqual(request.subjectAltNames.dns, names.dns);
        assert.deepEqual(request.subjectAltNames.ip, names.ip);
        assert.deepEqual(request.subjectAltNames.uri, names.uri);
        assert.ok(request.publicKeyInfo.keyObject.equals(publicKey));
      }
    });
  }

  test("is verified and printed by openssl req", { skip: withoutOpenssl }, () => {
    const { privateKey } = generateKeyPair();
    const pem = requestToPem(createRequest({ subject, subjectAltNames: names, privateKey }));
    const printed = openssl(["req", "-in", "r.pem", "-verify", "-noout", "-text"], {
      "r.pem": pem,
    });
    assert.match(
      printed,
      /DNS:api\.example, IP Address:192\.0\.2\.1, URI:spiffe:\/\/example\.org\/api/,
    );
  });

  test(
    "made by openssl req is read, with the names and the extensions it asks for",
    { skip: withoutOpenssl },
    () => {
      const pem = openssl(
        [
          ..."req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout key.pem".split(
            " ",
          ),
          ..."-subj /O=Bank/CN=api -addext subjectAltName=DNS:a.example".split(" "),
          ..."-addext basicConstraints=critical,CA:TRUE".split(" "),
        ],
        {},
      );
      const request = parseRequest(pem);
      assert.equal(request.subject.text, "CN=api,O=Bank");
      assert.deepEqual(request.subjectAltNames.dns, ["a.example"]);
      assert.equal(request.known.basicConstraints?.ca, true);
    },
  );

  test("without names asks for no extension", () => {
    const { privateKey } = generateKeyPair();
    const request = parseRequest(createRequest({ subject, privateKey }));
    assert.deepEqual(request.extensions, []);
    assert.deepEqual(request.subjectAltNames.all, []);
  });

  test("signed by another key is refused", () => {
    assert.throws(() => parseRequest(forgeRequest({ signer: generateKeyPair().privateKey })), {
      code: "REQUEST_SIGNATURE_INVALID",
    });
  });

  test("signed with SHA-1 is refused before any arithmetic (S44)", () => {
    assert.throws(
      () => parseRequest(forgeRequest({ algorithm: sequence([oid("1.2.840.10045.4.1")]) })),
      { code: "REQUEST_SIGNATURE_INVALID", message: /ECDSA with SHA-1 is too weak/ },
    );
  });

  test("with other attributes than extensions is read", () => {
    const challenge = sequence([oid("1.2.840.113549.1.9.7"), setOf([NULL])]);
    assert.equal(parseRequest(forgeRequest({ attributes: [challenge] })).extensions.length, 0);
  });

  const san = forgeExtension(
    "2.5.29.17",
    sequence([{ tag: 0x82, length: 1, content: Buffer.from(" ") }]),
  );
  const asks = (...extensions: DerValue[]): DerValue =>
    sequence([oid("1.2.840.113549.1.9.14"), setOf([sequence(extensions)])]);
  for (const [name, parts] of [
    ["a version other than 0", { version: integer(1) }],
    ["a DNS name that is none (S30)", { attributes: [asks(san)] }],
    [
      "extensions asked for twice",
      { attributes: [asks(forgeExtension("1.2.3", NULL)), asks(forgeExtension("1.2.4", NULL))] },
    ],
    ["an empty list of extensions", { attributes: [asks()] }],
    [
      "explicit EC parameters (S44)",
      {
        publicKey: sequence([
          sequence([oid("1.2.840.10045.2.1"), NULL]),
          bitString(new Uint8Array(65)),
        ]),
      },
    ],
  ] as const) {
    test(`with ${name} is refused`, () => {
      assert.throws(() => parseRequest(forgeRequest(parts)), { code: "REQUEST_MALFORMED" });
    });
  }

  test("is refused where the text holds something else or several", () => {
    const pem = requestToPem(forgeRequest({}));
    for (const text of ["", pem + pem, encodePem("CERTIFICATE", forgeRequest({}))]) {
      assert.throws(() => parseRequest(text), { code: "REQUEST_MALFORMED" });
    }
  });
});

function forgeRequest(parts: {
  version?: DerValue;
  publicKey?: DerValue;
  attributes?: readonly DerValue[];
  algorithm?: DerValue;
  signer?: ReturnType<typeof generateKeyPair>["privateKey"];
}): Uint8Array {
  const { privateKey, publicKey } = generateKeyPair();
  const information = encodeDer(
    sequence([
      parts.version ?? integer(0),
      commonName("forger"),
      parts.publicKey ?? exportPublicKey(publicKey),
      context(0, parts.attributes ?? []),
    ]),
  );
  const signature = sign("sha256", information, parts.signer ?? privateKey);
  const algorithm = parts.algorithm ?? sequence([oid("1.2.840.10045.4.3.2")]);
  return encodeDer(sequence([information, algorithm, bitString(signature)]));
}
