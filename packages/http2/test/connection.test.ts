import assert from "node:assert/strict";
import { test } from "node:test";
import {
  createConnection,
  encodeHeaderBlock,
  errorCodes,
  fieldValue,
  fieldValues,
} from "@handfast/http2";
import type { Fields } from "@handfast/http2";
import { clientPreface, flags, frameTypes, settingIds } from "../src/frames.ts";
import { checkInvariants } from "./invariants.ts";
import {
  BlockReader,
  ascii,
  concat,
  dataFrame,
  eventsOf,
  frame,
  goawayFrame,
  headersFrame,
  openRequest,
  payloadUint32,
  pingFrame,
  requestFields,
  resetFrame,
  settingsFrame,
  startClient,
  startServer,
  windowUpdate,
} from "./wire.ts";
import type { Frame } from "./wire.ts";

const head = encodeHeaderBlock([":status", "200", "content-type", "application/grpc"]);
const trailers = encodeHeaderBlock(["grpc-status", "0"]);

test("a unary call on a server: one request event, data, and one answer in three frames", () => {
  const rig = startServer({
    onData: (side, id, bytes, end) => {
      assert.equal(end, true);
      side.respond(id, { head, data: [Uint8Array.of(0, 0, 0, 0, 2), ascii("ok")], trailers });
    },
  });
  const answers = rig.send(concat(headersFrame(1), dataFrame(1, "ask", { end: true })));
  assert.deepEqual(rig.log, [
    {
      on: "request",
      id: 1,
      head: {
        method: "POST",
        scheme: "https",
        path: "/bank.v1.BankService/GetBalance",
        authority: "bank.test",
        fields: ["content-type", "application/grpc", "te", "trailers"],
      },
      end: false,
    },
    { on: "data", id: 1, bytes: ascii("ask"), end: true },
  ]);
  assert.deepEqual(describe(answers), [
    "HEADERS 1 :status=200 content-type=application/grpc",
    "DATA 1 00000000026f6b",
    "HEADERS 1 END_STREAM grpc-status=0",
  ]);
  assert.equal(rig.side.openStreams, 0);
  checkInvariants(rig.core);
});

test("a unary call on a client, with trailers", () => {
  const rig = startClient();
  const id = openRequest(rig, { data: ascii("ask"), end: true });
  assert.equal(id, 1);
  assert.deepEqual(describe(rig.output()).slice(1), ["DATA 1 END_STREAM 61736b"]);
  rig.send(
    headersFrame(1, [":status", "200", "x", "y"]),
    dataFrame(1, "answer"),
    headersFrame(1, ["grpc-status", "0"], { end: true }),
  );
  assert.deepEqual(rig.log, [
    { on: "response", id: 1, head: { status: 200, fields: ["x", "y"] }, end: false },
    { on: "data", id: 1, bytes: ascii("answer"), end: false },
    { on: "trailers", id: 1, fields: ["grpc-status", "0"] },
  ]);
  assert.equal(rig.side.openStreams, 0);
});

test("trailers-only: a response whose head is its end, both ways", () => {
  const client = startClient();
  openRequest(client, { end: true });
  client.send(headersFrame(1, [":status", "200", "grpc-status", "7"], { end: true }));
  assert.deepEqual(
    eventsOf(client.log, "response").map(({ end }) => end),
    [true],
  );
  const server = startServer();
  server.send(headersFrame(1, requestFields, { end: true }));
  server.side.respond(1, { head: [head, ["grpc-status", "7"]] });
  assert.deepEqual(describe(server.output()), [
    "HEADERS 1 END_STREAM :status=200 content-type=application/grpc grpc-status=7",
  ]);
});

