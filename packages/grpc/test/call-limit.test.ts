// How much one caller may have done at a time (security.md S38).
import assert from "node:assert/strict";
import { test } from "node:test";
import { GrpcError } from "../src/index.ts";
import { createCallLimit } from "../src/interceptors/call-limit.ts";
import { authority, dial, failure, recorder, serve } from "./fixtures.ts";

test("S38 an identity has so many calls at a time over all its connections; others are not held up", async () => {
  const finish = recorder<() => void>();
  await using bank = await serve({
    limits: { maxConcurrentCallsPerIdentity: 3 },
    handlers: { emptyCall: () => new Promise((resolve) => finish.add(() => resolve({}))) },
  });
  await using alice = await dial(bank.target);
  await using renewed = await dial(bank.target, { identity: authority.issue({ name: "alice" }) });
  await using bob = await dial(bank.target, { identity: authority.issue({ name: "bob" }) });
  const open = [alice, renewed, renewed].map(({ client }) => client.emptyCall({}));
  await finish.next(() => finish.items.length === 3);
  for (const { client } of [alice, renewed]) {
    const error = await failure(client.unaryCall({}));
    assert.ok(error instanceof GrpcError);
    assert.deepEqual(
      [error.code, error.message],
      ["RESOURCE_EXHAUSTED", "too many calls at a time, the limit for one caller is 3"],
    );
  }
  await bob.client.unaryCall({});
  for (const done of finish.items) done();
  await Promise.all(open);
  await alice.client.unaryCall({});
});

test("S38 a call that its client has left keeps its place until its handler is done, on any connection", async () => {
  const handlers = recorder<() => void>();
  const left = recorder<unknown>();
  await using bank = await serve({
    limits: { maxConcurrentCallsPerIdentity: 1 },
    handlers: {
      emptyCall: (_request, { signal }) =>
        new Promise((resolve) => {
          signal.addEventListener("abort", () => left.add(signal.reason));
          handlers.add(() => resolve({}));
        }),
    },
  });
  await using alice = await dial(bank.target);
  await using again = await dial(bank.target);
  const abort = new AbortController();
  const call = failure(alice.client.emptyCall({}, { signal: abort.signal }));
  await handlers.next(() => true);
  abort.abort();
  await call;
  await left.next(() => true);
  const early = await failure(again.client.unaryCall({}));
  assert.equal(early instanceof GrpcError && early.code, "RESOURCE_EXHAUSTED");
  handlers.items[0]?.();
  await again.client.unaryCall({});
});

test("S38 by default one caller has 1,000 calls at a time", async () => {
  const finish = recorder<() => void>();
  await using bank = await serve({
    limits: { maxConcurrentStreams: 2_000 },
    handlers: { emptyCall: () => new Promise((resolve) => finish.add(() => resolve({}))) },
  });
  await using alice = await dial(bank.target);
  await alice.client.connect();
  const open = Array.from({ length: 1_000 }, () => alice.client.emptyCall({}));
  await finish.next(() => finish.items.length === 1_000);
  const error = await failure(alice.client.emptyCall({}));
  assert.equal(error instanceof GrpcError && error.code, "RESOURCE_EXHAUSTED");
  for (const done of finish.items) done();
  await Promise.all(open);
});

test("S14, S38 callers without an identity are counted by their address", () => {
  const limit = createCallLimit(1);
  const call = (remoteAddress: string | undefined): Parameters<typeof limit.gate>[0] => ({
    caller: undefined,
    remoteAddress,
    hasPlace: false,
  });
  const first = call("192.0.2.1");
  assert.equal(limit.gate(first), undefined);
  const second = call("192.0.2.1");
  assert.equal(limit.gate(second)?.code, "RESOURCE_EXHAUSTED");
  assert.equal(limit.gate(call("192.0.2.2")), undefined);
  assert.equal(limit.gate(call(undefined)), undefined);
  // What had no place gives none back.
  limit.released(second);
  assert.equal(limit.gate(second)?.code, "RESOURCE_EXHAUSTED");
  limit.released(first);
  assert.equal(limit.gate(second), undefined);
});
