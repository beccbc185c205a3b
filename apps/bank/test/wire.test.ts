// The bank on real sockets with real certificates.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { createClient, GrpcError, readBadRequest, readErrorInfo } from "@handfast/grpc";
import { createTestAuthority } from "@handfast/x509/testing";
import { readStatement } from "../src/client/read-statement.ts";
import { BankService, TellerService } from "../src/gen/bank/v1/bank_pb.ts";
import { startBank } from "../src/server/start-bank.ts";
import { cents, change } from "./support/fake-bank.ts";
import {
  authority,
  clientOf,
  createKeptLog,
  policyFile,
  serveBank,
} from "./support/served-bank.ts";
import { temporaryFolder } from "./support/temporary-folder.ts";

const aliceId = "spiffe://handfast.internal/alice";
const alice = authority.issue({ name: "alice" });

test("a session over the wire, from opening to a statement that adds up", async (t) => {
  const served = await serveBank(t);
  const client = await served.client(BankService, alice);
  assert.deepEqual(await client.connect({ timeoutMs: 5000 }), { health: "SERVING" });
  for (const accountId of ["12345", "savings"]) {
    await client.createAccount(change({ accountId, currencyCode: "USD" }));
  }
  await client.deposit(
    change({ accountId: "12345", amount: cents(10_000n), description: "wages" }),
  );
  await client.withdraw(change({ accountId: "12345", amount: cents(2_000n) }));
  const accounts = { fromAccountId: "12345", toAccountId: "savings" };
  await client.transfer(change({ ...accounts, amount: cents(3_000n) }));
  const { balance } = await client.getBalance({ accountId: "12345" });
  assert.equal(balance?.amount?.minorUnits, 5_000n);
  assert.equal(balance?.name?.owner, aliceId);
  const { entries } = await client.listEntries({ accountId: "12345", pageSize: 2 });
  assert.equal(entries.length, 2);
  const statement = await readStatement(client, "12345");
  assert.equal(statement.closing.closingBalance?.minorUnits, 5_000n);
  assert.equal(statement.entries.length, 3);
});

test("refusals carry their status, text and ErrorInfo over the wire", async (t) => {
  const served = await serveBank(t);
  const client = await served.client(BankService, alice);
  await client.createAccount(change({ accountId: "12345", currencyCode: "USD" }));
  const account = { accountId: "12345" };
  const deposit = change({ ...account, amount: cents(1n) });
  await client.deposit(deposit);
  const cases = [
    [client.getBalance({ accountId: "absent" }), "NOT_FOUND", "ACCOUNT_NOT_FOUND"],
    [
      client.withdraw(change({ ...account, amount: cents(2n) })),
      "FAILED_PRECONDITION",
      "INSUFFICIENT_FUNDS",
    ],
    [
      client.createAccount(change({ ...account, currencyCode: "EUR" })),
      "ALREADY_EXISTS",
      "ACCOUNT_EXISTS",
    ],
    [client.deposit({ ...deposit, amount: cents(2n) }), "INVALID_ARGUMENT", "REQUEST_ID_REUSED"],
    [
      client.deposit(change({ ...account, amount: cents(2n ** 63n - 1n) })),
      "OUT_OF_RANGE",
      "BALANCE_OUT_OF_RANGE",
    ],
    [
      client.deposit(change({ ...account, amount: cents(0n) })),
      "INVALID_ARGUMENT",
      "INVALID_REQUEST",
    ],
  ] as const;
  const errors = await Promise.all(cases.map(([call]) => failureOf(call)));
  for (const [index, [, code, reason]] of cases.entries()) {
    const error = errors[index];
    assert.ok(error !== undefined);
    assert.equal(error.code, code);
    assert.deepEqual(readErrorInfo(error), { reason, domain: "bank.handfast", metadata: {} });
  }
  assert.equal(errors[0]?.message, "Account not found");
  assert.equal(errors[1]?.message, "Insufficient funds");
  assert.deepEqual(errors[5] && readBadRequest(errors[5]), [
    { field: "amount.minor_units", description: "must be greater than zero" },
  ]);
});

