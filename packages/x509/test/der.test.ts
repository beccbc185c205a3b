import assert from "node:assert/strict";
import { describe, test } from "node:test";
import * as fc from "fast-check";
import {
  bitString,
  constructed,
  DerReader,
  encodeDer,
  integer,
  namedBits,
  oid,
  primitive,
  sequence,
  setOf,
  TAG,
  time,
  type DerValue,
} from "../src/der.ts";
import { bytes, hexOf } from "./bytes.ts";

describe("the DER reader refuses", () => {
  const cases: [string, string, (reader: DerReader) => unknown][] = [
    ["nothing at all", "", (r) => r.any("x")],
    ["a tag without a length", "30", (r) => r.any("x")],
    ["a length beyond the input", "3003 0201", (r) => r.any("x")],
    ["a length beyond the value around it", "3003 0202 01", (r) => r.sequence("x").integer("x")],
    ["a huge length", "3084 ffffffff", (r) => r.any("x")],
    ["a length of five octets", "3085 0000000001 00", (r) => r.any("x")],
    ["a length cut off", "3082 01", (r) => r.any("x")],
    ["an indefinite length", "3080 0000", (r) => r.any("x")],
    ["a long form where the short one fits", "0481 01 00", (r) => r.any("x")],
    ["a long form with a leading zero", `0482 0080 ${"00".repeat(128)}`, (r) => r.any("x")],
    ["a multi-byte tag", "1f01 00", (r) => r.any("x")],
    ["another tag than expected", "0201 01", (r) => r.sequence("x")],
    ["bytes after the end", "0500 00", (r) => (r.null("x"), r.finish("x"))],
    ["a boolean of 0x01", "0101 01", (r) => r.boolean("x")],
    ["a boolean of two octets", "0102 ffff", (r) => r.boolean("x")],
    ["a default of FALSE written out", "0101 00", (r) => r.defaultFalse("x")],
    ["a NULL with content", "0501 00", (r) => r.null("x")],
    ["an empty integer", "0200", (r) => r.integer("x")],
    ["a positive integer that is not minimal", "0202 0001", (r) => r.integer("x")],
    ["a negative integer that is not minimal", "0202 ff80", (r) => r.integer("x")],
    ["a negative small integer", "0201 80", (r) => r.smallInteger("x")],
    ["a small integer over 31 bits", "0205 0080000000", (r) => r.smallInteger("x")],
    ["an empty OID", "0600", (r) => r.oid("x")],
    ["an OID that is cut off", "0602 2a86", (r) => r.oid("x")],
    ["an OID that is not minimal", "0603 2a8001", (r) => r.oid("x")],
    ["an OID of 129 octets", `0681 81 ${"01".repeat(129)}`, (r) => r.oid("x")],
    ["a bit string without an octet of unused bits", "0300", (r) => r.bitString("x")],
    ["a bit string of broken octets", "0302 01 02", (r) => r.bitString("x")],
    ["named bits with a trailing zero bit", "0302 04 20", (r) => r.namedBits("x")],
    ["named bits with eight unused bits", "0302 08 00", (r) => r.namedBits("x")],
    ["named bits of six octets", "0306 00 0101010101", (r) => r.namedBits("x")],
    ["named bits with unused bits of nothing", "0301 01", (r) => r.namedBits("x")],
    ["a UTCTime without seconds", `170b ${hexOf("2601010000Z")}`, (r) => r.time("x")],
    ["a UTCTime with an offset", `1711 ${hexOf("260101000000+0100")}`, (r) => r.time("x")],
    ["a time with fractions", `1811 ${hexOf("20500101000000.5Z")}`, (r) => r.time("x")],
    ["a time on 30 February", `170d ${hexOf("260230000000Z")}`, (r) => r.time("x")],
    ["a time at 24:00", `170d ${hexOf("260101240000Z")}`, (r) => r.time("x")],
    ["a time with letters", `170d ${hexOf("26010100000AZ")}`, (r) => r.time("x")],
    ["a UTCTime that does not end in Z", `170d ${hexOf("260101000000X")}`, (r) => r.time("x")],
    [
      "a GeneralizedTime without a century",
      `180d ${hexOf("260101000000Z")}`,
      (r) => r.generalizedTime("x"),
    ],
    [
      "a GeneralizedTime of the year 999",
      `180f ${hexOf("09991231235959Z")}`,
      (r) => r.generalizedTime("x"),
    ],
    ["a leap second", `170d ${hexOf("161231235960Z")}`, (r) => r.time("x")],
    ["a GeneralizedTime of 2049", `180f ${hexOf("20491231235959Z")}`, (r) => r.time("x")],
  ];
  for (const [name, input, read] of cases) {
    test(name, () => {
      assert.throws(() => read(new DerReader(bytes(input))), { code: "DER_MALFORMED" });
    });
  }
});

