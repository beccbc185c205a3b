import assert from "node:assert/strict";
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { readDirectoryBounded } from "../src/index.ts";
import { temporaryDirectory, textOf } from "./support/temporary.ts";

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

test("a file that is too large is an error of its own, and the others are read", async (context) => {
  const folder = temporaryDirectory(context);
  writeFileSync(join(folder, "a"), "1");
  writeFileSync(join(folder, "b"), "0123456789");
  const { files, errors } = await readDirectoryBounded(folder, { maxBytes: 9 });
  assert.deepEqual(textsOf(files), { a: "1" });
  assert.deepEqual(
    [...errors].map(([name, { code }]) => [name, code]),
    [["b", "FILE_TOO_LARGE"]],
  );
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