test("S59: a retry gets the stored reply with the trailer, also after the certificate was renewed", async (t) => {
  const served = await serveBank(t);
  const client = await served.client(BankService, alice);
  await client.createAccount(change({ accountId: "12345", currencyCode: "USD" }));
  const deposit = change({ accountId: "12345", amount: cents(5n) });
  const first = await client.deposit(deposit);
  const renewed = authority.issue({ name: "alice" });
  assert.notEqual(renewed.certificate.serialNumber, alice.certificate.serialNumber);
  const later = await served.client(BankService, renewed);
  const hits: (string | undefined)[] = [];
  const onTrailers = (trailers: { get(name: string): string | undefined }): void => {
    hits.push(trailers.get("idempotency-hit"));
  };
  assert.deepEqual(await later.deposit(deposit, { onTrailers }), first);
  await later.deposit(change({ accountId: "12345", amount: cents(5n) }), { onTrailers });
  assert.deepEqual(hits, ["true", undefined]);
  const { balance } = await later.getBalance({ accountId: "12345" });
  assert.equal(balance?.amount?.minorUnits, 10n);
});

test("S59: without the right to a method its stored reply is out of reach too", async (t) => {
  const served = await serveBank(t);
  const client = await served.client(BankService, alice);
  await client.createAccount(change({ accountId: "12345", currencyCode: "USD" }));
  const deposit = change({ accountId: "12345", amount: cents(5n) });
  await client.deposit(deposit);
  await served.bank.stop();
  const folder = temporaryFolder(t);
  const readOnly = join(folder, "policy.json");
  const paths = ["/bank.v1.BankService/GetBalance"];
  const rule = { name: "read", source: { principals: [aliceId] }, request: { paths } };
  writeFileSync(readOnly, JSON.stringify({ name: "read only", allow_rules: [rule] }));
  const restarted = await startBank({
    settings: { ...served.settings, POLICY_FILE: readOnly },
    log: createKeptLog(),
  });
  t.after(() => restarted.stop());
  const again = await clientOf(t, BankService, alice, restarted.port);
  const denied = await failureOf(again.deposit(deposit));
  assert.equal(denied.code, "PERMISSION_DENIED");
  assert.equal(denied.trailers.get("idempotency-hit"), undefined);
  const { balance } = await again.getBalance({ accountId: "12345" });
  assert.equal(balance?.amount?.minorUnits, 5n);
});

test("S58, S61: the policy decides who acts for others, and what it denies writes nothing", async (t) => {
  const served = await serveBank(t, { POLICY_FILE: policyFile });
  const client = await served.client(BankService, alice);
  await client.createAccount(change({ accountId: "12345", currencyCode: "USD" }));
  const name = { owner: aliceId, accountId: "12345" };
  const as = (who: string) => served.client(TellerService, authority.issue({ name: who }));
  const [kiosk, teller, auditor, own] = await Promise.all([
    as("kiosk"),
    as("teller"),
    as("auditor"),
    served.client(TellerService, alice),
  ]);
  await teller.deposit(change({ name, amount: cents(7n) }));
  assert.equal((await kiosk.getBalance({ name })).balance?.amount?.minorUnits, 7n);
  assert.equal((await auditor.listEntries({ name })).entries.length, 1);

  const deposit = (accountId: string) =>
    change({ name: { owner: aliceId, accountId }, amount: cents(1n) });
  const denied = await Promise.all([
    failureOf(kiosk.deposit(deposit("12345"))),
    failureOf(auditor.withdraw(deposit("12345"))),
    failureOf(own.getBalance({ name })),
    // Whether or not the account exists: same status, same text.
    failureOf(kiosk.deposit(deposit("never-made"))),
    failureOf(own.getBalance({ name: { owner: "spiffe://x/y", accountId: "12345" } })),
  ]);
  for (const { code, message } of denied) {
    assert.equal(code, "PERMISSION_DENIED");
    assert.equal(message, denied[0]?.message);
  }
  const { balance } = await kiosk.getBalance({ name });
  assert.deepEqual([balance?.amount?.minorUnits, balance?.version], [7n, 1n]);
  const kiosksOwn = await served.client(BankService, authority.issue({ name: "kiosk" }));
  const open = kiosksOwn.createAccount(change({ accountId: "12345", currencyCode: "USD" }));
  assert.equal((await failureOf(open)).code, "PERMISSION_DENIED");
});

