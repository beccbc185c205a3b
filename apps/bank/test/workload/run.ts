// Runs a schedule against a bank that dies and comes back, and gathers what the clients saw.
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { TestContext } from "node:test";
import { GrpcError } from "@handfast/grpc";
import type { Client } from "@handfast/grpc";
import type { TestIdentity } from "@handfast/x509/testing";
import { TellerService } from "../../src/gen/bank/v1/bank_pb.ts";
import type { Entry } from "../../src/gen/bank/v1/bank_pb.ts";
import type { FailPoint } from "../../src/store/sqlite-worker.ts";
import { authority, bankFiles, clientOf } from "../support/served-bank.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";
import type { Observation } from "./check.ts";
import type { Operation, Schedule } from "./schedule.ts";

/** What a run came to. */
export interface Run {
  readonly history: readonly Observation[];
  /** By account, read when everything was over. */
  readonly statements: ReadonlyMap<string, readonly Entry[]>;
  readonly kills: number;
  readonly databaseUrl: string;
}

export type Teller = Client<typeof TellerService>;

const owner = "spiffe://handfast.internal/pool";
const program = join(import.meta.dirname, "../programs/dying-bank.ts");
const mainProgram = join(import.meta.dirname, "../../src/main.ts");

/** Runs a schedule against one bank on SQLite, which dies at the schedule's fail points. */
export async function runSchedule(t: TestContext, schedule: Schedule): Promise<Run> {
  const settings = workloadSettings(t);
  const lives = createLives(t, settings, schedule.failPoints);
  const run = await runOn(lives, schedule);
  return { ...run, databaseUrl: settings.DATABASE_URL };
}

/** The settings of a bank that takes everybody for a teller. */
export function workloadSettings(t: TestContext): ReturnType<typeof bankFiles> {
  // What one life compiled the next need not.
  const compileCache = { NODE_COMPILE_CACHE: temporaryFolder(t) };
  return { ...bankFiles(t), ...compileCache, POLICY_FILE: tellersPolicy(t) };
}

/** Runs a schedule against banks that come and go. */
export async function runOn(lives: Lives, schedule: Schedule): Promise<Omit<Run, "databaseUrl">> {
  await lives.begin();
  for (const accountId of schedule.accounts) {
    const request = { requestId: randomUUID(), name: { owner, accountId }, currencyCode: "USD" };
    await answerOf(lives, authority.issue({ name: "opener" }), (teller) =>
      teller.createAccount(request),
    );
  }
  const histories = await Promise.all(
    schedule.operations.map((operations, index) =>
      runClient(lives, authority.issue({ name: `teller-${index}` }), operations),
    ),
  );
  await lives.finish();
  const auditor = await lives.teller(authority.issue({ name: "opener" }));
  const statements = new Map<string, readonly Entry[]>();
  for (const accountId of schedule.accounts) {
    statements.set(accountId, await readEntries(auditor, accountId));
  }
  await lives.end();
  return { history: histories.flat(), statements, kills: lives.kills() };
}

async function runClient(
  lives: Lives,
  identity: TestIdentity,
  operations: readonly Operation[],
): Promise<Observation[]> {
  const history: Observation[] = [];
  for (const operation of operations) {
    const start = performance.now();
    const result = await answerOf(lives, identity, (teller) => perform(teller, operation));
    history.push({ operation, start, end: performance.now(), result });
  }
  return history;
}

/** Calls until there is an answer: while the bank is away, the same request again. */
async function answerOf<T>(
  lives: Lives,
  identity: TestIdentity,
  call: (teller: Teller) => Promise<T>,
): Promise<T | { readonly kind: "refused"; readonly code: string }> {
  for (;;) {
    const teller = await lives.teller(identity);
    try {
      return await call(teller);
    } catch (error) {
      if (!(error instanceof GrpcError)) throw error;
      if (error.code === "FAILED_PRECONDITION") return { kind: "refused", code: error.code };
      // The store had too much to do: the same request once more.
      if (error.code === "ABORTED") continue;
      if (error.code !== "UNAVAILABLE") throw error;
      await lives.next(teller);
    }
  }
}

