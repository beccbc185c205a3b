import type { World } from "./world.ts";

/** An authority of one's own, in one command. */
export async function createAuthority(world: World): Promise<void> {
  world.narrator.step("An authority of our own");
  await world.handfast("ours", ["init"]);
}

/** One certificate for the bank and one for each of its clients. */
export async function issueCertificates(world: World): Promise<void> {
  world.narrator.step("A certificate for the bank and for each of its clients");
  await world.handfast("ours", ["issue", "bank", "--local"]);
  await world.handfast("ours", ["issue", "alice", "bob", "kiosk"]);
}
