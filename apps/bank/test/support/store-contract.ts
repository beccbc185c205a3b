// What every store must do, run on each of them.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { TestContext } from "node:test";
import type { BankStore } from "../../src/store/store.ts";
import { alice, bob, depositCommand, fingerprintOf, openCommand } from "./commands.ts";
import { transferCommand, withdrawalCommand } from "./commands.ts";

/** The tests of the contract in store.ts; `openStore` gives a new, empty store that is closed after the test. */
export function testStoreContract(openStore: (t: TestContext) => Promise<BankStore>): void {
  test("opens, deposits, withdraws, transfers, and reads it all back", async (t) => {
    const store = await openStore(t);
    await store.execute(openCommand());
    await store.execute(openCommand({ account: savings }));
    await store.execute(depositCommand(100n, { description: "wages" }));
    await store.execute(withdrawalCommand(30n));
    const moved = await store.execute(transferCommand(20n, {}));
    assert.equal(moved.result, "moved");
    assert.equal((await store.account(checking))?.balance, 50n);
    assert.equal((await store.account(savings))?.balance, 20n);
    const entries = await store.entries(checking, {
      afterSequence: 0n,
      lastSequence: 100n,
      limit: 10,
    });
    assert.deepEqual(
      entries.map(({ sequence, kind, amount, balance, counterparty, description }) => [
        [sequence, kind, amount, balance],
        [counterparty, description],
      ]),
      [
        [
          [1n, "deposit", 100n, 100n],
          [undefined, "wages"],
        ],
        [
          [2n, "withdrawal", -30n, 70n],
          [undefined, ""],
        ],
        [
          [3n, "transfer", -20n, 50n],
          [savings, ""],
        ],
      ],
    );
    assert.deepEqual((await store.verify()).faults, []);
  });

  test("pages hold what lies between two sequence numbers, up to the limit", async (t) => {
    const store = await openStore(t);
    await store.execute(openCommand());
    await Promise.all(Array.from({ length: 10 }, () => store.execute(depositCommand(1n))));
    const range = { afterSequence: 3n, lastSequence: 8n, limit: 4 };
    const page = await store.entries(checking, range);
    assert.deepEqual(
      page.map(({ sequence }) => sequence),
      [4n, 5n, 6n, 7n],
    );
    const rest = await store.entries(checking, { ...range, afterSequence: 7n });
    assert.deepEqual(
      rest.map(({ sequence }) => sequence),
      [8n],
    );
  });

  test("what cannot be done is refused and moves nothing", async (t) => {
    const store = await openStore(t);
    await store.execute(openCommand());
    await store.execute(openCommand({ account: savings, currencyCode: "EUR" }));
    const refusals = [
      [withdrawalCommand(1n), "INSUFFICIENT_FUNDS"],
      [depositCommand(1n, { to: { owner: alice, accountId: "absent" } }), "ACCOUNT_NOT_FOUND"],
      [depositCommand(1n, { to: { owner: bob, accountId: "12345" } }), "ACCOUNT_NOT_FOUND"],
      [depositCommand(1n, { to: savings }), "CURRENCY_MISMATCH"],
      [openCommand(), "ACCOUNT_EXISTS"],
      [openCommand({ currencyCode: "EUR" }), "ACCOUNT_EXISTS"],
    ] as const;
    for (const [command, code] of refusals) {
      const outcome = await store.execute(command);
      assert.deepEqual(outcome, { result: "refused", replayed: false, code });
    }
    const { accounts, entries, faults } = await store.verify();
    assert.deepEqual({ accounts, entries, faults }, { accounts: 2n, entries: 0n, faults: [] });
    assert.equal((await store.account(checking))?.currencyCode, "USD");
  });

  test("S58: the same id of two owners is two accounts", async (t) => {
    const store = await openStore(t);
    const bobs = { owner: bob, accountId: "12345" };
    await store.execute(openCommand());
    await store.execute(openCommand({ requester: bob, account: bobs, currencyCode: "EUR" }));
    await store.execute(depositCommand(5n));
    assert.equal((await store.account(checking))?.balance, 5n);
    assert.equal((await store.account(bobs))?.balance, 0n);
    assert.equal((await store.account(bobs))?.currencyCode, "EUR");
  });

  test("S59: a request carried out before gets the first outcome and changes nothing", async (t) => {
    const store = await openStore(t);
    const open = openCommand();
    await store.execute(open);
    const deposit = depositCommand(100n);
    const first = await store.execute(deposit);
    await store.execute(depositCommand(1n));
    const again = await store.execute({ ...deposit, operationId: "another", at: deposit.at + 99n });
    assert.deepEqual(structuredClone(again), structuredClone({ ...first, replayed: true }));
    const reopened = await store.execute({ ...open, operationId: "another" });
    assert.equal(reopened.result, "opened");
    assert.equal(reopened.replayed, true);
    assert.equal((await store.account(checking))?.balance, 101n);
  });

  test("S59: the same request twice in one batch takes effect once", async (t) => {
    const store = await openStore(t);
    await store.execute(openCommand());
    const deposit = depositCommand(100n);
    const outcomes = await Promise.all([store.execute(deposit), store.execute(deposit)]);
    assert.deepEqual(
      outcomes.map(({ replayed }) => replayed),
      [false, true],
    );
    assert.equal((await store.account(checking))?.balance, 100n);
  });

  test("S59: a request id used for other content is refused", async (t) => {
    const store = await openStore(t);
    await store.execute(openCommand());
    const reused = { result: "refused", replayed: false, code: "REQUEST_ID_REUSED" };
    const deposit = depositCommand(100n);
    await store.execute(deposit);
    const other = { ...deposit, fingerprint: fingerprintOf("other") };
    assert.deepEqual(await store.execute(other), reused);
    const refusedFirst = withdrawalCommand(1000n);
    await store.execute(refusedFirst);
    const otherRefused = { ...refusedFirst, fingerprint: fingerprintOf("other") };
    assert.deepEqual(await store.execute(otherRefused), reused);
  });

  test("S59: a request id is the requester's and the method's own", async (t) => {
    const store = await openStore(t);
    await store.execute(openCommand());
    const deposit = depositCommand(100n);
    await store.execute(deposit);
    const mallory = await store.execute({
      ...deposit,
      requester: "spiffe://handfast.test/mallory",
      operationId: "another",
    });
    assert.equal(mallory.replayed, false);
    const { requestId } = deposit;
    assert.equal((await store.execute(withdrawalCommand(1n, { requestId }))).replayed, false);
  });

  test("S60: a refusal is remembered for a day, then decided anew", async (t) => {
    const store = await openStore(t);
    await store.execute(openCommand());
    const withdrawal = withdrawalCommand(5n);
    await store.execute(withdrawal);
    await store.execute(depositCommand(100n));
    const day = 24n * 60n * 60n * 1000n;
    const remembered = await store.execute({ ...withdrawal, at: withdrawal.at + day - 1n });
    assert.deepEqual(remembered, {
      result: "refused",
      replayed: true,
      code: "INSUFFICIENT_FUNDS",
    });
    const anew = await store.execute({ ...withdrawal, at: withdrawal.at + day });
    assert.deepEqual([anew.result, anew.replayed], ["moved", false]);
  });

  test("watchers hear of each change of their account and of no other", async (t) => {
    const store = await openStore(t);
    await store.execute(openCommand());
    await store.execute(openCommand({ account: savings }));
    let heard = 0;
    const stop = store.watch(savings, () => {
      heard += 1;
    });
    await store.execute(depositCommand(9n));
    assert.equal(heard, 0);
    const transfer = transferCommand(5n, {});
    await store.execute(transfer);
    await store.execute(transfer);
    assert.equal(heard, 1);
    stop();
    await store.execute(transferCommand(1n, {}));
    assert.equal(heard, 1);
  });
}

const checking = { owner: alice, accountId: "12345" };
const savings = { owner: alice, accountId: "savings" };
