// Who may call what (security.md S13, S27, S34, S40).
import assert from "node:assert/strict";
import { test } from "node:test";
import { compilePolicy, parsePolicy } from "@handfast/policy";
import type { AuditEvent } from "@handfast/policy";
import {
  GrpcError,
  allowEveryAdmittedPeer,
  createClient,
  createServer,
  principalOf,
} from "../src/index.ts";
import type { DecidingPolicy, DecisionEvent, LivePolicy, ServerPolicy } from "../src/index.ts";
import { TestService, interopHandlers } from "../src/testing/index.ts";
import { authority, collect, dial, failure, recorder, serve } from "./fixtures.ts";

const onlyEmptyCall = policyOf([
  {
    name: "alice",
    source: { principals: ["spiffe://handfast.test/alice"] },
    request: { paths: ["/grpc.testing.TestService/EmptyCall"] },
  },
]);

test("what no rule allows is PERMISSION_DENIED with the fixed text, and no handler runs (S34)", async () => {
  let ran = 0;
  const decisions = recorder<DecisionEvent>();
  await using bank = await serve({
    policy: onlyEmptyCall,
    onDecision: decisions.add,
    handlers: {
      unaryCall() {
        ran += 1;
        return {};
      },
      async *streamingOutputCall() {
        ran += 1;
        yield {};
      },
    },
  });
  await using alice = await dial(bank.target);
  await alice.client.emptyCall({});
  for (const denied of [
    await failure(alice.client.unaryCall({})),
    await failure(collect(alice.client.streamingOutputCall({}))),
    await failure(alice.client.streamingInputCall([{}])),
    await failure(collect(alice.client.fullDuplexCall([{}]))),
  ]) {
    assert.ok(denied instanceof GrpcError);
    assert.deepEqual(
      [denied.code, denied.message],
      ["PERMISSION_DENIED", "authz: unauthorized RPC request rejected"],
    );
    assert.equal(denied.details.length + denied.trailers.names().length, 0);
  }
  assert.equal(ran, 0);
  assert.deepEqual(
    decisions.items.map(({ allowed, rule, phase, identity }) => [phase, allowed, rule, identity]),
    [
      ["start", true, "alice", "spiffe://handfast.test/alice"],
      ...Array.from({ length: 4 }, () => ["start", false, "", "spiffe://handfast.test/alice"]),
    ],
  );
});

test("another identity of the same CA is denied what alice may do", async () => {
  await using bank = await serve({ policy: onlyEmptyCall });
  await using bob = await dial(bank.target, { identity: authority.issue({ name: "bob" }) });
  const error = await failure(bob.client.emptyCall({}));
  assert.equal(error instanceof GrpcError && error.code, "PERMISSION_DENIED");
});

test("the health service obeys the policy, unless it is exempt; either way a client connects", async () => {
  await using strict = await serve({ policy: onlyEmptyCall });
  await using open = await serve({ policy: onlyEmptyCall, healthPolicy: "exempt" });
  await using toStrict = await dial(strict.target);
  await using toOpen = await dial(open.target);
  assert.deepEqual(await toStrict.client.connect(), { health: "PERMISSION_DENIED" });
  assert.deepEqual(await toOpen.client.connect(), { health: "SERVING" });
});

test("a policy sees the headers of a call, joined, and only that a -bin header is there", async () => {
  const seen: Record<string, unknown>[] = [];
  const policy: DecidingPolicy = {
    decide(request) {
      seen.push({ ...request.headers });
      return { allowed: true, rule: "", reason: "allow-rule" };
    },
  };
  await using bank = await serve({ policy });
  await using alice = await dial(bank.target);
  await alice.client.emptyCall({}, { headers: { "x-role": "a", "x-key-bin": Uint8Array.of(1) } });
  assert.equal(seen[0]?.["x-role"], "a");
  assert.equal(seen[0]?.["x-key-bin"], "AQ==");
});

test("S27 without a peer a call is UNAUTHENTICATED before the policy is asked, in plaintext and over TLS", async () => {
  let asked = 0;
  const policy: DecidingPolicy = {
    decide() {
      asked += 1;
      return { allowed: true, rule: "", reason: "allow-rule" };
    },
  };
  const plaintext = createServer({ dangerouslyPlaintext: true, policy });
  plaintext.add(TestService, interopHandlers);
  const address = await plaintext.listen({ host: "127.0.0.1", port: 0 });
  assert.ok("port" in address);
  const client = createClient(TestService, {
    target: `127.0.0.1:${address.port}`,
    dangerouslyPlaintext: true,
  });
  const first = await failure(client.emptyCall({}));
  assert.equal(first instanceof GrpcError && first.code, "UNAUTHENTICATED");
  client.close();
  await plaintext.shutdown();

  await using bank = await serve({ policy });
  const open = await bank.server.listen({ host: "localhost", port: 0, clientCertificates: "none" });
  assert.ok("port" in open);
  await using alice = await dial(`localhost:${open.port}`);
  const second = await failure(alice.client.emptyCall({}));
  assert.equal(second instanceof GrpcError && second.code, "UNAUTHENTICATED");
  assert.equal(asked, 0);
});

