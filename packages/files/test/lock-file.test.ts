import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { test } from "node:test";
import { lockFile } from "../src/index.ts";
import { temporaryDirectory, within } from "./support/temporary.ts";

test("a lock is held once, also within one process", (context) => {
  const path = join(temporaryDirectory(context), "lock");
  const first = lockFile(path);
  assert.throws(() => lockFile(path), { code: "FILE_LOCKED" });
  first.release();
  first.release();
  lockFile(path).release();
});

test("another process is kept out, and a killed one leaves no lock", async (context) => {
  const path = join(temporaryDirectory(context), "lock");
  const source = new URL("../src/index.ts", import.meta.url).href;
  const child = spawn(process.execPath, [
    "--expose-gc",
    "--input-type=module",
    "--eval",
    `import { lockFile } from ${JSON.stringify(source)};
     lockFile(${JSON.stringify(path)}); // nobody keeps what it returns
     await new Promise((resolve) => setImmediate(resolve));
     gc();
     await new Promise((resolve) => setImmediate(resolve));
     process.stdout.write("held");
     setInterval(() => {}, 1000);`,
  ]);
  context.after(() => child.kill("SIGKILL"));
  await within(once(child.stdout, "data"), "the lock");
  assert.throws(() => lockFile(path), { code: "FILE_LOCKED" });
  child.kill("SIGKILL");
  await within(once(child, "exit"), "the end");
  lockFile(path).release();
});

test("a lock in a missing directory says so", (context) => {
  const path = join(temporaryDirectory(context), "no", "lock");
  assert.throws(() => lockFile(path), { code: "FILE_WRITE_FAILED" });
});