test("a server answers before the request has ended, and with discard cuts the rest with NO_ERROR", () => {
  const rig = startServer({
    onRequest: (side, id) => {
      side.discard(id);
      side.respond(id, { head, trailers });
    },
  });
  const answers = rig.send(headersFrame(1), dataFrame(1, "x".repeat(1_000)), dataFrame(1, "y"));
  assert.deepEqual(describe(answers).slice(1), [
    "HEADERS 1 END_STREAM grpc-status=0",
    "RST_STREAM 1 0",
  ]);
  assert.deepEqual(eventsOf(rig.log, "data"), [], "S40: nothing of the body is passed on");
  checkInvariants(rig.core);
});

test("S40: without an answer yet, a discarded body costs no memory and keeps its windows open", () => {
  const settings = { streamWindow: 65_535, connectionWindow: 65_535, maxWindow: 0 };
  const rig = startServer({ settings, onRequest: (side, id) => side.discard(id) });
  rig.send(headersFrame(1));
  for (let count = 0; count < 50; count += 1) {
    rig.send(dataFrame(1, 16_384));
  }
  assert.equal(rig.side.phase, "open");
  assert.deepEqual(eventsOf(rig.log, "data"), []);
  checkInvariants(rig.core);
});

test("a client that discards an answer still finishes its own side, and hears no more", () => {
  const rig = startClient();
  openRequest(rig);
  rig.side.discard(1);
  rig.side.sendData(1, ascii("rest"), { end: true });
  assert.deepEqual(describe(rig.output()).slice(1), ["DATA 1 END_STREAM 72657374"]);
  rig.send(headersFrame(1, [":status", "200"]), dataFrame(1, "unseen", { end: true }));
  assert.deepEqual(rig.log, []);
  assert.equal(rig.side.openStreams, 0);
  checkInvariants(rig.core);
});

test("an interim head goes before the final one", () => {
  const rig = startServer();
  rig.send(headersFrame(1, requestFields, { end: true }));
  rig.side.sendHead(1, [":status", "103", "link", "x"]);
  rig.side.respond(1, { head });
  assert.deepEqual(describe(rig.output()), [
    "HEADERS 1 :status=103 link=x",
    "HEADERS 1 END_STREAM :status=200 content-type=application/grpc",
  ]);
  const client = startClient();
  openRequest(client, { end: true });
  client.send(headersFrame(1, [":status", "103"]), headersFrame(1, [":status", "200"]));
  assert.deepEqual(
    client.log.map((event) => event.on),
    ["informational", "response"],
  );
});

test("headers larger than the peer's frames go out in CONTINUATION frames", () => {
  const rig = startServer({ onRequest: (side, id) => side.respond(id, { head: fields }) });
  const fields: Fields = [":status", "200", ...many(40, (n) => [`x-${n}`, "v".repeat(1_000)])];
  const answers = rig.send(headersFrame(1, requestFields, { end: true }));
  assert.deepEqual(
    answers.map(({ type, flags: bits, payload }) => [type, bits, payload.length <= 16_384]),
    [
      [frameTypes.HEADERS, flags.END_STREAM, true],
      [frameTypes.CONTINUATION, 0, true],
      [frameTypes.CONTINUATION, flags.END_HEADERS, true],
    ],
  );
  const block = concat(...answers.map(({ payload }) => payload));
  assert.deepEqual(new BlockReader().read(block), fields);
});

test("a header list above what the peer accepts is refused before anything is sent", () => {
  const rig = startServer();
  rig.send(settingsFrame([settingIds.MAX_HEADER_LIST_SIZE, 200]), headersFrame(1));
  const large = { code: "HEADERS_TOO_LARGE" };
  assert.throws(() => rig.side.respond(1, { head: [head, ["x", "y".repeat(100)]] }), large);
  assert.throws(() => rig.side.respond(1, { head, trailers: ["x", "y".repeat(200)] }), large);
  assert.deepEqual(rig.output(), []);
  rig.side.respond(1, { head, trailers });
  assert.equal(rig.output().length, 2);
});

