import assert from "node:assert/strict";
import { describe, test } from "node:test";
import * as fc from "fast-check";
import { createName, parseName } from "@handfast/x509";
import {
  DerReader,
  encodeDer,
  oid,
  primitive,
  sequence,
  setOf,
  TAG,
  type DerValue,
} from "../src/der.ts";
import { readName } from "../src/name.ts";
import { bytes, hexOf } from "./bytes.ts";

describe("a distinguished name", () => {
  test("encodes its attributes in the order given and prints the most specific first", () => {
    const name = createName([
      { type: "C", value: "DE" },
      { type: "O", value: "Bank" },
      { type: "CN", value: "api" },
    ]);
    assert.equal(name.text, "CN=api,O=Bank,C=DE");
    assert.deepEqual(
      name.attributes.map(({ type }) => type),
      ["C", "O", "CN"],
    );
  });

  test("is UTF8String, but country PrintableString and DC IA5String", () => {
    const { der } = createName([
      { type: "C", value: "DE" },
      { type: "DC", value: "example" },
      { type: "CN", value: "api" },
    ]);
    const hex = Buffer.from(der).toString("hex");
    assert.ok(hex.includes(`1302${hexOf("DE")}`));
    assert.ok(hex.includes(`1607${hexOf("example")}`));
    assert.ok(hex.includes(`0c03${hexOf("api")}`));
  });

  // RFC 4514 section 4.
  for (const text of [
    "UID=jsmith,DC=example,DC=net",
    "OU=Sales+CN=J.  Smith,DC=example,DC=net",
    'CN=James \\"Jim\\" Smith\\, III,DC=example,DC=net',
    "1.3.6.1.4.1.1466.0=#04024869",
    "CN=Lu\\C4\\8Di\\C4\\87",
  ]) {
    test(`reads the example ${JSON.stringify(text)} of RFC 4514`, () => {
      const name = parseName(text);
      assert.deepEqual(parseName(name.text).der, name.der);
    });
  }

  test("refuses the example of RFC 4514 that has a control character (S30)", () => {
    assert.throws(() => parseName("CN=Before\\0dAfter,DC=example,DC=net"), {
      code: "NAME_INVALID",
    });
  });

  test("writes the escapes of RFC 4514", () => {
    const print = (value: string): string => createName([{ type: "CN", value }]).text;
    assert.equal(print("x,O=Bank"), "CN=x\\,O=Bank");
    assert.equal(print("#hash"), "CN=\\#hash");
    assert.equal(print(" space "), "CN=\\ space\\ ");
    assert.equal(print('a"+;<>\\b'), 'CN=a\\"\\+\\;\\<\\>\\\\b');
    assert.equal(print("Lučić"), "CN=Lučić");
  });

  test("prints an attribute without a keyword as its OID and DER, as RFC 4514 2.3 says", () => {
    const name = parseName("SERIALNUMBER=12,CN=api");
    assert.equal(name.text, `2.5.4.5=#0c02${hexOf("12")},CN=api`);
    assert.deepEqual(parseName(name.text).der, name.der);
    assert.equal(name.attributes[1]?.value, "12");
  });

  test("survives text and back, whatever the characters", () => {
    const value = fc
      .string({ unit: "grapheme", minLength: 1, maxLength: 60 })
      .filter((text) => text.isWellFormed() && Array.from(text).length <= 64)
      .filter((text) => !/\p{Cc}|\p{Cf}|[\u2028\u2029]/u.test(text));
    const attribute = fc.record({ type: fc.constantFrom("CN", "O", "OU", "UID"), value });
    fc.assert(
      fc.property(fc.array(attribute, { maxLength: 5 }), (attributes) => {
        const name = createName(attributes);
        const again = parseName(name.text);
        assert.deepEqual(again.der, name.der);
        assert.deepEqual(
          again.attributes.map(({ value }) => value),
          attributes.map(({ value }) => value),
        );
      }),
    );
  });

  test("never reads text in any other way than as a name or a typed error", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (text) => {
        try {
          parseName(text);
        } catch (error) {
          assert.equal((error as { code?: string }).code, "NAME_INVALID");
        }
      }),
    );
  });

  for (const [what, value] of [
    ["a line feed", "a\nb"],
    ["an escape", "a\u001b[2J"],
    ["a C1 control", "a\u009bb"],
    ["a right-to-left override", "a\u202eb"],
    ["an isolate", "a\u2066b"],
    ["half a surrogate pair", "a\ud800"],
    ["nothing", ""],
    ["65 characters", "x".repeat(65)],
  ] as const) {
    test(`is not made with ${what} (S30)`, () => {
      assert.throws(() => createName([{ type: "CN", value }]), { code: "NAME_INVALID" });
    });
  }

  for (const text of [
    "CN",
    "CN=a,",
    "=a",
    "CN=a;O=b",
    'CN="a"',
    "CN=a\\",
    "CN=a\\zz",
    "nope=a",
    "CN=#zz",
    "CN=#0c05",
    "CN=#0c010a",
    "CN=\\ff",
    "DC=é",
    "1.2.=a",
    "C=de",
  ]) {
    test(`is not read from ${text}`, () => {
      assert.throws(() => parseName(text), { code: "NAME_INVALID" });
    });
  }
});

