// While something goes wrong on one connection, others are served, and a shutdown ends in bounded time: the call
// of a good client in flight with OK, the broken one's handler with its signal.
import assert from "node:assert/strict";
import { once } from "node:events";
import type { EventEmitter } from "node:events";
import http2 from "node:http2";
import type { ClientHttp2Session, ClientHttp2Stream } from "node:http2";
import type { Duplex } from "node:stream";
import { test } from "node:test";
import { GrpcError } from "../src/index.ts";
import type { ServerOptions } from "../src/index.ts";
import { rawCall } from "./raw-server.ts";
import { dial, failure, recorder, serve } from "./fixtures.ts";
import type { Served } from "./fixtures.ts";

/** A peer who was admitted, and what he has to do harm with. */
interface Mallory {
  readonly socket: Duplex;
  /** node:http2 on that socket, once it is asked for. */
  session(): ClientHttp2Session;
  /** Begins a call, without a message. */
  begin(method: string): ClientHttp2Stream;
}

/** Brings a connection into a state; resolves when the server has seen it. */
type Fault = (mallory: Mallory, bank: Served, seen: Seen) => Promise<void>;

/** What handlers tell: that they began, and that their signal aborted. */
type Seen = ReturnType<typeof recorder<"began" | "aborted" | "sleeping">>;

