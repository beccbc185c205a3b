// Which connections a client uses, keeps alive and makes again.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { test } from "node:test";
import { spiffeId } from "@handfast/tls";
import { createTestAuthority } from "@handfast/x509/testing";
import { GrpcError, createClient } from "../src/index.ts";
import { createHealthWatch } from "../src/client/health-watch.ts";
import { parseTarget } from "../src/client/target.ts";
import { TestService } from "../src/testing/index.ts";
import { callEmpty, channelTo, plainServer, silentPort } from "./channel-fixtures.ts";
import { servePlainJs } from "./interop/grpc-js.ts";
import { frameTypes, goawayPayload, okAnswer, rawServer } from "./raw-server.ts";
import { dial, failure, serve } from "./fixtures.ts";

test("a server that greets and says goodbye is dialled once per back-off, and calls are told", async () => {
  // In one breath, or once the client has acknowledged the greeting and thinks that it is connected.
  for (const goodbyeAt of [0, 1]) {
    await using server = await rawServer((connection, { type, flags }) => {
      if (type !== frameTypes.settings) return;
      if (flags === 0) connection.send(frameTypes.settings);
      if (flags !== goodbyeAt) return;
      connection.send(frameTypes.goaway, { payload: goawayPayload(0, 0) });
      connection.end();
    });
    const channel = channelTo(() => [server.address]);
    for (let count = 0; count < 20; count++) {
      const { status, message } = await callEmpty(channel);
      assert.equal(status, 14);
      assert.match(message, /^cannot connect to bank.internal:443: /);
    }
    assert.equal(server.connections.length, 1);
    channel.close();
  }
});

test("a connection that has answered a call is made again at once when it ends", async () => {
  await using server = await rawServer((connection, { type, flags, stream }) => {
    if (type === frameTypes.settings && flags === 0) connection.send(frameTypes.settings);
    if (type !== frameTypes.headers) return;
    connection.send(frameTypes.headers, { flags: 5, stream, payload: okAnswer });
    connection.send(frameTypes.goaway, { payload: goawayPayload(stream, 0) });
    connection.end();
  });
  const channel = channelTo(() => [server.address]);
  const start = performance.now();
  for (let count = 0; count < 3; count++) assert.equal((await callEmpty(channel)).status, 0);
  assert.ok(performance.now() - start < 800);
  assert.equal(server.connections.length, 3);
  channel.close();
});

test("keepalive finds a half-open connection: its calls are UNAVAILABLE, long before their deadline", async () => {
  await using server = await rawServer((connection, { type, flags }) => {
    // From here on it says nothing any more, not even to a ping.
    if (type === frameTypes.settings && flags === 0) connection.send(frameTypes.settings);
  });
  const channel = channelTo(() => [server.address], {
    keepalive: { intervalMs: 20, timeoutMs: 20 },
  });
  const { status, message } = await callEmpty(channel, { deadline: Infinity });
  assert.equal(status, 14);
  assert.match(
    message,
    /the connection was lost: peer sent nothing for 20 ms after a keepalive ping/,
  );
  channel.close();
});

test("a server that is pinged too much is pinged half as often on the next connection", async () => {
  const calm = 0xb;
  const pings: number[] = [];
  await using server = await rawServer((connection, { type, flags, stream }) => {
    if (type === frameTypes.settings && flags === 0) connection.send(frameTypes.settings);
    if (type === frameTypes.headers && stream === 1) {
      connection.send(frameTypes.headers, { flags: 5, stream, payload: okAnswer });
    }
    if (type !== frameTypes.ping) return;
    pings.push(performance.now() - connection.startedAt);
    connection.send(frameTypes.goaway, { payload: goawayPayload(3, calm) });
    connection.end();
  });
  const channel = channelTo(() => [server.address], {
    keepalive: { intervalMs: 50, timeoutMs: 5_000 },
  });
  for (const _connection of [1, 2, 3]) {
    assert.equal((await callEmpty(channel)).status, 0);
    assert.equal((await callEmpty(channel)).status, 14);
  }
  const [first = 0, second = 0, third = 0] = pings;
  assert.equal(pings.length, 3);
  assert.ok(first >= 49 && second >= 99 && third >= 199, pings.join(", "));
  channel.close();
});

test("a keepalive of under 10 s, or without a timeout, is a TypeError", () => {
  for (const keepalive of [{ intervalMs: 9_999 }, { intervalMs: 10_000, timeoutMs: 0 }]) {
    const options = { target: "localhost:1", dangerouslyPlaintext: true, keepalive } as const;
    assert.throws(() => createClient(TestService, options), TypeError);
  }
});