test("without a policy file, whoever is admitted has their own accounts and nobody acts for others", async (t) => {
  const served = await serveBank(t);
  const anybody = authority.issue({ name: "anybody" });
  const client = await served.client(BankService, anybody);
  await client.createAccount(change({ accountId: "12345", currencyCode: "USD" }));
  const teller = await served.client(TellerService, anybody);
  const name = { owner: "spiffe://handfast.internal/anybody", accountId: "12345" };
  assert.equal((await failureOf(teller.getBalance({ name }))).code, "PERMISSION_DENIED");
});

test("S13: a policy that changes ends the streams it no longer allows, with an invalid one nothing changes", async (t) => {
  const file = join(temporaryFolder(t), "policy.json");
  const granting = (paths: readonly string[]): string => {
    const source = { principals: [aliceId] };
    const rule = { name: "alice", source, request: { paths } };
    return JSON.stringify({ name: "changing", allow_rules: [rule] });
  };
  writeFileSync(file, granting(["/bank.v1.BankService/*"]));
  const served = await serveBank(t, { POLICY_FILE: file });
  const client = await served.client(BankService, alice);
  await client.createAccount(change({ accountId: "12345", currencyCode: "USD" }));
  const watch = client.watchBalance({ accountId: "12345" });
  assert.equal((await watch.next()).value?.balance?.version, 0n);

  writeFileSync(file, `{ "name": "broken" `);
  const refused = await served.log.next(({ message }) => message.startsWith("policy not usable"));
  assert.equal(refused.level, "error");
  await client.deposit(change({ accountId: "12345", amount: cents(1n) }));
  assert.equal((await watch.next()).value?.balance?.version, 1n);

  const ended = failureOf(watch.next());
  writeFileSync(file, granting(["/bank.v1.BankService/GetBalance"]));
  await served.log.next(({ message }) => message === "policy replaced");
  assert.equal((await ended).code, "PERMISSION_DENIED");
  const deposit = client.deposit(change({ accountId: "12345", amount: cents(1n) }));
  assert.equal((await failureOf(deposit)).code, "PERMISSION_DENIED");
  const { balance } = await client.getBalance({ accountId: "12345" });
  assert.equal(balance?.amount?.minorUnits, 1n);
});

test("S14: a certificate with several names and no SPIFFE id owns nothing", async (t) => {
  const served = await serveBank(t);
  const several = authority.issue({ name: "several", uri: [], dns: ["a.test", "b.test"] });
  const client = await served.client(BankService, several);
  const error = await failureOf(client.createAccount(change({ currencyCode: "USD" })));
  assert.equal(error.code, "PERMISSION_DENIED");
  assert.equal(readErrorInfo(error)?.reason, "NO_IDENTITY");
});

test("a stranger and a client without a certificate are refused, and both ends know why", async (t) => {
  const served = await serveBank(t);
  const stranger = createTestAuthority({ trustDomain: "handfast.internal" }).issue({
    name: "alice",
  });
  for (const [identity, code] of [
    [stranger, "CERTIFICATE_AUTHORITY_INVALID"],
    [undefined, "NO_CLIENT_CERTIFICATE"],
  ] as const) {
    const client = await served.client(BankService, identity);
    const error = await failureOf(client.connect({ timeoutMs: 5000 }));
    assert.equal(error.code, "UNAUTHENTICATED");
    assert.equal(error.refusal?.code, code);
    assert.equal(error.refusal?.by, "peer");
    const logged = await served.log.next(
      ({ message, fields }) => message === "handshake refused" && fields["code"] === code,
    );
    assert.equal(logged.fields["by"], "us");
  }
});

