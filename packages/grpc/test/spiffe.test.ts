// Identity and trust from the SPIFFE Workload API, against a fake agent that speaks as SPIRE's does.
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { createMutualTls, anyTrustedPeer, noRevocation } from "@handfast/tls";
import type { TlsEvent } from "@handfast/tls";
import { createTestAuthority } from "@handfast/x509/testing";
import type { TestAuthority, TestIdentity } from "@handfast/x509/testing";
import { GrpcError } from "../src/index.ts";
import { spiffeSource } from "../src/spiffe/index.ts";
import type { SpiffeEvent, SpiffeSourceOptions } from "../src/spiffe/index.ts";
import { createFakeWorkloadApi } from "../src/testing/index.ts";
import type { FakeWorkloadApi, WorkloadAnswer } from "../src/testing/index.ts";
import { dial, failure, recorder, serve } from "./fixtures.ts";

const ours = createTestAuthority({ trustDomain: "ours.test" });
const theirs = createTestAuthority({ trustDomain: "theirs.test" });

test("a runtime serves with the certificate of the agent, and with each new one, while calls go on", () =>
  withAgent(answerOf({ identity: ours.issue({ name: "localhost" }) }), async (agent, source) => {
    await using runtime = await runtimeOf(source);
    await using bank = await serve({ tlsOptions: sourcesOf(source) });
    const client = { identity: ours.issue({ name: "alice" }), tlsOptions: trustOf(ours) };
    await using alice = await dial(bank.target, client);
    const seen = new Set<string>();
    for (let round = 0; round < 3; round += 1) {
      const identity = ours.issue({ name: "localhost" });
      agent.say(answerOf({ identity }));
      await bank.tls.next(
        (event) =>
          event.type === "source-replaced" &&
          bank.tls.mtls.identity?.chain[0]?.fingerprint === identity.certificate.fingerprint,
      );
      await alice.client.emptyCall({});
      seen.add(bank.tls.mtls.identity?.chain[0]?.fingerprint ?? "");
    }
    assert.equal(seen.size, 3);
    assert.equal(runtime.mtls.identity?.chain[0]?.subject.text, "CN=localhost");
  }));

test("S15 a federated domain is trusted for its own names only, and a federated entry of our own name is ignored", async () => {
  const forged = createTestAuthority({ trustDomain: "ours.test", commonName: "Not Ours" });
  const identity = ours.issue({ name: "localhost" });
  const answer = answerOf({
    identity,
    federated: {
      "spiffe://theirs.test": theirs,
      "spiffe://ours.test": forged,
      "spiffe://empty.test": undefined,
    },
  });
  await withAgent(answer, async (_agent, source) => {
    await using bank = await serve({ tlsOptions: sourcesOf(source) });
    const trusting = trustOf(ours);
    await using friend = await dial(bank.target, {
      identity: theirs.issue({ name: "friend" }),
      tlsOptions: trusting,
    });
    await friend.client.emptyCall({});
    const strangers = [
      theirs.issue({ name: "admin", uri: ["spiffe://ours.test/admin"] }),
      forged.issue({ name: "admin" }),
    ];
    for (const stranger of strangers) {
      await using dialled = await dial(bank.target, { identity: stranger, tlsOptions: trusting });
      const error = await failure(dialled.client.emptyCall({}));
      assert.ok(error instanceof GrpcError && error.refusal !== undefined);
    }
    const domains = new Set(bank.tls.mtls.trust.anchors.map((anchor) => anchor.trustDomain));
    assert.deepEqual(domains, new Set(["ours.test", "theirs.test"]));
  });
});

test("a bundle that is no longer sent is no longer trusted", () =>
  withAgent(
    answerOf({ identity: ours.issue({ name: "localhost" }), federated: { "theirs.test": theirs } }),
    async (agent, source) => {
      await using runtime = await runtimeOf(source);
      assert.equal(runtime.mtls.trust.anchors.length, 2);
      agent.say(answerOf({ identity: ours.issue({ name: "localhost" }) }));
      await runtime.events.next(
        (event) => event.type === "source-replaced" && event.source === "trust",
      );
      assert.equal(runtime.mtls.trust.anchors.length, 1);
    },
  ));

test("of several identities the first is used, or the first with the hint that was asked for", async () => {
  const names = ["one", "two", "three"];
  const identities = names.map((name) => ours.issue({ name }));
  const answer = {
    svids: identities.map((identity, i) => ({
      ...svidOf(identity),
      hint: i === 0 ? "external" : "internal",
    })),
  };
  for (const [hint, expected] of [
    [undefined, "CN=one"],
    ["internal", "CN=two"],
  ] as const) {
    await withAgent(
      answer,
      async (_agent, source) => {
        await using runtime = await runtimeOf(source);
        assert.equal(runtime.mtls.identity?.chain[0]?.subject.text, expected);
      },
      hint === undefined ? {} : { hint },
    );
  }
  await withAgent(
    answer,
    async (_agent, source) => {
      const error = await failure(source.identity.read());
      assert.match(
        String(error),
        /no identity has the hint "batch": found "external", "internal", "internal"/,
      );
    },
    { hint: "batch", firstAnswerMs: 50 },
  );
});