test("wrong use is a TypeError", () => {
  const rig = startServer();
  rig.send(headersFrame(1, requestFields, { end: true }), headersFrame(3));
  const { side } = rig;
  assert.throws(() => side.sendData(1, ascii("x")), /no head was sent yet/);
  assert.throws(() => side.sendHead(1, ["a", "b"]), /no :status/);
  assert.throws(() => side.sendHead(1, [":status", "200", "A", "b"]), /lower-case token/);
  assert.throws(() => side.sendHead(1, [":status", "200", "a", "b\r\nc"]), /printable ASCII/);
  assert.throws(() => side.sendHead(1, [":status", "200", "a"]), /has no value/);
  assert.throws(() => encodeHeaderBlock(["a", " b"]), /outer spaces/);
  side.sendHead(1, head);
  assert.throws(() => side.sendHead(1, head), /sent already/);
  side.sendHead(3, head, { end: true });
  assert.throws(() => side.sendTrailers(3, trailers), /end was sent already/);
  assert.throws(() => side.consume(3, 1), /consumed 1 octets of 0/);
  assert.throws(
    () => startServer({ settings: { maxFrameSize: 1 } }),
    /maxFrameSize must be an integer from 16384/,
  );
});

test("data waits for the stream's window, and the application is told when the queue has drained", () => {
  const rig = startServer({ limits: { streamHighWater: 1_000 } });
  rig.send(settingsFrame([settingIds.INITIAL_WINDOW_SIZE, 100]), headersFrame(1));
  rig.side.sendHead(1, head);
  rig.output();
  assert.equal(rig.side.sendData(1, new Uint8Array(600)), true);
  assert.equal(rig.side.sendData(1, [new Uint8Array(600), new Uint8Array(10)]), false);
  assert.equal(lengthOf(rig.output()), 100);
  assert.equal(lengthOf(rig.send(windowUpdate(1, 500))), 500);
  assert.deepEqual(eventsOf(rig.log, "drain"), []);
  assert.equal(lengthOf(rig.send(windowUpdate(1, 200))), 200);
  assert.deepEqual(eventsOf(rig.log, "drain"), [{ on: "drain", id: 1 }]);
  rig.side.sendTrailers(1, trailers);
  const rest = rig.send(windowUpdate(1, 10_000));
  assert.deepEqual(
    rest.map(({ type, payload }) => [type, type === frameTypes.DATA ? payload.length : 0]),
    [
      [frameTypes.DATA, 410],
      [frameTypes.HEADERS, 0],
    ],
  );
  checkInvariants(rig.core);
});

test("streams that wait for the connection's window take turns, and heads pass", () => {
  const rig = startServer();
  rig.send(settingsFrame([settingIds.INITIAL_WINDOW_SIZE, 1_000_000]));
  for (const id of [1, 3, 5]) {
    rig.send(headersFrame(id, requestFields, { end: true }));
  }
  rig.side.respond(1, { head, data: new Uint8Array(100_000), trailers });
  rig.side.respond(3, { head, data: new Uint8Array(100_000), trailers });
  const first = rig.output();
  assert.equal(lengthOf(first), 65_535);
  rig.side.sendHead(5, head);
  assert.deepEqual(describe(rig.output()), ["HEADERS 5 :status=200 content-type=application/grpc"]);
  const more = rig.send(windowUpdate(0, 65_536));
  const turns = more.map(({ streamId }) => streamId);
  assert.ok(turns.includes(1) && turns.includes(3), "neither starves the other");
  const last = rig.send(windowUpdate(0, 1_000_000));
  assert.equal(lengthOf(first) + lengthOf(more) + lengthOf(last), 200_000);
  assert.equal(rig.side.openStreams, 1);
  checkInvariants(rig.core);
});

