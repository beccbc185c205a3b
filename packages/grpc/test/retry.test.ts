import assert from "node:assert/strict";
import { test } from "node:test";
import { identityFromMemory } from "@handfast/tls";
import type { IdentityMaterial, IdentitySource } from "@handfast/tls";
import { createTestAuthority } from "@handfast/x509/testing";
import type { TestIdentity } from "@handfast/x509/testing";
import { GrpcError, Metadata, retryInfo } from "../src/index.ts";
import type { RetryOptions } from "../src/index.ts";
import { createRetryRules } from "../src/client/retry.ts";
import { aliceIdentity, authority, collect, dial, failure, recorder, serve } from "./fixtures.ts";

const quick: RetryOptions = { initialBackoffMs: 1, retryable: () => true };
const unavailable = { error: new GrpcError("UNAVAILABLE", ""), trailers: new Metadata() };

test("an idempotent call that fails with UNAVAILABLE is made again, and says how often it was", async () => {
  const attempts: (string | undefined)[] = [];
  await using bank = await serve({
    handlers: {
      emptyCall(_request, { requestHeaders }) {
        attempts.push(requestHeaders.get("grpc-previous-rpc-attempts"));
        if (attempts.length < 3) throw new GrpcError("UNAVAILABLE", "busy");
        return {};
      },
    },
  });
  await using alice = await dial(bank.target, { retry: quick });
  await alice.client.emptyCall({});
  assert.deepEqual(attempts, [undefined, "1", "2"]);
});

test("a stream is made again before its first message, and not after it", async () => {
  let calls = 0;
  await using bank = await serve({
    handlers: {
      async *streamingOutputCall() {
        calls += 1;
        if (calls > 1) yield {};
        throw new GrpcError("UNAVAILABLE", "busy");
      },
    },
  });
  await using alice = await dial(bank.target, { retry: quick });
  const error = await failure(collect(alice.client.streamingOutputCall({})));
  assert.equal(error instanceof GrpcError && error.code, "UNAVAILABLE");
  assert.equal(calls, 2);
});

test("calls that may not be made twice are made once", async () => {
  let calls = 0;
  await using bank = await serve({
    handlers: {
      emptyCall() {
        calls += 1;
        throw new GrpcError("UNAVAILABLE", "busy");
      },
      async streamingInputCall() {
        calls += 1;
        throw new GrpcError("UNAVAILABLE", "busy");
      },
    },
  });
  await using alice = await dial(bank.target);
  await failure(alice.client.emptyCall({}));
  assert.equal(calls, 1, "the method is not marked idempotent");
  await using eager = await dial(bank.target, { retry: quick });
  await failure(eager.client.streamingInputCall([{}]));
  assert.equal(calls, 2, "its requests are a stream");
  await using never = await dial(bank.target, { retry: "never" });
  await failure(never.client.emptyCall({}));
  assert.equal(calls, 3);
});

test("statuses that trying again would not change are not tried again", async () => {
  let calls = 0;
  await using bank = await serve({
    handlers: {
      unaryCall() {
        calls += 1;
        throw new GrpcError("INTERNAL", "");
      },
    },
  });
  await using alice = await dial(bank.target, { retry: quick });
  await failure(alice.client.unaryCall({}));
  assert.equal(calls, 1);
  for (const code of ["PERMISSION_DENIED", "UNAUTHENTICATED"]) {
    assert.throws(() => createRetryRules({ codes: [code as "UNAVAILABLE"] }), TypeError);
  }
});

test("waits double up to their bound, give or take a fifth", () => {
  const waits = (random: number): (number | undefined)[] => {
    const options = { initialBackoffMs: 100, maxBackoffMs: 300, random: () => random };
    return [1, 2, 3, 4].map((attempts) =>
      createRetryRules(options).waitAfter(unavailable, attempts),
    );
  };
  assert.deepEqual(waits(0.5), [100, 200, 300, undefined]);
  assert.deepEqual(waits(0)[0], 80);
  assert.ok(Math.abs((waits(1)[0] ?? 0) - 120) < 1e-9);
});

