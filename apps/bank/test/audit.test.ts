// What the bank records, and how often it may be called, on real sockets.
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { GrpcError, readRetryInfo } from "@handfast/grpc";
import { auditPublicKey, parseAuditPublicKey, verifyAuditChain } from "@handfast/policy";
import { BankService } from "../src/gen/bank/v1/bank_pb.ts";
import { startBank } from "../src/server/start-bank.ts";
import { cents, change } from "./support/fake-bank.ts";
import { authority, createKeptLog, policyFile, serveBank } from "./support/served-bank.ts";
import { temporaryFolder } from "./support/temporary-folder.ts";

const alice = authority.issue({ name: "alice" });

test("S35: decisions and refused handshakes are recorded, and the record verifies by the log's checkpoint", async (t) => {
  const file = join(temporaryFolder(t), "audit");
  const served = await serveBank(t, { POLICY_FILE: policyFile, AUDIT_FILE: file });
  const client = await served.client(BankService, alice);
  await client.createAccount(change({ accountId: "12345", currencyCode: "USD" }));
  const kiosk = await served.client(BankService, authority.issue({ name: "kiosk" }));
  const denied = kiosk.createAccount(change({ accountId: "12345", currencyCode: "USD" }));
  await assert.rejects(denied, { code: "PERMISSION_DENIED" });
  const nobody = await served.client(BankService, undefined);
  await assert.rejects(nobody.connect({ timeoutMs: 5000 }), { code: "UNAUTHENTICATED" });
  await served.bank.stop();

  const publicKey = parseAuditPublicKey(await auditPublicKey(`${file}-key.pem`));
  const heads = served.log.records.filter(({ message }) => message === "audit checkpoint");
  const head = heads.at(-1)?.fields["head"] as NonNullable<
    Parameters<typeof verifyAuditChain>[1]["head"]
  >;
  const found = await verifyAuditChain(file, { publicKey, head });
  assert.deepEqual([found.ok, found.closed, found.headCompared], [true, true, true]);
  const recorded = recordsIn(file);
  assert.deepEqual(
    recorded.filter(({ kind }) => kind === "decision").map(({ fields }) => fields["authorized"]),
    [true, false],
  );
  const refusal = recorded.find(({ kind }) => kind === "refusal")?.fields;
  assert.equal(refusal?.["reason"], "NO_CLIENT_CERTIFICATE");
});

test("a bank with an audit file says so if its policy has nothing recorded in it", async (t) => {
  const folder = temporaryFolder(t);
  const policy = join(folder, "policy.json");
  const rule = { name: "all", request: { paths: ["/bank.v1.BankService/*"] } };
  writeFileSync(policy, JSON.stringify({ name: "silent", allow_rules: [rule] }));
  const audit = { POLICY_FILE: policy, AUDIT_FILE: join(folder, "audit") };
  const served = await serveBank(t, audit);
  const warned = served.log.records.find(({ level }) => level === "warn");
  assert.equal(warned?.message, "the policy has no decision recorded");
  const second = startBank({ settings: served.settings, log: createKeptLog() });
  await assert.rejects(second, { code: "AUDIT_CHAIN_LOCKED" });
});

test("a policy may name the stdout_logger of gRFC A59, but no logger that is not there", async (t) => {
  const folder = temporaryFolder(t);
  const policy = join(folder, "policy.json");
  const write = (name: string): void =>
    writeFileSync(
      policy,
      JSON.stringify({
        name: "p",
        allow_rules: [{ name: "all" }],
        audit_logging_options: { audit_condition: "ON_DENY", audit_loggers: [{ name }] },
      }),
    );
  write("stdout_logger");
  const served = await serveBank(t, { POLICY_FILE: policy });
  await served.bank.stop();
  write("syslog");
  const second = startBank({ settings: served.settings, log: createKeptLog() });
  await assert.rejects(second, { code: "POLICY_INVALID" });
});

test("S41, S60: over its rate an identity is refused, told when to come back, and nothing is written", async (t) => {
  const served = await serveBank(t, { RATE_LIMIT: "0.01" });
  const client = await served.client(BankService, alice);
  await client.createAccount(change({ accountId: "12345", currencyCode: "USD" }));
  const deposit = client.deposit(change({ accountId: "12345", amount: cents(5n) }));
  const error: unknown = await deposit.catch((thrown: unknown) => thrown);
  assert.ok(error instanceof GrpcError);
  assert.equal(error.code, "RESOURCE_EXHAUSTED");
  assert.ok((readRetryInfo(error)?.delayMs ?? 0) > 1000);
  // A renewed certificate is no new identity; another identity has its own rate.
  const renewed = await served.client(BankService, authority.issue({ name: "alice" }));
  const read = renewed.getBalance({ accountId: "12345" });
  await assert.rejects(read, { code: "RESOURCE_EXHAUSTED" });
  const bob = await served.client(BankService, authority.issue({ name: "bob" }));
  await assert.rejects(bob.getBalance({ accountId: "12345" }), { code: "NOT_FOUND" });
});

test("a rate that is no number stops the start", async (t) => {
  for (const RATE_LIMIT of ["0", "-1", "ten", "1e9"]) {
    const settings = { RATE_LIMIT, DATABASE_URL: `sqlite:${join(temporaryFolder(t), "bank.db")}` };
    const start = startBank({ settings, log: createKeptLog() });
    await assert.rejects(start, { code: "CONFIG_INVALID", message: /^RATE_LIMIT is / });
  }
});

/** The bodies of the records are JSON between a few binary bytes. */
function recordsIn(file: string): { kind: string; fields: Record<string, unknown> }[] {
  const text = readFileSync(file, "latin1");
  return [...text.matchAll(/\{"fields":\{[^{}]*\},"kind":"(?:decision|refusal)"[^{}]*\}/g)].map(
    ([body]) => JSON.parse(body) as { kind: string; fields: Record<string, unknown> },
  );
}
