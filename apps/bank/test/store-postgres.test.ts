// The same contract on a real PostgreSQL, and what several instances on one database add to it.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { TestContext } from "node:test";
import pg from "pg";
import { createPostgresStore, verifyPostgres } from "../src/store/postgres.ts";
import type { BankStore } from "../src/store/store.ts";
import { alice, depositCommand, openCommand } from "./support/commands.ts";
import { transferCommand, withdrawalCommand } from "./support/commands.ts";
import { continueReleased, releasedDatabases } from "./support/released.ts";
import { startPostgres } from "../../../test/support/postgres.ts";
import { testStoreContract } from "./support/store-contract.ts";
import { compareWithModel } from "./support/store-model.ts";

const postgres = await startPostgres();

if (postgres.skip !== false) {
  test("the store on PostgreSQL", { skip: postgres.skip });
} else {
  const { database } = postgres;
  const openStore = async (t: TestContext, url: string): Promise<BankStore> => {
    const store = await createPostgresStore({ url, mode: "mtls" });
    t.after(() => store.close());
    return store;
  };

  testStoreContract(async (t) => openStore(t, await database()));

  test("on PostgreSQL the store does what the model does, for any commands in any batches", async (t) => {
    await compareWithModel(await openStore(t, await database()), 8);
  });

  test("instances that start at once agree on who makes the schema, and move money at once", async (t) => {
    const url = await database();
    const stores = await Promise.all([openStore(t, url), openStore(t, url), openStore(t, url)]);
    const [first] = stores;
    await first?.execute(openCommand());
    await first?.execute(openCommand({ account: savings }));
    await first?.execute(depositCommand(1_000n));
    const moves = stores.flatMap((store) =>
      Array.from({ length: 20 }, (_, index) => [
        store.execute(depositCommand(3n)),
        store.execute(index % 2 === 0 ? transferCommand(2n, {}) : back(2n)),
        store.execute(withdrawalCommand(1n)),
      ]).flat(),
    );
    const outcomes = await Promise.all(moves);
    assert.ok(outcomes.every(({ result }) => result === "moved"));
    const [one, other] = await Promise.all([checking, savings].map((name) => first?.account(name)));
    assert.deepEqual([one?.balance, other?.balance], [1_000n + 60n * 2n, 0n]);
    assert.equal(one?.version, 1n + 60n * 3n);
    assert.deepEqual((await verifyPostgres(url)).faults, []);
  });

  test("on PostgreSQL a database of every released schema is brought up to date", async (t) => {
    for (const released of releasedDatabases) {
      const url = await database();
      const client = new pg.Client(url);
      await client.connect();
      const dialect = { integer: "BIGINT", bytes: "BYTEA", strict: "", clustered: "" };
      for (const { sql, values } of released.statements(dialect)) {
        await client.query(sql, [...values]);
      }
      await client.end();
      await continueReleased(await openStore(t, url));
    }
  });

  test("S59: one request sent to two instances at once takes effect once, with one answer", async (t) => {
    const url = await database();
    const stores = await Promise.all([openStore(t, url), openStore(t, url)]);
    await stores[0]?.execute(openCommand());
    for (let round = 0; round < 10; round += 1) {
      const deposit = depositCommand(7n);
      const outcomes = await Promise.all(
        stores.map((store, index) =>
          store.execute({ ...deposit, operationId: `${round}-${index}` }),
        ),
      );
      assert.equal(outcomes.filter(({ replayed }) => replayed).length, 1);
    }
    assert.equal((await stores[1]?.account(checking))?.balance, 70n);
  });

  test("on PostgreSQL a broken invariant stops the writing, and the verification names it", async (t) => {
    const url = await database();
    const store = await openStore(t, url);
    await store.execute(openCommand());
    await store.execute(depositCommand(5n));
    await query(url, "UPDATE accounts SET version = 0 WHERE kind = 'customer'");
    assert.match((await verifyPostgres(url)).faults.join(), /version 0, but 1 entries/);
    await assert.rejects(store.execute(depositCommand(1n)), { code: "LEDGER_BROKEN" });
    assert.equal(store.fault, "LEDGER_BROKEN");
    await assert.rejects(store.execute(openCommand({ account: savings })), {
      code: "LEDGER_BROKEN",
    });
  });

  test("on PostgreSQL too a database keeps its mode and its schema", async (t) => {
    const url = await database();
    await openStore(t, url);
    const plain = createPostgresStore({ url, mode: "plaintext" });
    await assert.rejects(plain, { code: "STORE_MODE_MISMATCH" });
    await query(url, "UPDATE migrations SET checksum = 'x'");
    await assert.rejects(openStore(t, url), { code: "STORE_CHANGED" });
    await query(url, "UPDATE migrations SET version = 9999");
    await assert.rejects(openStore(t, url), { code: "STORE_TOO_NEW" });
  });

  test("a PostgreSQL that is not there stops the start, and its password is not told", async (t) => {
    await assert.rejects(
      openStore(t, "postgres://bank:secret@127.0.0.1:1/none"),
      (error: Error) => {
        assert.match(String("code" in error && error.code), /STORE_UNREADABLE/);
        assert.doesNotMatch(error.message, /secret/);
        return true;
      },
    );
  });
}

const checking = { owner: alice, accountId: "12345" };
const savings = { owner: alice, accountId: "savings" };

function back(minorUnits: bigint) {
  return transferCommand(minorUnits, { from: savings, to: checking });
}

async function query(url: string, sql: string): Promise<void> {
  const client = new pg.Client(url);
  await client.connect();
  try {
    await client.query(sql);
  } finally {
    await client.end();
  }
}
