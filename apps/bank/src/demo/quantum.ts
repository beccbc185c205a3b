import assert from "node:assert/strict";
import { clientProgram, runProgram } from "./programs.ts";
import type { World } from "./world.ts";

/** The same with keys that a quantum computer does not break: ML-DSA certificates throughout. */
export async function repeatWithMlDsa(world: World): Promise<void> {
  const { narrator } = world;
  narrator.step("Once more, with signatures for the time after: ML-DSA");
  const algorithm = ["--key-algorithm", "ml-dsa-65"];
  for (const args of [["init"], ["issue", "bank", "--local"], ["issue", "alice"]]) {
    await world.handfast("quantum", [...args, ...algorithm]);
  }
  await world.startBank("quantum");
  const session = await runProgram(
    clientProgram,
    [],
    world.settingsOf("alice", { from: "quantum", to: "quantum" }),
  );
  assert.equal(session.exitCode, 0, `the session failed: ${session.stderr}`);
  assert.match(session.stdout, /closing balance +750\.00\n/);
  const { keyType, keyExchange } = await world.lookAt("alice", "quantum");
  assert.equal(keyType, "ml-dsa-65");
  assert.equal(keyExchange, "X25519MLKEM768");
  narrator.proven(`alice's session with ${keyType} certificates and ${keyExchange} key exchange`);
  await world.bank("quantum").end("SIGTERM");
}
