import assert from "node:assert/strict";
import { chmodSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { generateKeyPair } from "@handfast/x509";
import { keysFromDirectory, readPassphraseFile } from "../src/index.ts";
import { refusal, temporaryFolder } from "./support/fixtures.ts";

test("a key comes back as it was saved, and is not replaced", async (context) => {
  const folder = temporaryFolder(context);
  const keys = keysFromDirectory(folder);
  const { privateKey } = generateKeyPair();
  await keys.save("issuing-1", privateKey);
  for (const store of [keys, keysFromDirectory(folder)]) {
    assert.ok((await store.load("issuing-1")).equals(privateKey));
  }
  const path = join(folder, "issuing-1-key.pem");
  const before = readFileSync(path);
  await assert.rejects(
    keys.save("issuing-1", generateKeyPair().privateKey),
    refusal("KEY_EXISTS", /issuing-1-key\.pem is there already/),
  );
  assert.deepEqual(readFileSync(path), before);
  assert.equal(statSync(path).mode & 0o777, 0o600);
  assert.deepEqual(readdirSync(folder), ["issuing-1-key.pem"]);
});

test("S56: a key is not written where others can write", async (context) => {
  const shared = join(temporaryFolder(context), "shared");
  mkdirSync(shared);
  chmodSync(shared, 0o777);
  await assert.rejects(
    keysFromDirectory(shared).save("issuing-1", generateKeyPair().privateKey),
    refusal("DIRECTORY_UNTRUSTED", /can be written by others/),
  );
  assert.deepEqual(readdirSync(shared), []);
});

test("a key that is missing, damaged or one of two says which file it is", async (context) => {
  const folder = temporaryFolder(context);
  const keys = keysFromDirectory(folder);
  await assert.rejects(keys.load("root-1"), refusal("KEY_NOT_FOUND", /root-1-key\.pem/));
  for (const content of ["", "not a key", "-----BEGIN PRIVATE KEY-----\nAAAA\n"]) {
    writeFileSync(join(folder, "root-1-key.pem"), content);
    await assert.rejects(keys.load("root-1"), refusal("KEY_UNREADABLE", /root-1-key\.pem/));
  }
});

test("a passphrase is one line of a file, without its line end", async (context) => {
  const path = join(temporaryFolder(context), "passphrase");
  for (const [content, passphrase] of [
    ["correct horse\n", "correct horse"],
    ["correct horse\r\n", "correct horse"],
    [" spaces count ", " spaces count "],
  ] as const) {
    writeFileSync(path, content);
    assert.equal(await readPassphraseFile(path), passphrase);
  }
  for (const content of ["", "\n", "a\nb", "a\0b", "x".repeat(5_000)]) {
    writeFileSync(path, content);
    await assert.rejects(
      readPassphraseFile(path),
      refusal("PASSPHRASE_REFUSED", /passphrase file/),
    );
  }
});
