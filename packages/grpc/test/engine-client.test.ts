// How the client's engine finds, keeps and changes its connections.
import assert from "node:assert/strict";
import { once } from "node:events";
import http2 from "node:http2";
import type net from "node:net";
import { test } from "node:test";
import { GrpcError, createClient } from "../src/index.ts";
import type { Address } from "../src/client/target.ts";
import { TestService } from "../src/testing/index.ts";
import { createBackOff } from "../src/wire/back-off.ts";
import { callEmpty, channelTo, plainServer, silentPort } from "./channel-fixtures.ts";
import { dial, failure, serve } from "./fixtures.ts";

test("waits between connections grow from 1 s by 1.6 to 120 s, give or take a fifth", () => {
  const middle = createBackOff(() => 0.5);
  assert.deepEqual(
    [middle.next(), middle.next(), middle.next()].map(Math.round),
    [1000, 1600, 2560],
  );
  for (let count = 0; count < 20; count++) middle.next();
  assert.equal(Math.round(middle.next()), 120_000);
  middle.reset();
  assert.equal(Math.round(middle.next()), 1_000);
  const [least, most] = [createBackOff(() => 0), createBackOff(() => 1)];
  assert.deepEqual([least.next(), most.next()].map(Math.round), [800, 1_200]);
});

test("pick_first: an address that refuses is passed over, one that is silent is not waited for", async () => {
  await using silent = await silentPort();
  await using bank = await plainServer();
  const nobody = { host: "127.0.0.1", port: 1 };
  const channel = channelTo(() => [nobody, silent.address, bank.address]);
  const start = performance.now();
  assert.equal((await callEmpty(channel)).status, 0);
  assert.ok(performance.now() - start < 2_000);
  channel.close();
});

test("round_robin: calls take turns among the addresses", async () => {
  await using first = await plainServer();
  await using second = await plainServer();
  const channel = channelTo(() => [first.address, second.address], {
    loadBalancing: "round_robin",
  });
  for (let count = 0; count < 20; count++) assert.equal((await callEmpty(channel)).status, 0);
  assert.ok(first.calls.length >= 8 && second.calls.length >= 8, `${first.calls.length} of 20`);
  channel.close();
});

test("a channel resolves its name again when its server has gone", async () => {
  await using first = await plainServer();
  await using second = await plainServer();
  let addresses = [first.address];
  const channel = channelTo(() => addresses);
  assert.equal((await callEmpty(channel)).status, 0);
  addresses = [second.address];
  await first.shutdown();
  assert.equal((await callEmpty(channel)).status, 0);
  assert.equal(second.calls.length, 1);
  channel.close();
});

test("while a connection backs off, calls fail at once and one that waits for ready is served later", async () => {
  await using later = await plainServer();
  let addresses: Address[] = [{ host: "127.0.0.1", port: 1 }];
  const channel = channelTo(() => addresses);
  assert.equal((await callEmpty(channel)).status, 14);
  const start = performance.now();
  assert.equal((await callEmpty(channel)).status, 14);
  assert.ok(performance.now() - start < 100);
  addresses = [later.address];
  assert.equal((await callEmpty(channel, { waitForReady: true })).status, 0);
  channel.close();
});

/** A server of node:http2 that resets the first `refusals` streams as not looked at, and answers the others. */
async function refusingServer(
  refusals: number,
): Promise<{ port: number; streams: number[] } & AsyncDisposable> {
  const streams: number[] = [];
  const sessions = new Set<http2.ServerHttp2Session>();
  const server = http2.createServer();
  server.on("session", (session) => sessions.add(session));
  server.on("stream", (stream: http2.ServerHttp2Stream) => {
    streams.push(stream.id ?? 0);
    stream.on("error", () => undefined);
    if (streams.length <= refusals) {
      stream.close(http2.constants.NGHTTP2_REFUSED_STREAM);
      return;
    }
    stream.respond({ "content-type": "application/grpc" }, { waitForTrailers: true });
    stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
    stream.end(Buffer.alloc(5));
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  return {
    port: (server.address() as net.AddressInfo).port,
    streams,
    async [Symbol.asyncDispose]() {
      for (const session of sessions) session.destroy();
      server.close();
      await once(server, "close");
    },
  };
}

test("a call that the server refused unseen is made once more without anybody noticing, and not twice", async () => {
  for (const [refusals, code, streams] of [
    [1, undefined, 2],
    [9, "UNAVAILABLE", 2],
  ] as const) {
    await using server = await refusingServer(refusals);
    const client = createClient(TestService, {
      target: `127.0.0.1:${server.port}`,
      dangerouslyPlaintext: true,
      retry: "never",
    });
    const end = await client.emptyCall({}).then(
      () => undefined,
      (error: unknown) => error,
    );
    assert.equal(end instanceof GrpcError ? end.code : end, code);
    assert.equal(server.streams.length, streams);
    client.close();
  }
});

test("an answer that is no gRPC ends the call with the status that HTTP's means", async () => {
  const server = http2.createServer();
  server.on("stream", (stream: http2.ServerHttp2Stream, headers: http2.IncomingHttpHeaders) => {
    stream.on("error", () => undefined);
    stream.respond({ ":status": Number(headers["x-answer"]) }, { endStream: true });
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  const { port } = server.address() as net.AddressInfo;
  const client = createClient(TestService, {
    target: `127.0.0.1:${port}`,
    dangerouslyPlaintext: true,
    retry: "never",
  });
  const codes = {
    404: "UNIMPLEMENTED",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    503: "UNAVAILABLE",
    418: "UNKNOWN",
    431: "RESOURCE_EXHAUSTED",
  };
  for (const [answer, code] of Object.entries(codes)) {
    const error = await failure(client.emptyCall({}, { headers: { "x-answer": answer } }));
    assert.equal(error instanceof GrpcError && error.code, code, answer);
  }
  client.close();
  server.close();
  await once(server, "close");
});

test("a connection that is too old is left for another, and no call fails", async () => {
  await using bank = await serve({ limits: { maxConnectionAgeMs: 30 } });
  await using alice = await dial(bank.target, { retry: "never" });
  const handshakes = (): number =>
    bank.tls.events.filter(({ type }) => type === "handshake").length;
  let calls = 0;
  while (handshakes() < 4) {
    await Promise.all(Array.from({ length: 10 }, () => alice.client.emptyCall({})));
    calls += 10;
  }
  assert.ok(calls > 40, `${calls} calls`);
});