test("a turn's output is bounded, and goes on when it has been taken", () => {
  const rig = startServer({ limits: { outputHighWater: 50_000 } });
  rig.send(settingsFrame([settingIds.INITIAL_WINDOW_SIZE, 1_000_000]), windowUpdate(0, 1_000_000));
  rig.send(headersFrame(1));
  rig.side.respond(1, { head, data: new Uint8Array(500_000), trailers });
  const sizes: number[] = [];
  for (let part = rig.side.takeOutput(0); part; part = rig.side.takeOutput(0)) {
    sizes.push(part.length);
  }
  assert.ok(Math.max(...sizes) <= 50_000 + 16_393);
  assert.ok(sizes.reduce((sum, size) => sum + size, 0) > 500_000);
});

test("taken output is not written to again before it is given back", () => {
  const rig = startServer();
  rig.send(headersFrame(1), headersFrame(3));
  rig.side.respond(1, { head, data: ascii("first") });
  const taken = rig.side.takeOutput(0)!;
  const copy = taken.slice();
  rig.side.respond(3, { head, data: ascii("SECOND") });
  rig.side.takeOutput(0);
  assert.deepEqual(taken, copy);
});

test("windows open on consumption, not on receipt", () => {
  const settings = { streamWindow: 65_535, connectionWindow: 65_535, maxWindow: 0 };
  const rig = startServer({ settings });
  rig.send(headersFrame(1));
  assert.deepEqual(rig.send(dataFrame(1, 16_384), dataFrame(1, 16_384), dataFrame(1, 16_384)), []);
  rig.side.consume(1, 16_384);
  assert.deepEqual(rig.output(), [], "less than half of a window is not worth a frame");
  rig.side.consume(1, 32_768);
  assert.deepEqual(describe(rig.output()), ["WINDOW_UPDATE 1 49152", "WINDOW_UPDATE 0 49152"]);
});

test("what a closed stream had not consumed goes back to the connection", () => {
  const settings = { streamWindow: 65_535, connectionWindow: 65_535, maxWindow: 0 };
  const rig = startServer({ settings });
  for (let id = 1; id < 41; id += 2) {
    rig.send(headersFrame(id), dataFrame(id, 16_384, { end: true }));
    rig.side.respond(id, { head, trailers });
  }
  assert.equal(rig.side.phase, "open");
  checkInvariants(rig.core);
});

test("a stream that was cut keeps its share of the connection's window until it is consumed or released", () => {
  const settings = { streamWindow: 65_535, connectionWindow: 65_535, maxWindow: 0 };
  const rig = startServer({ settings });
  rig.send(headersFrame(1), dataFrame(1, 16_384), dataFrame(1, 16_384), resetFrame(1));
  assert.equal(rig.core.window.left, 65_535 - 32_768);
  rig.side.consume(1, 10_000);
  checkInvariants(rig.core);
  assert.deepEqual(rig.output(), []);
  rig.side.release(1);
  assert.deepEqual(describe(rig.output()), ["WINDOW_UPDATE 0 32768"]);
  checkInvariants(rig.core);
});

test("windows grow when the bandwidth-delay product fills them", () => {
  const rig = startServer({ settings: { streamWindow: 65_535, connectionWindow: 65_535 } });
  rig.send(headersFrame(1));
  const receive = (): Frame[] => {
    const answers = rig.send(dataFrame(1, 16_384));
    rig.side.consume(1, 16_384);
    return [...answers, ...rig.output()];
  };
  const probe = [receive(), receive(), receive()]
    .flat()
    .find(({ type }) => type === frameTypes.PING);
  assert.ok(probe, "a window had to be opened: worth a measurement");
  for (let count = 0; count < 4; count += 1) {
    receive();
  }
  rig.now = 20;
  const grown = rig.send(frame(frameTypes.PING, flags.ACK, 0, probe.payload));
  const settings = grown.find(({ type }) => type === frameTypes.SETTINGS);
  assert.equal(settings?.payload[1], settingIds.INITIAL_WINDOW_SIZE);
  assert.equal(payloadUint32(settings, 2), 5 * 16_384 * 2);
  assert.equal(rig.core.window.target, 5 * 16_384 * 4);
  checkInvariants(rig.core);
});