test("the server's wishes are honoured: pushback, and RetryInfo as the least wait", () => {
  const rules = createRetryRules({ random: () => 0.5 });
  const pushedBack = (value: string): number | undefined => {
    const trailers = Metadata.fromWire([["grpc-retry-pushback-ms", value]]);
    assert.ok(trailers !== undefined);
    return createRetryRules().waitAfter({ ...unavailable, trailers }, 1);
  };
  assert.deepEqual(["7", "0", "-1", "soon"].map(pushedBack), [7, 0, undefined, undefined]);
  const details = [retryInfo({ delayMs: 4_000 })];
  const error = new GrpcError("UNAVAILABLE", "", { details });
  assert.equal(rules.waitAfter({ error, trailers: new Metadata() }, 1), 4_000);
});

test("the budget stops retries while most calls fail, and comes back with answers", () => {
  const rules = createRetryRules();
  const retried = Array.from({ length: 10 }, () => rules.waitAfter(unavailable, 1) !== undefined);
  assert.deepEqual(retried, [true, true, true, true, ...Array.from({ length: 6 }, () => false)]);
  const answered = { error: undefined, trailers: new Metadata() };
  for (let count = 0; count < 70; count++) rules.waitAfter(answered, 1);
  assert.notEqual(rules.waitAfter(unavailable, 1), undefined);
});

test("a wait ends with the call's signal, and is not begun past its deadline", async () => {
  const seen = recorder<string>();
  await using bank = await serve({
    handlers: {
      emptyCall() {
        seen.add("called");
        throw new GrpcError("UNAVAILABLE", "busy");
      },
    },
  });
  await using alice = await dial(bank.target, {
    retry: { initialBackoffMs: 60_000, maxBackoffMs: 60_000, retryable: () => true },
  });
  const controller = new AbortController();
  const options = { signal: controller.signal, deadlineMs: 600_000 };
  const call = failure(alice.client.emptyCall({}, options));
  await bank.next((event) => event.type === "call");
  setTimeout(() => controller.abort("enough"), 20);
  const error = await call;
  assert.ok(error instanceof GrpcError);
  assert.deepEqual([error.code, error.cause], ["CANCELLED", "enough"]);
  const late = await failure(alice.client.emptyCall({}, { deadlineMs: 10_000 }));
  assert.equal(late instanceof GrpcError && late.code, "UNAVAILABLE");
  assert.equal(seen.items.length, 2);
});

test("a rotated client certificate is used for the next call, and no call fails", async () => {
  const fingerprints = new Set<string>();
  await using bank = await serve({
    handlers: {
      emptyCall(_request, { peer }) {
        fingerprints.add(peer?.fingerprint ?? "");
        return {};
      },
      async *streamingOutputCall() {
        yield {};
        yield {};
      },
    },
  });
  const identity = replaceableIdentity(aliceIdentity);
  await using alice = await dial(bank.target, { tlsOptions: { identity: identity.source } });
  await alice.client.emptyCall({});
  const stream = alice.client.streamingOutputCall({});
  await stream.next();
  const running = Array.from({ length: 20 }, () => alice.client.emptyCall({}));
  const renewed = authority.issue({ name: "alice" });
  identity.replace(renewed);
  assert.equal((await alice.tls.mtls.reload()).identity, "replaced");
  running.push(...Array.from({ length: 20 }, () => alice.client.emptyCall({})));
  await Promise.all(running);
  assert.deepEqual(
    fingerprints,
    new Set([aliceIdentity.certificate.fingerprint, renewed.certificate.fingerprint]),
  );
  await collect(stream);
});

test("a call refused for its certificate is made once more when the certificate has changed meanwhile", async () => {
  await using bank = await serve();
  const identity = replaceableIdentity(createTestAuthority().issue({ name: "alice" }));
  await using alice = await dial(bank.target, { tlsOptions: { identity: identity.source } });
  const refused = await failure(alice.client.emptyCall({}));
  assert.equal(refused instanceof GrpcError && refused.code, "UNAUTHENTICATED");
  identity.replace(aliceIdentity);
  const call = alice.client.emptyCall({});
  await alice.tls.mtls.reload();
  await call;
});

function replaceableIdentity(first: TestIdentity): {
  readonly source: IdentitySource;
  replace(next: TestIdentity): void;
} {
  let current = first;
  const read = (): Promise<IdentityMaterial | undefined> =>
    identityFromMemory({
      certificateChain: current.certificateChainPem,
      privateKey: current.privateKeyPem,
    }).read();
  return {
    source: { description: "a test", read },
    replace(next) {
      current = next;
    },
  };
}
