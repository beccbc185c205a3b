import assert from "node:assert/strict";
import { mkdirSync, renameSync, rmSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { watchDirectoryChanges } from "../src/index.ts";
import type { DirectoryChanges, FilesError, FileWatch } from "../src/index.ts";
import { temporaryDirectory, within } from "./support/temporary.ts";

const onDemand = { pollMs: 1_000_000, debounceMs: 1_000_000, maxBytes: 4 * 1024 * 1024 };

/** A watch that looks when it is told to, and all that it said. */
function watching(
  context: TestContext,
  folder: string,
  maxBytes = 9,
): { watch: FileWatch; told: DirectoryChanges[]; errors: FilesError[] } {
  const told: DirectoryChanges[] = [];
  const errors: FilesError[] = [];
  const watch = watchDirectoryChanges(folder, {
    ...onDemand,
    maxBytes,
    onChange: (changes) => told.push(changes),
    onError: (error) => errors.push(error),
  });
  context.after(() => watch.close());
  return { watch, told, errors };
}

test("tells which files are new, other and gone, and nothing when none is", async (context) => {
  const folder = temporaryDirectory(context);
  writeFileSync(join(folder, "b"), "1");
  writeFileSync(join(folder, "a"), "1");
  const { watch, told, errors } = watching(context, folder);
  assert.equal(await watch.check(), "unchanged");
  writeFileSync(join(folder, "b"), "2");
  writeFileSync(join(folder, "c"), "1");
  rmSync(join(folder, "a"));
  assert.equal(await watch.check(), "changed");
  // Written anew with the bytes it had.
  writeFileSync(join(folder, "b"), "2");
  assert.equal(await watch.check(), "unchanged");
  assert.deepEqual(told, [
    { added: ["a", "b"], changed: [], removed: [] },
    { added: ["c"], changed: ["b"], removed: ["a"] },
  ]);
  assert.deepEqual(errors, []);
});

test("an empty directory is told once, as a start", async (context) => {
  const { watch, told } = watching(context, temporaryDirectory(context));
  await watch.check();
  await watch.check();
  assert.deepEqual(told, [{ added: [], changed: [], removed: [] }]);
});

test("a swapped directory link is other files", async (context) => {
  const folder = temporaryDirectory(context);
  for (const version of ["..v1", "..v2"]) {
    mkdirSync(join(folder, version));
    writeFileSync(join(folder, version, "a"), version);
  }
  symlinkSync("..v1", join(folder, "..data"));
  symlinkSync("..data/a", join(folder, "a"));
  const { watch, told } = watching(context, folder);
  await watch.check();
  symlinkSync("..v2", join(folder, "..new"));
  renameSync(join(folder, "..new"), join(folder, "..data"));
  assert.equal(await watch.check(), "changed");
  assert.deepEqual(told.at(-1), { added: [], changed: ["a"], removed: [] });
});

test("a file that turns too large is an error, and neither other nor gone until it can be read", async (context) => {
  const folder = temporaryDirectory(context);
  writeFileSync(join(folder, "a"), "good");
  const { watch, told, errors } = watching(context, folder);
  await watch.check();
  writeFileSync(join(folder, "a"), "x".repeat(10));
  assert.equal(await watch.check(), "failed");
  assert.equal(await watch.check(), "failed");
  writeFileSync(join(folder, "a"), "good");
  assert.equal(await watch.check(), "unchanged");
  writeFileSync(join(folder, "a"), "other");
  assert.equal(await watch.check(), "changed");
  assert.deepEqual(
    told.map(({ changed }) => changed),
    [[], ["a"]],
  );
  assert.deepEqual(
    errors.map(({ code }) => code),
    ["FILE_TOO_LARGE"],
  );
});

test("a large file is read in pieces, and its last byte counts", async (context) => {
  const folder = temporaryDirectory(context);
  const bytes = new Uint8Array(3 * 1024 * 1024 + 1);
  writeFileSync(join(folder, "a"), bytes);
  const { watch, told } = watching(context, folder, bytes.length);
  await watch.check();
  bytes[bytes.length - 1] = 1;
  writeFileSync(join(folder, "a"), bytes);
  // Same size, same time of change: a forced look reads it all the same.
  utimesSync(join(folder, "a"), 1, 1);
  assert.equal(await watch.check(), "changed");
  assert.deepEqual(told.at(-1)?.changed, ["a"]);
});

test("S5: a directory that goes away is an error, and no file counts as removed", async (context) => {
  const folder = join(temporaryDirectory(context), "crls");
  mkdirSync(folder);
  writeFileSync(join(folder, "a"), "1");
  const { watch, told, errors } = watching(context, folder);
  await watch.check();
  renameSync(folder, `${folder}.away`);
  assert.equal(await watch.check(), "failed");
  renameSync(`${folder}.away`, folder);
  assert.equal(await watch.check(), "unchanged");
  rmSync(join(folder, "a"));
  assert.equal(await watch.check(), "changed");
  assert.deepEqual(
    told.map(({ removed }) => removed),
    [[], ["a"]],
  );
  assert.deepEqual(
    errors.map(({ code }) => code),
    ["FILE_NOT_FOUND"],
  );
});

test("a watch that its consumer closes in the middle of a look reports no more of it", async (context) => {
  const folder = temporaryDirectory(context);
  writeFileSync(join(folder, "good"), "1");
  writeFileSync(join(folder, "large"), "x".repeat(10));
  let changes = 0;
  const watch = watchDirectoryChanges(folder, {
    ...onDemand,
    maxBytes: 9,
    onChange: () => changes++,
    onError: () => watch.close(),
  });
  context.after(() => watch.close());
  assert.equal(await watch.check(), "unchanged");
  assert.equal(changes, 0);
});

test("an event tells of a file that comes", async (context) => {
  const folder = temporaryDirectory(context);
  const told = new Promise<readonly string[]>((resolve) => {
    const watch = watchDirectoryChanges(folder, {
      maxBytes: 9,
      pollMs: 1_000_000,
      debounceMs: 5,
      onChange: ({ added }) => (added.length > 0 ? resolve(added) : undefined),
      onError: assert.fail,
    });
    context.after(() => watch.close());
    void watch.check().then(() => writeFileSync(join(folder, "a"), "1"));
  });
  assert.deepEqual(await within(told, "the event"), ["a"]);
});
