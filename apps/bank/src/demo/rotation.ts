import assert from "node:assert/strict";
import { BankService } from "../gen/bank/v1/bank_pb.ts";
import type { World } from "./world.ts";

/** The bank's certificate is replaced while calls and connections keep coming; none of them fails. */
export async function rotateUnderLoad(world: World): Promise<void> {
  const { narrator } = world;
  narrator.step("The bank's certificate is renewed under load");
  const before = await world.lookAt("alice");
  const load = await startLoad(world);
  await load.more();
  await world.handfast("ours", ["renew", "bank"]);
  await world
    .bank()
    .logged(({ msg, source }) => msg === "source replaced" && source === "identity");
  await load.more();
  const { calls, connections, failures } = await load.stop();
  const after = await world.lookAt("alice");
  narrator.say(
    `serial number ${before.serialNumber.slice(0, 16)}… is now ${after.serialNumber.slice(0, 16)}…`,
  );
  assert.notEqual(after.serialNumber, before.serialNumber, "the bank shows its old certificate");
  assert.deepEqual(failures, [], "calls failed");
  narrator.proven(`${calls} calls and ${connections} new connections in the meantime, 0 failed`);
}

/** Callers and new connections, until they are told to stop. */
interface Load {
  /** Resolves when there were many more calls and a few more connections. */
  more(): Promise<void>;
  stop(): Promise<{ calls: number; connections: number; failures: readonly string[] }>;
}

async function startLoad(world: World): Promise<Load> {
  const client = await world.connect(BankService, "alice");
  const failures: string[] = [];
  let calls = 0;
  let connections = 0;
  let going = true;
  const keepOn = async (work: () => Promise<void>): Promise<void> => {
    while (going && failures.length === 0) {
      await work().catch((error: unknown) => void failures.push(String(error)));
    }
  };
  const call = async (): Promise<void> => {
    await client.getBalance({ accountId: "12345" });
    calls += 1;
  };
  const connect = async (): Promise<void> => {
    await world.lookAt("alice");
    connections += 1;
  };
  const workers = [call, call, call, call, connect].map(keepOn);
  return {
    async more() {
      const enough = { calls: calls + 200, connections: connections + 10 };
      while (failures.length === 0 && (calls < enough.calls || connections < enough.connections)) {
        await new Promise(setImmediate);
      }
    },
    async stop() {
      going = false;
      await Promise.all(workers);
      return { calls, connections, failures };
    },
  };
}
