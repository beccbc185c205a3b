import assert from "node:assert/strict";
import type { World } from "./world.ts";

/** An authority of one's own, in one command. */
export async function createAuthority(world: World): Promise<void> {
  world.narrator.step("An authority of our own");
  const { exitCode } = await world.handfast("ours", ["init"]);
  assert.equal(exitCode, 0, "handfast init failed");
}

/** One certificate for the bank and one for each of its clients. */
export async function issueCertificates(world: World): Promise<void> {
  world.narrator.step("A certificate for the bank and for each of its clients");
  const bank = await world.handfast("ours", ["issue", "bank", "--local"]);
  assert.equal(bank.exitCode, 0, "handfast issue bank failed");
  const clients = await world.handfast("ours", ["issue", "alice", "kiosk"]);
  assert.equal(clients.exitCode, 0, "handfast issue alice kiosk failed");
}
