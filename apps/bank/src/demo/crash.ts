import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { BankService } from "../gen/bank/v1/bank_pb.ts";
import { formatAmount } from "../money.ts";
import type { World } from "./world.ts";

/** The bank is killed the moment it has acknowledged a deposit; nothing is lost, and nothing counts twice. */
export async function surviveKill(world: World): Promise<void> {
  const { narrator } = world;
  narrator.step("kill -9");
  const alice = await world.connect(BankService, "alice");
  const deposit = {
    requestId: randomUUID(),
    accountId: "12345",
    amount: { minorUnits: 4_200n, currencyCode: "USD" },
    description: "just in time",
  };
  const { entry } = await alice.deposit(deposit);
  const { pid } = world.bank();
  await world.bank().end("SIGKILL");
  narrator.say(`alice deposits 42.00; the bank says yes; process ${pid} is killed at once`);

  const restarted = await world.startBank();
  narrator.say(`the bank starts again as process ${restarted.pid}`);
  const again = await world.connect(BankService, "alice");
  const { balance } = await again.getBalance({ accountId: "12345" });
  assert.ok(balance?.amount !== undefined);
  assert.deepEqual(balance.amount.minorUnits, 79_200n);
  narrator.proven(
    `her balance is ${formatAmount(balance.amount)} USD: what was acknowledged is there`,
  );

  let hit = false;
  const repeated = await again.deposit(deposit, {
    onTrailers: (trailers) => {
      hit = trailers.get("idempotency-hit") === "true";
    },
  });
  assert.deepEqual(repeated.entry, entry);
  assert.ok(hit, "the retry was not recognised");
  const after = await again.getBalance({ accountId: "12345" });
  assert.deepEqual(after.balance, balance);
  narrator.proven(
    "she sends the same request once more: the same reply, and the money counts once",
  );
}
