// Puts what the demo prints into docs/demo.md, between its markers.
//   npm run docs:demo
import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";

const output = execFileSync(
  process.execPath,
  ["--conditions=@handfast/source", "apps/bank/src/demo.ts"],
  { encoding: "utf8" },
);
const page = readFileSync("docs/demo.md", "utf8");
const block = `<!-- demo -->\n\n\`\`\`text\n${output.trim()}\n\`\`\`\n\n<!-- /demo -->`;
writeFileSync(
  "docs/demo.md",
  page.replace(/<!-- demo -->[^]*<!-- \/demo -->/, () => block),
);
