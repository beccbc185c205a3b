import assert from "node:assert/strict";
import { clientProgram, runProgram } from "./programs.ts";
import type { World } from "./world.ts";

/** The bank as a process of its own. */
export async function startBank(world: World): Promise<void> {
  const { narrator } = world;
  narrator.step("The bank starts");
  const bank = await world.startBank();
  narrator.say(`process ${bank.pid} listens on 127.0.0.1:${bank.port}, TLS 1.3, certificates on`);
  narrator.say("both sides; policies/bank.json says who may call what");
}

/** The session that everybody knows, over mutual TLS. */
export async function runAlicesSession(world: World): Promise<void> {
  const { narrator } = world;
  narrator.step("Alice uses her account");
  narrator.show("$ bank-client --account 12345 --deposit 1000 --withdraw 250");
  const session = await runProgram(
    clientProgram,
    ["--account", "12345", "--deposit", "1000", "--withdraw", "250"],
    world.settingsOf("alice"),
  );
  narrator.show(session.stdout + session.stderr);
  assert.equal(session.exitCode, 0, "alice's session failed");
  assert.match(session.stdout, /opened account 12345 of spiffe:\/\/handfast\.internal\/alice/);
  assert.match(session.stdout, /closing balance +750\.00\n/);
  narrator.proven("the account is hers because her certificate says who she is");
  narrator.proven("the client computed the statement's digest from its lines: it is the bank's");
}
