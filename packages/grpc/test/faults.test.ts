// What goes wrong on the way: every error typed, the others served.
import assert from "node:assert/strict";
import { once } from "node:events";
import http2 from "node:http2";
import net from "node:net";
import { test } from "node:test";
import { GrpcError } from "../src/index.ts";
import { dial, failure, recorder, serve } from "./fixtures.ts";
import type { Served } from "./fixtures.ts";

/** A proxy whose connections a test may break, and which passes `chunk` bytes at a time. */
async function proxyTo(
  bank: Served,
  chunk = 65_536,
): Promise<{ readonly target: string; cut(): void; freeze(): void } & AsyncDisposable> {
  const sockets = new Set<net.Socket>();
  const server = net.createServer((inbound) => {
    const outbound = net.connect(bank.port, "127.0.0.1");
    const join = (from: net.Socket, to: net.Socket): void => {
      sockets.add(from);
      from.setNoDelay();
      from.on("data", (bytes: Buffer) => {
        for (let at = 0; at < bytes.length; at += chunk) to.write(bytes.subarray(at, at + chunk));
      });
      from.on("error", () => undefined);
      from.on("close", () => to.destroy());
    };
    join(inbound, outbound);
    join(outbound, inbound);
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  const { port } = server.address() as net.AddressInfo;
  const cut = (): void => {
    for (const socket of sockets) socket.destroy();
  };
  return {
    target: `localhost:${port}`,
    cut,
    freeze() {
      for (const socket of sockets) socket.pause();
    },
    async [Symbol.asyncDispose]() {
      cut();
      server.close();
      await once(server, "close");
    },
  };
}

test("a connection cut in mid-call is UNAVAILABLE to the client; the handler's signal aborts", async () => {
  const seen = recorder<unknown>();
  await using bank = await serve({
    handlers: {
      emptyCall: (_request, call) =>
        new Promise(() => {
          call.signal.addEventListener("abort", () => seen.add(call.signal.reason));
          seen.add("started");
        }),
    },
  });
  await using proxy = await proxyTo(bank);
  await using alice = await dial(proxy.target);
  const call = failure(alice.client.emptyCall({}));
  await seen.next((what) => what === "started");
  proxy.cut();
  const error = await call;
  assert.equal(error instanceof GrpcError && error.code, "UNAVAILABLE");
  const reason = await seen.next((what) => what !== "started");
  assert.equal(reason instanceof GrpcError && reason.code, "CANCELLED");
  await alice.client.unaryCall({ responseSize: 10 }, { waitForReady: true });
});

test("a connection that goes silent holds a call no longer than its deadline", async () => {
  await using bank = await serve();
  await using proxy = await proxyTo(bank);
  await using alice = await dial(proxy.target);
  await alice.client.connect();
  proxy.freeze();
  const error = await failure(alice.client.emptyCall({}, { deadlineMs: 100 }));
  assert.equal(error instanceof GrpcError && error.code, "DEADLINE_EXCEEDED");
});

test("bytes that arrive one by one are the same call", async () => {
  await using bank = await serve();
  await using proxy = await proxyTo(bank, 1);
  await using alice = await dial(proxy.target);
  const body = new Uint8Array(500);
  const { payload } = await alice.client.unaryCall({ responseSize: 500, payload: { body } });
  assert.equal(payload?.body.length, 500);
});

test("S38 a flood of streams that are reset at once ends its connection; others are served", async () => {
  let started = 0;
  await using bank = await serve({
    handlers: {
      emptyCall() {
        started += 1;
        return {};
      },
    },
  });
  await using alice = await dial(bank.target);
  await using mallory = await dial(bank.target);
  await alice.client.connect();
  const { socket } = await mallory.tls.mtls.dial({ host: "localhost", port: bank.port });
  const session = http2.connect("https://localhost", { createConnection: () => socket });
  const closed = new Promise((resolve) => session.once("close", resolve));
  session.on("error", () => undefined);
  await once(session, "remoteSettings");
  const flood = setInterval(() => {
    for (let count = 0; count < 500 && !session.destroyed && !session.closed; count++) {
      const stream = session.request({
        ":method": "POST",
        ":path": "/grpc.testing.TestService/EmptyCall",
        "content-type": "application/grpc",
        te: "trailers",
      });
      stream.on("error", () => undefined);
      stream.close(http2.constants.NGHTTP2_CANCEL);
    }
  }, 1);
  await closed;
  clearInterval(flood);
  await alice.client.unaryCall({});
  assert.equal(started, 0);
});

test("S39 a path that is not byte for byte a registered one runs no handler", async () => {
  let ran = 0;
  await using bank = await serve({
    interceptors: [
      async (_call, next) => {
        ran += 1;
        await next();
      },
    ],
  });
  await using alice = await dial(bank.target);
  const { socket } = await alice.tls.mtls.dial({ host: "localhost", port: bank.port });
  const session = http2.connect("https://localhost", { createConnection: () => socket });
  const statusOf = async (path: string): Promise<string | undefined> => {
    const headers = { ":method": "POST", ":path": path, "content-type": "application/grpc" };
    const stream = session.request({ ...headers, te: "trailers" });
    stream.on("error", () => undefined);
    stream.end();
    const [response] = (await once(stream, "response")) as [Record<string, string>];
    stream.resume();
    return response["grpc-status"];
  };
  const method = "/grpc.testing.TestService/EmptyCall";
  const paths = [
    `/${method}`,
    `${method}?x=1`,
    `${method}/`,
    "/grpc.testing.TestService//EmptyCall",
    "/grpc.testing.TestService/Empty%43all",
    "/grpc.testing.testservice/emptycall",
    "/toString",
    "/__proto__",
  ];
  for (const path of paths) assert.equal(await statusOf(path), "12", path);
  assert.equal(ran, 0);
  session.destroy();
});

test("a client that does not read its stream holds back the handler, and no one else", async () => {
  let produced = 0;
  await using bank = await serve({
    handlers: {
      async *streamingOutputCall(_request, { signal }) {
        for (; !signal.aborted; produced++) yield { payload: { body: new Uint8Array(65_536) } };
      },
    },
  });
  await using slow = await dial(bank.target);
  await using alice = await dial(bank.target);
  const stream = slow.client.streamingOutputCall({});
  await stream.next();
  for (let count = 0; count < 20; count++) await alice.client.unaryCall({ responseSize: 1_000 });
  assert.ok(produced < 100, `${produced} messages of 64 KiB for one that was read`);
  await stream.return?.(undefined);
});

test("a request that is no message of its type is INTERNAL, and its bytes are not in the answer", async () => {
  await using bank = await serve();
  await using alice = await dial(bank.target);
  const { socket } = await alice.tls.mtls.dial({ host: "localhost", port: bank.port });
  const session = http2.connect("https://localhost", { createConnection: () => socket });
  const stream = session.request({
    ":method": "POST",
    ":path": "/grpc.testing.TestService/UnaryCall",
    "content-type": "application/grpc",
    te: "trailers",
  });
  const poison = Buffer.from("\u0007POISON");
  stream.end(Buffer.concat([Buffer.from([0, 0, 0, 0, poison.length]), poison]));
  const [response] = (await once(stream, "response")) as [Record<string, string>];
  assert.equal(response["grpc-status"], "13");
  assert.doesNotMatch(JSON.stringify(response), /POISON/);
  session.destroy();
});
