// Puts what the demo prints into README.md, between its markers.
//   npm run docs:demo
import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";

const output = execFileSync(
  process.execPath,
  ["--conditions=@handfast/source", "apps/bank/src/demo.ts"],
  { encoding: "utf8" },
);
const readme = readFileSync("README.md", "utf8");
const block = `<!-- demo -->\n\n\`\`\`text\n${output.trim()}\n\`\`\`\n\n<!-- /demo -->`;
writeFileSync(
  "README.md",
  readme.replace(/<!-- demo -->[^]*<!-- \/demo -->/, () => block),
);
