// What the engine answers to heads and messages that our own client does not send, over plaintext.
import assert from "node:assert/strict";
import { once } from "node:events";
import http2 from "node:http2";
import net from "node:net";
import type { ClientHttp2Session, IncomingHttpHeaders, OutgoingHttpHeaders } from "node:http2";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { fromBinary, toBinary, create } from "@bufbuild/protobuf";
import { allowEveryAdmittedPeer, createServer } from "../src/index.ts";
import type { ServerOptions, ServiceHandlers } from "../src/index.ts";
import { SimpleRequestSchema, SimpleResponseSchema } from "../src/gen/grpc/testing/test_pb.ts";
import { TestService, interopHandlers } from "../src/testing/index.ts";
import { recorder } from "./fixtures.ts";

interface Answer {
  readonly head: IncomingHttpHeaders;
  readonly body: Buffer;
  /** Of the trailers, or of the head where there are none. */
  readonly status: string | undefined;
}

interface Probe extends AsyncDisposable {
  readonly session: ClientHttp2Session;
  readonly port: number;
  readonly started: string[];
  ask(headers: OutgoingHttpHeaders, body?: Buffer): Promise<Answer>;
}

async function probe(
  options: Partial<ServerOptions> = {},
  handlers: Partial<ServiceHandlers<typeof TestService>> = {},
): Promise<Probe> {
  const started: string[] = [];
  const server = createServer({
    dangerouslyPlaintext: true,
    policy: allowEveryAdmittedPeer(),
    unauthenticatedPeers: "ask-policy",
    ...options,
    interceptors: [
      async (call, next) => {
        started.push(call.method);
        await next();
      },
    ],
  });
  server.add(TestService, { ...interopHandlers, ...handlers });
  const address = await server.listen({ host: "127.0.0.1", port: 0 });
  assert.ok("port" in address);
  const session = http2.connect(`http://127.0.0.1:${address.port}`);
  return {
    session,
    port: address.port,
    started,
    ask: (headers, body) => ask(session, headers, body),
    async [Symbol.asyncDispose]() {
      session.destroy();
      await server.shutdown({ graceMs: 0 });
    },
  };
}

async function ask(
  session: ClientHttp2Session,
  headers: OutgoingHttpHeaders,
  body: Buffer = framed(request),
): Promise<Answer> {
  const stream = session.request({ ...unaryHead, ...headers });
  let trailers: IncomingHttpHeaders = {};
  stream.on("trailers", (fields: IncomingHttpHeaders) => {
    trailers = fields;
  });
  stream.on("error", () => undefined);
  stream.end(body);
  const [head] = (await once(stream, "response")) as [IncomingHttpHeaders];
  const parts: Buffer[] = [];
  for await (const part of stream) parts.push(part as Buffer);
  const status = (trailers["grpc-status"] ?? head["grpc-status"]) as string | undefined;
  return { head, body: Buffer.concat(parts), status };
}

function framed(message: Uint8Array, flag = 0): Buffer {
  const prefix = Buffer.alloc(5);
  prefix.writeUInt8(flag);
  prefix.writeUInt32BE(message.length, 1);
  return Buffer.concat([prefix, message]);
}

const unaryHead = {
  ":method": "POST",
  ":path": "/grpc.testing.TestService/UnaryCall",
  "content-type": "application/grpc",
  te: "trailers",
};
const request = toBinary(SimpleRequestSchema, create(SimpleRequestSchema, { responseSize: 5_000 }));

test("what is no gRPC is answered in HTTP and starts nothing", async () => {
  await using bank = await probe();
  const typed = (type: string): OutgoingHttpHeaders => ({ "content-type": type });
  for (const type of ["application/json", "application/grpc-web", "application/grpc+json", ""]) {
    assert.equal((await bank.ask(typed(type))).head[":status"], 415, type);
  }
  assert.equal((await bank.ask({ ":method": "PUT" })).head[":status"], 405);
  assert.deepEqual(bank.started, []);
  for (const type of ["application/grpc", "application/grpc+proto", "application/grpc;v=1"]) {
    assert.equal((await bank.ask(typed(type))).status, "0", type);
  }
});

test("a grpc-timeout that is none is INTERNAL, and starts nothing", async () => {
  await using bank = await probe();
  for (const timeout of ["", "1", "S", "-1S", "1.5S", "123456789m", "1 S", "1s"]) {
    assert.equal((await bank.ask({ "grpc-timeout": timeout })).status, "13", timeout);
  }
  assert.deepEqual(bank.started, []);
  assert.equal((await bank.ask({ "grpc-timeout": "10S" })).status, "0");
});

