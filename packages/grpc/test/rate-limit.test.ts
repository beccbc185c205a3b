// Rate limits (security.md S40, S41).
import assert from "node:assert/strict";
import { once } from "node:events";
import http2 from "node:http2";
import { test } from "node:test";
import * as fc from "fast-check";
import { GrpcError, readRetryInfo } from "../src/index.ts";
import { createRateLimit } from "../src/interceptors/rate-limit.ts";
import type { RateLimitOptions } from "../src/interceptors/rate-limit.ts";
import type { OpenCall } from "../src/server/call.ts";
import { authority, dial, failure, serve } from "./fixtures.ts";

const method = "/grpc.testing.TestService/EmptyCall";

/** A limit under a clock of the test. */
function limited(options: Omit<RateLimitOptions, "now">): {
  passes(identity: string | undefined, at: number, path?: string): boolean;
} {
  let time = 0;
  const gate = createRateLimit({ ...options, now: () => time });
  return {
    passes(identity, at, path = method) {
      time = at;
      return gate({ method: path, caller: { identity } } as unknown as OpenCall) === undefined;
    },
  };
}

function codeOf(error: unknown): unknown {
  return error instanceof GrpcError ? error.code : error;
}

test("a burst, then the rate", () => {
  const limit = limited({ rules: [{ methods: [method], perSecond: 10, burst: 3 }] });
  const at = (time: number): boolean => limit.passes("alice", time);
  assert.deepEqual([at(0), at(0), at(0), at(0)], [true, true, true, false]);
  assert.deepEqual([at(99), at(100), at(100)], [false, true, false]);
  assert.deepEqual([at(10_000), at(10_000), at(10_000), at(10_000)], [true, true, true, false]);
});

test("no run of calls gets more than the burst and the rate allow, and an honest one gets all of it", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 1_000 }),
      fc.integer({ min: 1, max: 50 }),
      fc.array(fc.double({ min: 0, max: 200, noNaN: true }), { maxLength: 200 }),
      (perSecond, burst, gaps) => {
        const limit = limited({ rules: [{ methods: ["*"], perSecond, burst }] });
        let time = 0;
        const passed: number[] = [];
        for (const gap of gaps) {
          time += gap;
          if (limit.passes("alice", time)) passed.push(time);
        }
        for (const [index, start] of passed.entries()) {
          const within = passed.slice(index).map((end, count) => ({ end, count: count + 1 }));
          for (const { end, count } of within) {
            assert.ok(count <= burst + ((end - start) * perSecond) / 1_000 + 1e-6);
          }
        }
        assert.ok(passed.length >= Math.min(gaps.length, burst));
      },
    ),
  );
});

test("rules are of method classes: the first that names the method counts, none means no limit", () => {
  const limit = limited({
    rules: [
      { methods: ["/a.B/C"], perSecond: 1, burst: 2 },
      { methods: ["/a.B/*"], perSecond: 1, burst: 1 },
    ],
  });
  assert.deepEqual(
    [1, 2, 3].map(() => limit.passes("alice", 0, "/a.B/C")),
    [true, true, false],
  );
  assert.deepEqual(
    [1, 2].map(() => limit.passes("alice", 0, "/a.B/D")),
    [true, false],
  );
  assert.equal(limit.passes("alice", 0, "/a.B/E"), false, "one class, one bucket");
  assert.ok([1, 2, 3, 4].every(() => limit.passes("alice", 0, "/a.Bx/D")));
});

test("S41 a flood of identities neither refills nor takes the bucket of those who have one", () => {
  const limit = limited({ rules: [{ methods: ["*"], perSecond: 1, burst: 2 }], maxBuckets: 10 });
  assert.deepEqual(
    [1, 2, 3].map(() => limit.passes("alice", 0)),
    [true, true, false],
  );
  const flood = Array.from({ length: 1_000 }, (_, index) => limit.passes(`stranger ${index}`, 1));
  assert.equal(flood.filter(Boolean).length, 9 + 2, "nine buckets, and one that the others share");
  assert.equal(limit.passes("alice", 2), false, "not refilled");
  assert.equal(limit.passes("alice", 1_000), true, "nor taken");
  assert.equal(limit.passes("late", 5_000), true, "full buckets are forgotten when room is needed");
});

