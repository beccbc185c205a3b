// Two banks on one database. Every so many calls one of them is killed, and started again.
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import type { TestContext } from "node:test";
import type { TestIdentity } from "@handfast/x509/testing";
import { TellerService } from "../../src/gen/bank/v1/bank_pb.ts";
import { clientOf } from "../support/served-bank.ts";
import { portOf, startBank } from "./run.ts";
import type { Lives, Teller } from "./run.ts";

interface Instance {
  readonly child: ChildProcess;
  readonly port: number;
  readonly clients: Map<TestIdentity, Promise<Teller>>;
}

/** Two instances; clients are spread over them, and go to the one that is there. */
export function createInstances(
  t: TestContext,
  env: Readonly<Record<string, string>>,
  { kills: wanted, callsPerKill }: { kills: number; callsPerKill: number },
): Lives {
  const instances: (Instance | undefined)[] = [undefined, undefined];
  const homes = new Map<TestIdentity, number>();
  const settled: Promise<void>[] = [];
  let calls = 0;
  let kills = 0;

  const begin = async (index: number): Promise<void> => {
    const child = startBank(env, undefined);
    t.after(() => child.kill("SIGKILL"));
    instances[index] = { child, port: await portOf(child), clients: new Map() };
  };
  const killOne = (index: number): void => {
    const victim = instances[index];
    if (victim === undefined || instances[1 - index] === undefined) return;
    kills += 1;
    instances[index] = undefined;
    victim.child.kill("SIGKILL");
    settled.push(once(victim.child, "exit").then(() => begin(index)));
  };
  return {
    kills: () => kills,
    async begin() {
      await Promise.all([begin(0), begin(1)]);
    },
    teller(identity) {
      calls += 1;
      if (calls % callsPerKill === 0 && kills < wanted) killOne(kills % 2);
      if (!homes.has(identity)) homes.set(identity, homes.size % 2);
      const home = homes.get(identity) ?? 0;
      const instance = instances[home] ?? instances[1 - home];
      if (instance === undefined) throw new Error("both banks are away");
      const made =
        instance.clients.get(identity) ?? clientOf(t, TellerService, identity, instance.port);
      instance.clients.set(identity, made);
      return made;
    },
    // The other one answers meanwhile.
    next: () => new Promise((resolve) => setImmediate(resolve)),
    async finish() {
      await Promise.all(settled);
    },
    async end() {
      await Promise.all(
        instances.map(async (instance) => {
          instance?.child.kill("SIGTERM");
          if (instance !== undefined) await once(instance.child, "exit");
        }),
      );
    },
  };
}
