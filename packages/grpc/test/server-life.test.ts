// How a server begins, says how it is, and ends.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { spiffeId } from "@handfast/tls";
import { GrpcError, allowEveryAdmittedPeer, createClient, createServer } from "../src/index.ts";
import type { GrpcServerEvent } from "../src/index.ts";
import { Health, HealthCheckResponse_ServingStatus } from "../src/gen/grpc/health/v1/health_pb.ts";
import { TestService, interopHandlers } from "../src/testing/index.ts";
import { dial, failure, recorder, serve } from "./fixtures.ts";

const { SERVING, NOT_SERVING, SERVICE_UNKNOWN } = HealthCheckResponse_ServingStatus;

test("health: Check, List and Watch tell each service's status, and its changes", async () => {
  await using bank = await serve();
  await using alice = await dial(bank.target);
  const health = createClient(Health, { tls: alice.tls.mtls, target: bank.target });
  assert.equal((await health.check({})).status, SERVING);
  assert.equal((await health.check({ service: TestService.typeName })).status, SERVING);
  const unknown = await failure(health.check({ service: "no.such.Service" }));
  assert.equal(unknown instanceof GrpcError && unknown.code, "NOT_FOUND");
  assert.deepEqual(Object.keys((await health.list({})).statuses), [
    "",
    Health.typeName,
    TestService.typeName,
  ]);

  const watch = health.watch({ service: TestService.typeName });
  const status = async (): Promise<number> => (await watch.next()).value.status;
  assert.equal(await status(), SERVING);
  bank.server.health.setStatus(TestService, "NOT_SERVING");
  assert.equal(await status(), NOT_SERVING);
  const later = health.watch({ service: "later.Service" });
  assert.equal((await later.next()).value.status, SERVICE_UNKNOWN);
  bank.server.health.setStatus("later.Service", "SERVING");
  assert.equal((await later.next()).value.status, SERVING);
  bank.server.health.setStatus("", "NOT_SERVING");
  assert.deepEqual(await alice.client.connect(), { health: "NOT_SERVING" });
  health.close();
});

test("health: a readiness check that fails or throws makes its service NOT_SERVING until it holds again", async () => {
  await using bank = await serve();
  const { health } = bank.server;
  const answers: (() => boolean)[] = [
    () => true,
    () => false,
    () => {
      throw new Error("store away");
    },
    () => true,
  ];
  let asked = 0;
  const ready = (): boolean => (answers[asked++] ?? (() => true))();
  assert.equal(health.status(TestService), "SERVING");
  health.addCheck(TestService, { name: "store", ready, intervalMs: 5 });
  assert.equal(health.status(TestService), "NOT_SERVING", "until it has answered");
  const seen = (count: number): Promise<unknown> =>
    bank.next(() => bank.events.filter(({ type }) => type === "readiness").length >= count);
  await seen(3);
  assert.equal(health.status(TestService), "SERVING");
  const changes = bank.events.filter((event) => event.type === "readiness");
  assert.deepEqual(
    changes.map((change) => change.ready),
    [true, false, true],
  );
});

test("shutdown: says NOT_SERVING, ends idle connections, and takes no more", async () => {
  await using bank = await serve();
  await using alice = await dial(bank.target);
  await alice.client.connect();
  const start = performance.now();
  await bank.server.shutdown({ graceMs: 5_000 });
  assert.ok(performance.now() - start < 1_000);
  assert.equal(bank.server.health.status(""), "NOT_SERVING");
  const error = await failure(alice.client.emptyCall({}));
  assert.equal(error instanceof GrpcError && error.code, "UNAVAILABLE");
  assert.equal(bank.tls.mtls.sessions().length, 0);
  await assert.rejects(bank.server.listen({ host: "localhost", port: 0 }), TypeError);
});

test("shutdown: a call in flight finishes within the grace", async () => {
  const seen = recorder<string>();
  let finish: (() => void) | undefined;
  await using bank = await serve({
    handlers: {
      emptyCall: () =>
        new Promise((resolve) => {
          finish = () => resolve({});
          seen.add("started");
        }),
    },
  });
  await using alice = await dial(bank.target);
  const call = alice.client.emptyCall({});
  await seen.next(() => true);
  const down = bank.server.shutdown({ graceMs: 10_000 });
  finish?.();
  await call;
  await down;
});

test("shutdown: ends in bounded time with a stream open, whose client is told UNAVAILABLE", async () => {
  const seen = recorder<unknown>();
  await using bank = await serve({
    handlers: {
      async *streamingOutputCall(_request, call) {
        yield {};
        await new Promise((resolve) => {
          call.signal.addEventListener("abort", resolve);
        });
        seen.add(call.signal.reason);
      },
    },
  });
  await using alice = await dial(bank.target);
  const stream = alice.client.streamingOutputCall({});
  await stream.next();
  const next = failure(stream.next());
  const start = performance.now();
  await bank.server.shutdown({ graceMs: 100 });
  const took = performance.now() - start;
  assert.ok(took >= 95 && took < 1_000, `${took} ms`);
  const error = await next;
  assert.ok(error instanceof GrpcError);
  assert.deepEqual([error.code, error.message], ["UNAVAILABLE", "the server is going away"]);
  const reason = await seen.next(() => true);
  assert.equal(reason instanceof GrpcError && reason.code, "UNAVAILABLE");
});

