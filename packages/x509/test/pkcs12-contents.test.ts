import assert from "node:assert/strict";
import { createHash, createHmac } from "node:crypto";
import { describe, test } from "node:test";
import { createTestAuthority } from "@handfast/x509/testing";
import { parsePkcs12 } from "@handfast/x509";
import {
  context,
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
} from "../src/der.ts";
import { exportPrivateKey } from "../src/keys.ts";

const root = createTestAuthority();
const leaf = root.issue({ name: "api" });
const stranger = root.issue({ name: "stranger" });
const data = "1.2.840.113549.1.7.1";
const encryptedData = "1.2.840.113549.1.7.6";
const x509 = "1.2.840.113549.1.9.22.1";

const bag = (type: string, value: DerValue, attributes: readonly DerValue[] = []): DerValue => {
  const parts = [oid(type), context(0, [value])];
  return sequence(attributes.length > 0 ? [...parts, setOf(attributes)] : parts);
};
const keyBag = (der = exportPrivateKey(leaf.privateKey)): DerValue =>
  bag("1.2.840.113549.1.12.10.1.1", der);
const certificateBag = (
  der = leaf.certificate.der,
  type = x509,
  attributes: readonly DerValue[] = [],
): DerValue =>
  bag(
    "1.2.840.113549.1.12.10.1.3",
    sequence([oid(type), context(0, [octetString(der)])]),
    attributes,
  );
const friendlyName = (text: Uint8Array): DerValue =>
  sequence([oid("1.2.840.113549.1.9.20"), setOf([primitive(TAG.bmpString, text)])]);
const clear = (...bags: DerValue[]): DerValue =>
  sequence([oid(data), context(0, [octetStringOf(sequence(bags))])]);
const encrypted = (version: number, type: string): DerValue => {
  const content = sequence([
    oid(type),
    sequence([oid("1.2.3")]),
    primitive(0x80, new Uint8Array(16)),
  ]);
  return sequence([oid(encryptedData), context(0, [sequence([integer(version), content])])]);
};

describe("the contents of a PKCS #12 file", () => {
  test("may be clear", () => {
    const attributes = [friendlyName(Buffer.from("b€", "utf16le").swap16())];
    const file = forge(clear(keyBag(), certificateBag(leaf.certificate.der, x509, attributes)));
    const contents = parsePkcs12(file, { passphrase: "p" });
    assert.ok(contents.privateKey.equals(leaf.privateKey));
    assert.equal(contents.friendlyName, "b€");
  });

  test("may hold the issuers before the certificate itself", () => {
    const file = forge(
      clear(certificateBag(root.certificate.der), certificateBag()),
      clear(keyBag()),
    );
    const contents = parsePkcs12(file, { passphrase: "p" });
    assert.equal(contents.certificate.subject.text, "CN=api");
    assert.equal(contents.issuers.length, 1);
  });

  const unreadable = new Uint8Array(3);
  const cases: [string, string, Uint8Array][] = [
    ["no key", "PKCS12_MALFORMED", forge(clear(certificateBag()))],
    ["two keys", "PKCS12_MALFORMED", forge(clear(keyBag(), keyBag(), certificateBag()))],
    ["no certificate", "PKCS12_MALFORMED", forge(clear(keyBag()))],
    [
      "a certificate of another key only",
      "PKCS12_MALFORMED",
      forge(clear(keyBag(), certificateBag(stranger.certificate.der))),
    ],
    [
      "a broken certificate",
      "CERTIFICATE_MALFORMED",
      forge(clear(keyBag(), certificateBag(unreadable))),
    ],
    [
      "a broken key",
      "PRIVATE_KEY_MALFORMED",
      forge(clear(keyBag(encodeDer(sequence([]))), certificateBag())),
    ],
    [
      "a certificate that is not X.509",
      "PKCS12_MALFORMED",
      forge(clear(keyBag(), certificateBag(leaf.certificate.der, "1.2.840.113549.1.9.22.2"))),
    ],
    [
      "a bag of an unknown type",
      "PKCS12_MALFORMED",
      forge(clear(keyBag(), certificateBag(), bag("1.2.3", sequence([])))),
    ],
    [
      "content of an unknown type",
      "PKCS12_MALFORMED",
      forge(clear(keyBag(), certificateBag()), sequence([oid("1.2.3"), context(0, [NULL])])),
    ],
    [
      "a friendly name of odd length",
      "PKCS12_MALFORMED",
      forge(
        clear(keyBag(), certificateBag(leaf.certificate.der, x509, [friendlyName(unreadable)])),
      ),
    ],
    [
      "encrypted data of another version",
      "PKCS12_MALFORMED",
      forge(clear(keyBag(), certificateBag()), encrypted(2, data)),
    ],
    [
      "encrypted content that is no data",
      "PKCS12_MALFORMED",
      forge(clear(keyBag(), certificateBag()), encrypted(0, "1.2.3")),
    ],
    [
      "encryption that is not PBES2",
      "ALGORITHM_UNSUPPORTED",
      forge(clear(keyBag(), certificateBag()), encrypted(0, data)),
    ],
  ];
  for (const [name, code, file] of cases) {
    test(`with ${name} are refused`, () => {
      assert.throws(() => parsePkcs12(file, { passphrase: "p" }), { code });
    });
  }
});

describe("a PKCS #12 file is refused", () => {
  const mac = sequence([
    sequence([sequence([oid("1.3.14.3.2.26"), NULL]), octetString(new Uint8Array(20))]),
    octetString(new Uint8Array(8)),
  ]);
  const safe = sequence([oid(data), context(0, [octetStringOf(sequence([]))])]);
  const cases: [string, string, DerValue[]][] = [
    ["of version 4", "PKCS12_MALFORMED", [integer(4), safe, mac]],
    ["without an integrity check", "PKCS12_MALFORMED", [integer(3), safe]],
    ["with an integrity check by SHA-1", "ALGORITHM_UNSUPPORTED", [integer(3), safe, mac]],
    [
      "whose safe is signed instead",
      "PKCS12_MALFORMED",
      [integer(3), sequence([oid("1.2.840.113549.1.7.2"), context(0, [NULL])]), mac],
    ],
  ];
  for (const [name, code, parts] of cases) {
    test(name, () => {
      assert.throws(() => parsePkcs12(encodeDer(sequence(parts)), { passphrase: "p" }), { code });
    });
  }
});

/** A PKCS #12 file with passphrase `p` whose integrity check is right, whatever it holds. */
function forge(...contents: DerValue[]): Uint8Array {
  const safe = encodeDer(sequence(contents));
  const salt = new Uint8Array(8).fill(7);
  // RFC 7292 appendix B.2, one round: SHA-256 over 64 octets each of ID, salt and passphrase.
  const input = Buffer.concat([
    Buffer.alloc(64, 3),
    Buffer.alloc(64, salt),
    Buffer.alloc(64, Buffer.from("00700000", "hex")),
  ]);
  const key = createHash("sha256").update(input).digest();
  const digest = createHmac("sha256", key).update(safe).digest();
  return encodeDer(
    sequence([
      integer(3),
      sequence([oid(data), context(0, [octetStringOf(safe)])]),
      sequence([
        sequence([sequence([oid("2.16.840.1.101.3.4.2.1"), NULL]), octetString(digest)]),
        octetString(salt),
      ]),
    ]),
  );
}
