// What the bank does under strain, with figures: ten times overload, a slow reader, SIGTERM in mid-stream, a
// disk that is full for a while.
import assert from "node:assert/strict";
import { once } from "node:events";
import { join } from "node:path";
import { test } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { GrpcError, readRetryInfo } from "@handfast/grpc";
import type { Client } from "@handfast/grpc";
import { readStatement } from "../src/client/read-statement.ts";
import { BankService } from "../src/gen/bank/v1/bank_pb.ts";
import { createSqliteStore } from "../src/store/sqlite.ts";
import { verifySqlite } from "../src/store/sqlite-maintenance.ts";
import { alice as aliceId, depositCommand, openCommand } from "./support/commands.ts";
import { cents, change } from "./support/fake-bank.ts";
import { authority, bankFiles, clientOf, serveBank } from "./support/served-bank.ts";
import { temporaryFolder } from "./support/temporary-folder.ts";
import { portOf, startBank } from "./workload/run.ts";

const alice = authority.issue({ name: "alice" });
const account = { accountId: "12345" };
const text = "x".repeat(140);

test("ten times overload: the store sheds with OVERLOADED, does not collapse, and recovers", async (t) => {
  const path = join(temporaryFolder(t), "bank.db");
  const store = await createSqliteStore({ path, mode: "mtls", maxWaiting: 500 });
  t.after(() => store.close());
  await store.execute(openCommand());
  const deposit = () => store.execute(depositCommand(1n));
  const usual = await rateOf(deposit, { callers: 64, ms: 1500 });
  assert.equal(usual.shed, 0);
  const strained = await rateOf(deposit, { callers: 10 * 500, ms: 4000 });
  const after = await rateOf(deposit, { callers: 64, ms: 1500 });
  t.diagnostic(`usual ${line(usual)}; overloaded ${line(strained)}; afterwards ${line(after)}`);
  assert.ok(strained.shed > 0, "nothing was shed");
  // A laden machine halves a rate by itself; a collapse would be a tenth.
  assert.ok(strained.perSecond > usual.perSecond / 4);
  assert.ok(after.perSecond > usual.perSecond / 4);
  assert.equal(after.shed, 0);
  const { balance } = (await store.account({ owner: aliceId, ...account })) ?? {};
  assert.equal(balance, BigInt(usual.done + strained.done + after.done));
  assert.deepEqual((await store.verify()).faults, []);
});

test("ten times overload through gRPC: RESOURCE_EXHAUSTED with RetryInfo, no collapse, nothing lost", async (t) => {
  const served = await serveBank(t, {}, { maxWaiting: 100 });
  const clients = await Promise.all(
    Array.from({ length: 10 }, () => served.client(BankService, alice)),
  );
  const [first] = clients;
  assert.ok(first !== undefined);
  await first.createAccount(change({ ...account, currencyCode: "USD" }));
  let retryInfos = 0;
  let turn = 0;
  const deposit = async (among: readonly Client<typeof BankService>[]): Promise<void> => {
    const client = among[(turn += 1) % among.length] ?? first;
    try {
      await client.deposit(change({ ...account, amount: cents(1n) }));
    } catch (error) {
      if (error instanceof GrpcError && readRetryInfo(error) !== undefined) retryInfos += 1;
      throw error;
    }
  };
  const usual = await rateOf(() => deposit([first]), { callers: 64, ms: 1500 });
  assert.equal(usual.shed, 0);
  const strained = await rateOf(() => deposit(clients), { callers: 640, ms: 4000 });
  const after = await rateOf(() => deposit([first]), { callers: 64, ms: 1500 });
  t.diagnostic(`usual ${line(usual)}; overloaded ${line(strained)}; afterwards ${line(after)}`);
  assert.ok(strained.shed > 0, "nothing was shed");
  assert.equal(retryInfos, strained.shed);
  assert.ok(strained.perSecond > usual.perSecond / 4);
  assert.ok(after.perSecond > usual.perSecond / 4);
  assert.equal(after.shed, 0);
  const { balance } = await first.getBalance(account);
  const acknowledged = BigInt(usual.done + strained.done + after.done);
  assert.equal(balance?.amount?.minorUnits, acknowledged);
});

