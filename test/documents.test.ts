// Everything the documents show is true: code compiles, commands say what they are shown to say, links lead somewhere.
import assert from "node:assert/strict";
import { test } from "node:test";
import { blockProblems, linkProblems, typeProblems } from "../scripts/documents/check.ts";
import { readDocuments } from "../scripts/documents/markdown.ts";
import { runDocument, steady } from "../scripts/documents/transcript.ts";

const documents = readDocuments();

test("every ts block of the documents compiles", () => {
  assert.deepEqual(typeProblems(documents), []);
});

test("every other block is checked: scripts parse, JSON and policies load, quotations are true", () => {
  assert.deepEqual(documents.flatMap(blockProblems), []);
});

test("every link into the repository leads somewhere", () => {
  assert.deepEqual(documents.flatMap(linkProblems), []);
});

for (const document of documents) {
  if (!document.blocks.some(({ language }) => language === "console")) continue;
  test(`${document.path} shows what its commands say (npm run docs:transcripts writes it)`, async () => {
    for (const { block, text } of await runDocument(document)) {
      assert.equal(steady(text), steady(block.text), `${document.path}:${block.line}`);
    }
  });
}