describe("the DER reader and writer", () => {
  test("agree on every length form", () => {
    for (const length of [0, 1, 127, 128, 255, 256, 65_535, 65_536, 70_000]) {
      const encoded = encodeDer(primitive(TAG.octetString, new Uint8Array(length)));
      const reader = new DerReader(encoded);
      assert.equal(reader.octetString("x").length, length);
      assert.ok(reader.done);
    }
  });

  test("agree on times to the second, across 2049 and 2050", () => {
    fc.assert(
      fc.property(fc.integer({ min: -631_152_000, max: 253_402_300_799 }), (seconds) => {
        const encoded = encodeDer(time(new Date(seconds * 1000)));
        assert.equal(new DerReader(encoded).time("x"), seconds * 1000);
      }),
    );
  });

  test("agree on integers and keep them minimal", () => {
    fc.assert(
      fc.property(fc.maxSafeNat(), (value) => {
        const content = new DerReader(encodeDer(integer(value))).integer("x");
        assert.equal(BigInt(`0x${Buffer.from(content).toString("hex")}`), BigInt(value));
      }),
    );
  });

  test("agree on object identifiers, also with arcs of 128 bits", () => {
    const arc = fc.bigInt({ min: 0n, max: 2n ** 128n - 1n });
    const rooted = fc.oneof(
      fc.tuple(fc.constantFrom(0n, 1n), fc.bigInt({ min: 0n, max: 39n })),
      fc.tuple(fc.constant(2n), arc),
    );
    fc.assert(
      fc.property(rooted, fc.array(arc, { maxLength: 5 }), (start, rest) => {
        const dotted = [...start, ...rest].join(".");
        assert.equal(new DerReader(oid(dotted)).oid("x"), dotted);
      }),
    );
  });

  test("agree on named bits", () => {
    fc.assert(
      fc.property(fc.uniqueArray(fc.integer({ min: 0, max: 31 })), (bits) => {
        const read = new DerReader(encodeDer(namedBits(bits))).namedBits("x");
        assert.deepEqual(
          read,
          bits.toSorted((a, b) => a - b),
        );
      }),
    );
  });

  test("agree on nested values, and the length is known in advance", () => {
    const { value } = fc.letrec<{ value: DerValue }>((tie) => ({
      value: fc.oneof(
        { depthSize: "small" },
        fc.uint8Array({ maxLength: 300 }).map((content) => primitive(TAG.octetString, content)),
        fc.array(tie("value"), { maxLength: 4 }).map((parts) => constructed(0xa3, parts)),
        fc.array(tie("value"), { maxLength: 4 }).map(sequence),
      ),
    }));
    fc.assert(
      fc.property(value, (tree) => {
        const encoded = encodeDer(tree);
        assert.deepEqual(encodeDer(transcode(new DerReader(encoded))), encoded);
      }),
    );
  });

  test("do not write times that a certificate cannot hold", () => {
    for (const year of [Number.NaN, Date.UTC(1949, 11, 31), Date.UTC(10_000, 0, 1)]) {
      assert.throws(() => time(new Date(year)), TypeError);
    }
  });

  test("say which forbidden form of length it was", () => {
    const messageOf = (input: string): RegExp => {
      try {
        new DerReader(bytes(input)).any("x");
      } catch (error) {
        return new RegExp((error as Error).message);
      }
      return /none/;
    };
    assert.match("x has an indefinite length at byte 0", messageOf("3080 0000"));
    assert.match("x has a length of 5 octets at byte 0", messageOf("3085 0100000000 00"));
  });

  test("sort a SET OF", () => {
    const encoded = encodeDer(setOf([integer(300), integer(2), integer(1)]));
    assert.equal(Buffer.from(encoded).toString("hex"), "310a0201010201020202012c");
  });

  test("write a bit string with no unused bits", () => {
    assert.deepEqual(encodeDer(bitString(bytes("0102"))), bytes("0303 00 0102"));
  });
});

/** Reads one value with everything inside it and makes it ready to be written again. */
function transcode(reader: DerReader): DerValue {
  const element = reader.any("value");
  if ((element.tag & 0x20) === 0) return primitive(element.tag, reader.content(element));
  const inside = reader.inside(element);
  const parts: DerValue[] = [];
  while (!inside.done) parts.push(transcode(inside));
  return constructed(element.tag, parts);
}
