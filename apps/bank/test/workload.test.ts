// Several clients move money over gRPC and mutual TLS while the bank is killed and started again. All of it
// follows from a seed, which BANK_WORKLOAD_SEED sets. Short here; workload.slow.ts is the long run.
import assert from "node:assert/strict";
import { randomInt } from "node:crypto";
import { test } from "node:test";
import { verifySqlite } from "../src/store/sqlite-maintenance.ts";
import { checkHistory } from "./workload/check.ts";
import { runSchedule } from "./workload/run.ts";
import { createSchedule } from "./workload/schedule.ts";

const size = {
  seed: Number(process.env["BANK_WORKLOAD_SEED"] ?? randomInt(2 ** 31)),
  clients: 4,
  accounts: 3,
  operationsPerClient: 20,
  kills: 1,
};

test("money is conserved, nothing acknowledged is lost and nothing counts twice, killed as it may be", async (t) => {
  t.diagnostic(`BANK_WORKLOAD_SEED=${size.seed}`);
  const schedule = createSchedule(size);
  assert.deepEqual(createSchedule(size), schedule);
  const run = await runSchedule(t, schedule);
  t.diagnostic(`${run.history.length} operations, ${run.kills} kills`);
  assert.equal(run.history.length, size.clients * size.operationsPerClient);
  assert.equal(run.kills, size.kills);
  assert.deepEqual(checkHistory(run.history, run.statements), []);
  assert.deepEqual(verifySqlite(run.databaseUrl.slice("sqlite:".length)).faults, []);

  // The checker is no rubber stamp: it names what is wrong with a history that was tampered with.
  const { history, statements } = run;
  const moved = history.find(
    ({ operation, result }) => operation.kind === "deposit" && result.kind === "moved",
  );
  const read = history.find(({ result }) => result.kind === "read");
  assert.ok(moved?.result.kind === "moved" && read?.result.kind === "read");
  const cut = new Map([...statements].map(([account, entries]) => [account, entries.slice(0, -1)]));
  const doctored = [
    [history.filter((one) => one !== moved), statements, /the accounts hold/],
    [history, cut, /entries, expected|is not what was acknowledged/],
    [[...history, { ...moved, result: { kind: "refused", code: "X" } }], statements, /expected 0/],
    [[...history, { ...read, result: { ...read.result, balance: -7n } }], statements, /read -7 at/],
    [
      [
        ...history,
        { ...read, start: Infinity, result: { ...read.result, version: 0n, balance: 0n } },
      ],
      statements,
      /version 0 after/,
    ],
  ] as const;
  for (const [told, stated, fault] of doctored) {
    assert.match(checkHistory(told as typeof history, stated).join("\n"), fault);
  }
});
