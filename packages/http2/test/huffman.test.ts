import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { decodeHuffman, huffmanLength, putHuffman } from "../src/huffman.ts";
import { hex } from "./wire.ts";

test("7541 Appendix B: codes of every length are those of the RFC", () => {
  // One octet per code length, its code as the RFC prints it, padded with ones.
  const samples: readonly [octet: number, code: string][] = [
    [0x30, "00000"],
    [0x20, "010100"],
    [0x3a, "1011100"],
    [0x26, "11111000"],
    [0x21, "1111111000"],
    [0x7c, "11111111100"],
    [0x23, "111111111010"],
    [0x00, "1111111111000"],
    [0x7d, "11111111111101"],
    [0x3c, "111111111111100"],
    [0x5c, "1111111111111110000"],
    [0x80, "11111111111111100110"],
    [0x99, "111111111111111011100"],
    [0x81, "1111111111111111010010"],
    [0x01, "11111111111111111011000"],
    [0x8e, "111111111111111111101011"],
    [0xc7, "1111111111111111111101100"],
    [0xc0, "11111111111111111111100000"],
    [0xcb, "111111111111111111111011110"],
    [0x02, "1111111111111111111111100010"],
    [0x0a, "111111111111111111111111111100"],
  ];
  for (const [octet, code] of samples) {
    const padded = code.padEnd(Math.ceil(code.length / 8) * 8, "1");
    const expected = padded.match(/.{8}/g)!.map((bits) => Number.parseInt(bits, 2));
    assert.deepEqual(encode(String.fromCharCode(octet)), Uint8Array.from(expected));
  }
});

test("7541 C.4 and C.6: the strings of the examples", () => {
  const examples: readonly [text: string, code: string][] = [
    ["www.example.com", "f1e3 c2e5 f23a 6ba0 ab90 f4ff"],
    ["no-cache", "a8eb 1064 9cbf"],
    ["custom-key", "25a8 49e9 5ba9 7d7f"],
    ["custom-value", "25a8 49e9 5bb8 e8b4 bf"],
    ["302", "6402"],
    ["private", "aec3 771a 4b"],
    ["Mon, 21 Oct 2013 20:13:21 GMT", "d07a be94 1054 d444 a820 0595 040b 8166 e082 a62d 1bff"],
    ["https://www.example.com", "9d29 ad17 1863 c78f 0b97 c8e9 ae82 ae43 d3"],
  ];
  for (const [text, code] of examples) {
    assert.deepEqual(encode(text), hex(code), text);
    assert.equal(decode(hex(code)), text);
  }
});

test("every octet survives, in any company", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (octets) => {
      const text = String.fromCharCode(...octets);
      assert.equal(decode(encode(text)), text);
    }),
  );
});

test("7541 5.2: padding longer than seven bits is refused", () => {
  assert.equal(decode(hex("07")), "0", "three ones of padding are fine");
  assert.equal(decode(hex("07ff")), undefined, "a whole octet of ones is not");
  assert.equal(decode(hex("ff")), undefined);
});

test("7541 5.2: padding of other bits than ones is refused", () => {
  assert.equal(decode(hex("00")), undefined, "000 left over after a 0");
  assert.equal(decode(hex("06")), undefined, "110 left over after a 0");
});

test("7541 5.2: EOS inside a string is refused", () => {
  assert.equal(decode(hex("ffffffff")), undefined);
  assert.equal(decode(hex("07 ffff fffc ffff")), undefined);
});

test("any octets decode to something no longer than promised, or to an error", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), (octets) => {
      const target = new Uint8Array(Math.ceil(octets.length * 1.6));
      const length = decodeHuffman(octets, 0, octets.length, target);
      assert.ok(length <= target.length);
      const isCanonical =
        length < 0 ||
        Buffer.from(encode(String.fromCharCode(...target.subarray(0, length)))).equals(octets);
      assert.ok(isCanonical, "what decodes is what encoding gives: there is one code per string");
    }),
    { numRuns: 2_000 },
  );
});

function encode(text: string): Uint8Array {
  const bytes = new Uint8Array(huffmanLength(text));
  assert.equal(putHuffman(bytes, 0, text), bytes.length);
  return bytes;
}

function decode(code: Uint8Array): string | undefined {
  const target = new Uint8Array(Math.ceil(code.length * 1.6));
  const length = decodeHuffman(code, 0, code.length, target);
  return length < 0 ? undefined : String.fromCharCode(...target.subarray(0, length));
}
