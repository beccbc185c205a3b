import assert from "node:assert/strict";
import { once } from "node:events";
import http2 from "node:http2";
import type { AddressInfo } from "node:net";
import { after, before, test } from "node:test";
import * as grpc from "@grpc/grpc-js";
import { errorCodes } from "@handfast/http2";
import type { StreamReset } from "@handfast/http2";
import { connectClient, grpcMessage, listenEcho, makeCertificate, post } from "./fixture.ts";
import type { Certificate, EchoServer } from "./fixture.ts";

// Both roles over TLS against node:http2 and grpc-js. The tools that are not npm packages are in
// interop.slow.ts.

/** A test that fails must not keep the others waiting. */
const bounded = { timeout: 20_000 };
let certificate: Certificate;
let echo: EchoServer;

before(async () => {
  certificate = makeCertificate();
  echo = await listenEcho(certificate);
});

after(() => echo.close());

test(
  "node:http2 as the client: a hundred bodies at once come back whole, with trailers",
  bounded,
  async (t) => {
    const session = http2.connect(`https://localhost:${echo.port}`, { ca: certificate.cert });
    t.after(() => session.destroy());
    const bodies = Array.from({ length: 100 }, (_, index) => Buffer.alloc(index * 997, index));
    const answers = await Promise.all(
      bodies.map(async (body) => {
        const stream = session.request({
          ":method": "POST",
          ":path": "/echo",
          "x-note": `${body.length}`,
        });
        const trailers = once(stream, "trailers");
        stream.end(body);
        const parts: Buffer[] = [];
        for await (const part of stream) {
          parts.push(part as Buffer);
        }
        const [fields] = (await trailers) as [Record<string, string>];
        assert.equal(fields["grpc-status"], "0");
        return Buffer.concat(parts);
      }),
    );
    session.close();
    await once(session, "close");
    assert.ok(answers.every((answer, index) => answer.equals(bodies[index]!)));
  },
);

test(
  "node:http2 as the client: a large body both ways fits through small windows",
  bounded,
  async (t) => {
    const small = await listenEcho(certificate, {
      streamWindow: 20_000,
      connectionWindow: 65_535,
      maxWindow: 0,
    });
    t.after(() => small.close());
    const session = http2.connect(`https://localhost:${small.port}`, { ca: certificate.cert });
    t.after(() => session.destroy());
    const stream = session.request({ ":method": "POST", ":path": "/x.Echo/Bidi" });
    const body = Buffer.alloc(1_500_000, "0123456789");
    stream.end(body);
    let length = 0;
    for await (const part of stream) {
      assert.ok((part as Buffer).equals(body.subarray(length, length + (part as Buffer).length)));
      length += (part as Buffer).length;
    }
    assert.equal(length, body.length);
    session.close();
    await once(session, "close");
  },
);

test(
  "node:http2 as the server: a hundred bodies at once come back whole, with trailers",
  bounded,
  async (t) => {
    const server = http2.createSecureServer({ cert: certificate.cert, key: certificate.key });
    server.on("stream", (stream: http2.ServerHttp2Stream) => {
      stream.respond({ ":status": 200 }, { waitForTrailers: true });
      stream.on("wantTrailers", () => stream.sendTrailers({ "x-done": "yes" }));
      stream.pipe(stream);
    });
    t.after(() => server.close());
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const client = await connectClient((server.address() as AddressInfo).port, certificate);
    t.after(() => client.cut());
    const bodies = Array.from({ length: 100 }, (_, index) => Buffer.alloc(index * 997, index));
    const answers = await Promise.all(bodies.map((body) => client.ask(post("/echo"), body)));
    for (const [index, { head, body, trailers }] of answers.entries()) {
      assert.equal(head.status, 200);
      assert.ok(body.equals(bodies[index]!));
      assert.deepEqual(trailers, ["x-done", "yes"]);
    }
    await client.close();
    server.close();
    await once(server, "close");
  },
);

test("grpc-js as the client: unary calls, a megabyte, a stream both ways", bounded, async (t) => {
  const client = new grpc.Client(
    `localhost:${echo.port}`,
    grpc.credentials.createSsl(Buffer.from(certificate.cert)),
  );
  t.after(() => client.close());
  const unary = (body: Buffer): Promise<Buffer> => {
    const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
    client.makeUnaryRequest("/x.Echo/Unary", identity, identity, body, (error, answer) =>
      error === null ? resolve(answer ?? Buffer.alloc(0)) : reject(error),
    );
    return promise;
  };
  const bodies = [
    ...Array.from({ length: 200 }, (_, index) => Buffer.alloc(index, index)),
    Buffer.alloc(1_048_576, "x"),
  ];
  const answers = await Promise.all(bodies.map(unary));
  assert.ok(answers.every((answer, index) => answer.equals(bodies[index]!)));

  const stream = client.makeBidiStreamRequest("/x.Echo/Bidi", identity, identity);
  const echoed: string[] = [];
  stream.on("data", (message: Buffer) => echoed.push(message.toString()));
  for (const word of ["one", "two", "three"]) {
    stream.write(Buffer.from(word));
  }
  stream.end();
  const [status] = (await once(stream, "status")) as [grpc.StatusObject];
  assert.equal(status.code, grpc.status.OK);
  assert.deepEqual(echoed, ["one", "two", "three"]);
});