test("an unknown message encoding is UNIMPLEMENTED, and the answer says which are known", async () => {
  await using bank = await probe();
  const { head, status } = await bank.ask({ "grpc-encoding": "br" });
  assert.deepEqual([status, head["grpc-accept-encoding"]], ["12", "identity,gzip"]);
  assert.deepEqual(bank.started, []);
});

test("S40 a message marked compressed without grpc-encoding, or with another flag, is INTERNAL", async () => {
  await using bank = await probe();
  assert.equal((await bank.ask({}, framed(gzipSync(request), 1))).status, "13");
  const identity = { "grpc-encoding": "identity" };
  assert.equal((await bank.ask(identity, framed(gzipSync(request), 1))).status, "13");
  assert.equal((await bank.ask({}, framed(request, 2))).status, "13");
  const gzip = { "grpc-encoding": "gzip" };
  assert.equal((await bank.ask(gzip, framed(request, 1))).status, "13");
  assert.equal((await bank.ask(gzip, framed(request, 0))).status, "0");
  assert.equal((await bank.ask(gzip, framed(gzipSync(request), 1))).status, "0");
});

test("S40 the limit holds for a message as it was sent and as it inflates, 1 to 1,000", async () => {
  await using bank = await probe({ limits: { maxReceiveMessageBytes: 100_000 } });
  const gzip = { "grpc-encoding": "gzip" };
  const bomb = gzipSync(Buffer.alloc(50_000_000));
  assert.ok(bomb.length < 100_000);
  assert.equal((await bank.ask(gzip, framed(bomb, 1))).status, "8");
  const announced = Buffer.from([0, 0x7f, 0xff, 0xff, 0xff, 1, 2, 3]);
  assert.equal((await bank.ask({}, announced)).status, "8");
});

test("a request that ends within a message is INTERNAL; one without a message is UNIMPLEMENTED", async () => {
  await using bank = await probe();
  assert.equal((await bank.ask({}, framed(request).subarray(0, 6))).status, "13");
  assert.equal((await bank.ask({}, framed(request).subarray(0, 3))).status, "13");
  assert.equal((await bank.ask({}, Buffer.alloc(0))).status, "12");
  assert.equal(
    (await bank.ask({}, Buffer.concat([framed(request), framed(request)]))).status,
    "12",
  );
});

test("S39 bytes in a header that are no base64 are INTERNAL, and start nothing", async () => {
  await using bank = await probe();
  assert.equal((await bank.ask({ "x-token-bin": "not base64!" })).status, "13");
  assert.deepEqual(bank.started, []);
});

test("S39 several authorities, a connection header, outer space and other bytes reset the stream", async () => {
  await using bank = await probe();
  const poison: [name: string, value: string][] = [
    [":authority", "other"],
    ["host", "other"],
    ["connection", "close"],
    ["x-note", " outer"],
    ["x-note", "outer "],
    ["x-note", "caf\u00e9"],
    ["x-note", "two\nlines"],
    ["", "nameless"],
  ];
  for (const [name, value] of poison) {
    const [type, code] = await firstAnswer(bank.port, [
      ...(name.startsWith(":") ? [[name, value] as const] : []),
      ...Object.entries(plainHead),
      ...(name.startsWith(":") ? [] : [[name, value] as const]),
    ]);
    assert.deepEqual([type, code], [resetFrame, http2.constants.NGHTTP2_PROTOCOL_ERROR], name);
  }
  assert.deepEqual(bank.started, []);
  const [type] = await firstAnswer(bank.port, Object.entries(plainHead));
  assert.equal(type, headersFrame);
});

test("S39 a path without its slash, or with a byte escaped, is no method", async () => {
  await using bank = await probe();
  for (const path of [
    "grpc.testing.TestService/UnaryCall",
    "/grpc.testing.TestService/UnaryCal%6c",
  ]) {
    assert.equal((await bank.ask({ ":path": path })).status, "12", path);
  }
  assert.deepEqual(bank.started, []);
});

test("responses are compressed for who accepts it, if the server is told to", async () => {
  const accepts = { "grpc-accept-encoding": "identity, gzip" };
  await using plain = await probe();
  assert.equal((await plain.ask(accepts)).head["grpc-encoding"], undefined);
  await using bank = await probe({ compression: "gzip" });
  assert.equal((await bank.ask({})).head["grpc-encoding"], undefined);
  const { head, body, status } = await bank.ask(accepts);
  assert.deepEqual([head["grpc-encoding"], body[0], status], ["gzip", 1, "0"]);
  assert.ok(body.length < 1_000);
});

