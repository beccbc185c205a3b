import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { encodeHeaderBlock } from "@handfast/http2";
import type { Fields } from "@handfast/http2";
import { HpackDecoder } from "../src/hpack-decoder.ts";
import { HpackEncoder, appendInteger } from "../src/hpack-encoder.ts";
import type { EncoderOptions } from "../src/hpack-encoder.ts";
import { DynamicTable } from "../src/hpack-table.ts";
import { Output } from "../src/output.ts";
import { concat, hex, literalBlock } from "./wire.ts";

test("7541 C.1: integers with 5-bit and 8-bit prefixes", () => {
  assert.deepEqual(integer(10, 0x1f), hex("0a"));
  assert.deepEqual(integer(1337, 0x1f), hex("1f9a0a"));
  assert.deepEqual(integer(42, 0xff), hex("2a"));
});

test("7541 C.2: one field in each representation", () => {
  const decoder = new HpackDecoder(4_096);
  const cases: readonly [block: string, fields: Fields, tableSize: number][] = [
    [
      "400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572",
      ["custom-key", "custom-header"],
      55,
    ],
    ["040c 2f73 616d 706c 652f 7061 7468", [":path", "/sample/path"], 55],
    ["1008 7061 7373 776f 7264 0673 6563 7265 74", ["password", "secret"], 55],
    ["82", [":method", "GET"], 55],
  ];
  for (const [block, fields, tableSize] of cases) {
    assert.deepEqual(decode(decoder, hex(block)), fields);
    assert.equal(decoder.tableSize, tableSize);
  }
});

const requests: readonly Fields[] = [
  [":method", "GET", ":scheme", "http", ":path", "/", ":authority", "www.example.com"],
  // prettier-ignore
  [":method", "GET", ":scheme", "http", ":path", "/", ":authority", "www.example.com", "cache-control", "no-cache"],
  // prettier-ignore
  [":method", "GET", ":scheme", "https", ":path", "/index.html", ":authority", "www.example.com", "custom-key", "custom-value"],
];
const responses: readonly Fields[] = [
  // prettier-ignore
  [":status", "302", "cache-control", "private", "date", "Mon, 21 Oct 2013 20:13:21 GMT", "location", "https://www.example.com"],
  // prettier-ignore
  [":status", "307", "cache-control", "private", "date", "Mon, 21 Oct 2013 20:13:21 GMT", "location", "https://www.example.com"],
  // prettier-ignore
  [":status", "200", "cache-control", "private", "date", "Mon, 21 Oct 2013 20:13:22 GMT", "location", "https://www.example.com", "content-encoding", "gzip", "set-cookie", "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1"],
];

const appendixC = [
  {
    name: "C.3: requests without Huffman coding",
    huffman: false,
    tableSize: 4_096,
    lists: requests,
    blocks: [
      "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
      "8286 84be 5808 6e6f 2d63 6163 6865",
      "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
    ],
    sizes: [57, 110, 164],
  },
  {
    name: "C.4: requests with Huffman coding",
    huffman: true,
    tableSize: 4_096,
    lists: requests,
    blocks: [
      "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
      "8286 84be 5886 a8eb 1064 9cbf",
      "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
    ],
    sizes: [57, 110, 164],
  },
  {
    name: "C.5: responses without Huffman coding, in a table of 256 octets",
    huffman: false,
    tableSize: 256,
    lists: responses,
    blocks: [
      `4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133
       2032 303a 3133 3a32 3120 474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70
       6c65 2e63 6f6d`,
      "4803 3330 37c1 c0bf",
      `88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d
       54c0 5a04 677a 6970 7738 666f 6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049
       5541 5851 5745 4f49 553b 206d 6178 2d61 6765 3d33 3630 303b 2076 6572 7369 6f6e
       3d31`,
    ],
    sizes: [222, 222, 215],
  },
  {
    name: "C.6: responses with Huffman coding, in a table of 256 octets",
    huffman: true,
    tableSize: 256,
    lists: responses,
    blocks: [
      `4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6
       2d1b ff6e 919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3`,
      "4883 640e ffc1 c0bf",
      `88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab
       77ad 94e7 821d d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f
       9587 3160 65c0 03ed 4ee5 b106 3d50 07`,
    ],
    sizes: [222, 222, 215],
  },
];

