import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import * as fc from "fast-check";
import { emptyDigest, entryDigest, move } from "../src/ledger.ts";
import type { AccountState } from "../src/ledger.ts";

const maximum = 2n ** 63n - 1n;

test("a move makes two entries that sum to zero", () => {
  const moved = move(account("a", 100n), account("b", 7n), posting(30n));
  assert.ok(moved.ok);
  assert.equal(moved.from.entry.amount + moved.to.entry.amount, 0n);
  assert.deepEqual([moved.from.account.balance, moved.to.account.balance], [70n, 37n]);
  assert.deepEqual([moved.from.account.version, moved.to.account.version], [1n, 1n]);
  assert.deepEqual(moved.from.entry.counterparty, { owner: "o", accountId: "b" });
});

test("a customer may spend the last unit and not one more", () => {
  assert.equal(move(account("a", 100n), account("b", 0n), posting(100n)).ok, true);
  assert.deepEqual(move(account("a", 100n), account("b", 0n), posting(101n)), {
    ok: false,
    refusal: "INSUFFICIENT_FUNDS",
  });
});

test("the cash account may go below zero, down to the end of int64", () => {
  const cash = { ...account("cash-usd", 0n), kind: "cash" as const };
  assert.equal(move(cash, account("a", 0n), posting(maximum)).ok, true);
  const exhausted = { ...cash, balance: -maximum };
  assert.equal(move(exhausted, account("a", 0n), posting(1n)).ok, true);
  assert.deepEqual(move(exhausted, account("a", 0n), posting(2n)), {
    ok: false,
    refusal: "BALANCE_OUT_OF_RANGE",
  });
});

test("a balance over int64 is refused", () => {
  assert.deepEqual(move(account("a", 1n), account("b", maximum), posting(1n)), {
    ok: false,
    refusal: "BALANCE_OUT_OF_RANGE",
  });
});

test("money of another currency is refused, on either side", () => {
  const euros = { ...account("e", 100n), currencyCode: "EUR" };
  const refused = { ok: false, refusal: "CURRENCY_MISMATCH" };
  assert.deepEqual(move(euros, account("b", 0n), posting(1n)), refused);
  assert.deepEqual(move(account("a", 1n), euros, posting(1n)), refused);
});

test("amounts of zero and less, and an account to itself, are wrong use", () => {
  assert.throws(() => move(account("a", 1n), account("b", 0n), posting(0n)), TypeError);
  assert.throws(() => move(account("a", 1n), account("b", 0n), posting(-1n)), TypeError);
  assert.throws(() => move(account("a", 1n), account("a", 1n), posting(1n)), TypeError);
});

test("the digest of an entry is the SHA-256 that bank.proto spells out", () => {
  const moved = move(account("a", 100n), account("b", 0n), { ...posting(30n), description: "é" });
  assert.ok(moved.ok);
  const integers = [1n, -30n, 70n, 1_700_000_000_000n].map((value) => {
    const bytes = Buffer.alloc(8);
    bytes.writeBigInt64BE(value);
    return bytes;
  });
  const texts = ["USD", "operation", "o", "b", "é"].flatMap((text) => {
    const bytes = Buffer.from(text);
    return [Buffer.from([0, 0, 0, bytes.length]), bytes];
  });
  const expected = createHash("sha256")
    .update(Buffer.concat([Buffer.alloc(32), ...integers, Buffer.from([3]), ...texts]))
    .digest();
  assert.deepEqual(Buffer.from(moved.from.entry.digest), expected);
});

test("two entries that differ in any field have different digests", () => {
  const moved = move(account("a", 100n), account("b", 0n), posting(30n));
  assert.ok(moved.ok);
  const { entry } = moved.from;
  const variants = [
    entry,
    { ...entry, sequence: 2n },
    { ...entry, amount: -31n },
    { ...entry, balance: 71n },
    { ...entry, postedAt: 1n },
    { ...entry, kind: "withdrawal" as const },
    { ...entry, currencyCode: "EUR" },
    { ...entry, operationId: "other" },
    { ...entry, counterparty: { owner: "ob", accountId: "" } },
    { ...entry, counterparty: undefined },
    { ...entry, description: "x" },
  ];
  const digests = variants.map((one) => Buffer.from(entryDigest(emptyDigest, one)).toString("hex"));
  digests.push(Buffer.from(entryDigest(new Uint8Array(32).fill(1), entry)).toString("hex"));
  assert.equal(new Set(digests).size, digests.length);
});

test("whatever is moved, the total stays, no customer is below zero and versions count entries", () => {
  const names = ["cash-usd", "a", "b", "c"];
  const index = fc.integer({ min: 0, max: names.length - 1 });
  const step = fc.record({
    from: index,
    offset: fc.integer({ min: 1, max: names.length - 1 }),
    amount: fc.oneof(fc.bigInt({ min: 1n, max: 1000n }), fc.bigInt({ min: 1n, max: maximum })),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const accounts = names.map((name, at): AccountState => ({
        ...account(name, 0n),
        kind: at === 0 ? "cash" : "customer",
      }));
      const model = names.map(() => 0n);
      const counts = names.map(() => 0n);
      for (const { from, offset, amount } of steps) {
        const to = (from + offset) % names.length;
        const moved = move(at(accounts, from), at(accounts, to), posting(amount));
        const left = at(model, from) - amount;
        const reached = at(model, to) + amount;
        const expected = (from === 0 ? left >= -maximum - 1n : left >= 0n) && reached <= maximum;
        assert.equal(moved.ok, expected);
        if (!moved.ok) continue;
        [accounts[from], accounts[to]] = [moved.from.account, moved.to.account];
        [model[from], model[to]] = [left, reached];
        [counts[from], counts[to]] = [at(counts, from) + 1n, at(counts, to) + 1n];
      }
      assert.deepEqual(
        accounts.map(({ balance }) => balance),
        model,
      );
      assert.deepEqual(
        accounts.map(({ version }) => version),
        counts,
      );
      assert.equal(
        model.reduce((sum, balance) => sum + balance, 0n),
        0n,
      );
    }),
  );
});

function at<T>(list: readonly T[], index: number): T {
  const value = list[index];
  assert.ok(value !== undefined);
  return value;
}

function account(accountId: string, balance: bigint): AccountState {
  return {
    key: accountId,
    name: { owner: "o", accountId },
    kind: "customer",
    currencyCode: "USD",
    balance,
    version: 0n,
    digest: emptyDigest,
    openedAt: 0n,
  };
}

function posting(minorUnits: bigint): Parameters<typeof move>[2] {
  return {
    operationId: "operation",
    kind: "transfer",
    amount: { minorUnits, currencyCode: "USD" },
    postedAt: 1_700_000_000_000n,
    description: "",
  };
}
