// The workload at length: BANK_WORKLOAD_SEED, BANK_WORKLOAD_OPERATIONS (per client), BANK_WORKLOAD_KILLS.
import assert from "node:assert/strict";
import { randomInt } from "node:crypto";
import { test } from "node:test";
import { verifySqlite } from "../src/store/sqlite-maintenance.ts";
import { checkHistory } from "./workload/check.ts";
import { runSchedule } from "./workload/run.ts";
import { createSchedule } from "./workload/schedule.ts";

const size = {
  seed: Number(process.env["BANK_WORKLOAD_SEED"] ?? randomInt(2 ** 31)),
  clients: 8,
  accounts: 5,
  operationsPerClient: Number(process.env["BANK_WORKLOAD_OPERATIONS"] ?? 500),
  kills: Number(process.env["BANK_WORKLOAD_KILLS"] ?? 8),
};

test("thousands of operations and many kills: conserved, durable, exactly once, linearizable", async (t) => {
  t.diagnostic(`BANK_WORKLOAD_SEED=${size.seed}`);
  const run = await runSchedule(t, createSchedule(size));
  t.diagnostic(`${run.history.length} operations, ${run.kills} kills`);
  assert.equal(run.history.length, size.clients * size.operationsPerClient);
  assert.equal(run.kills, size.kills);
  assert.deepEqual(checkHistory(run.history, run.statements), []);
  assert.deepEqual(verifySqlite(run.databaseUrl.slice("sqlite:".length)).faults, []);
});