test("a full disk through gRPC: UNAVAILABLE for what does not fit, reads go on, what was acknowledged is there", async (t) => {
  const served = await serveBank(t, {}, { maxPageCount: 60 });
  const client = await served.client(BankService, alice);
  await client.createAccount(change({ ...account, currencyCode: "USD" }));
  let acknowledged = 0n;
  const fill = async (): Promise<void> => {
    for (;;) {
      await client.deposit(change({ ...account, amount: cents(1n), description: text }));
      acknowledged += 1n;
    }
  };
  await assert.rejects(fill(), { code: "UNAVAILABLE" });
  assert.ok(acknowledged > 0n);
  assert.equal((await client.getBalance(account)).balance?.amount?.minorUnits, acknowledged);
  assert.equal(BigInt((await readStatement(client, "12345")).entries.length), acknowledged);
  await served.bank.stop();
  const path = served.settings.DATABASE_URL?.slice("sqlite:".length) ?? "";
  const { entries, faults } = verifySqlite(path);
  assert.deepEqual([entries, faults], [2n * acknowledged, []]);
  t.diagnostic(`full after ${acknowledged} deposits, all of them there, and read meanwhile`);
});

test("a disk that is full, and then is not: UNAVAILABLE with nothing changed, then as before", async (t) => {
  const path = join(temporaryFolder(t), "bank.db");
  const small = await createSqliteStore({ path, mode: "mtls", maxPageCount: 60 });
  await small.execute(openCommand());
  let acknowledged = 0n;
  let refused = depositCommand(1n, { description: text });
  const fill = async (): Promise<void> => {
    for (;;) {
      await small.execute(refused);
      acknowledged += 1n;
      refused = depositCommand(1n, { description: text });
    }
  };
  await assert.rejects(fill(), { code: "STORE_FULL" });
  await assert.rejects(small.execute(refused), { code: "STORE_FULL" });
  const checking = { owner: aliceId, ...account };
  assert.equal((await small.account(checking))?.balance, acknowledged);
  await small.close();
  // There is room again.
  const store = await createSqliteStore({ path, mode: "mtls" });
  t.after(() => store.close());
  const again = await store.execute(refused);
  assert.deepEqual([again.result, again.replayed], ["moved", false]);
  assert.equal((await store.account(checking))?.balance, acknowledged + 1n);
  assert.deepEqual((await store.verify()).faults, []);
  t.diagnostic(`full after ${acknowledged} deposits, all of them there`);
});

test("a reader of a long statement that stops reading costs the bank no memory, and others no time", async (t) => {
  const served = await serveBank(t);
  const client = await served.client(BankService, alice);
  await fillAccount(client, 10_000);
  const slow = client.streamStatement(account);
  await slow.next();
  const before = await settledMemory();
  const others = [];
  for (let index = 0; index < 20; index += 1) {
    const statement = (await served.client(BankService, alice)).streamStatement(account);
    await statement.next();
    others.push(statement);
  }
  const usual = await rateOf(() => client.getBalance(account), { callers: 16, ms: 1000 });
  const grown = ((await settledMemory()) - before) / 2 ** 20;
  t.diagnostic(
    `20 stalled readers of 10,000 lines: ${grown.toFixed(1)} MiB; others ${line(usual)}`,
  );
  // 10,000 lines are over 2 MiB for each of the readers, of which both ends are in this process.
  assert.ok(grown < 50, `${grown} MiB`);
  assert.equal(usual.shed, 0);
  for (const statement of [slow, ...others]) await statement.return?.();
  assert.equal((await readStatement(client, "12345")).entries.length, 10_000);
});

