import assert from "node:assert/strict";
import { mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { readDirectoryBounded, watchDirectory } from "../src/index.ts";
import type { DirectoryChanges, FilesError } from "../src/index.ts";
import { temporaryDirectory, textOf, within } from "./support/temporary.ts";

const onDemand = { pollMs: 1_000_000, debounceMs: 1_000_000, maxBytes: 9 };

test("tells which files are new, other and gone, with all their bytes", async (context) => {
  const folder = temporaryDirectory(context);
  const told: [Record<string, string>, DirectoryChanges][] = [];
  writeFileSync(join(folder, "b.crl"), "1");
  writeFileSync(join(folder, "a.crl"), "1");
  const watch = watchDirectory(folder, {
    ...onDemand,
    onChange: (files, changes) => told.push([textsOf(files), changes]),
    onError: assert.fail,
  });
  context.after(() => watch.close());
  assert.equal(await watch.check(), "unchanged");
  writeFileSync(join(folder, "b.crl"), "2");
  writeFileSync(join(folder, "c.crl"), "1");
  rmSync(join(folder, "a.crl"));
  assert.equal(await watch.check(), "changed");
  assert.equal(await watch.check(), "unchanged");
  assert.deepEqual(told, [
    [
      { "a.crl": "1", "b.crl": "1" },
      { added: ["a.crl", "b.crl"], changed: [], removed: [] },
    ],
    [
      { "b.crl": "2", "c.crl": "1" },
      { added: ["c.crl"], changed: ["b.crl"], removed: ["a.crl"] },
    ],
  ]);
});

test("an empty directory is told once, as a start", async (context) => {
  const folder = temporaryDirectory(context);
  let count = 0;
  const watch = watchDirectory(folder, {
    ...onDemand,
    onChange: () => count++,
    onError: assert.fail,
  });
  context.after(() => watch.close());
  await watch.check();
  await watch.check();
  assert.equal(count, 1);
});

test("hidden files, directories and names not included do not count; links to files do", async (context) => {
  const folder = temporaryDirectory(context);
  mkdirSync(join(folder, "..v1"));
  mkdirSync(join(folder, "sub"));
  writeFileSync(join(folder, "..v1", "a.crl"), "1");
  writeFileSync(join(folder, ".hidden.crl"), "1");
  writeFileSync(join(folder, "readme.txt"), "1");
  symlinkSync("..v1", join(folder, "..data"));
  symlinkSync("..data/a.crl", join(folder, "a.crl"));
  symlinkSync("sub", join(folder, "b.crl"));
  symlinkSync("gone", join(folder, "c.crl"));
  const include = (name: string): boolean => name.endsWith(".crl");
  const { files, errors } = await readDirectoryBounded(folder, { maxBytes: 9, include });
  assert.deepEqual([textsOf(files), errors.size], [{ "a.crl": "1" }, 0]);
});

test("a file that turns too large keeps its last good bytes and is not called gone", async (context) => {
  const folder = temporaryDirectory(context);
  writeFileSync(join(folder, "a"), "good");
  const errors: FilesError[] = [];
  const told: DirectoryChanges[] = [];
  let last: Record<string, string> = {};
  const watch = watchDirectory(folder, {
    ...onDemand,
    onChange(files, changes) {
      last = textsOf(files);
      told.push(changes);
    },
    onError: (error) => errors.push(error),
  });
  context.after(() => watch.close());
  await watch.check();
  writeFileSync(join(folder, "a"), "x".repeat(10));
  writeFileSync(join(folder, "b"), "new");
  assert.equal(await watch.check(), "failed");
  assert.equal(await watch.check(), "failed");
  assert.deepEqual(last, { a: "good", b: "new" });
  assert.deepEqual(told.at(-1), { added: ["b"], changed: [], removed: [] });
  assert.deepEqual(
    errors.map(({ code }) => code),
    ["FILE_TOO_LARGE"],
  );
});

test("a watch that its consumer closes in the middle of a look reports no more of it", async (context) => {
  const folder = temporaryDirectory(context);
  writeFileSync(join(folder, "good"), "1");
  writeFileSync(join(folder, "large"), "x".repeat(10));
  let changes = 0;
  const watch = watchDirectory(folder, {
    ...onDemand,
    onChange: () => changes++,
    onError: () => watch.close(),
  });
  context.after(() => watch.close());
  assert.equal(await watch.check(), "unchanged");
  assert.equal(changes, 0);
});

test("S5: a directory that goes away is an error, and no file counts as removed", async (context) => {
  const folder = join(temporaryDirectory(context), "crls");
  mkdirSync(folder);
  writeFileSync(join(folder, "a"), "1");
  const errors: FilesError[] = [];
  const told: DirectoryChanges[] = [];
  const watch = watchDirectory(folder, {
    ...onDemand,
    onChange: (_, changes) => told.push(changes),
    onError: (error) => errors.push(error),
  });
  context.after(() => watch.close());
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

test("an event tells of a file that comes", async (context) => {
  const folder = temporaryDirectory(context);
  const told = new Promise<readonly string[]>((resolve) => {
    const watch = watchDirectory(folder, {
      maxBytes: 9,
      pollMs: 1_000_000,
      debounceMs: 5,
      initial: new Map(),
      onChange: (_, { added }) => resolve(added),
      onError: assert.fail,
    });
    context.after(() => watch.close());
    void watch.check().then(() => writeFileSync(join(folder, "a"), "1"));
  });
  assert.deepEqual(await within(told, "the event"), ["a"]);
});

test("more files than allowed is an error of the whole directory", async (context) => {
  const folder = temporaryDirectory(context);
  for (const name of ["a", "b", "c"]) writeFileSync(join(folder, name), "");
  await assert.rejects(readDirectoryBounded(folder, { maxBytes: 9, maxFiles: 2 }), {
    code: "FILE_TOO_LARGE",
  });
});

function textsOf(files: ReadonlyMap<string, Uint8Array>): Record<string, string> {
  return Object.fromEntries([...files].map(([name, bytes]) => [name, textOf(bytes)]));
}
