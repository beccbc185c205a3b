// The handlers as functions: real store, real messages, calls that no wire carried.
import assert from "node:assert/strict";
import { createHash, randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { BankError } from "../src/errors.ts";
import {
  DepositRequestSchema,
  EntryKind,
  MoneySchema,
  StreamStatementRequestSchema,
  TellerServiceStreamStatementRequestSchema,
  WatchBalanceRequestSchema,
  WithdrawRequestSchema,
} from "../src/gen/bank/v1/bank_pb.ts";
import { createBankService } from "../src/service/bank-service.ts";
import type { statementOf } from "../src/service/entries.ts";
import type { Bank } from "../src/service/bank.ts";
import type { AccountName } from "../src/account-name.ts";
import type { BankStore, EntryRange } from "../src/store/store.ts";
import { createTellerService } from "../src/service/teller-service.ts";
import { entryDigest } from "../src/ledger.ts";
import { cents, change, clientOf, openBank, tell } from "./support/fake-bank.ts";
import { fakeCall } from "./support/fake-call.ts";

const alice = "spiffe://handfast.test/alice";
const bob = "spiffe://handfast.test/bob";
const teller = "spiffe://handfast.test/teller";

test("an account is opened, filled, drawn on and read", async (t) => {
  const { bank } = await openBank(t);
  const client = clientOf(bank, alice);
  const opened = await client.call(
    "createAccount",
    change({ accountId: "12345", currencyCode: "USD" }),
  );
  assert.deepEqual(opened.reply.account?.name?.accountId, "12345");
  assert.equal(opened.reply.account?.name?.owner, alice);
  const deposit = change({ accountId: "12345", amount: cents(10_000n), description: "wages" });
  const deposited = await client.call("deposit", deposit);
  assert.equal(deposited.reply.entry?.balance?.minorUnits, 10_000n);
  assert.equal(deposited.reply.entry?.kind, EntryKind.DEPOSIT);
  const withdrawal = change({ accountId: "12345", amount: cents(2_500n) });
  const withdrawn = await client.call("withdraw", withdrawal);
  assert.equal(withdrawn.reply.entry?.amount?.minorUnits, -2_500n);
  assert.equal(withdrawn.reply.entry?.kind, EntryKind.WITHDRAWAL);
  const { reply } = await client.call("getBalance", { accountId: "12345" });
  assert.deepEqual([reply.balance?.amount?.minorUnits, reply.balance?.version], [7_500n, 2n]);
});

test("without an id the bank makes one, and a retry gets the same", async (t) => {
  const { bank } = await openBank(t);
  const client = clientOf(bank, alice);
  const request = change({ currencyCode: "USD" });
  const first = await client.call("createAccount", request);
  assert.match(first.reply.account?.name?.accountId ?? "", /^[a-z0-9][a-z0-9-]{0,62}$/);
  const again = await client.call("createAccount", request);
  assert.deepEqual(again.reply, first.reply);
  assert.deepEqual([first.hit, again.hit], [false, true]);
});

test("each refusal has its status and its reason", async (t) => {
  const { bank } = await openBank(t);
  const client = clientOf(bank, alice);
  await client.call("createAccount", change({ accountId: "12345", currencyCode: "USD" }));
  const euros = { minorUnits: 1n, currencyCode: "EUR" };
  const most = 2n ** 63n - 1n;
  await client.call("deposit", change({ accountId: "12345", amount: cents(most) }));
  const absent = { accountId: "absent", amount: cents(1n) };
  const account = { accountId: "12345" };
  const cases = [
    [() => client.call("getBalance", { accountId: "absent" }), "ACCOUNT_NOT_FOUND", 5],
    [() => client.call("deposit", change(absent)), "ACCOUNT_NOT_FOUND", 5],
    [() => client.call("withdraw", change(absent)), "ACCOUNT_NOT_FOUND", 5],
    [() => client.call("listEntries", { accountId: "absent" }), "ACCOUNT_NOT_FOUND", 5],
    [
      () => client.call("createAccount", change({ ...account, currencyCode: "USD" })),
      "ACCOUNT_EXISTS",
      6,
    ],
    [() => client.call("deposit", change({ ...account, amount: euros })), "CURRENCY_MISMATCH", 9],
    [
      () => client.call("deposit", change({ ...account, amount: cents(1n) })),
      "BALANCE_OUT_OF_RANGE",
      11,
    ],
  ] as const;
  for (const [call, code, status] of cases) {
    await assert.rejects(call(), { name: "BankError", code, status });
  }
  await client.call("withdraw", change({ ...account, amount: cents(most) }));
  const overdraft = client.call("withdraw", change({ ...account, amount: cents(1n) }));
  await assert.rejects(overdraft, { code: "INSUFFICIENT_FUNDS", status: 9 });
});

test("a request that is not valid names every field that is wrong, and writes nothing", async (t) => {
  const { bank } = await openBank(t);
  const client = clientOf(bank, alice);
  const good = change({ accountId: "12345", amount: cents(1n), description: "" });
  const cases = [
    [{ ...good, requestId: "" }, ["request_id"]],
    [{ ...good, requestId: "not-a-uuid" }, ["request_id"]],
    [{ ...good, requestId: "00000000-0000-0000-0000-000000000000" }, ["request_id"]],
    [{ ...good, accountId: "" }, ["account_id"]],
    [{ ...good, accountId: "-a" }, ["account_id"]],
    [{ ...good, accountId: "A" }, ["account_id"]],
    [{ ...good, accountId: "a".repeat(64) }, ["account_id"]],
    [{ ...good, accountId: "a\n" }, ["account_id"]],
    [{ ...good, amount: cents(0n) }, ["amount.minor_units"]],
    [{ ...good, amount: cents(-1n) }, ["amount.minor_units"]],
    [{ ...good, amount: { minorUnits: 1n, currencyCode: "XXX" } }, ["amount.currency_code"]],
    [{ ...good, description: "a\u0007" }, ["description"]],
    [{ ...good, description: "a\u202eb" }, ["description"]],
    [{ ...good, description: "x".repeat(141) }, ["description"]],
    [{}, ["request_id", "amount", "account_id"]],
  ] as const;
  for (const [request, fields] of cases) {
    await assert.rejects(client.call("deposit", request), (error: BankError) => {
      assert.equal(error.code, "INVALID_REQUEST");
      assert.deepEqual(error.violations.map(({ field }) => field).sort(), [...fields].sort());
      return true;
    });
  }
  const { accounts, operations } = await bank.store.verify();
  assert.deepEqual([accounts, operations], [0n, 0n]);
});

test("S59: a field that nobody knows is INVALID_ARGUMENT, at any depth", async (t) => {
  const { bank } = await openBank(t);
  const client = clientOf(bank, alice);
  const extra = new BinaryWriter().tag(99, WireType.Varint).uint32(7).finish();
  const money = Buffer.concat([toBinary(MoneySchema, create(MoneySchema, cents(1n))), extra]);
  const request = create(DepositRequestSchema, change({ accountId: "12345" }));
  const nested = new BinaryWriter().tag(3, WireType.LengthDelimited).bytes(money).finish();
  const known = toBinary(DepositRequestSchema, {
    ...request,
    amount: create(MoneySchema, cents(1n)),
  });
  for (const [bytes, field] of [
    [Buffer.concat([known, extra]), "99"],
    [Buffer.concat([toBinary(DepositRequestSchema, request), nested]), "amount.99"],
  ] as const) {
    await assert.rejects(
      client.call("deposit", fromBinary(DepositRequestSchema, bytes)),
      (error: BankError) => {
        assert.deepEqual(error.violations, [{ field, description: "is not known" }]);
        return true;
      },
    );
  }
});

test("S59: the request id is scoped to caller and method, and its content is compared", async (t) => {
  const { bank } = await openBank(t);
  const client = clientOf(bank, alice);
  await client.call("createAccount", change({ accountId: "12345", currencyCode: "USD" }));
  const deposit = change({ accountId: "12345", amount: cents(100n), description: "x" });
  const first = await client.call("deposit", deposit);
  const upper = { ...deposit, requestId: deposit.requestId.toUpperCase() };
  const again = await client.call("deposit", upper);
  assert.deepEqual([again.reply, again.hit], [first.reply, true]);
  for (const other of [
    { ...deposit, amount: cents(101n) },
    { ...deposit, description: "y" },
    { ...deposit, accountId: "54321" },
  ]) {
    const call = client.call("deposit", other);
    await assert.rejects(call, { code: "REQUEST_ID_REUSED", status: 3 });
  }
  const withdrawn = await client.call("withdraw", { ...deposit, amount: cents(1n) });
  assert.equal(withdrawn.hit, false);
  const mallory = clientOf(bank, "spiffe://handfast.test/mallory").call("deposit", deposit);
  await assert.rejects(mallory, { code: "ACCOUNT_NOT_FOUND" });
});

test("a remembered refusal comes back as it was, and says so", async (t) => {
  const { bank } = await openBank(t);
  const handlers = createBankService(bank);
  const client = clientOf(bank, alice);
  await client.call("createAccount", change({ accountId: "12345", currencyCode: "USD" }));
  const withdrawal = change({ accountId: "12345", amount: cents(1n) });
  await assert.rejects(client.call("withdraw", withdrawal), { code: "INSUFFICIENT_FUNDS" });
  await client.call("deposit", change({ accountId: "12345", amount: cents(9n) }));
  const { call, trailers } = fakeCall("/bank.v1.BankService/Withdraw", alice);
  const request = create(WithdrawRequestSchema, withdrawal);
  await assert.rejects(async () => handlers.withdraw(request, call), {
    code: "INSUFFICIENT_FUNDS",
  });
  assert.equal(trailers.get("idempotency-hit"), "true");
});

test("S58: nobody sees or touches an account of another, whether or not it exists", async (t) => {
  const { bank } = await openBank(t);
  await clientOf(bank, alice).call(
    "createAccount",
    change({ accountId: "12345", currencyCode: "USD" }),
  );
  const bobs = clientOf(bank, bob);
  for (const accountId of ["12345", "never-made"]) {
    const refused = { code: "ACCOUNT_NOT_FOUND" };
    await assert.rejects(bobs.call("getBalance", { accountId }), refused);
    await assert.rejects(bobs.call("withdraw", change({ accountId, amount: cents(1n) })), refused);
  }
  const opened = await bobs.call(
    "createAccount",
    change({ accountId: "12345", currencyCode: "EUR" }),
  );
  assert.equal(opened.reply.account?.currencyCode, "EUR");
});

test("S14, S58: a certificate that gives no single identity owns nothing", async (t) => {
  const { bank } = await openBank(t);
  const nobody = clientOf(bank, undefined);
  const refused = { code: "NO_IDENTITY", status: 7 };
  const open = change({ accountId: "12345", currencyCode: "USD" });
  await assert.rejects(nobody.call("createAccount", open), refused);
  await assert.rejects(nobody.call("getBalance", { accountId: "12345" }), refused);
  const { call } = fakeCall("/bank.v1.TellerService/GetBalance", undefined);
  const request = { name: { owner: alice, accountId: "12345" } } as never;
  await assert.rejects(async () => createTellerService(bank).getBalance(request, call), refused);
});

test("in plaintext every account is the anonymous owner's", async (t) => {
  const { bank } = await openBank(t, "plaintext");
  const client = clientOf(bank, undefined);
  const open = change({ accountId: "12345", currencyCode: "USD" });
  const { reply } = await client.call("createAccount", open);
  assert.equal(reply.account?.name?.owner, "anonymous");
});

test("S61: a teller names the owner, and its request ids are its own", async (t) => {
  const { bank } = await openBank(t);
  const client = clientOf(bank, alice);
  await client.call("createAccount", change({ accountId: "12345", currencyCode: "USD" }));
  const name = { owner: alice, accountId: "12345" };
  const deposit = change({ name, amount: cents(500n), description: "at the counter" });
  assert.equal((await tell(bank, teller, "deposit", deposit)).hit, false);
  assert.equal((await tell(bank, teller, "deposit", deposit)).hit, true);
  assert.equal((await client.call("getBalance", name)).reply.balance?.amount?.minorUnits, 500n);
  const own = { accountId: "12345", amount: cents(1n), requestId: deposit.requestId };
  assert.equal((await client.call("deposit", own)).hit, false);
  await tell(bank, teller, "createAccount", change({ name: { owner: bob }, currencyCode: "USD" }));
  const absent = tell(bank, teller, "getBalance", { name: { owner: bob, accountId: "12345" } });
  await assert.rejects(absent, { code: "ACCOUNT_NOT_FOUND" });
  const nameless = tell(bank, teller, "getBalance", { name: { owner: "", accountId: "12345" } });
  await assert.rejects(nameless, { code: "INVALID_REQUEST" });
});

test("a transfer moves money between one's own accounts and names the other on each", async (t) => {
  const { bank } = await openBank(t);
  const client = clientOf(bank, alice);
  for (const accountId of ["checking", "savings"]) {
    await client.call("createAccount", change({ accountId, currencyCode: "USD" }));
  }
  await client.call("deposit", change({ accountId: "checking", amount: cents(100n) }));
  const transfer = change({
    fromAccountId: "checking",
    toAccountId: "savings",
    amount: cents(40n),
  });
  const { reply } = await client.call("transfer", transfer);
  assert.equal(reply.fromEntry?.kind, EntryKind.TRANSFER_OUT);
  assert.equal(reply.toEntry?.kind, EntryKind.TRANSFER_IN);
  assert.equal(reply.fromEntry?.counterparty?.accountId, "savings");
  assert.equal(reply.toEntry?.counterparty?.accountId, "checking");
  assert.equal(reply.fromEntry?.operationId, reply.toEntry?.operationId);
  const again = await client.call("transfer", transfer);
  assert.deepEqual([again.reply, again.hit], [reply, true]);
  const same = { ...change(transfer), requestId: randomUUID(), toAccountId: "checking" };
  await assert.rejects(client.call("transfer", same), { code: "INVALID_REQUEST" });
});

test("S62: entries come page by page, and a page token is good for its caller and account", async (t) => {
  const { bank } = await openBank(t);
  const client = clientOf(bank, alice);
  for (const accountId of ["12345", "other"]) {
    await client.call("createAccount", change({ accountId, currencyCode: "USD" }));
  }
  for (let index = 1n; index <= 5n; index += 1n) {
    await client.call("deposit", change({ accountId: "12345", amount: cents(index) }));
  }
  const first = await client.call("listEntries", { accountId: "12345", pageSize: 3 });
  const token = first.reply.nextPageToken;
  const page = { pageSize: 3, pageToken: token };
  const second = await client.call("listEntries", { accountId: "12345", ...page });
  const sequences = [first, second].map(({ reply }) =>
    reply.entries.map((entry) => entry.sequence),
  );
  assert.deepEqual(sequences, [
    [1n, 2n, 3n],
    [4n, 5n],
  ]);
  assert.equal(second.reply.nextPageToken, "");
  const refused = { code: "INVALID_REQUEST" };
  await assert.rejects(client.call("listEntries", { accountId: "other", ...page }), refused);
  const bobs = clientOf(bank, bob).call("listEntries", { accountId: "12345", ...page });
  await assert.rejects(bobs, refused);
  for (const pageToken of ["x", `${token}A`, token.slice(0, -1), "A".repeat(token.length)]) {
    await assert.rejects(client.call("listEntries", { accountId: "12345", pageToken }), refused);
  }
  for (const pageSize of [-1, 501]) {
    await assert.rejects(client.call("listEntries", { accountId: "12345", pageSize }), refused);
  }
});

test("S62: a page token of one teller is not another's", async (t) => {
  const { bank } = await openBank(t);
  const name = { owner: alice, accountId: "12345" };
  await tell(bank, teller, "createAccount", change({ name, currencyCode: "USD" }));
  await tell(bank, teller, "deposit", change({ name, amount: cents(1n) }));
  await tell(bank, teller, "deposit", change({ name, amount: cents(1n) }));
  const first = await tell(bank, teller, "listEntries", { name, pageSize: 1 });
  const { nextPageToken: pageToken } = first.reply as { nextPageToken: string };
  const request = { name, pageSize: 1, pageToken };
  const second = await tell(bank, teller, "listEntries", request);
  assert.deepEqual((second.reply as { nextPageToken: string }).nextPageToken, "");
  await assert.rejects(tell(bank, bob, "listEntries", request), { code: "INVALID_REQUEST" });
});

test("a watch looks from time to time, for changes that another instance made", async (t) => {
  t.mock.timers.enable({ apis: ["setInterval"] });
  const { bank } = await openBank(t);
  const client = clientOf(bank, alice);
  await client.call("createAccount", change({ accountId: "12345", currencyCode: "USD" }));
  // A store that tells nobody of anything, as one of several instances.
  const deaf = { ...bank, store: { ...storeOf(bank), watch: () => () => undefined } };
  const { call, end } = fakeCall("/bank.v1.BankService/WatchBalance", alice);
  const request = create(WatchBalanceRequestSchema, { accountId: "12345" });
  const watch = createBankService(deaf).watchBalance(request, call)[Symbol.asyncIterator]();
  await watch.next();
  await client.call("deposit", change({ accountId: "12345", amount: cents(1n) }));
  const next = watch.next();
  t.mock.timers.tick(2000);
  assert.equal((await next).value?.balance?.version, 1n);
  end.abort();
  await watch.next();
});

test("a statement opens, pages, closes with totals, and its digest can be computed from its lines", async (t) => {
  const { bank } = await openBank(t);
  const client = clientOf(bank, alice);
  await client.call("createAccount", change({ accountId: "12345", currencyCode: "USD" }));
  const deposits = Array.from({ length: 1100 }, () =>
    client.call("deposit", change({ accountId: "12345", amount: cents(3n) })),
  );
  await Promise.all(deposits);
  await client.call("withdraw", change({ accountId: "12345", amount: cents(300n) }));
  const whole = await statement(0n);
  assert.deepEqual(
    whole.map(({ case: name }) => name),
    ["opening", "page", "page", "page", "closing"],
  );
  const { digest, ...closing } = closingOf(whole);
  assert.deepEqual(closing, {
    entryCount: 1101n,
    totalIn: cents(3300n),
    totalOut: cents(300n),
    closingBalance: cents(3000n),
  });
  let computed: Uint8Array = new Uint8Array(32);
  for (const entry of entriesOf(whole)) {
    computed = entryDigest(computed, {
      sequence: entry.sequence ?? 0n,
      operationId: entry.operationId ?? "",
      kind: entry.kind === EntryKind.DEPOSIT ? "deposit" : "withdrawal",
      amount: entry.amount?.minorUnits ?? 0n,
      balance: entry.balance?.minorUnits ?? 0n,
      currencyCode: "USD",
      postedAt:
        (entry.postedAt?.seconds ?? 0n) * 1000n + BigInt((entry.postedAt?.nanos ?? 0) / 1_000_000),
      counterparty: undefined,
      description: "",
    });
    assert.deepEqual(Buffer.from(computed), Buffer.from(entry.digest ?? []));
  }
  assert.deepEqual(Buffer.from(computed), Buffer.from(digest ?? []));

  const rest = await statement(700n);
  assert.equal(entriesOf(rest)[0]?.sequence, 701n);
  assert.deepEqual(closingOf(rest).digest, digest);
  assert.deepEqual(closingOf(rest).totalIn, cents(1200n));
  const opening = rest[0];
  assert.deepEqual(opening?.case === "opening" && opening.value.openingBalance, cents(2100n));
  const nothing = await statement(1101n);
  assert.deepEqual(
    nothing.map(({ case: name }) => name),
    ["opening", "closing"],
  );
  await assert.rejects(statement(1102n), { code: "SEQUENCE_OUT_OF_RANGE", status: 11 });
  await assert.rejects(statement(-1n), { code: "INVALID_REQUEST" });

  async function statement(afterSequence: bigint): Promise<StatementPart[]> {
    const { call } = fakeCall("/bank.v1.BankService/StreamStatement", alice);
    const fields = { accountId: "12345", afterSequence };
    const request = create(StreamStatementRequestSchema, fields);
    const parts: StatementPart[] = [];
    for await (const { part } of createBankService(bank).streamStatement(request, call)) {
      parts.push(part as StatementPart);
    }
    return parts;
  }
});

test("a statement is read from the store only as fast as its reader takes it, a page at a time", async (t) => {
  const { bank } = await openBank(t);
  const client = clientOf(bank, alice);
  await client.call("createAccount", change({ accountId: "12345", currencyCode: "USD" }));
  await Promise.all(
    Array.from({ length: 1600 }, () =>
      client.call("deposit", change({ accountId: "12345", amount: cents(1n) })),
    ),
  );
  const limits: number[] = [];
  const store = storeOf(bank);
  const watched = {
    ...bank,
    store: {
      ...store,
      entries: (name: AccountName, range: EntryRange) => {
        limits.push(range.limit);
        return store.entries(name, range);
      },
    },
  };
  const { call } = fakeCall("/bank.v1.BankService/StreamStatement", alice);
  const request = create(StreamStatementRequestSchema, { accountId: "12345" });
  const stream = createBankService(watched).streamStatement(request, call)[Symbol.asyncIterator]();
  await stream.next();
  limits.length = 0;
  for (const read of [1, 2, 3]) {
    await stream.next();
    assert.deepEqual(limits, Array<number>(read).fill(500));
  }
  await stream.return?.();
  assert.equal(limits.length, 3);
});

test("what is posted while a statement is read is not in it", async (t) => {
  const { bank } = await openBank(t);
  const client = clientOf(bank, alice);
  await client.call("createAccount", change({ accountId: "12345", currencyCode: "USD" }));
  await client.call("deposit", change({ accountId: "12345", amount: cents(1n) }));
  const { call } = fakeCall("/bank.v1.TellerService/StreamStatement", teller);
  const request = create(TellerServiceStreamStatementRequestSchema, {
    name: { owner: alice, accountId: "12345" },
  });
  const parts: StatementPart[] = [];
  for await (const { part } of createTellerService(bank).streamStatement(request, call)) {
    parts.push(part as StatementPart);
    await client.call("deposit", change({ accountId: "12345", amount: cents(1n) }));
  }
  assert.equal(entriesOf(parts).length, 1);
  assert.deepEqual(closingOf(parts).closingBalance, cents(1n));
});

test("a watch tells the balance now, then the latest after each change, until the call ends", async (t) => {
  // Nothing here may come from looking from time to time.
  t.mock.timers.enable({ apis: ["setInterval"] });
  const { bank } = await openBank(t);
  const client = clientOf(bank, alice);
  await client.call("createAccount", change({ accountId: "12345", currencyCode: "USD" }));
  const { call, end } = fakeCall("/bank.v1.BankService/WatchBalance", alice);
  const request = create(WatchBalanceRequestSchema, { accountId: "12345" });
  const watch = createBankService(bank).watchBalance(request, call)[Symbol.asyncIterator]();
  const next = async (): Promise<unknown> => (await watch.next()).value?.balance?.version;
  assert.equal(await next(), 0n);
  await client.call("deposit", change({ accountId: "12345", amount: cents(1n) }));
  assert.equal(await next(), 1n);
  await client.call("deposit", change({ accountId: "12345", amount: cents(1n) }));
  await client.call("deposit", change({ accountId: "12345", amount: cents(1n) }));
  assert.equal(await next(), 3n);
  const last = watch.next();
  end.abort();
  assert.equal((await last).done, true);
  assert.equal(bank.watchers.size, 0);
});

test("S62: an identity has at most 16 watches, and an ended one makes room", async (t) => {
  const { bank } = await openBank(t);
  await clientOf(bank, alice).call(
    "createAccount",
    change({ accountId: "12345", currencyCode: "USD" }),
  );
  const open = async (): Promise<AbortController> => {
    const { call, end } = fakeCall("/bank.v1.BankService/WatchBalance", alice);
    const request = create(WatchBalanceRequestSchema, { accountId: "12345" });
    const watch = createBankService(bank).watchBalance(request, call)[Symbol.asyncIterator]();
    await watch.next();
    ended.push(watch.next());
    return end;
  };
  const ended: Promise<unknown>[] = [];
  const ends = await Promise.all(Array.from({ length: 16 }, open));
  await assert.rejects(open(), { code: "TOO_MANY_WATCHES", status: 8 });
  ends[0]?.abort();
  await ended[0];
  ends.push(await open());
  for (const end of ends) end.abort();
  await Promise.all(ended);
});

test("bank.proto lists every reason that a peer may be told", async () => {
  const { bankErrors } = await import("../src/errors.ts");
  const proto = readFileSync(new URL("../../../proto/bank/v1/bank.proto", import.meta.url), "utf8");
  const listed = [...proto.matchAll(/^\/\/ {3}([A-Z_]+) +[A-Z_]+ {2}/gm)].map(
    ([, reason]) => reason,
  );
  const told = Object.entries(bankErrors).flatMap(([code, entry]) => (entry.public ? code : []));
  assert.deepEqual(new Set(listed), new Set(told));
});

test("the fingerprint survives as long as the API: it is the encoding without the request id", async () => {
  const { fingerprintOf } = await import("../src/service/fingerprint.ts");
  const request = create(DepositRequestSchema, change({ accountId: "a", amount: cents(1n) }));
  const plain = toBinary(DepositRequestSchema, { ...request, requestId: "" });
  const expected = createHash("sha256").update(plain).digest();
  assert.deepEqual(Buffer.from(fingerprintOf(DepositRequestSchema, request)), expected);
});

/** The store as a plain object, so that a part of it can be replaced. */
function storeOf({ store }: Bank): BankStore {
  return {
    execute: (command) => store.execute(command),
    account: (name) => store.account(name),
    entries: (name, range) => store.entries(name, range),
    watch: (name, listener) => store.watch(name, listener),
    verify: () => store.verify(),
    close: () => store.close(),
    fault: store.fault,
  };
}

type StatementPart =
  ReturnType<typeof statementOf> extends AsyncGenerator<{ part: infer Part }> ? Part : never;

function entriesOf(parts: readonly StatementPart[]) {
  return parts.flatMap((part) => (part.case === "page" ? (part.value.entries ?? []) : []));
}

function closingOf(parts: readonly StatementPart[]) {
  const last = parts.at(-1);
  assert.ok(last?.case === "closing");
  return last.value;
}
