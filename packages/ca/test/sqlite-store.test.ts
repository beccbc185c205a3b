import assert from "node:assert/strict";
import { readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import { generateKeyPair } from "@handfast/x509";
import { createAuthority, openSqliteStore } from "../src/index.ts";
import {
  refusal,
  requestFor,
  temporaryAuthority,
  temporaryFolder,
  temporaryStore,
} from "./support/fixtures.ts";
import { testStoreContract } from "./support/store-contract.ts";

testStoreContract("sqlite", (context) => {
  const { store: first, path } = temporaryStore(context);
  const second = openSqliteStore({ path, missing: "fail" });
  context.after(() => second.close());
  return { first, second };
});

test("a store that is not there is not made by opening it", (context) => {
  const path = join(temporaryFolder(context), "authority.db");
  assert.throws(
    () => openSqliteStore({ path, missing: "fail" }),
    refusal("AUTHORITY_NOT_FOUND", /not there/),
  );
  assert.throws(() => statSync(path), /ENOENT/);
});

test("S56: the store and its journal are mode 0600 under any umask, and no link is followed", async (context) => {
  const before = process.umask(0);
  context.after(() => process.umask(before));
  const { store, path } = temporaryStore(context);
  await store.authority();
  for (const file of [path, `${path}-wal`, `${path}-shm`]) {
    assert.equal(statSync(file).mode & 0o777, 0o600, file);
  }
  const link = `${path}-link`;
  symlinkSync(path, link);
  assert.throws(
    () => openSqliteStore({ path: link, missing: "create" }),
    refusal("STORE_FAILED", /cannot be opened/),
  );
});

test("the store is strict, in write-ahead mode, and says whose it is", (context) => {
  const { path } = temporaryStore(context);
  const database = new DatabaseSync(path);
  context.after(() => database.close());
  assert.equal(database.prepare("PRAGMA journal_mode").get()?.["journal_mode"], "wal");
  assert.equal(database.prepare("PRAGMA application_id").get()?.["application_id"], 0x48616e64);
  assert.equal(database.prepare("PRAGMA user_version").get()?.["user_version"], 4);
  const loose = database
    .prepare("SELECT name FROM pragma_table_list WHERE strict = 0 AND name NOT LIKE 'sqlite_%'")
    .all();
  assert.deepEqual(loose, []);
});

test("a store of a newer release, another program's database and any other file are refused unchanged", (context) => {
  const folder = temporaryFolder(context);
  const newer = join(folder, "newer.db");
  void openSqliteStore({ path: newer, missing: "create" }).close();
  change(newer, "PRAGMA user_version = 9999");
  const foreign = join(folder, "foreign.db");
  change(foreign, "CREATE TABLE t (a)");
  const text = join(folder, "text.db");
  writeFileSync(text, "this is no database, and it is long enough to look like one ".repeat(20));
  for (const [path, code] of [
    [newer, "STORE_NEWER"],
    [foreign, "STORE_UNKNOWN"],
    [text, "STORE_UNKNOWN"],
  ] as const) {
    const before = readFileSync(path);
    assert.throws(() => openSqliteStore({ path, missing: "create" }), refusal(code, /\.db/), path);
    assert.deepEqual(readFileSync(path), before);
  }
});

test("a store of the first release is migrated, and its certificates are the first of their lines", async (context) => {
  const { authority, path, keys, clock } = await temporaryAuthority(context);
  const { certificate } = await authority.issue(requestFor("api"));
  await authority.close();
  change(
    path,
    `DROP TABLE compromised_keys;
    ALTER TABLE certificates DROP COLUMN line_start;
    ALTER TABLE issuers DROP COLUMN generation;
    ALTER TABLE authority DROP COLUMN bundle_sequence;
    DROP TABLE acme_records;
    DROP TABLE renewal_blocks;
    DROP TABLE crl_numbers;
    ALTER TABLE certificates DROP COLUMN enrolment;
    PRAGMA user_version = 1`,
  );
  const store = openSqliteStore({ path, missing: "fail" });
  const migrated = await createAuthority({ store, keys, clock: () => clock.now });
  context.after(() => migrated.close());
  const record = await store.certificate(certificate.fingerprint);
  assert.equal(record?.enrolment, certificate.fingerprint);
  const { publicKey } = generateKeyPair();
  const { fingerprint } = certificate;
  await migrated.renew({ certificate: fingerprint, publicKey, requester: "local:test" });
});

test("a closed store takes no more transactions", async (context) => {
  const { store } = temporaryStore(context);
  await store.close();
  await assert.rejects(async () => store.transaction(async () => 1), TypeError);
});

test("what was asked for before the store is closed is written", async (context) => {
  const { authority, path } = await temporaryAuthority(context);
  const asked = Array.from({ length: 300 }, (_, index) => authority.issue(requestFor(`s${index}`)));
  const issued = await Promise.all(asked);
  await authority.close();
  const again = openSqliteStore({ path, missing: "fail" });
  context.after(() => again.close());
  assert.equal((await again.certificates({ profile: "peer" })).length, issued.length);
});

function change(path: string, sql: string): void {
  const database = new DatabaseSync(path);
  database.exec(sql);
  database.close();
}