for (const { name, huffman, tableSize, lists, blocks, sizes } of appendixC) {
  test(`7541 ${name}, decoded`, () => {
    const decoder = new HpackDecoder(tableSize);
    for (const [index, block] of blocks.entries()) {
      assert.deepEqual(decode(decoder, hex(block)), lists[index]);
      assert.equal(decoder.tableSize, sizes[index]);
    }
  });

  test(`7541 ${name}, encoded`, () => {
    const encoder = encoderWith({ huffman, tableSize });
    // The example's peers have agreed on the size beforehand: our announcement of it goes unread.
    encoder.beginBlock(new Output());
    for (const [index, list] of lists.entries()) {
      assert.deepEqual(encode(encoder, list), hex(blocks[index]!));
    }
  });
}

test("7541 2.3.3: an index beyond both tables is refused, and so is index 0 (6.1)", () => {
  refuses("be", /index 62 is beyond the table/);
  refuses("80", /index 0/);
  refuses("ff00", /index 127/);
  refuses("7e 01 61", /index 62/);
});

test("7541 4.2: a table size update after a field is refused", () => {
  refuses("82 20", /after the first field/);
});

test("7541 4.2: two updates may begin a block, a third is refused", () => {
  const decoder = new HpackDecoder(4_096);
  assert.deepEqual(decode(decoder, hex("20 3fe11f 82")), [":method", "GET"]);
  refuses("20 3fe11f 3fe11f 82", /more than two/);
});

test("7541 6.3: an update above the size we announced is refused", () => {
  refuses("3fe21f", /update to 4097, where at most 4096 is allowed/);
});

test("7541 4.2: after we announced a smaller table the next block must shrink it", () => {
  const decoder = new HpackDecoder(4_096);
  decoder.allowCapacity(100);
  assert.throws(() => decode(decoder, hex("82")), /update that was due/);
  const obedient = new HpackDecoder(4_096);
  obedient.allowCapacity(100);
  assert.deepEqual(decode(obedient, hex("3f45 82")), [":method", "GET"]);
  assert.deepEqual(decode(obedient, hex("82")), [":method", "GET"]);
});

test("7541 4.2: an encoder whose peer shrinks the table and enlarges it again announces both", () => {
  const encoder = encoderWith({ tableSize: 4_096 });
  encode(encoder, ["x-one", "1"]);
  encoder.setPeerCapacity(0);
  encoder.setPeerCapacity(1_000);
  const block = encode(encoder, ["x-one", "1"]);
  assert.deepEqual(block.subarray(0, 4), hex("20 3fc907"), "0, then 1,000");
  const decoder = new HpackDecoder(4_096);
  decode(decoder, encode(encoderWith({ tableSize: 4_096 }), ["x-one", "1"]));
  assert.deepEqual(decode(decoder, block), ["x-one", "1"]);
});

test("7541 4.4: an entry larger than the table empties it and is not kept", () => {
  const table = new DynamicTable(100);
  table.add({ name: "a", value: "1", traits: 0 });
  table.add({ name: "b", value: "x".repeat(100), traits: 0 });
  assert.equal(table.length, 0);
  assert.equal(table.size, 0);
  assert.equal(table.at(0), undefined);
});

test("7541 4.4: a new entry may take its name from the one it evicts", () => {
  const decoder = new HpackDecoder(64);
  decode(decoder, concat(hex("3f21"), hex("40 05 782d6f6e65 01 31")));
  assert.deepEqual(decode(decoder, hex("7e 02 3232")), ["x-one", "22"]);
});

test("7541 5.1: integers beyond 28 bits, or cut off, are refused", () => {
  refuses("ff ffff ffff 7f", /28 bits/);
  refuses("ff 80 80 80 80 00", /28 bits/);
  refuses("ff 80", /inside an integer/);
});

test("7541 5.2: strings that run over the block's end are refused", () => {
  refuses("00 05 6162", /string of 5 octets, where 2 are left/);
  refuses("00", /where a string should begin/);
  refuses("40 01 61", /where a string should begin/);
});

test("7541 5.2: a string with wrong Huffman code is refused", () => {
  refuses("00 82 0000 00", /Huffman/);
});