test("a graceful shutdown of a server takes two steps and loses no request", () => {
  const rig = startServer();
  rig.send(headersFrame(1));
  rig.side.shutdown(0);
  const [warning, ping] = rig.output();
  assert.deepEqual(describe([warning!]), ["GOAWAY 2147483647 0"]);
  rig.send(headersFrame(3));
  assert.equal(eventsOf(rig.log, "request").length, 2, "sent before the client knew");
  const final = rig.send(frame(frameTypes.PING, flags.ACK, 0, ping!.payload));
  assert.deepEqual(describe(final), ["GOAWAY 3 0"]);
  rig.send(headersFrame(5), dataFrame(5, "x"));
  assert.equal(eventsOf(rig.log, "request").length, 2, "sent after: not taken");
  for (const id of [1, 3]) {
    assert.equal(rig.side.phase, "draining");
    rig.side.respond(id, { head, trailers });
    rig.send(dataFrame(id, "", { end: true }));
  }
  assert.equal(rig.side.phase, "closed");
  assert.deepEqual(eventsOf(rig.log, "close"), [
    { on: "close", code: "none", wireCode: 0, message: "" },
  ]);
});

test("a client that does not answer the shutdown's ping gets its second step after goawayMs", () => {
  const rig = startServer({ timing: { goawayMs: 300 } });
  rig.side.shutdown(100);
  rig.output();
  assert.equal(rig.side.nextTickAt, 400);
  assert.deepEqual(describe(rig.tickAt(400)), ["GOAWAY 0 0"]);
  assert.equal(rig.side.phase, "closed");
});

test("a client that shuts down finishes its calls and takes no new ones", () => {
  const rig = startClient();
  openRequest(rig, { end: true });
  rig.output();
  rig.side.shutdown(0);
  assert.deepEqual(describe(rig.output()), ["GOAWAY 0 0"]);
  assert.equal(openRequest(rig), 0);
  rig.send(headersFrame(1, [":status", "200"], { end: true }));
  assert.equal(rig.side.phase, "closed");
});

test("when stream numbers run out the client drains: use another connection", () => {
  const rig = startClient({ firstStreamId: 0x7fff_fffd });
  assert.equal(openRequest(rig, { end: true }), 0x7fff_fffd);
  assert.equal(openRequest(rig, { end: true }), 0x7fff_ffff);
  assert.equal(rig.side.phase, "draining");
  assert.deepEqual(eventsOf(rig.log, "draining").length, 1);
  assert.equal(openRequest(rig), 0);
  for (const id of [0x7fff_fffd, 0x7fff_ffff]) {
    rig.send(headersFrame(id, [":status", "200"], { end: true }));
  }
  assert.equal(rig.side.phase, "closed");
});

test("a client waits for a free stream, and is told when there is one", () => {
  const rig = startClient();
  rig.send(settingsFrame([settingIds.MAX_CONCURRENT_STREAMS, 1]));
  assert.equal(rig.side.availableStreams, 1);
  openRequest(rig, { end: true });
  assert.equal(openRequest(rig), 0);
  assert.deepEqual(eventsOf(rig.log, "available"), []);
  rig.send(headersFrame(1, [":status", "200"], { end: true }));
  assert.equal(eventsOf(rig.log, "available").length, 1);
  assert.equal(openRequest(rig), 3);
  assert.equal(openRequest(rig), 0);
  rig.send(settingsFrame([settingIds.MAX_CONCURRENT_STREAMS, 5]));
  assert.equal(eventsOf(rig.log, "available").length, 2);
});

test("before it knows the server's settings a client opens at most 100 streams", () => {
  const rig = startClient();
  rig.core.peerMaxStreams = 100;
  const ids = many(101, () => [openRequest(rig)]);
  assert.equal(ids.at(-1), 0);
});

