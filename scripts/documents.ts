// Runs the console blocks of the documents and writes down what they say now.
//   npm run docs:transcripts [DOCUMENT…]
import { writeFileSync } from "node:fs";
import { readDocument, readDocuments } from "./documents/markdown.ts";
import { runDocument, steady } from "./documents/transcript.ts";

const named = process.argv.slice(2);
for (const { path } of readDocuments()) {
  if (named.length > 0 && !named.includes(path)) continue;
  const document = readDocument(path);
  if (!document.blocks.some(({ language }) => language === "console")) continue;
  const lines = document.text.split("\n");
  for (const { block, text } of (await runDocument(document)).toReversed()) {
    if (steady(text) === steady(block.text)) continue;
    const length = block.text.split("\n").length - 1;
    lines.splice(block.line, length, ...text.replace(/\n$/, "").split("\n"));
    console.log(`${path}:${block.line} is written anew`);
  }
  writeFileSync(path, lines.join("\n"));
}