test('S27 where the policy is asked, plaintext matches no principal and TLS without certificate only ""', async () => {
  const policy = policyOf([
    { name: "anonymous", source: { principals: [""] }, request: { paths: ["*/EmptyCall"] } },
    { name: "anybody", request: { paths: ["*/UnaryCall"] } },
    { name: "named", source: { principals: ["*"] }, request: { paths: ["*/StreamingInputCall"] } },
  ]);
  const codes = async (target: string, plaintext: boolean): Promise<unknown[]> => {
    await using alice = await dial(target);
    const client = plaintext
      ? createClient(TestService, { target, dangerouslyPlaintext: true })
      : alice.client;
    const calls = [client.emptyCall({}), client.unaryCall({}), client.streamingInputCall([])];
    const results = await Promise.allSettled(calls);
    client.close();
    return results.map((result) => (result.status === "fulfilled" ? "OK" : result.reason.code));
  };
  const options = { policy, unauthenticatedPeers: "ask-policy" } as const;
  const server = createServer({ dangerouslyPlaintext: true, ...options });
  server.add(TestService, interopHandlers);
  const address = await server.listen({ host: "127.0.0.1", port: 0 });
  assert.ok("port" in address);
  assert.deepEqual(await codes(`127.0.0.1:${address.port}`, true), [
    "PERMISSION_DENIED",
    "OK",
    "PERMISSION_DENIED",
  ]);
  await server.shutdown();

  await using bank = await serve(options);
  const open = await bank.server.listen({ host: "localhost", port: 0, clientCertificates: "none" });
  assert.ok("port" in open);
  assert.deepEqual(await codes(`localhost:${open.port}`, false), ["OK", "OK", "PERMISSION_DENIED"]);
});

test("S13 a stream that a new policy denies ends with PERMISSION_DENIED within a second; others go on", async () => {
  const policy = replaceable(allowEveryAdmittedPeer());
  const decisions = recorder<DecisionEvent>();
  await using bank = await serve({ policy, onDecision: decisions.add });
  await using alice = await dial(bank.target);
  await using bob = await dial(bank.target, { identity: authority.issue({ name: "bob" }) });
  const endless = {
    responseParameters: Array.from({ length: 1_000 }, () => ({ intervalUs: 10_000 })),
  };
  const streams = [alice, bob].map(({ client }) => client.streamingOutputCall(endless));
  for (const stream of streams) await stream.next();
  const [ofAlice, ofBob] = streams;
  const start = performance.now();
  policy.replace(
    policyOf([{ name: "bob", source: { principals: ["spiffe://handfast.test/bob"] } }]),
  );
  const error = await failure(drain(ofAlice));
  assert.ok(performance.now() - start < 1_000);
  assert.ok(error instanceof GrpcError);
  assert.deepEqual(
    [error.code, error.message],
    ["PERMISSION_DENIED", "authz: unauthorized RPC request rejected"],
  );
  await ofBob?.next();
  await ofBob?.return?.(undefined);
  const swaps = decisions.items.filter(({ phase }) => phase === "swap");
  assert.deepEqual(
    swaps.map(({ identity, allowed }) => [identity, allowed]),
    [["spiffe://handfast.test/alice", false]],
  );
});

test("decisions are audited as the document asks, before any handler runs", async () => {
  const logged: AuditEvent[] = [];
  const written = Promise.withResolvers<void>();
  const seen = recorder<string>();
  const document = {
    name: "audited",
    allow_rules: [{ name: "one", request: { paths: ["*/EmptyCall"] } }],
    audit_logging_options: {
      audit_condition: "ON_DENY_AND_ALLOW",
      audit_loggers: [{ name: "test", config: {} }],
    },
  };
  const log = (event: AuditEvent): Promise<void> => {
    logged.push(event);
    seen.add("logged");
    return written.promise;
  };
  const policy = compilePolicy(parsePolicy(JSON.stringify(document)), {
    auditLoggers: { test: () => ({ log }) },
  });
  await using bank = await serve({
    policy,
    handlers: {
      emptyCall() {
        seen.add("handled");
        return {};
      },
    },
  });
  await using alice = await dial(bank.target);
  const allowed = alice.client.emptyCall({});
  await seen.next((what) => what === "logged");
  assert.deepEqual(seen.items, ["logged"]);
  written.resolve();
  await allowed;
  assert.deepEqual(seen.items, ["logged", "handled"]);
  await failure(alice.client.unaryCall({}));
  assert.deepEqual(
    logged.map((event) => [
      event.fullMethodName,
      event.authorized,
      event.matchedRule,
      event.identity,
    ]),
    [
      ["/grpc.testing.TestService/EmptyCall", true, "one", "spiffe://handfast.test/alice"],
      ["/grpc.testing.TestService/UnaryCall", false, "", "spiffe://handfast.test/alice"],
    ],
  );
  assert.match(logged[0]?.fingerprint ?? "", /^[0-9a-f]{64}$/);
});