test(
  "grpc-js as the client: a call that is cancelled does not disturb the next",
  bounded,
  async (t) => {
    const client = new grpc.Client(
      `localhost:${echo.port}`,
      grpc.credentials.createSsl(Buffer.from(certificate.cert)),
    );
    t.after(() => client.close());
    const stream = client.makeBidiStreamRequest("/x.Echo/Bidi", identity, identity);
    stream.write(Buffer.from("first"));
    await once(stream, "data");
    stream.cancel();
    const [error] = (await once(stream, "error")) as [grpc.ServiceError];
    assert.equal(error.code, grpc.status.CANCELLED);
    const { promise, resolve } = Promise.withResolvers<Buffer | undefined>();
    client.makeUnaryRequest("/x.Echo/Unary", identity, identity, Buffer.from("next"), (_, answer) =>
      resolve(answer),
    );
    assert.equal((await promise)?.toString(), "next");
  },
);

test(
  "grpc-js as the server: answers, trailers-only errors and unknown methods",
  bounded,
  async (t) => {
    const server = new grpc.Server();
    t.after(() => server.forceShutdown());
    server.addService(
      {
        unary: {
          path: "/x.Echo/Unary",
          requestStream: false,
          responseStream: false,
          requestSerialize: identity,
          requestDeserialize: identity,
          responseSerialize: identity,
          responseDeserialize: identity,
        },
      },
      {
        unary: (call: grpc.ServerUnaryCall<Buffer, Buffer>, answer: grpc.sendUnaryData<Buffer>) =>
          call.request.length === 0
            ? answer({ code: grpc.status.NOT_FOUND, details: "nothing there" })
            : answer(null, call.request),
      },
    );
    const credentials = grpc.ServerCredentials.createSsl(null, [
      { cert_chain: Buffer.from(certificate.cert), private_key: Buffer.from(certificate.key) },
    ]);
    const { promise: bound, resolve, reject } = Promise.withResolvers<number>();
    server.bindAsync("127.0.0.1:0", credentials, (error, port) =>
      error === null ? resolve(port) : reject(error),
    );
    const client = await connectClient(await bound, certificate);
    t.after(() => client.cut());
    const grpcFields = ["content-type", "application/grpc", "te", "trailers"];
    const bodies = [Buffer.from("one"), Buffer.alloc(1_000_000, "x")];
    for (const body of bodies) {
      const answer = await client.ask(post("/x.Echo/Unary", ...grpcFields), grpcMessage(body));
      assert.ok(answer.body.equals(grpcMessage(body)));
      assert.deepEqual(answer.trailers.slice(0, 2), ["grpc-status", "0"]);
    }
    const missing = await client.ask(
      post("/x.Echo/Unary", ...grpcFields),
      grpcMessage(Buffer.alloc(0)),
    );
    assert.ok([...missing.trailers, ...missing.head.fields].includes("nothing%20there"));
    const unknown = await client.ask(
      post("/x.Echo/No", ...grpcFields),
      grpcMessage(Buffer.alloc(0)),
    );
    assert.ok([...unknown.trailers, ...unknown.head.fields].includes("12"), "UNIMPLEMENTED");
    await client.close();
  },
);

test("our client and our server, over TLS", bounded, async (t) => {
  const client = await connectClient(echo.port, certificate);
  t.after(() => client.cut());
  const body = Buffer.alloc(3_000_000, "abc");
  const answers = await Promise.all(Array.from({ length: 20 }, () => client.ask(post("/e"), body)));
  assert.ok(answers.every((answer) => answer.body.equals(body)));
  await client.close();
});

test(
  "a server that shuts down lets calls finish, and the client sees an orderly end",
  bounded,
  async (t) => {
    const leaving = await listenEcho(certificate);
    t.after(() => leaving.close());
    const client = await connectClient(leaving.port, certificate);
    t.after(() => client.cut());
    const question = client.ask(post("/e"), Buffer.alloc(2_000_000));
    await client.ask(post("/e"), Buffer.from("warm"));
    leaving.command((connection) => connection.shutdown(performance.now()));
    assert.equal((await question).body.length, 2_000_000);
    await client.close();
    assert.deepEqual(leaving.ends, [undefined]);
  },
);

test("a connection that is cut rejects what is open, saying why", bounded, async (t) => {
  const leaving = await listenEcho(certificate);
  t.after(() => leaving.close());
  const client = await connectClient(leaving.port, certificate);
  t.after(() => client.cut());
  await client.ask(post("/e"), Buffer.from("warm"));
  const question = client.ask(post("/x/Bidi"), Buffer.alloc(4_000_000));
  const rejected = assert.rejects(question, ({ by }: StreamReset) => by !== "machine");
  leaving.command((connection) => connection.abort(errorCodes.INTERNAL_ERROR, "gone"));
  await rejected;
});

function identity(bytes: Buffer): Buffer {
  return bytes;
}
