import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { statSync } from "node:fs";
import { join } from "node:path";
import { GrpcError } from "@handfast/grpc";
import { BankService } from "../gen/bank/v1/bank_pb.ts";
import { formatAmount } from "../money.ts";
import { shownLogLine } from "./world.ts";
import type { World } from "./world.ts";

/** A revoked client's open connection is cut, others notice nothing, and her money stays hers. */
export async function cutRevokedClient(world: World): Promise<void> {
  const { narrator } = world;
  narrator.step("Alice's key was stolen: her certificate is revoked while it is in use");
  const alice = await world.connect(BankService, "alice");
  const bob = await world.connect(BankService, "bob");
  await bob.createAccount({ requestId: randomUUID(), accountId: "12345", currencyCode: "USD" });
  const [watch, bobsWatch] = [alice, bob].map((client) =>
    client.watchBalance({ accountId: "12345" }),
  );
  await watch?.next();
  await bobsWatch?.next();
  narrator.say("whoever holds it watches the balance, on a connection that was made long ago");
  const cut = cutOf(watch?.next());

  await world.handfast("ours", ["revoke", "alice", "--reason", "keyCompromise"]);
  const { error, at } = await cut;
  const published = statSync(join(world.crlDirectory(), "issuing-1.crl")).mtimeMs;
  narrator.show(`WatchBalance: ${error.code}: ${error.message}`);
  assert.equal(error.code, "UNAUTHENTICATED");
  assert.match(error.message, /^CERTIFICATE_REVOKED/);
  const afterMs = Math.round(at - published);
  assert.ok(afterMs < cutWithinMs, `the connection was cut after ${afterMs} ms`);
  const logged = await world.bank().logged(({ msg }) => msg === "session cut");
  narrator.say("the bank's log:");
  narrator.show(shownLogLine(logged));
  narrator.proven(`cut ${afterMs} ms after the list was there`);

  await bob.deposit({
    requestId: randomUUID(),
    accountId: "12345",
    amount: { minorUnits: 100n, currencyCode: "USD" },
  });
  assert.equal((await bobsWatch?.next())?.value?.balance?.version, 1n);
  await bobsWatch?.return?.();
  narrator.proven("bob's connection and his stream go on as if nothing had happened");
  await issueAnew(world);
}

async function issueAnew(world: World): Promise<void> {
  const { narrator } = world;
  await world.handfast("ours", ["issue", "alice", "--force"]);
  const alice = await world.connect(BankService, "alice");
  const { balance } = await alice.getBalance({ accountId: "12345" });
  assert.equal(balance?.amount?.minorUnits, 75_000n);
  const amount = formatAmount(balance.amount);
  narrator.proven(`with a new certificate alice has her ${amount} USD: the owner is an identity`);
}

/** How a stream ended, and when by the wall clock. */
async function cutOf(
  next: Promise<unknown> | undefined,
): Promise<{ error: GrpcError; at: number }> {
  try {
    await next;
  } catch (error) {
    if (error instanceof GrpcError) return { error, at: Date.now() };
    throw error;
  }
  throw new Error("the stream went on, it had to end");
}

/** Promised is a second from the news; a laden machine may need longer to tell us. */
const cutWithinMs = 2000;