test("S36 a decision that cannot be recorded is not acted on", async () => {
  let ran = 0;
  const fails: NonNullable<DecidingPolicy["audit"]>[] = [
    () => {
      throw new Error("the queue is full");
    },
    () => Promise.reject(new Error("the disk is full")),
  ];
  for (const audit of fails) {
    const policy = { ...allowEveryAdmittedPeer(), audit };
    await using bank = await serve({
      policy,
      handlers: {
        emptyCall() {
          ran += 1;
          return {};
        },
      },
    });
    await using alice = await dial(bank.target, { retry: "never" });
    const error = await failure(alice.client.emptyCall({}));
    assert.ok(error instanceof GrpcError);
    assert.deepEqual(
      [error.code, error.message],
      ["UNAVAILABLE", "the decision could not be recorded"],
    );
  }
  assert.equal(ran, 0);
});

test("S13 a decision names its policy by SHA-256, at the start and when the policy has changed", async () => {
  const audited: [phase: string, version: string | undefined][] = [];
  const auditedPolicy = (allowRules: readonly object[]): DecidingPolicy =>
    compilePolicy(
      parsePolicy(
        JSON.stringify({
          name: "test",
          allow_rules: allowRules,
          audit_logging_options: {
            audit_condition: "ON_DENY_AND_ALLOW",
            audit_loggers: [{ name: "test", config: {} }],
          },
        }),
      ),
      {
        auditLoggers: {
          test: () => ({
            log({ phase, policyVersion }) {
              audited.push([phase, policyVersion]);
            },
          }),
        },
      },
    );
  const first = auditedPolicy([{ name: "all" }]);
  const second = auditedPolicy([{ name: "unary", request: { paths: ["*/UnaryCall"] } }]);
  const policy = replaceable(first);
  const decisions = recorder<DecisionEvent>();
  await using bank = await serve({ policy, onDecision: decisions.add });
  await using alice = await dial(bank.target);
  const stream = alice.client.streamingOutputCall({
    responseParameters: [{ size: 1 }, { size: 1, intervalUs: 60_000_000 }],
  });
  await stream.next();
  policy.replace(second);
  const error = await failure(drain(stream));
  assert.equal(error instanceof GrpcError && error.code, "PERMISSION_DENIED");
  const expected = [
    ["start", first.version],
    ["swap", second.version],
  ];
  assert.deepEqual(audited, expected);
  assert.deepEqual(
    decisions.items.map(({ phase, policyVersion }) => [phase, policyVersion]),
    expected,
  );
  assert.match(first.version ?? "", /^[0-9a-f]{64}$/);
  assert.notEqual(first.version, second.version);
});

test("S40 the body of a denied call is not read", async () => {
  const taps: string[] = [];
  await using bank = await serve({
    policy: onlyEmptyCall,
    interceptors: [
      async (_call, next) => {
        taps.push("interceptor");
        await next();
      },
    ],
  });
  await using alice = await dial(bank.target);
  const body = new Uint8Array(1_000_000);
  const error = await failure(alice.client.unaryCall({ payload: { body } }));
  assert.equal(error instanceof GrpcError && error.code, "PERMISSION_DENIED");
  assert.deepEqual(taps, []);
});

test("a principal is all that the certificate says, and the CAs above it", async () => {
  let principal: unknown;
  await using bank = await serve({
    handlers: {
      emptyCall(_request, { peer }) {
        principal = peer && principalOf(peer);
        return {};
      },
    },
  });
  await using alice = await dial(bank.target);
  await alice.client.emptyCall({});
  assert.deepEqual(principal, {
    authenticated: true,
    uriSans: ["spiffe://handfast.test/alice"],
    dnsSans: ["alice"],
    subject: "CN=alice",
    organizations: [],
    commonNames: ["alice"],
    issuer: "CN=Test Root CA",
    issuerFingerprints: [authority.certificate.fingerprint],
  });
});

function policyOf(allowRules: readonly object[]): ServerPolicy {
  return compilePolicy(parsePolicy(JSON.stringify({ name: "test", allow_rules: allowRules })));
}

function replaceable(first: DecidingPolicy): LivePolicy & { replace(next: ServerPolicy): void } {
  let current = first;
  const listeners = new Set<() => void>();
  return {
    get current() {
      return current;
    },
    onChange(changed) {
      listeners.add(changed);
      return () => listeners.delete(changed);
    },
    replace(next) {
      assert.ok("decide" in next);
      current = next;
      for (const changed of listeners) changed();
    },
  };
}

async function drain(stream: AsyncIterable<unknown> | undefined): Promise<void> {
  for await (const _message of stream ?? []) continue;
}
