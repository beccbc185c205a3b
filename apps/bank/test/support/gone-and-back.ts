import assert from "node:assert/strict";
import type { TestContext } from "node:test";
import { createPostgresStore } from "../../src/store/postgres.ts";
import { alice, depositCommand, openCommand } from "./commands.ts";

/** Takes the database away under a store that works, and brings it back. */
export async function goneAndBack(
  t: TestContext,
  database: { url: string; stop(): Promise<void>; start(): Promise<void> },
): Promise<void> {
  const store = await createPostgresStore({ url: database.url, mode: "mtls" });
  t.after(() => store.close());
  await store.execute(openCommand());
  await store.execute(depositCommand(5n));
  await database.stop();
  const deposit = depositCommand(7n);
  await assert.rejects(store.execute(deposit), { code: "STORE_UNAVAILABLE" });
  const checking = { owner: alice, accountId: "12345" };
  await assert.rejects(store.account(checking), { code: "STORE_UNAVAILABLE" });
  assert.equal(store.fault, "STORE_UNAVAILABLE");
  await database.start();
  const start = performance.now();
  while (store.fault !== undefined) {
    assert.ok(performance.now() - start < 10_000, "the store does not find its database again");
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  t.diagnostic(`ready ${Math.round(performance.now() - start)} ms after the database was`);
  assert.equal((await store.execute(deposit)).result, "moved");
  assert.equal((await store.account(checking))?.balance, 12n);
  assert.deepEqual((await store.verify()).faults, []);
}
