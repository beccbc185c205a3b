// Durable transfers per second through gRPC, mutual TLS, policy, audit and SQLite, 64 calls at a time, beside
// (a) the same stack answering an empty method and (b) the bare store. The three take turns, so that a machine
// that is slow for a while is slow for all of them; the medians are compared.
// A reply waits for its audit record: with `--audit queued` it does not, and a disk that stalls while the empty
// method runs fills one identity's quarter of the queue, whose next calls are refused (S36): the run then fails.
//   npm run bench:bank -- [--seconds 2] [--rounds 5] [--concurrency 64] [--audit beforeReply|queued]
import { fork } from "node:child_process";
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
    { name: "the bank", call: await bankTransfer(tls), perSecond: [] as number[] },
    { name: "the empty method", call: await emptyCall(tls), perSecond: [] as number[] },
    { name: "the bare store", call: await storeTransfer(), perSecond: [] as number[] },
  ];
  for (const { call } of contestants) await measure(call, forMs / 2);
  for (let round = 0; round < Number(values.rounds); round += 1) {
    for (const { call, perSecond } of contestants) perSecond.push(await measure(call, forMs));
  }
  const [bank = 0, empty = 1, store = 1] = contestants.map(({ perSecond }) => median(perSecond));
  console.log(
    `${cpus().length} cores, load ${loadavg()[0]?.toFixed(1)}, ${concurrency} at a time, audit ${values.audit}`,
  );
  for (const { name, perSecond } of contestants) {
    const all = perSecond.map((one) => one.toFixed(0)).join(" ");
    console.log(`${name.padEnd(17)} ${median(perSecond).toFixed(0).padStart(6)} a second (${all})`);
  }
  console.log(`the bank / the empty method  ${(bank / empty).toFixed(2)}`);
  console.log(`the bank / the bare store    ${(bank / store).toFixed(2)}`);
} finally {
  for (const end of ends.reverse()) await end();
  rmSync(folder, { recursive: true, force: true });
}

async function measure(call: (turn: number) => Promise<unknown>, ms: number): Promise<number> {
  const start = performance.now();
  let calls = 0;
  const worker = async (): Promise<void> => {
    while (performance.now() - start < ms) await call((calls += 1));
  };
  await Promise.all(Array.from({ length: concurrency }, worker));
  return (calls / (performance.now() - start)) * 1000;
}

async function bankTransfer(tls: MutualTls): Promise<(turn: number) => Promise<unknown>> {
  const client = createClient(BankService, { target: await startServer("bank"), tls });
  ends.push(() => client.close());
  for (let index = 0; index < accounts; index += 1) {
    const accountId = `a${index}`;
    await client.createAccount({ requestId: randomUUID(), accountId, currencyCode: "USD" });
    await client.deposit({ requestId: randomUUID(), accountId, amount: dollars(1_000_000_000n) });
  }
  return (turn) =>
    client.transfer({
      requestId: randomUUID(),
      fromAccountId: `a${turn % accounts}`,
      toAccountId: `a${(turn + 1) % accounts}`,
      amount: dollars(1n),
    });
}

async function emptyCall(tls: MutualTls): Promise<() => Promise<unknown>> {
  const client = createClient(TestService, { target: await startServer("empty"), tls });
  ends.push(() => client.close());
  return () => client.emptyCall({});
}

async function storeTransfer(): Promise<(turn: number) => Promise<unknown>> {
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
  return (turn) =>
    store.execute({
      ...base(),
      kind: "transfer",
      from: name(turn),
      to: name(turn + 1),
      amount: dollars(1n),
    });
}

/** Starts a server as a process; resolves with its target. */
async function startServer(which: "bank" | "empty"): Promise<string> {
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
  return `127.0.0.1:${port}`;
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