test("an answer that cannot be used is dropped whole and said; the next good one counts", async () => {
  const first = ours.issue({ name: "localhost" });
  await withAgent(answerOf({ identity: first }), async (agent, source, events) => {
    await using runtime = await runtimeOf(source);
    const inUse = () => runtime.mtls.identity?.chain[0]?.fingerprint;
    const good = svidOf(ours.issue({ name: "localhost" }));
    const useless: readonly [WorkloadAnswer, RegExp][] = [
      [{ svids: [] }, /holds no identity/],
      [{ svids: [{ ...good, spiffeId: "" }] }, /expected spiffe:\/\/TRUST-DOMAIN\/PATH/],
      [{ svids: [{ ...good, spiffeId: "https://ours.test/x" }] }, /is "https/],
      [{ svids: [{ ...good, bundle: new Uint8Array() }] }, /empty bundle/],
      [{ svids: [{ ...good, x509Svid: new Uint8Array() }] }, /empty x509Svid$/],
      [{ svids: [{ ...good, x509SvidKey: new Uint8Array() }] }, /empty x509SvidKey/],
    ];
    for (const [answer, reason] of useless) {
      agent.say(answer);
      await events.next((event) => event.type === "discarded" && reason.test(event.reason));
    }
    // What only reading the certificates shows is for the runtime to refuse: its last good one stays.
    const cut = { ...good, x509Svid: good.x509Svid.subarray(0, -1) };
    const foreignKey = { ...good, x509SvidKey: svidOf(ours.issue()).x509SvidKey };
    const longBundle = { ...svidOf(first), bundle: Buffer.concat([good.bundle, Buffer.of(0)]) };
    for (const svid of [cut, foreignKey, longBundle]) {
      const kept = svid === longBundle ? "trust" : "identity";
      agent.say({ svids: [svid] });
      await runtime.events.next((event) => event.type === "source-kept" && event.source === kept);
      runtime.events.items.length = 0;
      assert.equal(inUse(), first.certificate.fingerprint);
      assert.equal(runtime.mtls.trust.anchors.length, 1);
    }
    agent.say({ svids: [good] });
    await runtime.events.next((event) => event.type === "source-replaced");
    assert.notEqual(inUse(), first.certificate.fingerprint);
  });
});

test("while the agent is away or refuses, the last good identity stays, and asking again slows down", async () => {
  const directory = await mkdtemp(join(tmpdir(), "handfast-spiffe-"));
  const path = join(directory, "agent.sock");
  const answer = answerOf({ identity: ours.issue({ name: "localhost" }) });
  const events = recorder<SpiffeEvent>();
  const source = spiffeSource({
    endpoint: `unix://${path}`,
    backOffStepMs: 2,
    onEvent: events.add,
  });
  {
    await using agent = await createFakeWorkloadApi(path, answer);
    await using runtime = await runtimeOf(source);
    agent.say({ refuse: "PERMISSION_DENIED", message: "no identity issued" });
    await events.next((event) => event.type === "unavailable" && event.retryInMs === 6);
    const denied = events.items.find((event) => event.type === "unavailable");
    assert.deepEqual(denied, {
      type: "unavailable",
      code: "PERMISSION_DENIED",
      reason: "no identity issued",
      retryInMs: 2,
    });
    assert.equal(runtime.mtls.identity?.chain[0]?.subject.text, "CN=localhost");
    await agent[Symbol.asyncDispose]();
    await events.next((event) => event.type === "unavailable" && event.code === "UNAVAILABLE");
    const identity = ours.issue({ name: "localhost" });
    await using back = await createFakeWorkloadApi(path, answerOf({ identity }));
    await runtime.events.next(
      () => runtime.mtls.identity?.chain[0]?.fingerprint === identity.certificate.fingerprint,
    );
    back.say({ refuse: "INTERNAL", message: "again" });
    const fresh = await events.next(
      (event) => event.type === "unavailable" && event.reason === "again",
    );
    assert.equal(fresh.type === "unavailable" && fresh.retryInMs, 2);
    const pauses = events.items.flatMap((event) =>
      event.type === "unavailable" ? [event.retryInMs] : [],
    );
    assert.ok(
      pauses.every((pause) => pause <= 60),
      String(pauses),
    );
  }
  await rm(directory, { recursive: true });
});

test("INVALID_ARGUMENT and CANCELLED end it at once, everything else is tried again", async () => {
  for (const refuse of ["INVALID_ARGUMENT", "CANCELLED"] as const) {
    await withAgent({ refuse, message: "no" }, async (agent, source, events) => {
      const error = await failure(source.identity.read());
      assert.ok(error instanceof GrpcError && error.code === refuse);
      await events.next((event) => event.type === "stopped" && event.code === refuse);
      assert.equal(agent.opened, 1);
    });
  }
  await withAgent(
    { refuse: "UNAUTHENTICATED", message: "later" },
    async (agent, source, events) => {
      const waiting = source.identity.read();
      await events.next((event) => event.type === "unavailable" && event.retryInMs > 4);
      agent.say(answerOf({ identity: ours.issue() }));
      assert.ok((await waiting) !== undefined);
      source.close();
    },
  );
});

test("a start without an agent, or without an identity from it, fails in time and says why", async () => {
  const nobody = spiffeSource({
    endpoint: "unix:///nowhere/agent.sock",
    firstAnswerMs: 50,
    backOffStepMs: 5,
  });
  const away = await failure(runtimeOf(nobody));
  assert.match(
    String(away),
    /Workload API at unix:\/\/\/nowhere\/agent.sock gave no identity within 50 ms: UNAVAILABLE/,
  );
  await withAgent(
    { refuse: "PERMISSION_DENIED", message: "no identity issued" },
    async (_agent, source) => {
      const denied = await failure(runtimeOf(source));
      assert.ok(denied instanceof GrpcError);
      assert.match(denied.message, /PERMISSION_DENIED: no identity issued/);
      assert.match(denied.hint, /registration entry/);
    },
    { firstAnswerMs: 50 },
  );
});

test("the endpoint is a Unix socket by absolute path, or an address of this machine", () => {
  for (const endpoint of [
    "unix:///run/agent.sock",
    "unix:/run/agent.sock",
    "tcp://127.0.0.1:8081",
    "tcp://[::1]:8081",
  ]) {
    assert.ok(spiffeSource({ endpoint }));
  }
  const wrong = [
    "",
    "/run/agent.sock",
    "unix:agent.sock",
    "unix://host/agent.sock",
    "unix:///agent.sock?x",
    "unix://",
    "tcp://10.0.0.1:80",
    "tcp://localhost:80",
    "tcp://127.0.0.1",
    "tcp://127.0.0.1:70000",
    "http://127.0.0.1:80",
  ];
  for (const endpoint of wrong)
    assert.throws(() => spiffeSource({ endpoint }), TypeError, endpoint);
});

/** Runs with an agent on a socket of its own, and a source that asks it. */
async function withAgent(
  answer: WorkloadAnswer,
  use: (
    agent: FakeWorkloadApi,
    source: ReturnType<typeof spiffeSource>,
    events: ReturnType<typeof recorder<SpiffeEvent>>,
  ) => Promise<void>,
  options: SpiffeSourceOptions = {},
): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), "handfast-spiffe-"));
  const events = recorder<SpiffeEvent>();
  await using agent = await createFakeWorkloadApi(join(directory, "agent.sock"), answer);
  const { endpoint } = agent;
  const source = spiffeSource({
    endpoint,
    backOffStepMs: 2,
    firstAnswerMs: 5000,
    onEvent: events.add,
    ...options,
  });
  try {
    await use(agent, source, events);
  } finally {
    source.close();
    await rm(directory, { recursive: true });
  }
}

