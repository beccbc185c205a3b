import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import type { JsonValue } from "../src/index.ts";
import { parseJson } from "../src/parse-json.ts";

test("takes what JSON allows", () => {
  const texts = [
    "null",
    " true ",
    "false",
    "0",
    "-0.5e+3",
    "1E2",
    '""',
    '"\\u0041\\n\\"\\\\\\/"',
    '"\u007f"',
    "[]",
    "[ 1 , [ 2 ] ]",
    "{}",
    '{ "a" : { "b" : [ null ] } , "c" : 1 }',
    '\t\r\n{"a":1}\n',
    '"😀"',
    '"\\ud83d\\ude00"',
  ];
  for (const text of texts) assert.deepEqual(plain(valueOf(text)), JSON.parse(text), text);
});

test("S32: refuses what parsers read in different ways, and says where", () => {
  const refused: [source: string | Uint8Array, problem: RegExp, line: number, column: number][] = [
    ['{"a":1,"a":2}', /the member "a" is there twice/, 1, 8],
    ['{"a":1,"\\u0061":2}', /the member "a" is there twice/, 1, 8],
    ['{"x":{"a":1,\n "a":1}}', /the member "a" is there twice/, 2, 2],
    ['{"__proto__":1}', /the member "__proto__" is not allowed/, 1, 2],
    ['{"\\u005f_proto__":1}', /is not allowed/, 1, 2],
    ["{} {}", /expected the end, got "{"/, 1, 4],
    ["{}\0", /expected the end, got "\\u0000"/, 1, 3],
    ["1 2", /expected the end/, 1, 3],
    [`${"[".repeat(21)}${"]".repeat(21)}`, /expected at most 20 levels/, 1, 21],
    ['"\\ud800"', /unpaired surrogate/, 1, 1],
    ["\uFEFF{}", /expected a value, got "\uFEFF"/, 1, 1],
    [Buffer.from("\uFEFF{}"), /expected a value/, 1, 1],
    [Uint8Array.of(0x22, 0xff, 0x22), /expected UTF-8/, 1, 1],
    ["1e999", /a number that a double can hold/, 1, 1],
  ];
  for (const [source, problem, line, column] of refused) {
    const parsed = parseJson(source);
    assert.ok(!parsed.ok, String(source));
    assert.match(parsed.problem, problem);
    assert.deepEqual([parsed.line, parsed.column], [line, column], String(source));
  }
});

test("refuses what is not JSON at all", () => {
  const refused = [
    "",
    " ",
    "{",
    "[",
    '"',
    '"\\"',
    '"a\nb"',
    '"\\x"',
    '"\\u12"',
    "'a'",
    "01",
    "+1",
    "1.",
    ".5",
    "NaN",
    "Infinity",
    "tru",
    "nulll",
    "[1,]",
    "[,1]",
    "[1 2]",
    '{"a"}',
    '{"a":}',
    '{"a":1,}',
    "{a:1}",
    "{,}",
    "// x\n{}",
    "\u00a01",
  ];
  for (const text of refused) assert.ok(!parseJson(text).ok, JSON.stringify(text));
});

test("exactly twenty levels pass", () => {
  assert.ok(parseJson(`${"[".repeat(20)}${"]".repeat(20)}`).ok);
});

test("reads every value as the platform does", () => {
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 5 }), (value) => {
      const text = JSON.stringify(value);
      const parsed = parseJson(text);
      if (!parsed.ok) return stricter.test(parsed.problem);
      assert.deepEqual(plain(parsed.value), JSON.parse(text));
      return true;
    }),
  );
});

test("takes and refuses what the platform does, however it was damaged", () => {
  const damage = fc.array(
    fc.tuple(fc.nat(), fc.constantFrom("", '"', ",", "[", "]", "{", "}", ":", "1", "\\", " ", "x")),
    { minLength: 1, maxLength: 4 },
  );
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 3 }), damage, (value, cuts) => {
      let text = JSON.stringify(value);
      for (const [place, insert] of cuts) {
        const at = place % (text.length + 1);
        text = text.slice(0, at) + insert + text.slice(at + (insert === "" ? 1 : 0));
      }
      const parsed = parseJson(text);
      if (!parsed.ok) return stricter.test(parsed.problem) || platformRefuses(text);
      assert.deepEqual(plain(parsed.value), JSON.parse(text));
      return true;
    }),
    { numRuns: 500 },
  );
});

test("a long string and a long list do not exhaust the stack", () => {
  assert.ok(parseJson(`"${"\\n".repeat(2_000_000)}"`).ok);
  assert.ok(parseJson(`[${"0,".repeat(1_000_000)}0]`).ok);
});

function valueOf(text: string): JsonValue {
  const parsed = parseJson(text);
  assert.ok(parsed.ok, text);
  return parsed.value;
}

/** Maps back to objects, to compare with the platform's. */
function plain(value: JsonValue): unknown {
  if (typeof value !== "object" || value === null) return value;
  if (value instanceof Map) {
    const entries = [...(value as ReadonlyMap<string, JsonValue>)];
    return Object.fromEntries(entries.map(([name, member]) => [name, plain(member)]));
  }
  return (value as readonly JsonValue[]).map(plain);
}

function platformRefuses(text: string): boolean {
  try {
    JSON.parse(text);
    return false;
  } catch {
    return true;
  }
}

/** What we refuse and the platform does not. */
const stricter = /is there twice|__proto__|unpaired surrogate|a double can hold|20 levels/;