test("health: a call is made only once the server says that it serves; connect says what it says", async () => {
  await using bank = await serve();
  bank.server.health.setStatus(TestService, "NOT_SERVING");
  bank.server.health.setStatus("", "NOT_SERVING");
  await using alice = await dial(bank.target, { healthCheck: {}, retry: "never" });
  const early = await failure(alice.client.emptyCall({}));
  assert.ok(early instanceof GrpcError);
  assert.equal(early.code, "UNAVAILABLE");
  assert.match(early.message, /the server says that grpc.testing.TestService is NOT_SERVING$/);
  assert.deepEqual(await alice.client.connect(), { health: "NOT_SERVING" });
  const patient = alice.client.emptyCall({}, { waitForReady: true });
  bank.server.health.setStatus(TestService, "SERVING");
  await patient;
  const calls = bank.events.filter((event) => event.type === "call" && event.code === "OK");
  assert.deepEqual(
    calls.map((event) => event.type === "call" && event.method),
    ["/grpc.health.v1.Health/Check", "/grpc.testing.TestService/EmptyCall"],
  );
});

test("health: a name that the server does not know is not served", async () => {
  await using bank = await serve();
  await using alice = await dial(bank.target, { healthCheck: { service: "bank.Unknown" } });
  const error = await failure(alice.client.emptyCall({}));
  assert.match(String(error), /bank.Unknown is SERVICE_UNKNOWN/);
});

test("health: round_robin leaves out who does not serve, and takes him back; pick_first goes on to another", async () => {
  await using first = await plainServer();
  await using second = await plainServer();
  for (const loadBalancing of ["round_robin", "pick_first"] as const) {
    first.health.setStatus("", "NOT_SERVING");
    const channel = channelTo(() => [first.address, second.address], {
      loadBalancing,
      watchHealth: createHealthWatch(""),
    });
    const before = first.calls.length;
    for (let count = 0; count < 6; count++) assert.equal((await callEmpty(channel)).status, 0);
    assert.equal(first.calls.length, before, loadBalancing);
    first.health.setStatus("", "SERVING");
    second.health.setStatus("", "NOT_SERVING");
    // The news may take a moment; until then a call is served by the other or waits.
    while (first.calls.length < before + 3) {
      assert.equal((await callEmpty(channel, { waitForReady: true })).status, 0);
    }
    second.health.setStatus("", "SERVING");
    channel.close();
  }
});

test("health: a server without the health service, or that does not let us ask, is used", async () => {
  await using plain = await servePlainJs();
  await using alice = await dial(plain.target, { healthCheck: {} });
  await alice.client.emptyCall({});
  const only = { decide: ({ path }: { path: string }) => path.endsWith("/EmptyCall") };
  await using bank = await serve({
    policy: {
      decide: (request) => ({ allowed: only.decide(request), rule: "", reason: "allow-rule" }),
    },
  });
  await using bob = await dial(bank.target, { healthCheck: {} });
  await bob.client.emptyCall({});
});

test("health: who is refused at the door reads why, not that the health is unknown", async () => {
  await using bank = await serve();
  const identity = createTestAuthority().issue({ name: "alice" });
  await using mallory = await dial(bank.target, { identity, healthCheck: {} });
  const error = await failure(mallory.client.emptyCall({}));
  assert.ok(error instanceof GrpcError);
  assert.deepEqual(
    [error.code, error.refusal?.code],
    ["UNAUTHENTICATED", "CERTIFICATE_AUTHORITY_INVALID"],
  );
});

test("a target may be several addresses; whom to expect there has to be said", async () => {
  await using bank = await serve();
  await using silent = await silentPort();
  const target = `ipv4:127.0.0.1:1,127.0.0.1:${silent.address.port},127.0.0.1:${bank.port}`;
  await using alice = await dial(target, {
    expect: spiffeId("spiffe://handfast.test/localhost"),
  });
  await alice.client.emptyCall({});
  assert.throws(
    () => createClient(TestService, { target, tls: alice.tls.mtls }),
    /it has no single name to expect/,
  );
  for (const wrong of ["ipv4:localhost:1", "ipv6:127.0.0.1:1", "ipv4:127.0.0.1:1,", "unix:"]) {
    assert.throws(() => parseTarget(wrong), /expected host:port/, wrong);
  }
  assert.deepEqual(parseTarget("ipv6:[::1]:1,[::2]:2"), {
    where: {
      addresses: [
        { host: "::1", port: 1 },
        { host: "::2", port: 2 },
      ],
    },
    authority: "[::1]:1",
    host: undefined,
    local: false,
  });
});

test("a client that is not closed keeps no process alive, not by watching health either", async () => {
  await using bank = await plainServer();
  const program = `
    import { createClient } from "@handfast/grpc";
    import { TestService } from "@handfast/grpc/testing";
    const target = "127.0.0.1:${bank.address.port}";
    const healthCheck = { service: "" };
    const client = createClient(TestService, { target, dangerouslyPlaintext: true, healthCheck });
    await client.emptyCall({});
  `;
  const child = spawn(
    process.execPath,
    ["--conditions=@handfast/source", "--input-type=module", "--eval", program],
    { cwd: import.meta.dirname, stdio: ["ignore", "ignore", "inherit"] },
  );
  const [exitCode] = (await once(child, "exit")) as [number];
  assert.equal(exitCode, 0);
  assert.equal(bank.calls.length, 1);
});
