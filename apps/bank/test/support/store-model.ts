// The store against a model of a few lines: whatever commands come, in whatever batches.
import assert from "node:assert/strict";
import * as fc from "fast-check";
import type { BankStore, Command, Outcome } from "../../src/store/store.ts";
import { depositCommand, fingerprintOf, openCommand } from "./commands.ts";
import { transferCommand, withdrawalCommand } from "./commands.ts";

/** Runs random commands in random batches against a store and the model. */
export async function compareWithModel(store: BankStore, runs: number): Promise<void> {
  // One model for all runs, each with accounts of an owner of its own.
  const model = createModel();
  let run = 0;
  const batches = fc.array(fc.array(step(), { minLength: 1, maxLength: 8 }), { maxLength: 12 });
  await fc.assert(
    fc.asyncProperty(batches, async (steps) => {
      run += 1;
      await compare(store, { model, owner: `owner-${run}`, batches: steps });
    }),
    { numRuns: runs },
  );
  assert.deepEqual((await store.verify()).faults, []);
}

async function compare(
  store: BankStore,
  run: { model: Model; owner: string; batches: readonly (readonly Step[])[] },
): Promise<void> {
  const { model, owner } = run;
  const sent: Command[] = [];
  for (const batch of run.batches) {
    const commands = batch.map((one) => commandOf(one, { owner, sent }));
    sent.push(...commands);
    const expected = commands.map((command) => model.execute(command));
    const outcomes = await Promise.all(commands.map((command) => store.execute(command)));
    assert.deepEqual(outcomes.map(summary), expected);
  }
  for (const accountId of ["a", "b", "c"]) {
    const account = await store.account({ owner, accountId });
    assert.equal(account?.balance, model.balances.get(`${owner} ${accountId}`));
  }
}

interface Step {
  readonly kind: "open" | "deposit" | "withdrawal" | "transfer" | "again" | "changed";
  readonly account: string;
  readonly other: string;
  readonly amount: bigint;
  readonly currencyCode: string;
  readonly pick: number;
}

function step(): fc.Arbitrary<Step> {
  const account = fc.constantFrom("a", "b", "c");
  return fc.record({
    kind: fc.constantFrom(
      "open",
      "deposit",
      "deposit",
      "withdrawal",
      "transfer",
      "again",
      "changed",
    ),
    account,
    other: account,
    amount: fc.oneof(fc.bigInt({ min: 1n, max: 100n }), fc.bigInt({ min: 1n, max: maximum })),
    currencyCode: fc.constantFrom("USD", "USD", "USD", "EUR"),
    pick: fc.nat(),
  });
}

function commandOf(
  one: Step,
  { owner, sent }: { owner: string; sent: readonly Command[] },
): Command {
  const account = { owner, accountId: one.account };
  const other = { owner, accountId: one.other === one.account ? `${one.other}2` : one.other };
  const amount = { minorUnits: one.amount, currencyCode: one.currencyCode };
  const earlier = sent[one.pick % Math.max(sent.length, 1)];
  switch (one.kind) {
    case "deposit":
      return depositCommand(one.amount, { to: account, amount });
    case "withdrawal":
      return withdrawalCommand(one.amount, { from: account, amount });
    case "transfer":
      return transferCommand(one.amount, { from: account, to: other, amount });
    case "again":
      return earlier ?? openCommand({ account, currencyCode: one.currencyCode });
    case "changed":
      return earlier === undefined
        ? openCommand({ account, currencyCode: one.currencyCode })
        : { ...earlier, fingerprint: fingerprintOf("changed") };
    case "open":
      return openCommand({ account, currencyCode: one.currencyCode });
  }
}

type Model = ReturnType<typeof createModel>;

function createModel() {
  const balances = new Map<string, bigint>();
  const currencies = new Map<string, string>();
  const cash = new Map<string, bigint>();
  const replies = new Map<string, { fingerprint: Uint8Array; summary: string }>();
  const decide = (command: Command): string => {
    if (command.kind === "open") {
      const key = `${command.account.owner} ${command.account.accountId}`;
      if (balances.has(key)) return "ACCOUNT_EXISTS";
      balances.set(key, 0n);
      currencies.set(key, command.currencyCode);
      return "opened";
    }
    const { minorUnits, currencyCode } = command.amount;
    const keys = [command.from, command.to].map(
      (name) => name && `${name.owner} ${name.accountId}`,
    );
    const [from, to] = keys;
    if (keys.some((key) => key !== undefined && !balances.has(key))) return "ACCOUNT_NOT_FOUND";
    if (keys.some((key) => key !== undefined && currencies.get(key) !== currencyCode)) {
      return "CURRENCY_MISMATCH";
    }
    const read = (key: string | undefined): bigint =>
      (key === undefined ? cash.get(currencyCode) : balances.get(key)) ?? 0n;
    const left = read(from) - minorUnits;
    const reached = read(to) + minorUnits;
    if (from !== undefined && left < 0n) return "INSUFFICIENT_FUNDS";
    if (left < -maximum - 1n || reached > maximum) return "BALANCE_OUT_OF_RANGE";
    if (from === undefined) cash.set(currencyCode, left);
    else balances.set(from, left);
    if (to === undefined) cash.set(currencyCode, reached);
    else balances.set(to, reached);
    return `moved ${from === undefined ? "-" : left} ${to === undefined ? "-" : reached}`;
  };
  return {
    balances,
    execute(command: Command): string {
      const key = `${command.method} ${command.requestId}`;
      const earlier = replies.get(key);
      if (earlier !== undefined) {
        const same = Buffer.from(earlier.fingerprint).equals(command.fingerprint);
        return same ? `${earlier.summary} again` : "REQUEST_ID_REUSED";
      }
      const result = decide(command);
      // An account that exists exists for good: this refusal needs no memory.
      if (result !== "ACCOUNT_EXISTS") {
        replies.set(key, { fingerprint: command.fingerprint, summary: result });
      }
      return result;
    },
  };
}

function summary(outcome: Outcome): string {
  const again = outcome.replayed ? " again" : "";
  switch (outcome.result) {
    case "opened":
      return `opened${again}`;
    case "refused":
      return `${outcome.code}${again}`;
    case "moved":
      return `moved ${outcome.from?.balance ?? "-"} ${outcome.to?.balance ?? "-"}${again}`;
  }
}

const maximum = 2n ** 63n - 1n;
