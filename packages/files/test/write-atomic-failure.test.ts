import assert from "node:assert/strict";
import { existsSync, readdirSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import fs from "node:fs/promises";
import { syncBuiltinESMExports } from "node:module";
import { join } from "node:path";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { writeFileAtomic } from "../src/index.ts";
import { onPosix, temporaryDirectory } from "./support/temporary.ts";

const diskFull = (): Error => Object.assign(new Error("no space"), { code: "ENOSPC" });

test("S56: a failure of any step leaves nothing behind", onPosix, async (context) => {
  const folder = temporaryDirectory(context);
  const handle = await fs.open(process.execPath, "r");
  const prototype = Object.getPrototypeOf(handle) as Record<string, () => Promise<void>>;
  await handle.close();
  for (const step of ["writeFile", "chmod", "chown", "sync"]) {
    const broken = context.mock.method(prototype, step, () => Promise.reject(diskFull()));
    const owner = { uid: process.geteuid?.() ?? 0, gid: process.getegid?.() ?? 0 };
    await assert.rejects(writeFileAtomic(join(folder, "key"), "secret", { owner }), {
      code: "FILE_WRITE_FAILED",
      message: `${join(folder, "key")}: could not be written: ENOSPC`,
    });
    broken.mock.restore();
    assert.deepEqual(readdirSync(folder), [], step);
  }
  for (const [step, overwrite] of [
    ["link", false],
    ["rename", true],
  ] as const) {
    const restore = replace(context, step, () => Promise.reject(diskFull()));
    await assert.rejects(writeFileAtomic(join(folder, "key"), "secret", { overwrite }), {
      code: "FILE_WRITE_FAILED",
    });
    restore();
    assert.deepEqual(readdirSync(folder), [], step);
  }
});

test(
  "S56: the temporary file is readable by nobody else from its first moment",
  onPosix,
  async (context) => {
    const folder = temporaryDirectory(context);
    const { open } = fs;
    const seen: number[] = [];
    const restore = replace(context, "open", async (...all: Parameters<typeof open>) => {
      const handle = await open(...all);
      for (const name of readdirSync(folder)) seen.push(statSync(join(folder, name)).mode & 0o777);
      return handle;
    });
    const umask = process.umask(0);
    await writeFileAtomic(join(folder, "key"), "secret", { mode: 0o644 });
    process.umask(umask);
    restore();
    assert.equal(seen[0], 0o600);
  },
);

test("S56: a link planted at the temporary name is not followed", onPosix, async (context) => {
  const folder = temporaryDirectory(context);
  writeFileSync(join(folder, "victim"), "untouched");
  const { open } = fs;
  const restore = replace(context, "open", (...all: Parameters<typeof open>) => {
    // Even an attacker who guessed the random name loses.
    symlinkSync(join(folder, "victim"), String(all[0]));
    return open(...all);
  });
  await assert.rejects(writeFileAtomic(join(folder, "key"), "secret"), {
    code: "FILE_WRITE_FAILED",
    message: `${join(folder, "key")}: could not be written: EEXIST`,
  });
  restore();
  assert.equal((await fs.readFile(join(folder, "victim"))).toString(), "untouched");
  assert.ok(!existsSync(join(folder, "key")));
});

/** Replaces a function of node:fs/promises everywhere it was imported. */
function replace(
  context: TestContext,
  name: "link" | "rename" | "open",
  replacement: (...all: Parameters<typeof fs.open>) => Promise<unknown>,
): () => void {
  const mocked = context.mock.method(fs, name, replacement as never);
  syncBuiltinESMExports();
  return () => {
    mocked.mock.restore();
    syncBuiltinESMExports();
  };
}