test("shutdown: a peer that never reads is cut all the same", async () => {
  const produced = recorder<number>();
  await using bank = await serve({
    handlers: {
      async *streamingOutputCall(_request, { signal }) {
        for (let count = 1; !signal.aborted; count++) {
          yield { payload: { body: new Uint8Array(65_536) } };
          produced.add(count);
        }
      },
    },
  });
  await using alice = await dial(bank.target);
  const { socket } = await alice.tls.mtls.dial({ host: "localhost", port: bank.port });
  socket.write(
    Buffer.concat([
      Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
      frame(settingsFrame, 0, Buffer.from([0, 4, 0x7f, 0xff, 0xff, 0xff])),
      frame(windowUpdateFrame, 0, Buffer.from([0x7f, 0, 0, 0])),
      frame(headersFrame, 1, headerBlock("/grpc.testing.TestService/StreamingOutputCall")),
      frame(dataFrame, 1, Buffer.alloc(5)),
    ]),
  );
  await produced.next((count) => count === 20);
  const start = performance.now();
  await bank.server.shutdown({ graceMs: 100 });
  assert.ok(performance.now() - start < 1_000);
  assert.equal(bank.tls.mtls.sessions().length, 0);
  socket.destroy();
});

test("shutdown: watchers of our health are told, and do not use up the grace", async () => {
  await using bank = await serve();
  await using alice = await dial(bank.target);
  const health = createClient(Health, { tls: alice.tls.mtls, target: bank.target });
  const watch = health.watch({});
  await watch.next();
  const start = performance.now();
  const down = bank.server.shutdown({ graceMs: 5_000, announceMs: 20 });
  assert.equal((await watch.next()).value.status, NOT_SERVING);
  const end = await failure(watch.next());
  assert.equal(end instanceof GrpcError && end.code, "UNAVAILABLE");
  await down;
  assert.ok(performance.now() - start < 1_000);
  health.close();
});

test("a plaintext server binds loopback and Unix sockets only, warns, and has no peer", async () => {
  const record = recorder<GrpcServerEvent>();
  const server = createServer({
    dangerouslyPlaintext: true,
    policy: allowEveryAdmittedPeer(),
    unauthenticatedPeers: "ask-policy",
    onEvent: record.add,
  });
  let peer: unknown = "unset";
  server.add(TestService, {
    ...interopHandlers,
    emptyCall(_request, call) {
      ({ peer } = call);
      return {};
    },
  });
  for (const host of ["0.0.0.0", "::", "192.0.2.1", "example.com", "127.0.0.1.example.com"]) {
    await assert.rejects(server.listen({ host, port: 0 }), TypeError, host);
  }
  const path = join(tmpdir(), `handfast-${randomUUID()}.sock`);
  await server.listen({ path });
  const address = await server.listen({ host: "127.0.0.1", port: 0 });
  assert.ok("port" in address);
  assert.equal(record.items.filter(({ type }) => type === "plaintext-warning").length, 2);
  for (const target of [`127.0.0.1:${address.port}`, `unix:${path}`]) {
    const client = createClient(TestService, { target, dangerouslyPlaintext: true });
    await client.emptyCall({});
    assert.equal(peer, undefined);
    client.close();
  }
  await server.shutdown();
  assert.throws(
    () => createClient(TestService, { target: "example.com:1", dangerouslyPlaintext: true }),
    TypeError,
  );
});

test("a plaintext server binds beyond loopback only with the second dangerous option", async () => {
  const server = createServer({
    dangerouslyPlaintext: true,
    dangerouslyPlaintextBeyondLoopback: true,
    policy: allowEveryAdmittedPeer(),
  });
  await server.listen({ host: "0.0.0.0", port: 0 });
  await server.shutdown();
});

test("mutual TLS on a Unix socket: the peer is known there too", async () => {
  const callers: (string | undefined)[] = [];
  await using bank = await serve({
    handlers: {
      emptyCall(_request, call) {
        callers.push(call.peer?.identity);
        return {};
      },
    },
  });
  const path = join(tmpdir(), `handfast-${randomUUID()}.sock`);
  await bank.server.listen({ path });
  const expect = spiffeId("spiffe://handfast.test/localhost");
  await using alice = await dial(`unix:${path}`, { expect });
  await alice.client.emptyCall({});
  assert.deepEqual(callers, ["spiffe://handfast.test/alice"]);
  assert.throws(
    () => createClient(TestService, { tls: alice.tls.mtls, target: `unix:${path}` }),
    /it has no single name to expect, give `expect`/,
  );
});

test("targets are read strictly", () => {
  const wrong = [
    "",
    "host",
    "host:",
    "host:99999",
    "http://host:1",
    ":1",
    "[::1]",
    "a:1,b:2",
    "h:1/x",
  ];
  for (const target of wrong) {
    assert.throws(
      () => createClient(TestService, { target, dangerouslyPlaintext: true }),
      /expected host:port/,
      target,
    );
  }
});

test("a stranger who says nothing after the handshake costs a connection and no more", async () => {
  await using bank = await serve();
  const socket = net.connect(bank.port, "127.0.0.1");
  await once(socket, "connect");
  await bank.server.shutdown({ graceMs: 10 });
  socket.destroy();
});

const [dataFrame, headersFrame, settingsFrame, windowUpdateFrame] = [0, 1, 4, 8] as const;

/** A frame with all the flags that end something. */
function frame(type: number, stream: number, payload: Buffer): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head.writeUInt8(type, 3);
  head.writeUInt8({ [dataFrame]: 1, [headersFrame]: 4 }[type] ?? 0, 4);
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

/** The head of a gRPC call, as literals without indexing. */
function headerBlock(path: string): Buffer {
  const headers = { ":method": "POST", ":scheme": "https", ":path": path, te: "trailers" };
  const all = { ...headers, ":authority": "localhost", "content-type": "application/grpc" };
  const sorted = Object.entries(all).sort(([a], [b]) => (a < b ? -1 : 1));
  return Buffer.concat(
    sorted.flatMap(([name, value]) => [
      Buffer.from([0, name.length]),
      Buffer.from(name),
      Buffer.from([value.length]),
      Buffer.from(value),
    ]),
  );
}
