// Durable transfers per second through gRPC, mutual TLS, policy, audit and SQLite, 64 calls at a time, beside
// (a) the same stack answering an empty method and (b) the bare store. The three take turns, so that a machine
// that is slow for a while is slow for all of them; the medians are compared. CPU time tells what the cores
// there are would allow, whoever else uses them.
// A reply waits for its audit record: with `--audit queued` it does not, and a disk that stalls while the empty
// method runs fills one identity's quarter of the queue, whose next calls are refused (S36): the run then fails.
//   npm run bench:bank -- [--seconds 2] [--rounds 5] [--concurrency 64] [--audit beforeReply|queued]
import { fork } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { randomBytes, randomUUID } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { cpus, loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { createClient } from "@handfast/grpc";
import { TestService } from "@handfast/grpc/testing";
import {
  createMutualTls,
  identityFromMemory,
  nobody,
  noRevocation,
  trustFromMemory,
} from "@handfast/tls";
import type { MutualTls } from "@handfast/tls";
import { createTestAuthority } from "@handfast/x509/testing";
import { BankService } from "../apps/bank/src/gen/bank/v1/bank_pb.ts";
import { createSqliteStore } from "../apps/bank/src/store/sqlite.ts";
import { timeOrderedUuid } from "../apps/bank/src/uuid.ts";

const { values } = parseArgs({
  options: {
    seconds: { type: "string", default: "2" },
    rounds: { type: "string", default: "5" },
    concurrency: { type: "string", default: "64" },
    audit: { type: "string", default: "beforeReply" },
  },
});
const forMs = Number(values.seconds) * 1000;
const concurrency = Number(values.concurrency);
const accounts = 200;
const folder = mkdtempSync(join(tmpdir(), "handfast-bench-"));
const authority = createTestAuthority({ trustDomain: "handfast.internal" });
const ends: (() => Promise<void> | void)[] = [];

try {
  const tls = await clientTls();
  const contestants = [
    { name: "the bank", ...(await bankTransfer(tls)), rounds: [] as Measured[] },
    { name: "the empty method", ...(await emptyCall(tls)), rounds: [] as Measured[] },
    { name: "the bare store", ...(await storeTransfer()), rounds: [] as Measured[] },
  ];
  for (const each of contestants) await measure(each, forMs / 2);
  for (let round = 0; round < Number(values.rounds); round += 1) {
    for (const each of contestants) each.rounds.push(await measure(each, forMs));
  }
  const rates = contestants.map(({ rounds }) => median(rounds.map(({ perSecond }) => perSecond)));
  const [bank = 0, empty = 1, store = 1] = rates;
  console.log(
    `${cpus().length} cores, load ${loadavg()[0]?.toFixed(1)}, ${concurrency} at a time, audit ${values.audit}`,
  );
  for (const [index, { name, rounds }] of contestants.entries()) {
    const all = rounds.map(({ perSecond }) => perSecond.toFixed(0)).join(" ");
    const cpu = (of: (one: Measured) => number): string => median(rounds.map(of)).toFixed(0);
    console.log(
      `${name.padEnd(17)} ${(rates[index] ?? 0).toFixed(0).padStart(6)} a second (${all})\n` +
        `${"".padEnd(17)} CPU time of a call, in µs: this process ${cpu((one) => one.callerMicros)}, ` +
        `the server's main thread ${cpu((one) => one.mainMicros)}, its others ${cpu((one) => one.otherMicros)}`,
    );
  }
  console.log(`the bank / the empty method  ${(bank / empty).toFixed(2)}`);
  console.log(`the bank / the bare store    ${(bank / store).toFixed(2)}`);
} finally {
  for (const end of ends.reverse()) await end();
  rmSync(folder, { recursive: true, force: true });
}

/** What takes calls: a server with its process, or nothing but this one. */
interface Contestant {
  readonly call: (turn: number) => Promise<unknown>;
  readonly server?: ChildProcess;
}

/** A round: calls a second, and the CPU time of one. */
interface Measured {
  readonly perSecond: number;
  readonly callerMicros: number;
  readonly mainMicros: number;
  readonly otherMicros: number;
}

async function measure({ call, server }: Contestant, ms: number): Promise<Measured> {
  const serverBefore = await cpuOf(server);
  const before = process.cpuUsage();
  const start = performance.now();
  let calls = 0;
  const worker = async (): Promise<void> => {
    while (performance.now() - start < ms) await call((calls += 1));
  };
  await Promise.all(Array.from({ length: concurrency }, worker));
  const perSecond = (calls / (performance.now() - start)) * 1000;
  const { user, system } = process.cpuUsage(before);
  const serverAfter = await cpuOf(server);
  return {
    perSecond,
    callerMicros: (user + system) / calls,
    mainMicros: (serverAfter.mainMicros - serverBefore.mainMicros) / calls,
    otherMicros: (serverAfter.otherMicros - serverBefore.otherMicros) / calls,
  };
}

interface ServerCpu {
  readonly mainMicros: number;
  readonly otherMicros: number;
}

async function cpuOf(server: ChildProcess | undefined): Promise<ServerCpu> {
  if (server === undefined) return { mainMicros: 0, otherMicros: 0 };
  const answer = once(server, "message");
  server.send("cpu");
  return ((await answer) as [ServerCpu])[0];
}

async function bankTransfer(tls: MutualTls): Promise<Contestant> {
  const { server, target } = await startServer("bank");
  const client = createClient(BankService, { target, tls });
  ends.push(() => client.close());
  for (let index = 0; index < accounts; index += 1) {
    const accountId = `a${index}`;
    await client.createAccount({ requestId: randomUUID(), accountId, currencyCode: "USD" });
    await client.deposit({ requestId: randomUUID(), accountId, amount: dollars(1_000_000_000n) });
  }
  const call = (turn: number): Promise<unknown> =>
    client.transfer({
      requestId: randomUUID(),
      fromAccountId: `a${turn % accounts}`,
      toAccountId: `a${(turn + 1) % accounts}`,
      amount: dollars(1n),
    });
  return { call, server };
}

async function emptyCall(tls: MutualTls): Promise<Contestant> {
  const { server, target } = await startServer("empty");
  const client = createClient(TestService, { target, tls });
  ends.push(() => client.close());
  return { call: () => client.emptyCall({}), server };
}

async function storeTransfer(): Promise<Contestant> {
  const store = await createSqliteStore({ path: join(folder, "bare.db"), mode: "mtls" });
  ends.push(() => store.close());
  const owner = "spiffe://handfast.internal/alice";
  const name = (index: number) => ({ owner, accountId: `a${index % accounts}` });
  const base = () => ({
    requester: owner,
    method: "/bank.v1.BankService/Transfer",
    requestId: randomUUID(),
    fingerprint: new Uint8Array(32),
    operationId: timeOrderedUuid(Date.now(), randomBytes(10)),
    at: BigInt(Date.now()),
    description: "",
  });
  for (let index = 0; index < accounts; index += 1) {
    const account = name(index);
    const amount = dollars(1_000_000_000n);
    await store.execute({ ...base(), kind: "open", account, currencyCode: "USD" });
    await store.execute({ ...base(), kind: "deposit", from: undefined, to: account, amount });
  }
  const call = (turn: number): Promise<unknown> =>
    store.execute({
      ...base(),
      kind: "transfer",
      from: name(turn),
      to: name(turn + 1),
      amount: dollars(1n),
    });
  return { call };
}

/** Starts a server as a process. */
async function startServer(
  which: "bank" | "empty",
): Promise<{ server: ChildProcess; target: string }> {
  const identity = authority.issue({ name: "bank", ip: ["127.0.0.1"] });
  const write = (name: string, text: string): string => {
    const file = join(folder, `${which}-${name}`);
    writeFileSync(file, text, { mode: 0o600 });
    return file;
  };
  const paths = [
    "/bank.v1.BankService/*",
    "/grpc.testing.TestService/*",
    "/grpc.health.v1.Health/*",
  ];
  const policy = {
    name: "bench",
    allow_rules: [
      {
        name: "alice",
        source: { principals: ["spiffe://handfast.internal/alice"] },
        request: { paths },
      },
    ],
    audit_logging_options: {
      audit_condition: "ON_DENY_AND_ALLOW",
      audit_loggers: [{ name: "handfast_chain", config: { mode: values.audit } }],
    },
  };
  const child = fork(join(import.meta.dirname, "bank/server.ts"), [which], {
    execArgv: ["--conditions=@handfast/source"],
    env: {
      PATH: process.env["PATH"] ?? "",
      HOST: "127.0.0.1",
      PORT: "0",
      CA_FILE: write("ca.pem", authority.bundlePem),
      CERT_FILE: write("cert.pem", identity.certificateChainPem),
      KEY_FILE: write("key.pem", identity.privateKeyPem),
      POLICY_FILE: write("policy.json", JSON.stringify(policy)),
      AUDIT_FILE: join(folder, `${which}.audit`),
      DATABASE_URL: `sqlite:${join(folder, "served.db")}`,
    },
  });
  ends.push(async () => {
    const exited = once(child, "exit");
    child.kill("SIGKILL");
    await exited;
  });
  const [{ port }] = (await once(child, "message")) as [{ port: number }];
  return { server: child, target: `127.0.0.1:${port}` };
}

async function clientTls(): Promise<MutualTls> {
  const alice = authority.issue({ name: "alice" });
  const tls = await createMutualTls({
    identity: identityFromMemory({
      certificateChain: alice.certificateChainPem,
      privateKey: alice.privateKeyPem,
    }),
    trust: trustFromMemory(authority.bundlePem),
    revocation: noRevocation(),
    admit: nobody(),
  });
  ends.push(() => tls.close());
  return tls;
}

function dollars(minorUnits: bigint): { minorUnits: bigint; currencyCode: string } {
  return { minorUnits, currencyCode: "USD" };
}

function median(numbers: readonly number[]): number {
  return numbers.toSorted((one, other) => one - other)[numbers.length >> 1] ?? 0;
}