const faults: Readonly<Record<string, Fault>> = {
  async "a peer that is killed in mid-call"({ begin, socket }, _bank, seen) {
    begin("EmptyCall").end(framed(0));
    await seen.next((what) => what === "began");
    socket.destroy();
    await seen.next((what) => what === "aborted");
  },

  async "a half-open connection with a call on it"({ socket }, _bank, seen) {
    socket.write(rawCall("/grpc.testing.TestService/EmptyCall"));
    await seen.next((what) => what === "began");
    // Nobody answers there any more, and keepalive finds out.
    await seen.next((what) => what === "aborted");
  },

  async "a message that comes byte by byte, and never whole"({ begin, session }) {
    const stream = begin("UnaryCall");
    for (const byte of framed(100).subarray(0, 50)) stream.write(Uint8Array.of(byte));
    await pong(session());
  },

  async "a head that is never complete"({ socket }) {
    socket.write("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    socket.write(Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]));
    // HEADERS of stream 1 without END_HEADERS; a CONTINUATION would have to follow.
    socket.write(Buffer.from([0, 0, 1, 1, 0, 0, 0, 0, 1, 0x83]));
    await once(socket, "data");
  },

  async "a head that is too large"({ session }) {
    const stream = session().request({ ...head("EmptyCall"), "x-large": "a".repeat(33_000) });
    stream.on("error", () => undefined);
    const [answer] = (await once(stream, "response")) as [http2.IncomingHttpHeaders];
    assert.equal(answer[":status"], 431);
  },

  async "a message that claims 4 GiB"({ begin }) {
    const stream = begin("UnaryCall");
    const trailers = once(stream, "response");
    stream.write(Buffer.from([0, 0xff, 0xff, 0xff, 0xff]));
    stream.write(Buffer.alloc(1_000_000));
    const [answer] = (await trailers) as [http2.IncomingHttpHeaders];
    assert.equal(answer["grpc-status"], "8");
  },

  async "a reader who reads nothing"({ socket }, _bank, seen) {
    socket.write(rawCall("/grpc.testing.TestService/StreamingOutputCall"));
    await seen.next((what) => what === "began");
  },

  async "a flood of resets"({ begin, session }, _bank) {
    const closed = closing(session());
    await once(session(), "remoteSettings");
    const flood = setInterval(() => {
      for (let count = 0; count < 500 && !session().destroyed && !session().closed; count++) {
        begin("EmptyCall").close(http2.constants.NGHTTP2_CANCEL);
      }
    }, 1);
    await closed;
    clearInterval(flood);
  },

  async "a handler that never ends, and does not listen to its signal"({ begin }, _bank, seen) {
    begin("StreamingInputCall").end(framed(0));
    await seen.next((what) => what === "sleeping");
  },
};

for (const [name, cause] of Object.entries(faults)) {
  test(`${name}: others are served, and a shutdown ends in bounded time`, async () => {
    const seen: Seen = recorder();
    const inFlight = recorder<() => void>();
    await using bank = await serve({ limits, handlers: handlersOf(seen, inFlight) });
    await using alice = await dial(bank.target);
    await alice.client.connect();
    await using runtime = await dial(bank.target);
    const { socket } = await runtime.tls.mtls.dial({ host: "localhost", port: bank.port });
    socket.on("error", () => undefined);
    await cause(malloryOn(socket), bank, seen);

    // A good client's call is served meanwhile, and one in flight ends with OK during the shutdown.
    const { payload } = await alice.client.unaryCall({ responseSize: 1_000 });
    assert.equal(payload?.body.length, 1_000);
    const call = alice.client.unaryCall({ responseSize: 7 });
    await inFlight.next(() => true);
    const start = performance.now();
    const over = bank.server.shutdown({ graceMs: 200 });
    inFlight.items[0]?.();
    assert.equal((await call).payload?.body.length, 7);
    await over;
    const took = performance.now() - start;
    assert.ok(took < 3_000, `${took} ms`);
    const late = await failure(alice.client.emptyCall({}));
    assert.equal(late instanceof GrpcError && late.code, "UNAVAILABLE");
    socket.destroy();
    if (seen.items.includes("began")) await seen.next((what) => what === "aborted");
  });
}

test("answers that nobody reads are cut: what is over the queue's bound at once, the rest in time", async () => {
  await using bank = await serve({ limits: { timing: { stallMs: 100 } } });
  await using slow = await dial(bank.target);
  const { socket } = await slow.tls.mtls.dial({ host: "localhost", port: bank.port });
  const { begin } = malloryOn(socket);
  // 80 MB together; 64 MiB may wait on a connection.
  const streams = Array.from({ length: 20 }, () => {
    const stream = begin("UnaryCall");
    stream.pause();
    stream.end(askFor4Megabytes);
    return stream;
  });
  await Promise.all(streams.map(closing));
  const { NGHTTP2_CANCEL, NGHTTP2_ENHANCE_YOUR_CALM } = http2.constants;
  const codes = new Set(streams.map(({ rstCode }) => rstCode));
  assert.deepEqual(codes, new Set([NGHTTP2_CANCEL, NGHTTP2_ENHANCE_YOUR_CALM]));
  await using alice = await dial(bank.target);
  await alice.client.unaryCall({ responseSize: 10 });
  socket.destroy();
});

function malloryOn(socket: Duplex): Mallory {
  let connected: ClientHttp2Session | undefined;
  const session = (): ClientHttp2Session => {
    if (connected === undefined) {
      connected = http2.connect("https://localhost", { createConnection: () => socket });
      connected.on("error", () => undefined);
    }
    return connected;
  };
  return {
    socket,
    session,
    begin(method) {
      const stream = session().request(head(method));
      stream.on("error", () => undefined);
      return stream;
    },
  };
}

function handlersOf(
  seen: Seen,
  inFlight: ReturnType<typeof recorder<() => void>>,
): NonNullable<Parameters<typeof serve>[0]>["handlers"] & object {
  return {
    emptyCall: (_request, { signal }) =>
      new Promise((_resolve, reject) => {
        seen.add("began");
        signal.addEventListener("abort", () => {
          seen.add("aborted");
          reject(signal.reason as Error);
        });
      }),
    unaryCall: ({ responseSize }) => {
      const response = { payload: { body: new Uint8Array(responseSize) } };
      if (responseSize !== 7) return response;
      return new Promise((resolve) => inFlight.add(() => resolve(response)));
    },
    async *streamingOutputCall(_request, { signal }) {
      signal.addEventListener("abort", () => seen.add("aborted"));
      seen.add("began");
      for (;;) yield { payload: { body: new Uint8Array(65_536) } };
    },
    streamingInputCall: () =>
      new Promise(() => {
        seen.add("sleeping");
      }),
  };
}

function head(method: string): http2.OutgoingHttpHeaders {
  return {
    ":method": "POST",
    ":path": `/grpc.testing.TestService/${method}`,
    "content-type": "application/grpc",
    te: "trailers",
  };
}

/** A message of zeros, with its prefix. */
function framed(length: number): Buffer {
  const bytes = Buffer.alloc(5 + length);
  bytes.writeUInt32BE(length, 1);
  return bytes;
}

/** The end of something, errors or not. */
function closing(thing: EventEmitter): Promise<void> {
  return new Promise((resolve) => thing.once("close", () => resolve()));
}

function pong(session: ClientHttp2Session): Promise<void> {
  return new Promise((resolve) => session.ping(() => resolve()));
}

const limits: NonNullable<ServerOptions["limits"]> = {
  timing: { keepaliveMs: 50, keepaliveTimeoutMs: 50 },
};
const askFor4Megabytes = Buffer.from([0, 0, 0, 0, 5, 0x10, 0x80, 0x92, 0xf4, 0x01]);