test("S14 callers without an identity share one bucket", () => {
  const limit = limited({ rules: [{ methods: ["*"], perSecond: 1, burst: 1 }] });
  assert.deepEqual([limit.passes(undefined, 0), limit.passes(undefined, 0)], [true, false]);
});

test("S14, S41 a certificate with several names shares its bucket with none of them", async () => {
  await using bank = await serve({
    rateLimit: { rules: [{ methods: [method], perSecond: 0.1, burst: 1 }] },
  });
  const several = authority.issue({ name: "several", uri: [], dns: ["a.test", "b.test"] });
  const single = authority.issue({ name: "a.test", uri: [], dns: ["a.test"] });
  const other = authority.issue({ name: "other", uri: [], dns: ["c.test", "d.test"] });
  const calls: unknown[] = [];
  for (const identity of [several, single, other]) {
    await using client = await dial(bank.target, { identity });
    calls.push(await client.client.emptyCall({}).then(() => "OK", codeOf));
  }
  // The first and the last have no identity: they share the bucket of those.
  assert.deepEqual(calls, ["OK", "OK", "RESOURCE_EXHAUSTED"]);
});

test("S40 what is over the limit is refused by its head: its body is neither read nor inflated", async () => {
  await using bank = await serve({
    rateLimit: { rules: [{ methods: ["*"], perSecond: 0.001, burst: 1 }] },
  });
  await using alice = await dial(bank.target);
  await alice.client.emptyCall({});
  const { socket } = await alice.tls.mtls.dial({ host: "localhost", port: bank.port });
  const session = http2.connect("https://localhost", { createConnection: () => socket });
  const stream = session.request({
    ":method": "POST",
    ":path": method,
    "content-type": "application/grpc",
    "grpc-encoding": "gzip",
    te: "trailers",
  });
  stream.on("error", () => undefined);
  // Marked as compressed, and no gzip: whoever looked would answer INTERNAL.
  stream.write(Buffer.from([1, 0, 0, 0, 4, 1, 2, 3, 4]));
  const [head] = (await once(stream, "response")) as [Record<string, string>];
  assert.equal(head["grpc-status"], "8");
  session.destroy();
});

test("a rule that allows nothing is a TypeError", () => {
  for (const rule of [
    { perSecond: 0, burst: 1 },
    { perSecond: 1, burst: 0 },
    { perSecond: Number.NaN, burst: 1 },
  ]) {
    assert.throws(() => createRateLimit({ rules: [{ methods: ["*"], ...rule }] }), TypeError);
  }
});

test("over the limit a call is RESOURCE_EXHAUSTED with RetryInfo; another identity is not, a renewed one is", async () => {
  await using bank = await serve({
    rateLimit: { rules: [{ methods: [method], perSecond: 0.1, burst: 1 }] },
  });
  await using alice = await dial(bank.target);
  await using bob = await dial(bank.target, { identity: authority.issue({ name: "bob" }) });
  await using renewed = await dial(bank.target, { identity: authority.issue({ name: "alice" }) });
  await alice.client.emptyCall({});
  await bob.client.emptyCall({});
  for (const { client } of [alice, renewed]) {
    const error = await failure(client.emptyCall({}));
    assert.ok(error instanceof GrpcError);
    assert.equal(error.code, "RESOURCE_EXHAUSTED");
    const { delayMs = 0 } = readRetryInfo(error) ?? {};
    assert.ok(delayMs > 5_000 && delayMs <= 10_000, String(delayMs));
  }
  await alice.client.unaryCall({});
});