test("in plaintext everything is the anonymous owner's, and the database stays a plaintext one", async (t) => {
  const plain = { TLS_ENABLED: "false" };
  const served = await serveBank(t, plain);
  const client = createClient(BankService, {
    target: `127.0.0.1:${served.bank.port}`,
    dangerouslyPlaintext: true,
  });
  t.after(() => client.close());
  const { account } = await client.createAccount(change({ accountId: "a", currencyCode: "USD" }));
  assert.equal(account?.name?.owner, "anonymous");
  const teller = createClient(TellerService, {
    target: `127.0.0.1:${served.bank.port}`,
    dangerouslyPlaintext: true,
  });
  t.after(() => teller.close());
  const name = { owner: "anonymous", accountId: "a" };
  assert.equal((await failureOf(teller.getBalance({ name }))).code, "UNIMPLEMENTED");
  await served.bank.stop();
  const { TLS_ENABLED: _plaintext, ...settings } = served.settings;
  const start = startBank({ settings, log: createKeptLog() });
  await assert.rejects(start, { code: "STORE_MODE_MISMATCH" });
});

test("a bank that stops ends its watches, and does not wait for them", async (t) => {
  const served = await serveBank(t);
  const client = await served.client(BankService, alice);
  await client.createAccount(change({ accountId: "12345", currencyCode: "USD" }));
  const watch = client.watchBalance({ accountId: "12345" });
  assert.equal((await watch.next()).value?.balance?.version, 0n);
  const ended = failureOf(watch.next());
  const start = performance.now();
  await served.bank.stop();
  assert.ok(performance.now() - start < 5000);
  assert.equal((await ended).code, "UNAVAILABLE");
});

test("a bank that stops lets a statement under way come to its closing", async (t) => {
  const served = await serveBank(t);
  const client = await served.client(BankService, alice);
  await client.createAccount(change({ accountId: "12345", currencyCode: "USD" }));
  const deposit = () => client.deposit(change({ accountId: "12345", amount: cents(1n) }));
  // More than fits into the buffers on the way, so that it is still being read when the bank stops.
  for (let batch = 0; batch < 15; batch += 1)
    await Promise.all(Array.from({ length: 100 }, deposit));
  const parts: (string | undefined)[] = [];
  let stopped: Promise<void> | undefined;
  for await (const { part } of client.streamStatement({ accountId: "12345" })) {
    parts.push(part.case);
    stopped ??= served.bank.stop();
  }
  assert.deepEqual(parts, ["opening", "page", "page", "page", "closing"]);
  await stopped;
  const refused = await failureOf(client.getBalance({ accountId: "12345" }));
  assert.equal(refused.code, "UNAVAILABLE");
});

test("a watch over the wire tells each change that its reader has time for", async (t) => {
  const served = await serveBank(t);
  const client = await served.client(BankService, alice);
  await client.createAccount(change({ accountId: "12345", currencyCode: "USD" }));
  const watch = client.watchBalance({ accountId: "12345" });
  assert.equal((await watch.next()).value?.balance?.version, 0n);
  for (const version of [1n, 2n]) {
    await client.deposit(change({ accountId: "12345", amount: cents(1n) }));
    assert.equal((await watch.next()).value?.balance?.version, version);
  }
  await watch.return?.();
  await served.log.next(
    ({ fields }) =>
      fields["method"] === "/bank.v1.BankService/WatchBalance" && fields["code"] === "CANCELLED",
  );
});

test("calls are logged by their status, with the caller's identity and nothing of what was said", async (t) => {
  const served = await serveBank(t, { POLICY_FILE: policyFile });
  const client = await served.client(BankService, alice);
  await client.createAccount(change({ accountId: "12345", currencyCode: "USD" }));
  const deposit = { accountId: "12345", amount: cents(424_242n), description: "a secret" };
  await client.deposit({ requestId: randomUUID(), ...deposit });
  const logged = await served.log.next(({ fields }) =>
    String(fields["method"]).endsWith("/Deposit"),
  );
  assert.equal(logged.fields["identity"], aliceId);
  assert.equal(logged.level, "debug");
  assert.doesNotMatch(JSON.stringify(served.log.records), /424242|a secret|PRIVATE KEY/);
});

async function failureOf(call: Promise<unknown>): Promise<GrpcError> {
  const error: unknown = await call.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof GrpcError, `expected a GrpcError, got ${String(error)}`);
  return error;
}
