import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { errorsDocument } from "../scripts/errors-document.ts";

test("docs/errors.md says of every error what the tables say, and nothing else", () => {
  assert.equal(readFileSync("docs/errors.md", "utf8"), errorsDocument());
});
