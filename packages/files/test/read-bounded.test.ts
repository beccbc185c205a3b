import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { FilesError, filesErrors, readBounded, readBoundedSync } from "../src/index.ts";
import { onPosix, temporaryDirectory, textOf } from "./support/temporary.ts";

const readers = {
  readBounded,
  readBoundedSync: async (path: string, options: { maxBytes: number }) =>
    readBoundedSync(path, options),
};

for (const [name, read] of Object.entries(readers)) {
  test(`${name} returns a file of exactly the limit, and follows links to it`, async (context) => {
    const folder = temporaryDirectory(context);
    writeFileSync(join(folder, "a"), "12345");
    symlinkSync("a", join(folder, "link"));
    assert.equal(textOf(await read(join(folder, "a"), { maxBytes: 5 })), "12345");
    assert.equal(textOf(await read(join(folder, "link"), { maxBytes: 9 })), "12345");
  });

  test(`${name} returns an empty file as no bytes`, async (context) => {
    const folder = temporaryDirectory(context);
    writeFileSync(join(folder, "empty"), "");
    assert.equal((await read(join(folder, "empty"), { maxBytes: 0 })).length, 0);
  });

  test(`${name} refuses a file one byte over the limit`, async (context) => {
    const folder = temporaryDirectory(context);
    writeFileSync(join(folder, "a"), "123456");
    await assert.rejects(read(join(folder, "a"), { maxBytes: 5 }), {
      code: "FILE_TOO_LARGE",
      message: `${join(folder, "a")}: expected at most 5 bytes, and it has more`,
    });
  });

  test(`${name} refuses a huge file before it takes memory for it`, async (context) => {
    const folder = temporaryDirectory(context);
    writeFileSync(join(folder, "a"), "");
    truncateSync(join(folder, "a"), 2 ** 40);
    await assert.rejects(read(join(folder, "a"), { maxBytes: 5 }), { code: "FILE_TOO_LARGE" });
  });

  test(
    `${name} holds a file that announces no size to the limit`,
    {
      skip: process.platform === "linux" ? false : "needs /proc",
    },
    async () => {
      await assert.rejects(read("/proc/self/maps", { maxBytes: 100 }), { code: "FILE_TOO_LARGE" });
      const whole = await read("/proc/self/maps", { maxBytes: 4 * 1024 * 1024 });
      assert.ok(whole.length > 4096);
    },
  );

  test(`${name} says that a file is missing`, async (context) => {
    const folder = temporaryDirectory(context);
    writeFileSync(join(folder, "a"), "");
    await assert.rejects(read(join(folder, "b"), { maxBytes: 5 }), { code: "FILE_NOT_FOUND" });
    await assert.rejects(read(join(folder, "a", "b"), { maxBytes: 5 }), { code: "FILE_NOT_FOUND" });
  });

  test(`${name} refuses directories and pipes without waiting`, onPosix, async (context) => {
    const folder = temporaryDirectory(context);
    execFileSync("mkfifo", [join(folder, "pipe")]);
    await assert.rejects(read(folder, { maxBytes: 5 }), { code: "FILE_NOT_REGULAR" });
    await assert.rejects(read(join(folder, "pipe"), { maxBytes: 5 }), { code: "FILE_NOT_REGULAR" });
  });

  test(`${name} says what the system refused`, onPosix, async (context) => {
    const folder = temporaryDirectory(context);
    symlinkSync("self", join(folder, "self"));
    await assert.rejects(read(join(folder, "self"), { maxBytes: 5 }), {
      code: "FILE_UNREADABLE",
      message: `${join(folder, "self")}: could not be read: ELOOP`,
    });
  });

  test(`${name} takes a senseless limit as wrong use`, async () => {
    for (const maxBytes of [-1, 1.5, Number.NaN, Number.POSITIVE_INFINITY]) {
      await assert.rejects(async () => read("/", { maxBytes }), TypeError);
    }
  });
}

test("an error carries code, hint and cause", async (context) => {
  const folder = temporaryDirectory(context);
  mkdirSync(join(folder, "d"));
  chmodSync(join(folder, "d"), 0o700);
  const error = await readBounded(join(folder, "x"), { maxBytes: 1 }).then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof FilesError);
  assert.equal(error.hint, filesErrors.FILE_NOT_FOUND.hint);
  assert.ok(error.cause instanceof Error);
});
