// Two banks on one PostgreSQL, killed in turns under load: BANK_WORKLOAD_SEED, BANK_WORKLOAD_OPERATIONS,
// BANK_WORKLOAD_KILLS.
import assert from "node:assert/strict";
import { randomInt } from "node:crypto";
import { test } from "node:test";
import { BankService } from "../src/gen/bank/v1/bank_pb.ts";
import { verifyPostgres } from "../src/store/postgres.ts";
import { cents, change } from "./support/fake-bank.ts";
import { goneAndBack } from "./support/gone-and-back.ts";
import { startPostgres } from "../../../test/support/postgres.ts";
import { addressIn, probe } from "./support/probe.ts";
import { authority, serveBank } from "./support/served-bank.ts";
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

test(
  "the same through gRPC: probes see it not ready but live, and the same request counts once",
  { skip },
  async (t) => {
    assert.ok(postgres.skip === false);
    const settings = { DATABASE_URL: await postgres.database(), HEALTH_ADDRESS: "127.0.0.1:0" };
    const served = await serveBank(t, settings);
    const address = addressIn(served, "health");
    const asked = async (service: string): Promise<boolean> =>
      (await probe(address, { path: "/grpc.health.v1.Health/Check", service })).serving;
    const ready = async (wanted: boolean): Promise<void> => {
      const start = performance.now();
      while ((await asked("")) !== wanted) {
        assert.ok(performance.now() - start < 15_000, `readiness does not become ${wanted}`);
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    };
    const client = await served.client(BankService, authority.issue({ name: "alice" }));
    const account = { accountId: "12345" };
    await client.createAccount(change({ ...account, currencyCode: "USD" }));
    await client.deposit(change({ ...account, amount: cents(5n) }));
    assert.deepEqual([await asked(""), await asked("live")], [true, true]);
    await postgres.stop();
    const deposit = change({ ...account, amount: cents(7n) });
    await assert.rejects(client.deposit(deposit), { code: "UNAVAILABLE" });
    await ready(false);
    assert.equal(await asked("live"), true);
    await postgres.start();
    const start = performance.now();
    await ready(true);
    t.diagnostic(`ready ${Math.round(performance.now() - start)} ms after the database was`);
    await client.deposit(deposit);
    await client.deposit(deposit);
    assert.equal((await client.getBalance(account)).balance?.amount?.minorUnits, 12n);
  },
);