test("7541 7.1.3: sensitive names are sent never indexed", () => {
  const block = encode(encoderWith({ neverIndexed: new Set(["authorization"]) }), [
    "authorization",
    "Bearer 1",
  ]);
  assert.equal(block[0]! & 0xf0, 0x10);
  assert.deepEqual(decode(new HpackDecoder(4_096), block), ["authorization", "Bearer 1"]);
  assert.equal(encodeHeaderBlock(["authorization", "Bearer 1"]).bytes[0]! & 0xf0, 0x10);
});

test("S37: a block says whether its decoding read or wrote the dynamic table", () => {
  const decoder = new HpackDecoder(4_096);
  const touched = (block: Uint8Array): boolean => {
    decode(decoder, block);
    return decoder.touchedTable;
  };
  assert.equal(touched(hex("82")), false, "static index");
  assert.equal(touched(literalBlock(["x-one", "1"])), false, "literal without indexing");
  assert.equal(touched(hex("40 05 782d6f6e65 01 31")), true, "literal with indexing");
  assert.equal(touched(hex("be")), true, "dynamic index");
  assert.equal(touched(hex("0f 2f 01 32")), true, "name from the dynamic table");
  assert.equal(touched(hex("3fe11f")), true, "size update");
});

test("S37: the same octets after a change of the table decode differently", () => {
  const decoder = new HpackDecoder(4_096);
  decode(decoder, hex("40 05 782d6f6e65 01 31"));
  assert.deepEqual(decode(decoder, hex("be")), ["x-one", "1"]);
  decode(decoder, hex("40 05 782d6f6e65 01 32"));
  assert.deepEqual(decode(decoder, hex("be")), ["x-one", "2"]);
});

test("a block encoded once decodes on any connection, whatever its table holds", () => {
  const fields = [":status", "200", "content-type", "application/grpc", "x", "\u007e"];
  const block = encodeHeaderBlock(fields);
  const used = new HpackDecoder(4_096);
  decode(used, hex("40 05 782d6f6e65 01 31"));
  assert.deepEqual(decode(used, block.bytes), fields);
  assert.equal(used.touchedTable, false);
  assert.deepEqual(decode(new HpackDecoder(0), block.bytes), fields);
});

test("what an encoder writes, a decoder reads, under any change of table size", () => {
  const word = fc.stringMatching(/^[a-z0-9-]{1,12}$/);
  const step = fc.oneof(
    { weight: 4, arbitrary: fc.array(fc.tuple(word, word), { maxLength: 6 }) },
    { weight: 1, arbitrary: fc.integer({ min: 0, max: 300 }) },
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
      const encoder = encoderWith({ tableSize: 200 });
      const decoder = new HpackDecoder(4_096);
      for (const step of steps) {
        if (typeof step === "number") {
          encoder.setPeerCapacity(step);
          continue;
        }
        assert.deepEqual(decode(decoder, encode(encoder, step.flat())), step.flat());
      }
    }),
    { numRuns: 300 },
  );
});

test("any octets decode, or are refused as COMPRESSION_ERROR", () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 60 }), { maxLength: 8 }), (blocks) => {
      const decoder = new HpackDecoder(4_096);
      for (const block of blocks) {
        try {
          decode(decoder, block);
        } catch (error) {
          assert.equal((error as { wireCode?: number }).wireCode, 9);
          return;
        }
        assert.ok(decoder.tableSize <= 4_096);
      }
    }),
    { numRuns: 2_000 },
  );
});

function decode(decoder: HpackDecoder, block: Uint8Array): string[] {
  const fields: string[] = [];
  decoder.decode(block, 0, block.length, {
    field: (name, value) => void fields.push(name, value),
  });
  return fields;
}

function refuses(block: string, message: RegExp): void {
  assert.throws(() => decode(new HpackDecoder(4_096), hex(block)), message);
}

function encoderWith(options: Partial<EncoderOptions>): HpackEncoder {
  return new HpackEncoder({
    tableSize: 4_096,
    neverIndexed: new Set(),
    seldomRepeated: new Set(),
    huffman: true,
    ...options,
  });
}

function encode(encoder: HpackEncoder, fields: Fields): Uint8Array {
  const output = new Output();
  encoder.beginBlock(output);
  encoder.encode(output, fields);
  return output.take()?.slice() ?? new Uint8Array(0);
}

function integer(value: number, mask: number): Uint8Array {
  const output = new Output();
  appendInteger(output, 0, mask, value);
  return output.take()!.slice();
}
