import assert from "node:assert/strict";
import { statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { migrations } from "../src/store/schema.ts";
import { createSqliteStore } from "../src/store/sqlite.ts";
import { verifySqlite } from "../src/store/sqlite-maintenance.ts";
import type { BankStore } from "../src/store/store.ts";
import { alice, bob, depositCommand, openCommand } from "./support/commands.ts";
import { withdrawalCommand } from "./support/commands.ts";
import { continueReleased, releasedDatabases } from "./support/released.ts";
import { testStoreContract } from "./support/store-contract.ts";
import { temporaryFolder } from "./support/temporary-folder.ts";

const checking = { owner: alice, accountId: "12345" };
const savings = { owner: alice, accountId: "savings" };

testStoreContract(async (t) => (await openStore(t)).store);

test("S60: at most 1,000 refusals are remembered per identity, the newest", async (t) => {
  const { store, path } = await openStore(t);
  await store.execute(openCommand());
  const start = BigInt(Date.now());
  const refusals = Array.from({ length: 1100 }, (_, index) =>
    withdrawalCommand(5n, { at: start + BigInt(index) }),
  );
  const bobs = withdrawalCommand(5n, { requester: bob, at: start });
  await Promise.all([store.execute(bobs), ...refusals.map((refusal) => store.execute(refusal))]);
  const rows = readBeside(path, "SELECT requester, count(*) AS n FROM refusals GROUP BY requester");
  assert.deepEqual(rows, [
    { requester: alice, n: 1000 },
    { requester: bob, n: 1 },
  ]);
  const replays = await Promise.all(refusals.slice(-1000).map((refusal) => store.execute(refusal)));
  assert.equal(replays.filter(({ replayed }) => replayed).length, 1000);
});

test("commands that arrive together share a commit", async (t) => {
  const { store, path } = await openStore(t);
  await store.execute(openCommand());
  const before = walFrames(path);
  await store.execute(depositCommand(1n));
  const one = walFrames(path) - before;
  await Promise.all(Array.from({ length: 200 }, () => store.execute(depositCommand(1n))));
  const many = walFrames(path) - before - one;
  assert.ok(many < one * 20, `200 deposits wrote ${many} pages, one wrote ${one}`);
});

test("a second writer of the same file is refused at the start, readers are not", async (t) => {
  const { store, path } = await openStore(t);
  await store.execute(openCommand());
  await assert.rejects(createSqliteStore({ path, mode: "mtls" }), { code: "STORE_IN_USE" });
  assert.deepEqual(readBeside(path, "SELECT count(*) AS n FROM accounts"), [{ n: 1 }]);
});

test("after closing, the file opens again with everything in it", async (t) => {
  const { store, path } = await openStore(t);
  await store.execute(openCommand());
  const deposit = depositCommand(7n);
  const accepted = store.execute(deposit);
  await store.close();
  assert.equal((await accepted).result, "moved");
  await assert.rejects(store.execute(deposit), { code: "STORE_UNAVAILABLE" });
  await assert.rejects(store.account(checking), { code: "STORE_UNAVAILABLE" });
  assert.equal(store.fault, "STORE_UNAVAILABLE");
  const again = await createSqliteStore({ path, mode: "mtls" });
  t.after(() => again.close());
  assert.equal((await again.account(checking))?.balance, 7n);
  assert.equal((await again.execute(deposit)).replayed, true);
});

test("a database made in one mode does not open in the other", async (t) => {
  const { store, path } = await openStore(t);
  await store.close();
  await assert.rejects(createSqliteStore({ path, mode: "plaintext" }), {
    code: "STORE_MODE_MISMATCH",
  });
  const again = await createSqliteStore({ path, mode: "mtls" });
  await again.close();
});

test("a database of a newer or another schema does not open", async (t) => {
  const { store, path } = await openStore(t);
  await store.close();
  changeBeside(path, "UPDATE migrations SET checksum = 'x'");
  await assert.rejects(createSqliteStore({ path, mode: "mtls" }), { code: "STORE_CHANGED" });
  changeBeside(path, "UPDATE migrations SET version = 9999");
  await assert.rejects(createSqliteStore({ path, mode: "mtls" }), { code: "STORE_TOO_NEW" });
});

test("a database of every released schema is brought up to date, with everything in it", async (t) => {
  const versions = releasedDatabases.map(({ version }) => version);
  // A new migration needs a database of its own kind in test/released.
  assert.deepEqual(
    versions,
    migrations.map(({ version }) => version),
  );
  for (const released of releasedDatabases) {
    const path = join(temporaryFolder(t), "bank.db");
    const database = new DatabaseSync(path);
    const dialect = {
      integer: "INTEGER",
      bytes: "BLOB",
      strict: " STRICT",
      clustered: " STRICT, WITHOUT ROWID",
    };
    for (const { sql, values } of released.statements(dialect)) {
      database.prepare(sql.replaceAll(/\$(\d+)/g, "?$1")).run(...values);
    }
    database.close();
    const store = await createSqliteStore({ path, mode: "mtls" });
    t.after(() => store.close());
    await continueReleased(store);
    assert.deepEqual(verifySqlite(path).faults, []);
  }
});

test("a file that is no database, or cannot be made, stops the start", async (t) => {
  const folder = temporaryFolder(t);
  await assert.rejects(createSqliteStore({ path: join(folder, "no/such.db"), mode: "mtls" }), {
    code: "STORE_UNREADABLE",
  });
  const path = join(folder, "text.db");
  writeFileSync(path, "this is a text, not a database ".repeat(100));
  await assert.rejects(createSqliteStore({ path, mode: "mtls" }), {
    code: "STORE_UNREADABLE",
  });
});

test("the files of the store are readable by their owner alone", async (t) => {
  const { store, path } = await openStore(t);
  await store.execute(openCommand());
  for (const suffix of ["", "-wal", "-shm", "-writer"]) {
    assert.equal(statSync(path + suffix).mode & 0o777, 0o600, suffix);
  }
});

test("a full store refuses what does not fit, keeps what it acknowledged, and still reads", async (t) => {
  const { store } = await openStore(t, { maxPageCount: 40 });
  await store.execute(openCommand());
  let acknowledged = 0n;
  const fill = async (): Promise<void> => {
    for (;;) {
      await store.execute(depositCommand(1n, { description: "x".repeat(140) }));
      acknowledged += 1n;
    }
  };
  await assert.rejects(fill(), { code: "STORE_FULL" });
  assert.ok(acknowledged > 0n);
  assert.equal((await store.account(checking))?.balance, acknowledged);
  assert.deepEqual((await store.verify()).faults, []);
  assert.equal(store.fault, undefined);
});

test("when an invariant fails, nothing more is written", async (t) => {
  const { store, path } = await openStore(t);
  await store.execute(openCommand());
  await store.execute(depositCommand(5n));
  // The next entry of the account is already there, as if somebody had written it behind our back.
  changeBeside(path, "UPDATE accounts SET version = 0 WHERE kind = 'customer'");
  await assert.rejects(store.execute(depositCommand(1n)), { code: "LEDGER_BROKEN" });
  assert.equal(store.fault, "LEDGER_BROKEN");
  await assert.rejects(store.execute(openCommand({ account: savings })), { code: "LEDGER_BROKEN" });
  assert.equal((await store.account(checking))?.balance, 5n);
});

test("a row that is not what it should be stops the writing too, wherever it is found", async (t) => {
  const { store, path } = await openStore(t);
  await store.execute(openCommand());
  await store.execute(depositCommand(5n));
  changeBeside(path, "PRAGMA ignore_check_constraints = 1; UPDATE accounts SET kind = 'other'");
  await assert.rejects(store.account(checking), { code: "LEDGER_BROKEN" });
  assert.equal(store.fault, "LEDGER_BROKEN");
  await assert.rejects(store.execute(openCommand({ account: savings })), { code: "LEDGER_BROKEN" });
});

test("a writer waits a while for the lock of another process, then gives up and changes nothing", async (t) => {
  const { store, path } = await openStore(t, { contentionMs: 50 });
  await store.execute(openCommand());
  const other = new DatabaseSync(path);
  other.exec("BEGIN IMMEDIATE");
  await assert.rejects(store.execute(depositCommand(5n)), { code: "CONTENTION" });
  other.exec("ROLLBACK");
  other.close();
  await store.execute(depositCommand(5n));
  assert.equal((await store.account(checking))?.balance, 5n);
});

test("verification names each kind of damage", async (t) => {
  const damages = [
    ["UPDATE accounts SET balance = balance + 1 WHERE kind = 'customer'", /balance 31, but its/],
    [
      "UPDATE accounts SET version = version + 1 WHERE kind = 'customer'",
      /version 3, but 2 entries/,
    ],
    ["UPDATE accounts SET digest = zeroblob(32) WHERE kind = 'customer'", /digest is not its last/],
    ["UPDATE entries SET amount = 1 WHERE amount = 10", /entry 1: balance 10, expected 1/],
    ["UPDATE entries SET amount = 1 WHERE amount = 10", /is not two entries that sum to zero/],
    ["UPDATE operations SET description = 'x'", /entry 1: digest does not match/],
    ["UPDATE operations SET posted_at = posted_at + 1", /entry 1: digest does not match/],
    ["DELETE FROM entries WHERE sequence = 1 AND amount > 0", /entry 2: follows entry 0/],
    [
      "UPDATE accounts SET balance = 0 WHERE kind = 'cash'",
      /balances in USD sum to 30, not to zero/,
    ],
  ] as const;
  const { store, path } = await openStore(t);
  await store.execute(openCommand());
  await store.execute(depositCommand(10n));
  await store.execute(depositCommand(20n));
  await store.close();
  const sound = new DatabaseSync(path);
  for (const [index, [sql, fault]] of damages.entries()) {
    const copy = join(temporaryFolder(t), `damaged-${index}.db`);
    sound.exec(`VACUUM INTO '${copy}'`);
    changeBeside(copy, sql);
    assert.match(verifySqlite(copy).faults.join("\n"), fault, sql);
  }
  sound.close();
});

test("beyond the limit of waiting commands the next is refused, the others are carried out", async (t) => {
  const { store } = await openStore(t, { maxWaiting: 10, maxBatch: 2 });
  await store.execute(openCommand());
  const results = await Promise.allSettled(
    Array.from({ length: 30 }, () => store.execute(depositCommand(1n))),
  );
  const done = results.filter(({ status }) => status === "fulfilled").length;
  const reasons = results.filter((result) => result.status === "rejected");
  assert.ok(done >= 10 && reasons.length > 0);
  assert.ok(reasons.every(({ reason }) => (reason as { code: string }).code === "OVERLOADED"));
  assert.equal((await store.account(checking))?.balance, BigInt(done));
});

async function openStore(
  t: TestContext,
  options: Partial<Parameters<typeof createSqliteStore>[0]> = {},
): Promise<{ store: BankStore; path: string }> {
  const path = join(temporaryFolder(t), "bank.db");
  const store = await createSqliteStore({ path, mode: "mtls", ...options });
  t.after(() => store.close());
  return { store, path };
}

function readBeside(path: string, sql: string): unknown[] {
  const database = new DatabaseSync(path, { readOnly: true });
  try {
    return database
      .prepare(sql)
      .all()
      .map((row) => ({ ...row }));
  } finally {
    database.close();
  }
}

function changeBeside(path: string, sql: string): void {
  const database = new DatabaseSync(path, { enableForeignKeyConstraints: false });
  database.exec(sql);
  database.close();
}

/** Pages in the write-ahead log, each behind a header of 24 bytes. */
function walFrames(path: string): number {
  return Math.floor((statSync(`${path}-wal`).size - 32) / (4096 + 24));
}