test("SIGTERM in mid-stream: what is under way comes to its end, what was acknowledged is there", async (t) => {
  const settings = bankFiles(t);
  const child = startBank(settings, undefined, "main");
  t.after(() => child.kill("SIGKILL"));
  const client = await clientOf(t, BankService, alice, await portOf(child));
  await fillAccount(client, 5_000);
  let acknowledged = 5_000;
  const depositing = async (): Promise<void> => {
    for (;;) {
      await client.deposit(change({ ...account, amount: cents(1n) }));
      acknowledged += 1;
    }
  };
  const deposits = Promise.allSettled(Array.from({ length: 8 }, depositing));
  const start = performance.now();
  let lines = 0;
  let closing: bigint | undefined;
  for await (const { part } of client.streamStatement(account)) {
    if (part.case === "opening") child.kill("SIGTERM");
    if (part.case === "page") lines += part.value.entries.length;
    if (part.case === "closing") closing = part.value.entryCount;
  }
  const ends = await deposits;
  const codes = ends.map((end) => (end.status === "rejected" ? codeOf(end.reason) : "none"));
  const [exitCode] = child.exitCode === null ? ((await once(child, "exit")) as [number]) : [0];
  const tookMs = Math.round(performance.now() - start);
  t.diagnostic(`${lines} lines to the end, stopped within ${tookMs} ms; calls then ${codes[0]}`);
  assert.equal(closing, BigInt(lines));
  assert.ok(lines >= 5_000);
  assert.equal(exitCode, 0);
  assert.ok(codes.every((code) => code === "UNAVAILABLE"));
  assert.ok(tookMs < 12_000);
  const { entries, faults } = verifySqlite(settings.DATABASE_URL.slice("sqlite:".length));
  assert.deepEqual(faults, []);
  // Each deposit has two entries; one more per caller may be there whose answer did not come.
  assert.ok(entries >= BigInt(2 * acknowledged) && entries <= BigInt(2 * (acknowledged + 8)));
});

interface Rate {
  readonly done: number;
  readonly shed: number;
  readonly perSecond: number;
}

/** Calls as fast as the callers can; one that is shed waits as long as its RetryInfo would say. */
async function rateOf(
  call: () => Promise<unknown>,
  { callers, ms }: { callers: number; ms: number },
): Promise<Rate> {
  let done = 0;
  let shed = 0;
  const start = performance.now();
  const caller = async (): Promise<void> => {
    while (performance.now() - start < ms) {
      try {
        await call();
        done += 1;
      } catch (error) {
        if (!shedCodes.has(codeOf(error))) throw error;
        shed += 1;
        await new Promise((resolve) => setTimeout(resolve, 1000));
      }
    }
  };
  await Promise.all(Array.from({ length: callers }, caller));
  return { done, shed, perSecond: (done / (performance.now() - start)) * 1000 };
}

function line({ shed, perSecond }: Rate): string {
  return `${perSecond.toFixed(0)} a second, ${shed} shed`;
}

async function fillAccount(client: Client<typeof BankService>, deposits: number): Promise<void> {
  await client.createAccount(change({ ...account, currencyCode: "USD" }));
  const one = () => client.deposit(change({ ...account, amount: cents(1n), description: text }));
  for (let made = 0; made < deposits; made += 50) {
    await Promise.all(Array.from({ length: 50 }, one));
  }
}

/** Bytes in use outside and inside the heap, after the rest was collected. */
async function settledMemory(): Promise<number> {
  await new Promise((resolve) => setTimeout(resolve, 200));
  setFlagsFromString("--expose-gc");
  runInNewContext("gc()");
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

function codeOf(error: unknown): string {
  if (error instanceof GrpcError) return error.code;
  return error instanceof Error && "code" in error ? String(error.code) : String(error);
}

/** Of the store, and of a call. */
const shedCodes: ReadonlySet<string> = new Set(["OVERLOADED", "RESOURCE_EXHAUSTED"]);