test("S37 calls of two peers, cut and interleaved, answer each with its own bytes", async () => {
  await using bank = await probe();
  const other = http2.connect(`http://127.0.0.1:${bank.port}`);
  const echo = async (session: ClientHttp2Session, mark: number, size: number): Promise<void> => {
    const body = Buffer.alloc(size, mark);
    const message = create(SimpleRequestSchema, {
      responseSize: size,
      payload: { body },
    });
    const name = `x-grpc-test-echo-initial`;
    const note = String.fromCharCode(mark).repeat(40);
    const answer = await ask(
      session,
      { [name]: note },
      framed(toBinary(SimpleRequestSchema, message)),
    );
    assert.equal(answer.status, "0");
    assert.equal(answer.head[name], note);
    assert.equal(
      fromBinary(SimpleResponseSchema, answer.body.subarray(5)).payload?.body.length,
      size,
    );
  };
  const marks = [0x41, 0x42];
  await Promise.all(
    Array.from({ length: 200 }, (_, at) =>
      echo(at % 2 === 0 ? bank.session : other, marks[at % 2] ?? 0, 1 + ((at * 7_919) % 40_000)),
    ),
  );
  other.destroy();
});

test("S38 a call that its client has left keeps its place until its handler is done", async () => {
  const finish = recorder<() => void>();
  await using bank = await probe(
    { limits: { maxConcurrentStreams: 2 } },
    {
      emptyCall: () =>
        new Promise((resolve) => {
          finish.add(() => resolve({}));
        }),
    },
  );
  const begin = (): http2.ClientHttp2Stream => {
    const stream = bank.session.request({
      ...unaryHead,
      ":path": "/grpc.testing.TestService/EmptyCall",
    });
    stream.on("error", () => undefined);
    stream.end(framed(new Uint8Array(0)));
    return stream;
  };
  const { NGHTTP2_CANCEL, NGHTTP2_REFUSED_STREAM } = http2.constants;
  for (const count of [1, 2]) {
    const stream = begin();
    await finish.next(() => finish.items.length === count);
    stream.close(NGHTTP2_CANCEL);
    await closed(stream);
  }
  await pong(bank.session);
  const refused = begin();
  await closed(refused);
  assert.equal(refused.rstCode, NGHTTP2_REFUSED_STREAM);
  for (const done of finish.items) done();
  await pong(bank.session);
  assert.equal((await bank.ask({})).status, "0");
});

function closed(stream: http2.ClientHttp2Stream): Promise<void> {
  return new Promise((resolve) => stream.once("close", resolve));
}

function pong(session: ClientHttp2Session): Promise<void> {
  return new Promise((resolve) => session.ping(() => resolve()));
}

/** Sends one head as literals, and gives the type and first 32 bits of the first frame on its stream. */
async function firstAnswer(
  port: number,
  fields: readonly (readonly [name: string, value: string])[],
): Promise<[type: number, word: number]> {
  const socket = net.connect(port, "127.0.0.1");
  const literal = (text: string): Buffer =>
    Buffer.concat([Buffer.from([text.length]), Buffer.from(text, "latin1")]);
  const block = fields.map(([name, value]) =>
    Buffer.concat([Buffer.from([0]), literal(name), literal(value)]),
  );
  socket.write("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
  socket.write(frame(settingsFrame, 0, Buffer.alloc(0)));
  socket.write(frame(headersFrame, 1, Buffer.concat(block)));
  let bytes = Buffer.alloc(0);
  for await (const chunk of socket) {
    bytes = Buffer.concat([bytes, chunk as Buffer]);
    for (let at = 0; bytes.length >= at + 13;) {
      if (bytes.readUInt32BE(at + 5) === 1)
        return [bytes.readUInt8(at + 3), bytes.readUInt32BE(at + 9)];
      at += 9 + bytes.readUIntBE(at, 3);
    }
  }
  throw new Error("the connection ended without an answer");
}

function frame(type: number, stream: number, payload: Buffer): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head.writeUInt8(type, 3);
  head.writeUInt8(type === headersFrame ? 5 : 0, 4);
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

const [headersFrame, resetFrame, settingsFrame] = [1, 3, 4];
const plainHead = {
  ":method": "POST",
  ":scheme": "http",
  ":path": "/grpc.testing.TestService/UnaryCall",
  ":authority": "localhost",
  "content-type": "application/grpc",
  te: "trailers",
};
