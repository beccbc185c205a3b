import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { errorsDocument, troubleshootingDocument } from "../scripts/errors-document.ts";

test("docs/errors.md says of every error what the tables say, and nothing else", () => {
  assert.equal(readFileSync("docs/errors.md", "utf8"), errorsDocument());
});

test("docs/troubleshooting.md says what the doctor says", () => {
  assert.equal(readFileSync("docs/troubleshooting.md", "utf8"), troubleshootingDocument());
});