test("a keepalive ping goes out after silence, and its answer resets the wait", () => {
  const timing = { keepaliveMs: 10_000, keepaliveTimeoutMs: 500 };
  const rig = startClient({ timing });
  assert.deepEqual(rig.tickAt(2_000), []);
  assert.equal(rig.side.nextTickAt, Infinity, "no stream, no ping");
  openRequest(rig);
  rig.output();
  assert.deepEqual(rig.tickAt(3_000), []);
  assert.equal(rig.side.nextTickAt, 10_000);
  const [ping] = rig.tickAt(10_000);
  assert.equal(ping?.type, frameTypes.PING);
  assert.equal(rig.side.nextTickAt, 10_500);
  rig.now = 10_100;
  rig.send(frame(frameTypes.PING, flags.ACK, 0, ping.payload));
  rig.tickAt(11_100);
  assert.equal(rig.side.nextTickAt, 20_100);
  rig.tickAt(20_100);
  assert.equal(rig.side.phase, "open");
  rig.tickAt(20_600);
  assert.equal(eventsOf(rig.log, "close")[0]?.code, "PEER_SILENT");
  assert.deepEqual(
    eventsOf(rig.log, "reset").map(({ reset }) => reset.by),
    ["connection"],
  );
});

test("keepalive without streams is asked for separately", () => {
  const timing = { keepaliveMs: 1_000, keepaliveWithoutStreams: true };
  const rig = startClient({ timing });
  assert.equal(rig.side.nextTickAt, 1_000);
  assert.equal(rig.tickAt(1_000).length, 1);
});

test("an idle connection shuts down after idleMs, a busy one does not", () => {
  const rig = startServer({ timing: { idleMs: 1_000, goawayMs: 10 } });
  rig.now = 900;
  rig.send(headersFrame(1, requestFields, { end: true }));
  rig.tickAt(5_000);
  assert.equal(rig.side.phase, "open");
  rig.side.respond(1, { head });
  rig.output();
  assert.equal(rig.side.nextTickAt, 6_000);
  rig.tickAt(6_000);
  assert.equal(rig.side.phase, "draining");
  rig.tickAt(6_010);
  assert.equal(rig.side.phase, "closed");
});

test("a ping measures the round trip", () => {
  const rig = startClient();
  rig.side.ping(10);
  rig.side.ping(11);
  const pings = rig.output();
  assert.equal(pings.length, 1, "one at a time");
  rig.now = 35;
  rig.send(frame(frameTypes.PING, flags.ACK, 0, pings[0]!.payload));
  assert.deepEqual(eventsOf(rig.log, "pong"), [{ on: "pong", roundTripMs: 25 }]);
});

test("the end of the transport cuts what is open and says why", () => {
  const rig = startClient();
  openRequest(rig);
  rig.side.transportEnded(5, new Error("ECONNRESET"));
  assert.equal(eventsOf(rig.log, "reset").length, 1);
  assert.equal(eventsOf(rig.log, "close")[0]?.code, "TRANSPORT_ENDED");
  rig.side.transportEnded(6);
  assert.equal(eventsOf(rig.log, "close").length, 1);
});

test("a peer that ends with an error is quoted", () => {
  const rig = startClient();
  openRequest(rig);
  rig.send(goawayFrame(1, errorCodes.ENHANCE_YOUR_CALM));
  rig.side.transportEnded(1);
  assert.equal(eventsOf(rig.log, "close")[0]?.code, "PEER_ENDED_WITH_ERROR");
  assert.match(eventsOf(rig.log, "close")[0]?.message ?? "", /ENHANCE_YOUR_CALM/);
});

test("abort tells the peer and cuts everything", () => {
  const rig = startServer();
  rig.send(headersFrame(1));
  rig.side.abort(errorCodes.INTERNAL_ERROR, "gone");
  assert.deepEqual(describe(rig.output()), ["GOAWAY 1 2 gone"]);
  assert.equal(eventsOf(rig.log, "reset").length, 1);
  assert.equal(rig.side.phase, "closed");
  assert.deepEqual(rig.send(headersFrame(3)), []);
});

