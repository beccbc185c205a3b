// A program that puts a pair into a place and kills itself before the step with the given number.
// node kill-place-at-step.ts KIND PATH STEP PAIR ; prints the steps it took when it survives.
import { readFileSync } from "node:fs";
import * as promises from "node:fs/promises";
import { createRequire, syncBuiltinESMExports } from "node:module";
import { parsePrivateKey } from "@handfast/x509";

type Functions = Record<string, (...all: unknown[]) => unknown>;

const [kind = "", path = "", step = "", pair = ""] = process.argv.slice(2);
const { chainPem, key } = JSON.parse(readFileSync(pair, "utf8")) as {
  chainPem: string;
  key: string;
};
const writable = createRequire(import.meta.url)("node:fs/promises") as Functions;
const probe = await promises.open(process.execPath, "r");
const handlePrototype = Object.getPrototypeOf(probe) as Functions;
await probe.close();

const steps: string[] = [];
for (const name of ["open", "link", "rename", "unlink", "symlink", "mkdir", "chmod", "rm"]) {
  countCalls(writable, name);
}
for (const name of ["writeFile", "chmod", "sync"]) countCalls(handlePrototype, name);
syncBuiltinESMExports();

const { placeInDirectory, placeInFile } = await import("../../src/index.ts");
steps.length = 0;
const privateKey = parsePrivateKey(key);
const place = (kind === "file" ? placeInFile : placeInDirectory)(path);
await place.keepNext(privateKey);
await place.put({ chainPem, privateKey });
process.stdout.write(JSON.stringify(steps));

function countCalls(owner: Functions, name: string): void {
  const original = owner[name];
  if (original === undefined) throw new TypeError(`${name} is not there`);
  owner[name] = function counted(this: unknown, ...all: unknown[]): unknown {
    if (steps.length === Number(step)) process.kill(process.pid, "SIGKILL");
    steps.push(name);
    return original.apply(this, all);
  };
}
