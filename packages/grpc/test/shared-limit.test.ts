// Rate limits that instances share (security.md S41), with a store in memory; shared-limit.slow.ts has real ones.
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  GrpcError,
  readRetryInfo,
  sharedLimitsInPostgres,
  sharedLimitsInValkey,
} from "../src/index.ts";
import type { ServerOptions, SharedBucket, SharedBuckets } from "../src/index.ts";
import { authority, dial, failure, recorder, serve } from "./fixtures.ts";

/** A store whose answers a test chooses; by default GCRA on a clock that stands. */
function memoryStore(): SharedBuckets & {
  readonly asked: SharedBucket[];
  answer: (bucket: SharedBucket) => Promise<number>;
} {
  const fullAt = new Map<string, number>();
  const asked: SharedBucket[] = [];
  const store = {
    asked,
    answer({ key, costMs, toleranceMs }: SharedBucket): Promise<number> {
      const next = (fullAt.get(key) ?? 0) + costMs;
      if (next > toleranceMs) return Promise.resolve(next - toleranceMs);
      fullAt.set(key, next);
      return Promise.resolve(0);
    },
    take(bucket: SharedBucket): Promise<number> {
      asked.push(bucket);
      return store.answer(bucket);
    },
  };
  return store;
}

function limitedTo(
  burst: number,
  shared: SharedBuckets,
): { readonly rateLimit: NonNullable<ServerOptions["rateLimit"]> } {
  const rules = [{ methods: ["/grpc.testing.TestService/*"], perSecond: 0.001, burst }];
  return { rateLimit: { rules, shared, sharedTimeoutMs: 50 } };
}

async function codeOf(work: Promise<unknown>): Promise<string> {
  try {
    await work;
    return "OK";
  } catch (error) {
    return error instanceof GrpcError ? error.code : String(error);
  }
}

test("S41 a caller has his rate once over all instances, and is told when to come back", async () => {
  const store = memoryStore();
  await using first = await serve(limitedTo(3, store));
  await using second = await serve(limitedTo(3, store));
  await using alice = await dial(first.target);
  await using elsewhere = await dial(second.target, {
    identity: authority.issue({ name: "alice" }),
  });
  const codes: string[] = [];
  for (const { client } of [alice, elsewhere, alice]) {
    codes.push(await codeOf(client.emptyCall({})));
  }
  assert.deepEqual(codes, ["OK", "OK", "OK"]);
  const error = await failure(elsewhere.client.emptyCall({}));
  assert.ok(error instanceof GrpcError);
  assert.equal(error.code, "RESOURCE_EXHAUSTED");
  assert.equal(readRetryInfo(error)?.delayMs, 1_000_000);
  await using bob = await dial(second.target, { identity: authority.issue({ name: "bob" }) });
  await bob.client.emptyCall({});
});

test("S41 the store does not learn who calls, and is not asked about what this instance refuses", async () => {
  const store = memoryStore();
  store.answer = () => Promise.resolve(0);
  await using bank = await serve(limitedTo(2, store));
  await using alice = await dial(bank.target);
  const codes: string[] = [];
  for (let count = 0; count < 4; count++) codes.push(await codeOf(alice.client.emptyCall({})));
  assert.deepEqual(codes, ["OK", "OK", "RESOURCE_EXHAUSTED", "RESOURCE_EXHAUSTED"]);
  assert.equal(store.asked.length, 2);
  assert.match(store.asked[0]?.key ?? "", /^[\w-]{43}$/);
});

test("S41 while the store is away each instance limits by itself, says so, and asks again after a second", async (context) => {
  const store = memoryStore();
  const fails = [
    () => Promise.reject(new Error("connection refused")),
    () => new Promise<number>(() => undefined),
    () => Promise.resolve(Number.NaN),
    () => {
      throw new Error("not even a promise");
    },
  ];
  for (const answer of fails) {
    let now = 0;
    context.mock.method(performance, "now", () => now);
    store.answer = answer;
    store.asked.length = 0;
    await using bank = await serve(limitedTo(3, store));
    await using alice = await dial(bank.target);
    assert.equal(await codeOf(alice.client.emptyCall({})), "OK");
    assert.equal(await codeOf(alice.client.emptyCall({})), "OK");
    assert.equal(store.asked.length, 1, "left alone for a second");
    now = 1_001;
    store.answer = () => Promise.resolve(0);
    assert.equal(await codeOf(alice.client.emptyCall({})), "OK");
    assert.equal(await codeOf(alice.client.emptyCall({})), "RESOURCE_EXHAUSTED");
    assert.equal(store.asked.length, 2);
    const told = bank.events.filter((event) => event.type === "shared-limits");
    assert.deepEqual(
      told.map(({ available }) => available),
      [false, true],
    );
    assert.ok(told[0]?.error instanceof Error);
    context.mock.restoreAll();
  }
});

test("a call that its client gives up while the store is asked reaches no handler", async () => {
  const asked = recorder<() => void>();
  let ran = 0;
  const store: SharedBuckets = {
    take: () => new Promise((resolve) => asked.add(() => resolve(0))),
  };
  await using bank = await serve({
    rateLimit: { ...limitedTo(3, store).rateLimit, sharedTimeoutMs: 60_000 },
    handlers: {
      emptyCall() {
        ran += 1;
        return {};
      },
    },
  });
  await using alice = await dial(bank.target);
  const abort = new AbortController();
  const call = failure(alice.client.emptyCall({}, { signal: abort.signal }));
  const answer = await asked.next(() => true);
  abort.abort();
  await call;
  await bank.next(({ type }) => type === "call");
  answer();
  await bank.server.shutdown();
  assert.equal(ran, 0);
});

test("PostgreSQL: the table is made once, and again where that failed", async () => {
  const statements: string[] = [];
  let fails = 1;
  const buckets = sharedLimitsInPostgres({
    query(text) {
      statements.push(/CREATE|DELETE|WITH/.exec(text)?.[0] ?? text);
      if (text.includes("CREATE") && fails-- > 0) return Promise.reject(new Error("exists"));
      return Promise.resolve({ rows: [{ wait: 0 }] });
    },
  });
  const bucket = { key: "k", costMs: 1, toleranceMs: 1 };
  await assert.rejects(buckets.take(bucket), /exists/);
  assert.equal(await buckets.take(bucket), 0);
  assert.equal(await buckets.take(bucket), 0);
  assert.deepEqual(statements, ["CREATE", "CREATE", "DELETE", "WITH", "WITH"]);
});

test("Valkey: a bucket is one key, and what is no number is no answer", async () => {
  const keys: [string, readonly string[]][] = [];
  const buckets = sharedLimitsInValkey((_script, key, values) => {
    keys.push([key, values]);
    return Promise.resolve("12.5");
  });
  assert.equal(await buckets.take({ key: "k", costMs: 0.5, toleranceMs: 10 }), 12.5);
  assert.deepEqual(keys, [["handfast:rate:k", ["0.5", "10"]]]);
});
