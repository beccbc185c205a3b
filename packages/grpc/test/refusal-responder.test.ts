import assert from "node:assert/strict";
import { once } from "node:events";
import http2 from "node:http2";
import net from "node:net";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { Client, credentials, status } from "@grpc/grpc-js";
import type { ServiceError } from "@grpc/grpc-js";
import type { Refusal } from "@handfast/tls";
import * as fc from "fast-check";
import { createRefusalResponder, defaultResponderBounds } from "../src/server/refusal-responder.ts";
import { createRefuser } from "../src/server/refuser.ts";

const refusal: Refusal = {
  code: "CERTIFICATE_EXPIRED",
  by: "us",
  message: "certificate of alice ended 2026-01-01T00:00:00Z",
  publicMessage: "the certificate has expired (2026-01-01T00:00:00Z)",
  hint: "renew it",
  result: "CERTIFICATE_EXPIRED",
  status: 16,
};

const preface = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");

function frame(type: number, flags: number, stream: number, payload = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head.writeUInt8(type, 3);
  head.writeUInt8(flags, 4);
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

function frames(
  bytes: Uint8Array,
): { type: number; flags: number; stream: number; payload: Buffer }[] {
  const buffer = Buffer.from(bytes);
  const found = [];
  for (let at = 0; at < buffer.length;) {
    const length = buffer.readUIntBE(at, 3);
    const payload = buffer.subarray(at + 9, at + 9 + length);
    found.push({
      type: buffer.readUInt8(at + 3),
      flags: buffer.readUInt8(at + 4),
      stream: buffer.readUInt32BE(at + 5),
      payload,
    });
    at += 9 + length;
  }
  return found;
}

const session = Buffer.concat([
  preface,
  frame(4, 0, 0),
  frame(4, 1, 0),
  frame(1, 4, 1, Buffer.from("block")),
  frame(0, 0, 1, Buffer.from("body")),
  frame(6, 0, 0, Buffer.from("12345678")),
  frame(1, 0, 3, Buffer.from("half")),
  frame(9, 4, 3, Buffer.from("rest")),
  frame(1, 5, 5, Buffer.from("ended")),
]);

test("each call, SETTINGS and PING of a refused client is answered once", () => {
  const responder = createRefusalResponder(refusal);
  assert.deepEqual(
    frames(responder.open()).map(({ type, payload }) => [type, [...payload]]),
    [[4, [0, 4, 0, 0, 0, 0]]],
  );
  const answers = frames(responder.receive(session));
  assert.deepEqual(
    answers.map(({ type, flags, stream }) => [type, flags, stream]),
    [
      [4, 1, 0],
      [1, 5, 1],
      [3, 0, 1],
      [6, 1, 0],
      [1, 5, 3],
      [3, 0, 3],
      [1, 5, 5],
    ],
  );
  assert.equal(answers[3]?.payload.toString(), "12345678");
  const [goaway] = frames(responder.close());
  assert.deepEqual(
    [goaway?.type, goaway?.payload.readUInt32BE(0), goaway?.payload.readUInt32BE(4)],
    [7, 5, 12],
  );
  assert.equal(responder.state, "answering");
});

test("however the bytes are cut, the answers are the same", () => {
  const whole = Buffer.from(createRefusalResponder(refusal).receive(session));
  for (let cut = 0; cut <= session.length; cut++) {
    const responder = createRefusalResponder(refusal);
    const first = responder.receive(session.subarray(0, cut));
    assert.deepEqual(
      Buffer.concat([first, responder.receive(session.subarray(cut))]),
      whole,
      `cut ${cut}`,
    );
  }
  const bytewise = createRefusalResponder(refusal);
  assert.deepEqual(
    Buffer.concat([...session].map((byte) => bytewise.receive(Uint8Array.of(byte)))),
    whole,
  );
});

test("no byte the peer sent is in an answer, but the octets of a PING", () => {
  const responder = createRefusalResponder(refusal);
  const poison = Buffer.from("POISON--");
  const input = [
    frame(4, 0, 0),
    frame(1, 4, 1, poison),
    frame(0, 0, 1, poison),
    frame(99, 7, 7, poison),
  ];
  const out = Buffer.from(responder.receive(Buffer.concat([preface, ...input])));
  assert.equal(out.includes("POISON"), false);
  assert.equal(frames(out).length, 3);
});

test("S21 a refused connection is read for 16 KiB and no more", () => {
  const responder = createRefusalResponder(refusal);
  responder.receive(Buffer.concat([preface, frame(4, 0, 0)]));
  const flood = frame(0, 0, 1, Buffer.alloc(16_384));
  assert.equal(responder.receive(flood.subarray(0, 16_000)).length, 0);
  assert.equal(responder.state, "answering");
  assert.equal(responder.receive(flood).length, 0);
  assert.equal(responder.state, "exhausted");
  assert.equal(responder.receive(frame(1, 5, 3)).length, 0);
});

test("S21 a refused connection gets at most 256 answers and 64 KiB", () => {
  const responder = createRefusalResponder(refusal, { ...defaultResponderBounds, maxBytesIn: 1e9 });
  let out = responder.open().length + responder.receive(preface).length;
  let answers = 0;
  for (let stream = 1; stream < 20_001; stream += 2) {
    const answer = responder.receive(frame(1, 4, stream));
    out += answer.length;
    answers += answer.length > 0 ? 1 : 0;
  }
  assert.ok(answers <= 256 && answers > 200, String(answers));
  assert.ok(out + responder.close().length <= 64 * 1024, String(out));
  assert.equal(responder.state, "exhausted");
  assert.equal(frames(responder.close())[0]?.payload.readUInt32BE(0), answers * 2 - 1);
});

test("a peer that does not speak HTTP/2 gets no answer", () => {
  const oversized = frame(0, 0, 1);
  oversized.writeUIntBE(16_385, 0, 3);
  const wrong = [
    Buffer.from("GET / HTTP/1.1\r\n\r\n"),
    Buffer.concat([preface, oversized]),
    Buffer.concat([preface, frame(6, 0, 0, Buffer.alloc(7))]),
    Buffer.concat([preface, frame(1, 4, 2)]),
    Buffer.concat([preface, frame(1, 0, 1), frame(0, 0, 1)]),
    Buffer.concat([preface, frame(1, 0, 1), frame(9, 4, 3)]),
    Buffer.concat([preface, frame(4, 1, 0, Buffer.alloc(6))]),
  ];
  for (const bytes of wrong) {
    const responder = createRefusalResponder(refusal);
    assert.equal(responder.receive(bytes).length, 0, bytes.toString("latin1"));
    assert.equal(responder.state, "broken", bytes.toString("latin1"));
  }
});

test("S21 any bytes, however cut, keep within the bounds and never throw", () => {
  const pieces = fc.oneof(
    fc.uint8Array({ maxLength: 64 }),
    fc
      .tuple(
        fc.integer({ min: 0, max: 10 }),
        fc.nat(255),
        fc.nat(9),
        fc.uint8Array({ maxLength: 40 }),
      )
      .map(([type, flags, stream, payload]) => frame(type, flags, stream, Buffer.from(payload))),
  );
  fc.assert(
    fc.property(fc.boolean(), fc.array(pieces, { maxLength: 400 }), (speaks, chunks) => {
      const responder = createRefusalResponder(refusal);
      let out = responder.open().length;
      if (speaks) out += responder.receive(preface).length;
      for (const chunk of chunks) out += responder.receive(chunk).length;
      assert.ok(out + responder.close().length <= defaultResponderBounds.maxBytesOut);
    }),
    { numRuns: Number(process.env["HANDFAST_FUZZ_RUNS"] ?? 300) },
  );
});

/** A server that refuses everybody, over plain TCP. */
async function refusingServer(
  options: { holdMs?: number } = {},
): Promise<{ port: number; connections: () => number } & AsyncDisposable> {
  const refuser = createRefuser(options);
  let connections = 0;
  const server = net.createServer((socket) => {
    connections += 1;
    refuser.refuse(socket, refusal);
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  return {
    port: (server.address() as AddressInfo).port,
    connections: () => connections,
    async [Symbol.asyncDispose]() {
      refuser.close();
      server.close();
      await once(server, "close");
    },
  };
}

function callOnce(client: Client): Promise<ServiceError> {
  const same = (bytes: Buffer): Buffer => bytes;
  return new Promise((resolve, reject) => {
    const method = "/bank.v1.BankService/GetBalance";
    const deadline = { deadline: Date.now() + 5_000 };
    client.makeUnaryRequest(method, same, same, Buffer.alloc(100_000), deadline, (error) => {
      if (error === null) reject(new Error("the call was answered"));
      else resolve(error);
    });
  });
}

test("a plain grpc-js client reads the refusal as the status of each of its calls", async () => {
  await using server = await refusingServer();
  using client = closing(new Client(`127.0.0.1:${server.port}`, credentials.createInsecure()));
  for (let call = 0; call < 3; call++) {
    const error = await callOnce(client);
    assert.equal(error.code, status.UNAUTHENTICATED);
    assert.equal(
      error.details,
      "CERTIFICATE_EXPIRED: the certificate has expired (2026-01-01T00:00:00Z)",
    );
    assert.deepEqual(error.metadata.get("handfast-refusal"), ["CERTIFICATE_EXPIRED"]);
  }
  assert.equal(server.connections(), 1);
});

test("node:http2 accepts every frame, and after the hold sees GOAWAY with INADEQUATE_SECURITY", async () => {
  await using server = await refusingServer({ holdMs: 50 });
  const session = http2.connect(`http://127.0.0.1:${server.port}`);
  session.on("error", () => undefined);
  const goaway = new Promise<[number, number]>((resolve) => {
    session.once("goaway", (code, last) => resolve([code, last]));
  });
  const closed = new Promise<void>((resolve) => session.once("close", resolve));
  const stream = session.request({ ":method": "POST", ":path": "/a/B", te: "trailers" });
  const [headers] = (await once(stream, "response")) as [Record<string, string>];
  stream.on("error", () => undefined).resume();
  assert.equal(headers["grpc-status"], "16");
  assert.equal(headers["handfast-refusal"], "CERTIFICATE_EXPIRED");
  assert.deepEqual(await goaway, [http2.constants.NGHTTP2_INADEQUATE_SECURITY, 1]);
  await closed;
});

test("S21 past the bounds a connection is held all the same, unread, until its time is up", async () => {
  const holdMs = 200;
  await using server = await refusingServer({ holdMs });
  const start = performance.now();
  const session = http2.connect(`http://127.0.0.1:${server.port}`);
  session.on("error", () => undefined);
  const goaway = new Promise<number>((resolve) => {
    session.once("goaway", (_code, lastStream) => resolve(lastStream));
  });
  await once(session, "remoteSettings");
  for (let call = 0; call < 400; call++) {
    const stream = session.request({ ":method": "POST", ":path": "/a/B", te: "trailers" });
    stream.on("error", () => undefined).resume();
  }
  const answered = ((await goaway) + 1) / 2;
  assert.ok(answered > 50 && answered <= 256, `${answered} answers`);
  assert.ok(performance.now() - start > holdMs - 20);
  await new Promise<void>((resolve) => session.once("close", resolve));
});

for (const policy of ["pick_first", "round_robin"]) {
  test(`a refused grpc-js client with ${policy} that calls 100 times a second connects once per hold`, async () => {
    const holdMs = 600;
    await using server = await refusingServer({ holdMs });
    const serviceConfig = JSON.stringify({ loadBalancingConfig: [{ [policy]: {} }] });
    using client = closing(
      new Client(`127.0.0.1:${server.port}`, credentials.createInsecure(), {
        "grpc.service_config": serviceConfig,
      }),
    );
    const start = performance.now();
    let calls = 0;
    const pending: Promise<ServiceError>[] = [];
    await new Promise<void>((resolve) => {
      const timer = setInterval(() => {
        calls += 1;
        pending.push(callOnce(client));
        if (performance.now() - start > 2.5 * holdMs) {
          clearInterval(timer);
          resolve();
        }
      }, 10);
    });
    const codes = (await Promise.all(pending)).map(({ code }) => code);
    const told = codes.filter((code) => code === status.UNAUTHENTICATED);
    const holds = Math.floor((performance.now() - start) / holdMs) + 1;
    assert.ok(calls > 10 * holds, `${calls} calls`);
    assert.ok(
      server.connections() <= holds,
      `${server.connections()} connections in ${holds} holds`,
    );
    // A call that meets GOAWAY on its way is UNAVAILABLE.
    assert.ok(told.length >= calls - 3 * holds, `${told.length} of ${calls} calls were told`);
  });
}

function closing(client: Client): Client & Disposable {
  return Object.assign(client, { [Symbol.dispose]: () => client.close() });
}
