// A program that writes a file and kills itself before the step with the given number.
// node kill-at-step.ts TARGET STEP MODE ; prints the steps it took when it survives.
import * as promises from "node:fs/promises";
import { syncBuiltinESMExports } from "node:module";
import { createRequire } from "node:module";

const [target = "", step = "", overwrite = ""] = process.argv.slice(2);
const require = createRequire(import.meta.url);
const writable = require("node:fs/promises") as Record<string, (...all: unknown[]) => unknown>;
const probe = await promises.open(process.execPath, "r");
const handlePrototype = Object.getPrototypeOf(probe) as Record<
  string,
  (...all: unknown[]) => unknown
>;
await probe.close();

const steps: string[] = [];
for (const name of ["open", "link", "rename", "unlink"]) countCalls(writable, name);
for (const name of ["writeFile", "chown", "chmod", "sync"]) {
  countCalls(handlePrototype, name);
}
syncBuiltinESMExports();

const { writeFileAtomic } = await import("../../src/index.ts");
await writeFileAtomic(target, "new ".repeat(50_000), {
  overwrite: overwrite === "overwrite",
  owner: { uid: process.geteuid?.() ?? 0, gid: process.getegid?.() ?? 0 },
  mode: 0o640,
});
process.stdout.write(JSON.stringify(steps));

function countCalls(owner: Record<string, (...all: unknown[]) => unknown>, name: string): void {
  const original = owner[name];
  if (original === undefined) throw new TypeError(`${name} is not there`);
  owner[name] = function counted(this: unknown, ...all: unknown[]): unknown {
    if (steps.length === Number(step)) process.kill(process.pid, "SIGKILL");
    steps.push(name);
    return original.apply(this, all);
  };
}
