/** A parsed JSON value; objects are Maps, so that no key can reach a prototype. */
export type JsonValue =
  | null
  | boolean
  | number
  | string
  | readonly JsonValue[]
  | ReadonlyMap<string, JsonValue>;

/** Why a text is not strict JSON, and where. */
interface JsonProblem {
  readonly problem: string;
  /** Counted from 1. */
  readonly line: number;
  /** In UTF-16 units, counted from 1. */
  readonly column: number;
}

/**
 * Parses JSON text (RFC 8259) and refuses what parsers disagree about: two members of the same name
 * in one object, a member `__proto__`, text after the value, unpaired surrogates, a byte order mark,
 * bytes that are not UTF-8, more than 20 levels, numbers beyond a double.
 */
export function parseJson(
  source: string | Uint8Array,
): { ok: true; value: JsonValue } | ({ ok: false } & JsonProblem) {
  let text: string;
  try {
    text =
      typeof source === "string"
        ? source
        : new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(source);
  } catch {
    return { ok: false, problem: "expected UTF-8 text", line: 1, column: 1 };
  }
  const cursor: Cursor = { text, at: 0 };
  try {
    const value = parseValue(cursor, 1);
    skipSpace(cursor);
    if (cursor.at < text.length) throw unexpected(cursor, "the end");
    return { ok: true, value };
  } catch (thrown) {
    if (thrown instanceof Stop) return { ok: false, ...thrown.problem };
    throw thrown;
  }
}

interface Cursor {
  readonly text: string;
  at: number;
}

/** Unwinds the parser; never leaves this file. */
class Stop {
  readonly problem: JsonProblem;

  constructor(cursor: Cursor, problem: string) {
    const before = cursor.text.slice(0, cursor.at);
    const line = before.split("\n").length;
    this.problem = { problem, line, column: before.length - before.lastIndexOf("\n") };
  }
}

function parseValue(cursor: Cursor, depth: number): JsonValue {
  if (depth > maxDepth) throw new Stop(cursor, `expected at most ${maxDepth} levels`);
  skipSpace(cursor);
  switch (cursor.text[cursor.at]) {
    case "{":
      return parseObject(cursor, depth);
    case "[":
      return parseArray(cursor, depth);
    case '"':
      return parseString(cursor);
    default:
      return parseScalar(cursor);
  }
}

function parseObject(cursor: Cursor, depth: number): ReadonlyMap<string, JsonValue> {
  const members = new Map<string, JsonValue>();
  cursor.at++;
  if (takeIf(cursor, "}")) return members;
  for (;;) {
    skipSpace(cursor);
    const start = cursor.at;
    if (cursor.text[start] !== '"') throw unexpected(cursor, 'a name in quotes or "}"');
    const name = parseString(cursor);
    if (members.has(name) || name === "__proto__") {
      const what = members.has(name) ? "is there twice" : "is not allowed";
      throw new Stop({ ...cursor, at: start }, `the member ${JSON.stringify(name)} ${what}`);
    }
    if (!takeIf(cursor, ":")) throw unexpected(cursor, '":"');
    members.set(name, parseValue(cursor, depth + 1));
    if (takeIf(cursor, "}")) return members;
    if (!takeIf(cursor, ",")) throw unexpected(cursor, '"," or "}"');
  }
}

function parseArray(cursor: Cursor, depth: number): readonly JsonValue[] {
  const elements: JsonValue[] = [];
  cursor.at++;
  if (takeIf(cursor, "]")) return elements;
  for (;;) {
    elements.push(parseValue(cursor, depth + 1));
    if (takeIf(cursor, "]")) return elements;
    if (!takeIf(cursor, ",")) throw unexpected(cursor, '"," or "]"');
  }
}

/** Finds the end of the token; the platform then judges and decodes what is in it. */
function parseString(cursor: Cursor): string {
  const { text, at } = cursor;
  let end = at + 1;
  while (end < text.length && text[end] !== '"') end += text[end] === "\\" ? 2 : 1;
  const value = decodeString(text.slice(at, end + 1));
  if (value === undefined)
    throw new Stop(cursor, "expected a string that ends, with valid escapes");
  if (!value.isWellFormed()) throw new Stop(cursor, "expected no unpaired surrogate in a string");
  cursor.at = end + 1;
  return value;
}

function decodeString(token: string): string | undefined {
  try {
    return JSON.parse(token) as string;
  } catch {
    return undefined;
  }
}

function parseScalar(cursor: Cursor): JsonValue {
  scalarToken.lastIndex = cursor.at;
  const token = scalarToken.exec(cursor.text)?.[0];
  if (token === undefined) throw unexpected(cursor, "a value");
  const value = JSON.parse(token) as null | boolean | number;
  if (typeof value === "number" && !Number.isFinite(value)) {
    throw new Stop(cursor, "expected a number that a double can hold");
  }
  cursor.at += token.length;
  return value;
}

function skipSpace(cursor: Cursor): void {
  while (" \n\r\t".includes(cursor.text.charAt(cursor.at)) && cursor.at < cursor.text.length) {
    cursor.at++;
  }
}

function takeIf(cursor: Cursor, character: string): boolean {
  skipSpace(cursor);
  if (cursor.text[cursor.at] !== character) return false;
  cursor.at++;
  return true;
}

function unexpected(cursor: Cursor, expected: string): Stop {
  const found = cursor.text.codePointAt(cursor.at);
  const arrived = found === undefined ? "the end" : JSON.stringify(String.fromCodePoint(found));
  return new Stop(cursor, `expected ${expected}, got ${arrived}`);
}

const maxDepth = 20;
const scalarToken = /true|false|null|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
