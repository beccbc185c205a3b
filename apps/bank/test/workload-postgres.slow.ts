// Two banks on one PostgreSQL, killed in turns under load: BANK_WORKLOAD_SEED, BANK_WORKLOAD_OPERATIONS,
// BANK_WORKLOAD_KILLS.
import assert from "node:assert/strict";
import { randomInt } from "node:crypto";
import { test } from "node:test";
import { verifyPostgres } from "../src/store/postgres.ts";
import { goneAndBack } from "./support/gone-and-back.ts";
import { startPostgres } from "../../../test/support/postgres.ts";
import { checkHistory } from "./workload/check.ts";
import { createInstances } from "./workload/instances.ts";
import { runOn, workloadSettings } from "./workload/run.ts";
import { createSchedule } from "./workload/schedule.ts";

const size = {
  seed: Number(process.env["BANK_WORKLOAD_SEED"] ?? randomInt(2 ** 31)),
  clients: 8,
  accounts: 5,
  operationsPerClient: Number(process.env["BANK_WORKLOAD_OPERATIONS"] ?? 500),
  kills: Number(process.env["BANK_WORKLOAD_KILLS"] ?? 8),
};
const postgres = await startPostgres();
const { skip } = postgres;

test(
  "two instances and kills: conserved, durable, exactly once, linearizable",
  { skip },
  async (t) => {
    assert.ok(postgres.skip === false);
    t.diagnostic(`BANK_WORKLOAD_SEED=${size.seed}`);
    const DATABASE_URL = await postgres.database();
    const settings = { ...workloadSettings(t), DATABASE_URL };
    const operations = size.clients * size.operationsPerClient;
    const callsPerKill = Math.floor(operations / (size.kills + 1));
    const instances = createInstances(t, settings, { kills: size.kills, callsPerKill });
    const run = await runOn(instances, createSchedule(size));
    t.diagnostic(`${run.history.length} operations, ${run.kills} kills`);
    assert.equal(run.history.length, operations);
    assert.ok(run.kills > 0);
    assert.deepEqual(checkHistory(run.history, run.statements), []);
    assert.deepEqual((await verifyPostgres(DATABASE_URL)).faults, []);
  },
);

test(
  "a PostgreSQL that goes away and comes back: calls fail as UNAVAILABLE, then go on",
  { skip },
  async (t) => {
    assert.ok(postgres.skip === false);
    const { database, stop, start } = postgres;
    await goneAndBack(t, { url: await database(), stop, start });
  },
);
