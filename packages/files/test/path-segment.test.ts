import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { FilesError, parsePathSegment } from "../src/index.ts";

test("ordinary names pass unchanged", () => {
  for (const name of ["api", "api.example.org", "a_b-c.1", "Müller", "x".repeat(200), "a b"]) {
    assert.equal(parsePathSegment(name), name);
  }
});

test("S56: names that lead elsewhere, hide or act as options are refused", () => {
  const refused = [
    "",
    ".",
    "..",
    "../x",
    "/etc/passwd",
    "a/b",
    "a\\b",
    "..\\x",
    "C:x",
    "-rf",
    "--help",
    ".ssh",
    " a",
    "a ",
    "a\0b",
    "a\nb",
    "a\u001b[2J",
    "a\u0085b",
    "a\u202Eb",
    "a\u2028b",
    "a\u200Bb",
    "\uD800",
    "x".repeat(201),
    "é".repeat(101),
  ];
  for (const name of refused) {
    assert.throws(
      () => parsePathSegment(name),
      { code: "FILE_NAME_INVALID" },
      JSON.stringify(name),
    );
  }
});

test("whatever passes is one segment", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary", maxLength: 20 }), (name) => {
      try {
        parsePathSegment(name);
      } catch (thrown) {
        return thrown instanceof FilesError;
      }
      const url = new URL(`file:///base/${encodeURIComponent(name)}`);
      return !/[/\\]/.test(name) && url.pathname.startsWith("/base/") && !name.startsWith(".");
    }),
  );
});
