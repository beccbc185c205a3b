// kill -9 under load over gRPC and mutual TLS: what was acknowledged is there, each request counts once.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { GrpcError } from "@handfast/grpc";
import type { Client } from "@handfast/grpc";
import { readStatement } from "../src/client/read-statement.ts";
import { BankService } from "../src/gen/bank/v1/bank_pb.ts";
import type { Settings } from "../src/settings.ts";
import type { FailPoint } from "../src/store/sqlite-worker.ts";
import { createSqliteStore } from "../src/store/sqlite.ts";
import { cents, change } from "./support/fake-bank.ts";
import { authority, bankFiles, clientOf } from "./support/served-bank.ts";

const program = join(import.meta.dirname, "programs/dying-bank.ts");

for (const at of ["before-begin", "before-commit", "after-commit"] as const) {
  test(`killed ${at} under load: clients that retry see every deposit once`, async (t) => {
    const settings = bankFiles(t);
    const identity = authority.issue({ name: "alice" });
    const clientFor = (port: number) => clientOf(t, BankService, identity, port);

    const first = await startProgram(t, settings, { at, batch: 6 });
    const client = await clientFor(first.port);
    await client.createAccount(change({ accountId: "12345", currencyCode: "USD" }));
    const requests = Array.from({ length: 60 }, () => randomUUID());
    const before = await depositAll(client, requests);
    assert.equal(await first.ended, "SIGKILL");
    assert.ok(before.acknowledged.length < requests.length, "it was killed too late");

    const second = await startProgram(t, settings, undefined);
    const retrying = await clientFor(second.port);
    const after = await depositAll(retrying, requests);
    assert.equal(after.acknowledged.length, requests.length);
    // Whatever was acknowledged before the end was recognised after it.
    assert.deepEqual(
      before.acknowledged.filter((requestId) => !after.hits.has(requestId)),
      [],
    );
    const { entries, closing } = await readStatement(retrying, "12345");
    assert.equal(entries.length, requests.length);
    assert.equal(closing.closingBalance?.minorUnits, BigInt(requests.length));
    second.child.kill("SIGKILL");
    await second.ended;
    const path = settings.DATABASE_URL.slice("sqlite:".length);
    const store = await createSqliteStore({ path, mode: "mtls" });
    t.after(() => store.close());
    assert.deepEqual((await store.verify()).faults, []);
  });
}

/** Deposits one cent per request, several at a time, until the bank is gone. */
async function depositAll(
  client: Client<typeof BankService>,
  requests: readonly string[],
): Promise<{ acknowledged: string[]; hits: Set<string> }> {
  const acknowledged: string[] = [];
  const hits = new Set<string>();
  const waiting = [...requests];
  const depositor = async (): Promise<void> => {
    for (let requestId = waiting.shift(); requestId !== undefined; requestId = waiting.shift()) {
      const known = requestId;
      try {
        await client.deposit(
          { requestId, accountId: "12345", amount: cents(1n) },
          {
            onTrailers: (trailers) => {
              if (trailers.get("idempotency-hit") === "true") hits.add(known);
            },
          },
        );
        acknowledged.push(requestId);
      } catch (error) {
        assert.ok(error instanceof GrpcError);
        assert.equal(error.code, "UNAVAILABLE");
        return;
      }
    }
  };
  await Promise.all([depositor(), depositor(), depositor(), depositor()]);
  return { acknowledged, hits };
}

async function startProgram(t: TestContext, env: Settings, failPoint: FailPoint | undefined) {
  const options = ["--conditions=@handfast/source", "--disable-warning=ExperimentalWarning"];
  const args = failPoint === undefined ? [] : [JSON.stringify(failPoint)];
  const child = spawn(process.execPath, [...options, program, ...args], {
    env: { PATH: process.env["PATH"] ?? "", ...env },
    stdio: ["ignore", "pipe", "inherit"],
    timeout: 30_000,
  });
  t.after(() => child.kill("SIGKILL"));
  const ended = once(child, "exit").then(([, signal]) => signal as string);
  for await (const line of createInterface({ input: child.stdout })) {
    const { port } = JSON.parse(line) as { port: number };
    return { child, port, ended };
  }
  throw new Error("the bank did not start");
}
