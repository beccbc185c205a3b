import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { resolveOptions } from "../src/limits.ts";

test("the README's table names every limit with its default", () => {
  const readme = readFileSync(join(import.meta.dirname, "..", "README.md"), "utf8");
  const rows = [...readme.matchAll(/^\| `(\w+)` +\| (.*?) +\|/gm)];
  const stated = rows.map(([, name, value]) => [name!, value!] as const);
  const actual = Object.entries(resolveOptions()).map(([name, value]) => [name, inWords(value)]);
  assert.deepEqual(Object.fromEntries(stated), Object.fromEntries(actual));
});

function inWords(
  value: ReturnType<typeof resolveOptions>[keyof ReturnType<typeof resolveOptions>],
): string {
  if (typeof value === "boolean") {
    return String(value);
  }
  if (typeof value === "number") {
    return value.toLocaleString("en");
  }
  return "burst" in value
    ? `${inWords(value.burst)}, then ${inWords(value.perSecond)} a second`
    : `${value.maxStrikes} strikes within ${inWords(value.minIntervalMs)} ms`;
}