describe("the DER of a name is refused", () => {
  const attribute = (tag: number, content: Uint8Array): DerValue =>
    sequence([oid("2.5.4.3"), primitive(tag, content)]);
  const nameOf = (...sets: DerValue[]): Uint8Array => encodeDer(sequence(sets));
  const cases: [string, Uint8Array][] = [
    ["with an empty relative name", nameOf(setOf([]))],
    ["with an empty value", nameOf(setOf([attribute(TAG.utf8String, new Uint8Array())]))],
    ["with a control character (S30)", nameOf(setOf([attribute(TAG.utf8String, bytes("610a"))]))],
    ["with a bidi override (S30)", nameOf(setOf([attribute(TAG.utf8String, bytes("e280ae"))]))],
    ["with broken UTF-8", nameOf(setOf([attribute(TAG.utf8String, bytes("c328"))]))],
    ["with overlong UTF-8", nameOf(setOf([attribute(TAG.utf8String, bytes("c080"))]))],
    [
      "with an asterisk in a PrintableString",
      nameOf(setOf([attribute(TAG.printableString, bytes("2a"))])),
    ],
    ["with an IA5String beyond ASCII", nameOf(setOf([attribute(TAG.ia5String, bytes("e9"))]))],
    ["with a BMPString of odd length", nameOf(setOf([attribute(TAG.bmpString, bytes("006100"))]))],
    [
      "with a UniversalString of five octets",
      nameOf(setOf([attribute(TAG.universalString, bytes("0000006100"))])),
    ],
    ["with half a surrogate pair", nameOf(setOf([attribute(TAG.bmpString, bytes("d800"))]))],
    [
      "with a character beyond Unicode",
      nameOf(setOf([attribute(TAG.universalString, bytes("00110000"))])),
    ],
    [
      "with a relative name out of DER order",
      encodeDer(
        sequence([
          {
            tag: TAG.set,
            length: 20,
            content: [
              attribute(TAG.utf8String, bytes("62")),
              attribute(TAG.utf8String, bytes("61")),
            ],
          },
        ]),
      ),
    ],
    [
      "with something after a value",
      nameOf(
        setOf([sequence([oid("2.5.4.3"), primitive(12, bytes("61")), primitive(5, bytes(""))])]),
      ),
    ],
  ];
  for (const [name, der] of cases) {
    test(name, () => {
      assert.throws(() => readName(new DerReader(der), "name"), { code: "DER_MALFORMED" });
    });
  }

  test("but not for the string types of old certificates", () => {
    const read = (tag: number, hex: string): string =>
      readName(new DerReader(nameOf(setOf([attribute(tag, bytes(hex))]))), "name").text;
    assert.equal(read(TAG.printableString, hexOf("Bank")), "CN=Bank");
    assert.equal(read(TAG.teletexString, "42e4"), "CN=Bä");
    assert.equal(read(TAG.bmpString, "004220ac"), "CN=B€");
    assert.equal(read(TAG.universalString, "0001f600"), "CN=😀");
  });
});