async function runtimeOf(source: ReturnType<typeof spiffeSource>) {
  const events = recorder<TlsEvent>();
  const mtls = await createMutualTls({ ...sourcesOf(source), ...rules, onEvent: events.add });
  return { mtls, events, [Symbol.asyncDispose]: () => mtls.close() };
}

const rules = { revocation: noRevocation(), admit: anyTrustedPeer() };

function sourcesOf({ identity, trust }: ReturnType<typeof spiffeSource>) {
  return { identity, trust };
}

function trustOf(authority: TestAuthority) {
  return {
    trust: {
      description: "the test's",
      read: () => Promise.resolve([{ bundle: authority.bundlePem }]),
    },
  };
}

function answerOf(content: {
  readonly identity: TestIdentity;
  readonly federated?: Readonly<Record<string, TestAuthority | undefined>>;
}): WorkloadAnswer {
  const federated = Object.entries(content.federated ?? {}).map(
    ([name, authority]) => [name, authority?.certificate.der ?? new Uint8Array()] as const,
  );
  return { svids: [svidOf(content.identity)], federatedBundles: Object.fromEntries(federated) };
}

function svidOf(identity: TestIdentity) {
  const [uri] = identity.certificate.subjectAltNames.uri;
  return {
    spiffeId: uri ?? "",
    x509Svid: identity.certificate.der,
    x509SvidKey: identity.privateKey.export({ type: "pkcs8", format: "der" }),
    bundle: ours.certificate.der,
  };
}