async function perform(teller: Teller, operation: Operation): Promise<Observation["result"]> {
  const name = { owner, accountId: operation.account };
  if (operation.kind === "read") {
    const { balance } = await teller.getBalance({ name });
    const { version = 0n, amount } = balance ?? {};
    return { kind: "read", version, balance: amount?.minorUnits ?? 0n };
  }
  const { requestId } = operation;
  const amount = { minorUnits: operation.amount, currencyCode: "USD" };
  const move = { requestId, amount, description: requestId };
  const moved = (...sides: readonly [string, Entry | undefined][]): Observation["result"] => ({
    kind: "moved",
    entries: sides.flatMap(([account, entry]) => (entry === undefined ? [] : { account, entry })),
  });
  switch (operation.kind) {
    case "deposit":
      return moved([operation.account, (await teller.deposit({ ...move, name })).entry]);
    case "withdraw":
      return moved([operation.account, (await teller.withdraw({ ...move, name })).entry]);
    case "transfer": {
      const to = { owner, accountId: operation.to };
      const { fromEntry, toEntry } = await teller.transfer({ ...move, from: name, to });
      return moved([operation.account, fromEntry], [operation.to, toEntry]);
    }
  }
}

async function readEntries(teller: Teller, accountId: string): Promise<Entry[]> {
  const entries: Entry[] = [];
  for await (const { part } of teller.streamStatement({ name: { owner, accountId } })) {
    if (part.case === "page") entries.push(...part.value.entries);
    if (part.case === "closing") return entries;
  }
  throw new Error(`the statement of ${accountId} has no closing`);
}

/** Banks that come and go. */
export interface Lives {
  begin(): Promise<void>;
  /** A client of the life that is on. */
  teller(identity: TestIdentity): Promise<Teller>;
  /** Waits until the life of this client is over and the next has begun. */
  next(teller: Teller): Promise<void>;
  /** Ends the life that is on, and begins one that lasts. */
  finish(): Promise<void>;
  end(): Promise<void>;
  kills(): number;
}

function createLives(
  t: TestContext,
  env: Readonly<Record<string, string>>,
  failPoints: readonly FailPoint[],
): Lives {
  let life = 0;
  let kills = 0;
  let current: { child: ChildProcess; port: number; gone: Promise<unknown> } | undefined;
  let beginning: Promise<void> | undefined;
  const clients = new Map<TestIdentity, Promise<Teller>>();
  const lifeOf = new WeakMap<Teller, number>();

  const begin = async (failPoint: FailPoint | undefined): Promise<void> => {
    const child = startBank(env, failPoint);
    t.after(() => child.kill("SIGKILL"));
    const gone = once(child, "exit");
    current = { child, port: await portOf(child), gone };
    life += 1;
    clients.clear();
  };
  return {
    kills: () => kills,
    begin: () => begin(failPoints[0]),
    async teller(identity) {
      await beginning;
      const known = clients.get(identity);
      if (known !== undefined) return known;
      const mine = life;
      const made = clientOf(t, TellerService, identity, current?.port ?? 0).then((teller) => {
        lifeOf.set(teller, mine);
        return teller;
      });
      clients.set(identity, made);
      return made;
    },
    async next(teller) {
      if (lifeOf.get(teller) !== life) return;
      beginning ??= (async () => {
        await current?.gone;
        kills += 1;
        await begin(failPoints[life]);
        beginning = undefined;
      })();
      await beginning;
    },
    async finish() {
      current?.child.kill("SIGKILL");
      await current?.gone;
      await begin(undefined);
    },
    async end() {
      current?.child.kill("SIGKILL");
      await current?.gone;
    },
  };
}

export function startBank(
  env: Readonly<Record<string, string>>,
  failPoint: FailPoint | undefined,
  which: "main" | "dying" = "dying",
): ChildProcess {
  const options = ["--conditions=@handfast/source", "--disable-warning=ExperimentalWarning"];
  const args = failPoint === undefined ? [] : [JSON.stringify(failPoint)];
  return spawn(process.execPath, [...options, which === "main" ? mainProgram : program, ...args], {
    env: { PATH: process.env["PATH"] ?? "", ...env },
    stdio: ["ignore", "pipe", "inherit"],
  });
}

/** Where a bank listens, as it says itself; what it writes after that is not looked at. */
export async function portOf(child: ChildProcess): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  child.once("exit", () => reject(new Error("the bank did not start")));
  if (child.stdout !== null) {
    createInterface({ input: child.stdout }).on("line", (text) => {
      const { port } = JSON.parse(text) as { port?: number };
      if (port !== undefined) resolve(port);
    });
  }
  return promise;
}

/** Everybody here is a teller. */
function tellersPolicy(t: TestContext): string {
  const file = join(temporaryFolder(t), "policy.json");
  const rule = { name: "tellers", request: { paths: ["/bank.v1.TellerService/*"] } };
  writeFileSync(file, JSON.stringify({ name: "workload", allow_rules: [rule] }));
  return file;
}