test("an event function that throws ends the connection, and the driver hears of it", () => {
  const rig = startServer({
    onRequest: () => {
      throw new RangeError("a bug above");
    },
  });
  assert.throws(() => rig.send(headersFrame(1)), /a bug above/);
  assert.equal(rig.side.phase, "closed");
  assert.equal(eventsOf(rig.log, "close")[0]?.code, "EVENT_THREW");
});

test("a stream that is cut while its request is announced is reported with what was attached to it", () => {
  const rig = startServer({
    onRequest: (side) => side.abort(),
  });
  rig.send(headersFrame(1));
  assert.deepEqual(
    eventsOf(rig.log, "reset").map(({ id }) => id),
    [1],
  );
});

test("the driver's functions do not nest", () => {
  const rig = startServer({
    onRequest: (side) => side.receive(pingFrame(1), 0),
  });
  assert.throws(() => rig.send(headersFrame(1)), /an event called receive/);
});

test("the application's own table is not needed: what it attached comes back", () => {
  const calls: unknown[] = [];
  const mine = { name: "mine" };
  const server = createConnection<typeof mine>({
    role: "server",
    now: 0,
    events: {
      onRequest: () => mine,
      onData: (call) => calls.push(call),
      onTrailers: (call) => calls.push(call),
      onReset: (call) => calls.push(call),
      onClose: () => {},
    },
  });
  const octets = concat(clientPreface, settingsFrame(), headersFrame(1), dataFrame(1, "x"));
  server.receive(concat(octets, resetFrame(1)), 0);
  assert.deepEqual(calls, [mine, mine]);
});

test("field values are found by name", () => {
  const fields = ["a", "1", "b", "2", "a", "3"];
  assert.equal(fieldValue(fields, "a"), "1");
  assert.deepEqual(fieldValues(fields, "a"), ["1", "3"]);
  assert.equal(fieldValue(fields, "1"), undefined);
});

/** Frames in words; header blocks are decoded in their order. */
function describe(frames: readonly Frame[]): string[] {
  const blocks = new BlockReader();
  return frames.map(({ type, flags: bits, streamId, payload }) => {
    const name = Object.entries(frameTypes).find(([, value]) => value === type)?.[0] ?? "?";
    const isEnd = (bits & 1) !== 0 && type <= frameTypes.HEADERS;
    const start = [
      name,
      streamId === 0 && type === frameTypes.GOAWAY ? "" : streamId,
      isEnd ? "END_STREAM" : "",
    ];
    let rest: string[] = [];
    if (type === frameTypes.HEADERS) {
      const fields = blocks.read(payload);
      rest = many(fields.length / 2, (n) => [`${fields[n * 2]}=${fields[n * 2 + 1]}`]);
    } else if (type === frameTypes.DATA) {
      rest = [Buffer.from(payload).toString("hex")];
    } else if (type === frameTypes.GOAWAY) {
      const octets = Buffer.from(payload);
      rest = [
        `${octets.readUInt32BE(0)}`,
        `${octets.readUInt32BE(4)}`,
        octets.toString("latin1", 8),
      ];
    } else if (payload.length === 4) {
      rest = [`${Buffer.from(payload).readUInt32BE(0)}`];
    }
    return [...start, ...rest].filter((word) => word !== "").join(" ");
  });
}

function lengthOf(frames: readonly Frame[]): number {
  return frames
    .filter(({ type }) => type === frameTypes.DATA)
    .reduce((sum, { payload }) => sum + payload.length, 0);
}

function many<Item>(count: number, make: (n: number) => readonly Item[]): Item[] {
  return Array.from({ length: count }, (_, n) => make(n)).flat();
}
