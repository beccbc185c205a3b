import assert from "node:assert/strict";
import { test } from "node:test";
import { errorCodes } from "@handfast/http2";
import type { Limits, ServerConnection } from "@handfast/http2";
import { clientPreface, flags, frameTypes, settingIds } from "../src/frames.ts";
import { checkInvariants } from "./invariants.ts";
import {
  BlockWriter,
  concat,
  dataFrame,
  eventsOf,
  frame,
  headersFrame,
  hex,
  literalBlock,
  openRequest,
  payloadUint32,
  pingFrame,
  requestFields,
  resetFrame,
  settingsAck,
  settingsFrame,
  startBareServer,
  startClient,
  startServer,
  uint32,
  windowUpdate,
} from "./wire.ts";
import type { Frame, Rig } from "./wire.ts";

// One attack, one bound: up to the bound the connection lives, one more and it ends with
// ENHANCE_YOUR_CALM (or what the RFC names), and the application learns which bound it was.

const rate = { burst: 10, perSecond: 1 };

test("rapid reset (CVE-2023-44487) ends the connection at limit peerResets", () => {
  const rig = startServer({ limits: { peerResets: rate } });
  let id = 1;
  const attack = (): readonly Uint8Array[] => {
    const frames = [headersFrame(id), resetFrame(id)];
    id += 2;
    return frames;
  };
  endsAtBound(rig, attack, { allowed: 10, limit: "peerResets", release: true });
});

test("rapid reset: streams that were reset keep their place until the application lets go", () => {
  const rig = startServer({ settings: { maxConcurrentStreams: 3 } });
  for (const id of [1, 3, 5]) {
    rig.send(headersFrame(id), resetFrame(id));
  }
  assert.equal(rig.side.openStreams, 0);
  assert.deepEqual(resetCodes(rig.send(headersFrame(7))), [errorCodes.REFUSED_STREAM]);
  assert.equal(eventsOf(rig.log, "request").length, 3, "no fourth handler was started");
  rig.side.release(3);
  assert.deepEqual(resetCodes(rig.send(headersFrame(9))), []);
  assert.equal(eventsOf(rig.log, "request").length, 4);
  checkInvariants(rig.core);
});

test("a stream that was reset after its answer was given needs no release", () => {
  const rig = startServer({ settings: { maxConcurrentStreams: 1 } });
  for (const id of [1, 3, 5]) {
    rig.send(headersFrame(id));
    rig.side.respond(id, { head: [":status", "200"] });
    rig.send(resetFrame(id));
  }
  assert.equal(eventsOf(rig.log, "request").length, 3);
});

const madeYouReset: readonly [how: string, frames: (id: number) => Uint8Array[]][] = [
  ["WINDOW_UPDATE by 0", (id) => [headersFrame(id), windowUpdate(id, 0)]],
  ["WINDOW_UPDATE beyond 2^31-1", (id) => [headersFrame(id), windowUpdate(id, 0x7fff_ffff)]],
  [
    "PRIORITY of a wrong length",
    (id) => [headersFrame(id), frame(frameTypes.PRIORITY, 0, id, [1])],
  ],
  [
    "PRIORITY on itself",
    (id) => [headersFrame(id), frame(frameTypes.PRIORITY, 0, id, [...uint32(id), 1])],
  ],
  [
    "DATA after the end",
    (id) => [headersFrame(id, requestFields, { end: true }), dataFrame(id, "x")],
  ],
  [
    "HEADERS after the end",
    (id) => [headersFrame(id, requestFields, { end: true }), headersFrame(id)],
  ],
  [
    "a body longer than its content-length",
    (id) => [headersFrame(id, [...requestFields, "content-length", "1"]), dataFrame(id, "xx")],
  ],
  ["a malformed request", (id) => [headersFrame(id, ["a", "b"])]],
  [
    "a head larger than is allowed",
    (id) => [headersFrame(id, [...requestFields, "x", "y".repeat(16_050)])],
  ],
];

for (const [how, frames] of madeYouReset) {
  test(`MadeYouReset (CVE-2025-8671, before it CVE-2019-9514) by ${how} ends the connection at limit forcedResets`, () => {
    const rig = startServer({ limits: { forcedResets: rate } });
    let id = -1;
    const attack = (): readonly Uint8Array[] => {
      id += 2;
      return frames(id);
    };
    endsAtBound(rig, attack, { allowed: 10, limit: "forcedResets", release: true });
  });
}

test("MadeYouReset: streams we had to reset keep their place until the application lets go", () => {
  const rig = startServer({ settings: { maxConcurrentStreams: 2 } });
  for (const id of [1, 3]) {
    rig.send(headersFrame(id), windowUpdate(id, 0));
  }
  rig.send(headersFrame(5));
  assert.equal(eventsOf(rig.log, "request").length, 2);
});

test("requests beyond the concurrency end the connection at limit refusedStreams", () => {
  const rig = startServer({
    limits: { refusedStreams: rate },
    settings: { maxConcurrentStreams: 1 },
  });
  rig.send(headersFrame(1));
  let id = 1;
  const attack = (): readonly Uint8Array[] => {
    id += 2;
    return [headersFrame(id)];
  };
  endsAtBound(rig, attack, { allowed: 10, limit: "refusedStreams" });
});

test("CONTINUATION flood (CVE-2024-27316) ends at limit maxContinuations", () => {
  const rig = startServer({ limits: { maxContinuations: 5 } });
  rig.send(headersFrame(1, requestFields, { flags: 0 }));
  const attack = (): readonly Uint8Array[] => [
    frame(frameTypes.CONTINUATION, 0, 1, literalBlock(["a", "b"])),
  ];
  endsAtBound(rig, attack, { allowed: 5, limit: "maxContinuations" });
});

test("empty CONTINUATION frames count like any others", () => {
  const rig = startServer({ limits: { maxContinuations: 5 } });
  rig.send(headersFrame(1, requestFields, { flags: 0 }));
  const attack = (): readonly Uint8Array[] => [frame(frameTypes.CONTINUATION, 0, 1)];
  endsAtBound(rig, attack, { allowed: 5, limit: "maxContinuations" });
});

test("a header block ends the connection at limit maxHeaderBlockSize, and holds no more than that", () => {
  const rig = startServer({ limits: { maxHeaderBlockSize: 40_000, maxContinuations: 1_000 } });
  rig.send(headersFrame(1, new Uint8Array(16_384), { flags: 0 }));
  const attack = (): readonly Uint8Array[] => [
    frame(frameTypes.CONTINUATION, 0, 1, new Uint8Array(10_000)),
  ];
  endsAtBound(rig, attack, { allowed: 2, limit: "maxHeaderBlockSize" });
  assert.equal(rig.core.block.length, 0, "nothing of it is kept");
});

test("a header block that trickles in ends the connection after frameMs (slow loris)", () => {
  const rig = startServer({ timing: { frameMs: 1_000 } });
  rig.send(headersFrame(1, requestFields, { flags: 0 }));
  rig.now = 900;
  rig.send(frame(frameTypes.CONTINUATION, 0, 1));
  assert.equal(rig.side.nextTickAt, 1_000, "what trickles in does not buy more time");
  assert.equal(codeOf(rig.tickAt(1_000)), errorCodes.ENHANCE_YOUR_CALM);
  assert.match(closeMessage(rig), /frameMs/);
});

test("a control frame that trickles in ends the connection after frameMs (slow loris)", () => {
  const rig = startServer({ timing: { frameMs: 1_000 } });
  const octets = frame(frameTypes.GOAWAY, 0, 0, new Uint8Array(16_000));
  for (let at = 0; at < 100; at += 1) {
    rig.now = at * 9;
    rig.send(octets.subarray(at, at + 1));
  }
  assert.ok(rig.core.partial.length <= 256, "room follows what has arrived, not what is promised");
  assert.equal(codeOf(rig.tickAt(1_000)), errorCodes.ENHANCE_YOUR_CALM);
  assert.match(closeMessage(rig), /frameMs/);
});

test("a client that says nothing, or only its preface, is cut after handshakeMs", () => {
  for (const said of [new Uint8Array(0), clientPreface.subarray(0, 10), clientPreface]) {
    const rig = startBareServer({ timing: { handshakeMs: 500 } });
    rig.send(said);
    assert.equal(rig.side.nextTickAt, 500);
    rig.tickAt(499);
    assert.equal(rig.side.phase, "open");
    rig.tickAt(500);
    assert.equal(rig.side.phase, "closed");
    assert.match(closeMessage(rig), /handshakeMs/);
  }
});

test("SETTINGS that are never acknowledged end the connection with SETTINGS_TIMEOUT", () => {
  const rig = startBareServer({ timing: { settingsAckMs: 700 } });
  rig.send(clientPreface, settingsFrame());
  assert.equal(rig.side.nextTickAt, 700);
  assert.equal(codeOf(rig.tickAt(700)), errorCodes.SETTINGS_TIMEOUT);
});

test("settings flood (CVE-2019-9515) ends at limit settingsFrames", () => {
  const rig = startServer({ limits: { settingsFrames: { burst: 11, perSecond: 1 } } });
  endsAtBound(rig, () => [settingsFrame()], { allowed: 10, limit: "settingsFrames" });
});

test("a SETTINGS frame of many entries ends at limit maxSettingsEntries", () => {
  const rig = startServer({ limits: { maxSettingsEntries: 4 } });
  const entry = [settingIds.MAX_FRAME_SIZE, 16_384] as const;
  rig.send(settingsFrame(entry, entry, entry, entry));
  assert.equal(rig.side.phase, "open");
  const answers = rig.send(settingsFrame(entry, entry, entry, entry, entry));
  assert.equal(codeOf(answers), errorCodes.ENHANCE_YOUR_CALM);
  assert.match(closeMessage(rig), /maxSettingsEntries/);
});

test("ping flood (CVE-2019-9512) ends at limit pings with too_many_pings", () => {
  const rig = startServer({ limits: { pings: { minIntervalMs: 1_000, maxStrikes: 2 } } });
  const attack = (): readonly Uint8Array[] => [pingFrame(1)];
  endsAtBound(rig, attack, { allowed: 3, limit: "too_many_pings" });
});

test("pings are forgiven while data flows: grpc-go measures the bandwidth with one per call", () => {
  const rig = startServer({
    limits: { pings: { minIntervalMs: 1_000, maxStrikes: 2 } },
    onRequest: (side, id) => side.respond(id, { head: [":status", "200"] }),
  });
  for (let id = 1; id < 2_001; id += 2) {
    rig.send(headersFrame(id, requestFields, { end: true }), pingFrame(id));
  }
  assert.equal(rig.side.phase, "open");
});

test("empty DATA flood (CVE-2019-9518) ends at limit emptyFrames", () => {
  const rig = startServer({ limits: { emptyFrames: rate } });
  rig.send(headersFrame(1));
  const attack = (): readonly Uint8Array[] => [dataFrame(1, "")];
  endsAtBound(rig, attack, { allowed: 10, limit: "emptyFrames" });
});

test("DATA of nothing but padding counts as empty", () => {
  const rig = startServer({ limits: { emptyFrames: rate } });
  rig.send(headersFrame(1));
  const attack = (): readonly Uint8Array[] => [
    frame(frameTypes.DATA, flags.PADDED, 1, [9, ...new Uint8Array(9)]),
  ];
  endsAtBound(rig, attack, { allowed: 10, limit: "emptyFrames" });
});

test("acknowledgements nobody asked for end at limit emptyFrames", () => {
  for (const unasked of [settingsAck, pingFrame(1, flags.ACK)]) {
    const rig = startServer({ limits: { emptyFrames: rate } });
    endsAtBound(rig, () => [unasked], { allowed: 10, limit: "emptyFrames" });
  }
});

test("header blocks for a stream that was reset end at limit emptyFrames", () => {
  const rig = startServer({ limits: { emptyFrames: rate } });
  rig.send(headersFrame(1));
  rig.side.reset(1, errorCodes.CANCEL);
  const attack = (): readonly Uint8Array[] => [headersFrame(1, ["a", "b"], { end: true })];
  endsAtBound(rig, attack, { allowed: 10, limit: "emptyFrames" });
});

test("priority churn (CVE-2019-9513) ends at limit priorityFrames", () => {
  const rig = startServer({ limits: { priorityFrames: rate } });
  const attack = (): readonly Uint8Array[] => [
    frame(frameTypes.PRIORITY, 0, 1, [...uint32(3), 16]),
  ];
  endsAtBound(rig, attack, { allowed: 10, limit: "priorityFrames" });
});

test("frames of unknown type end at limit unknownFrames", () => {
  const rig = startServer({ limits: { unknownFrames: rate } });
  endsAtBound(rig, () => [frame(0x2a, 0, 0)], { allowed: 10, limit: "unknownFrames" });
});

test("window-update flood (CVE-2019-9511) ends at limit windowUpdates", () => {
  const rig = startServer({ limits: { windowUpdates: rate } });
  endsAtBound(rig, () => [windowUpdate(0, 1)], { allowed: 10, limit: "windowUpdates" });
});

test("window updates are earned by the data they make room for", () => {
  const rig = startServer({ limits: { windowUpdates: { burst: 10, perSecond: 0 } } });
  rig.send(headersFrame(1));
  rig.side.sendHead(1, [":status", "200"]);
  for (let count = 0; count < 100; count += 1) {
    rig.side.sendData(1, new Uint8Array(100));
    rig.output();
    rig.send(windowUpdate(0, 100), windowUpdate(1, 100));
  }
  assert.equal(rig.side.phase, "open");
});

test("a window opened octet by octet (CVE-2019-9511) ends at limit windowUpdates", () => {
  const rig = startServer({ limits: { windowUpdates: { burst: 100, perSecond: 0 } } });
  rig.send(settingsFrame([settingIds.INITIAL_WINDOW_SIZE, 0]), headersFrame(1));
  rig.side.respond(1, { head: [":status", "200"], data: new Uint8Array(100_000) });
  let sent = 0;
  while (rig.side.phase === "open") {
    rig.send(windowUpdate(1, 1), windowUpdate(1, 1), windowUpdate(1, 1));
    sent += 3;
    assert.ok(sent < 1_000, "it ends");
  }
  assert.match(closeMessage(rig), /windowUpdates/);
});

test("interim responses without end are cut at limit informationalHeads", () => {
  const rig = startClient({ limits: { informationalHeads: rate } });
  openRequest(rig);
  rig.output();
  const attack = (): readonly Uint8Array[] => [headersFrame(1, [":status", "103"])];
  endsAtBound(rig, attack, { allowed: 10, limit: "informationalHeads" });
});

const hostileServer: readonly [
  limit: keyof Limits,
  what: string,
  octets: (id: number) => Uint8Array,
][] = [
  ["settingsFrames", "SETTINGS", () => settingsFrame()],
  ["emptyFrames", "DATA without data", (id) => dataFrame(id, "")],
  ["emptyFrames", "PING answers nobody asked for", () => pingFrame(1, flags.ACK)],
  ["priorityFrames", "PRIORITY", (id) => frame(frameTypes.PRIORITY, 0, id, [0, 0, 0, 0, 1])],
  ["unknownFrames", "frames of unknown type", (id) => frame(0x77, 0, id, [1])],
  ["windowUpdates", "WINDOW_UPDATE", (id) => windowUpdate(id, 1)],
  ["informationalHeads", "interim heads", (id) => headersFrame(id, [":status", "103"])],
];

for (const [limit, what, octets] of hostileServer) {
  test(`a server that floods its client with ${what} is cut at limit ${limit}`, () => {
    const burst = limit === "settingsFrames" ? 11 : 10;
    const rig = startClient({ limits: { [limit]: { burst, perSecond: 1 } } });
    const id = openRequest(rig);
    if (limit !== "informationalHeads") {
      rig.send(headersFrame(id, [":status", "200"]));
    }
    endsAtBound(rig, () => [octets(id)], { allowed: 10, limit });
  });
}

test("a server that answers every request with what must be reset is cut at limit forcedResets", () => {
  const rig = startClient({ limits: { forcedResets: rate } });
  const attack = (): readonly Uint8Array[] => [headersFrame(openRequest(rig), ["no-status", "1"])];
  endsAtBound(rig, attack, { allowed: 10, limit: "forcedResets" });
});

test("a server that pings without end is cut at limit pings", () => {
  const rig = startClient({ limits: { pings: { minIntervalMs: 1_000, maxStrikes: 2 } } });
  endsAtBound(rig, () => [pingFrame(1)], { allowed: 3, limit: "too_many_pings" });
});

test("an HPACK bomb is counted, not built: a small block that decodes to megabytes is answered 431", () => {
  const rig = startServer();
  const big = concat(hex("40 01 61 7f a11e"), new Uint8Array(4_000).fill(0x61));
  rig.send(headersFrame(1, concat(literalBlock(requestFields), big), { end: true }));
  const bomb = concat(literalBlock(requestFields), new Uint8Array(12_000).fill(0xbe));
  const answers = rig.send(headersFrame(3, bomb, { end: true }));
  assert.deepEqual(
    answers.map(({ type, streamId }) => [type, streamId]),
    [[frameTypes.HEADERS, 3]],
  );
  assert.equal(eventsOf(rig.log, "request").length, 1);
  assert.equal(rig.side.phase, "open");
});

test("a head larger than maxHeaderListSize is answered 431 and the rest of the stream is not wanted", () => {
  const rig = startServer({ settings: { maxHeaderListSize: 1_000 } });
  const answers = rig.send(headersFrame(1, [...requestFields, "x", "y".repeat(900)]));
  assert.deepEqual(
    answers.map(({ type }) => type),
    [frameTypes.HEADERS, frameTypes.RST_STREAM],
  );
  assert.deepEqual(resetCodes(answers), [errorCodes.NO_ERROR]);
  assert.deepEqual(rig.send(dataFrame(1, "late", { end: true })), []);
  assert.equal(eventsOf(rig.log, "request").length, 0);
});

test("thousands of small fields are a large head too", () => {
  const rig = startServer();
  const many = Array.from({ length: 500 }, () => ["a", ""]).flat();
  rig.send(headersFrame(1, [...requestFields, ...many], { end: true }));
  assert.equal(eventsOf(rig.log, "request").length, 0, "each counts 32 octets more");
});

test("table thrash: the decoder's table never exceeds what we announced", () => {
  const rig = startServer();
  const writer = new BlockWriter();
  for (let id = 1; id < 201; id += 2) {
    const fresh = Array.from({ length: 60 }, (_, index) => [`x-${id}-${index}`, "v"]).flat();
    const block = writer.write([...requestFields, ...fresh]);
    rig.send(headersFrame(id, block, { end: true }));
    rig.side.respond(id, { head: [":status", "200"] });
    assert.ok(rig.core.decoder.tableSize <= 4_096);
  }
  assert.equal(rig.side.phase, "open");
});

test("zero-length header names (CVE-2019-9516) are malformed and nothing of them is kept", () => {
  const rig = startServer();
  const block = concat(literalBlock(requestFields), hex("40 00 00 00 00 00"));
  assert.deepEqual(resetCodes(rig.send(headersFrame(1, block))), [errorCodes.PROTOCOL_ERROR]);
});

test("a peer that asks and never reads (CVE-2019-9517) is cut at limit maxUnreadAnswers", () => {
  const limits: Limits = {
    outputHighWater: 10_000,
    maxUnreadAnswers: 5_000,
    pings: { minIntervalMs: 0, maxStrikes: 0 },
  };
  const rig = startServer({ limits });
  for (let count = 0; count < 2_000 && rig.side.phase === "open"; count += 1) {
    rig.side.receive(pingFrame(count), 0);
    assert.ok(rig.core.output.size <= 15_200);
  }
  assert.equal(rig.side.phase, "closed");
  assert.match(closeMessage(rig), /maxUnreadAnswers/);
});

test("answers to a peer that does not read wait with their streams, whose places stay taken", () => {
  const rig = startServer({
    settings: { maxConcurrentStreams: 50 },
    limits: { outputHighWater: 1_000 },
    onRequest: (side, id) =>
      side.respond(id, { head: [":status", "200"], trailers: ["grpc-status", "0"] }),
  });
  for (let id = 1; id < 2_001; id += 2) {
    rig.side.receive(headersFrame(id, requestFields, { end: true }), 0);
  }
  assert.ok(rig.core.output.size < 40_000);
  assert.equal(rig.side.openStreams, 50);
  const answers = rig.output();
  assert.equal(rig.side.openStreams, 0, "and go out when it reads");
  assert.ok(answers.length > 100);
  checkInvariants(rig.core);
});

test("a reply that a slow reader blocks is reset after stallMs, others are not", () => {
  const rig = startServer({ timing: { stallMs: 1_000 } });
  rig.send(settingsFrame([settingIds.INITIAL_WINDOW_SIZE, 10]), headersFrame(1), headersFrame(3));
  rig.side.respond(1, { head: [":status", "200"], data: new Uint8Array(100) });
  rig.side.sendHead(3, [":status", "200"]);
  rig.output();
  let resets: number[] = [];
  for (let now = 0; now <= 1_500 && resets.length === 0; now += 100) {
    resets = resetCodes(rig.tickAt(now));
  }
  assert.deepEqual(resets, [errorCodes.CANCEL]);
  assert.ok(rig.now >= 1_000 && rig.now <= 1_500, "between stallMs and half as long again");
  assert.deepEqual([...rig.core.streams.keys()], [3]);
  assert.equal(rig.side.queuedBytes, 0);
});

test("a reply that moves, however slowly, is not reset", () => {
  const rig = startServer({ timing: { stallMs: 1_000 } });
  rig.send(settingsFrame([settingIds.INITIAL_WINDOW_SIZE, 0]), headersFrame(1));
  rig.side.respond(1, { head: [":status", "200"], data: new Uint8Array(100) });
  rig.output();
  for (let now = 0; now < 20_000; now += 400) {
    rig.tickAt(now);
    rig.send(windowUpdate(1, 1));
  }
  assert.equal(rig.side.openStreams, 1);
});

test("output that nobody takes ends the connection after stallMs", () => {
  const rig = startServer({ timing: { stallMs: 1_000 } });
  rig.side.receive(pingFrame(1), 0);
  rig.core.nextStallLook = 0;
  for (let now = 0; now <= 1_500 && rig.side.phase === "open"; now += 250) {
    rig.side.tick(now);
  }
  assert.match(closeMessage(rig), /stallMs/);
});

test("what streams may queue is bounded in all: the one that goes beyond is reset", () => {
  const rig = startServer({ limits: { maxQueued: 100_000 } });
  rig.send(settingsFrame([settingIds.INITIAL_WINDOW_SIZE, 0]), headersFrame(1), headersFrame(3));
  rig.side.respond(1, { head: [":status", "200"], data: new Uint8Array(90_000) });
  rig.side.respond(3, {
    head: [":status", "200"],
    data: new Uint8Array(20_000),
    trailers: ["grpc-status", "0"],
  });
  assert.deepEqual(
    eventsOf(rig.log, "reset").map(({ id, reset }) => [id, reset.code]),
    [[3, errorCodes.ENHANCE_YOUR_CALM]],
  );
  assert.equal(rig.side.queuedBytes, 90_000);
  checkInvariants(rig.core);
});

test("memory held by stalled streams is bounded by the windows: nothing opens before it is consumed", () => {
  const settings = { streamWindow: 65_535, connectionWindow: 200_000, maxWindow: 0 };
  const rig = startServer({ settings });
  let accepted = 0;
  for (let id = 1; rig.side.phase === "open"; id += 2) {
    rig.send(headersFrame(id));
    for (let part = 0; part < 3 && rig.side.phase === "open"; part += 1) {
      rig.send(dataFrame(id, 16_384));
      accepted += 16_384;
    }
  }
  assert.ok(accepted <= 200_000 + 16_384);
  assert.equal(eventsOf(rig.log, "close")[0]?.wireCode, errorCodes.FLOW_CONTROL_ERROR);
});

test("a kept piece of a few octets does not pin the chunk it came in", () => {
  const rig = startServer();
  const small = concat(headersFrame(1), dataFrame(1, "tiny"), dataFrame(1, 5_000));
  rig.send(small);
  const [tiny, large] = eventsOf(rig.log, "data");
  assert.equal(tiny?.bytes.buffer.byteLength, 4);
  assert.equal(large?.bytes.buffer, small.buffer, "a large one is a view");
});

test("DATA after the end of a stream never reaches the application", () => {
  const rig = startServer();
  rig.send(headersFrame(1), dataFrame(1, "all", { end: true }), dataFrame(1, "more"));
  assert.deepEqual(
    eventsOf(rig.log, "data").map(({ bytes }) => Buffer.from(bytes).toString()),
    ["all"],
  );
  assert.equal(eventsOf(rig.log, "reset").length, 1);
});

test("S37: a record that serves another stream now is not touched by frames or commands for the old one", () => {
  const rig = startServer();
  rig.send(headersFrame(1));
  const record = rig.core.streams.get(1);
  rig.side.reset(1, errorCodes.CANCEL);
  rig.output();
  rig.send(headersFrame(3));
  assert.equal(rig.core.streams.get(3), record, "the record is used again");
  rig.side.respond(1, { head: [":status", "500"] });
  rig.side.sendData(1, Uint8Array.of(1));
  rig.side.consume(1, 5);
  rig.side.reset(1, errorCodes.CANCEL);
  assert.deepEqual(rig.send(dataFrame(1, "late"), windowUpdate(1, 5), resetFrame(1)), []);
  assert.equal(eventsOf(rig.log, "data").length, 0);
  assert.equal(rig.side.openStreams, 1);
  checkInvariants(rig.core);
});

test("S37: decoded heads are immutable", () => {
  const rig = startServer();
  rig.send(headersFrame(1));
  const [{ head } = assert.fail()] = eventsOf(rig.log, "request");
  assert.ok(Object.isFrozen(head));
  assert.ok(Object.isFrozen(head.fields));
});

test("S38: other connections are not disturbed by one that is ended", () => {
  const attacked = startServer();
  const other = startServer();
  attacked.send(windowUpdate(0, 0));
  assert.equal(attacked.side.phase, "closed");
  assert.equal(other.send(pingFrame(1)).length, 1);
});

test("the reason of a GOAWAY and its code tell an honest peer what to change", () => {
  const rig = startServer({ limits: { pings: { minIntervalMs: 1_000, maxStrikes: 0 } } });
  const answers = rig.send(pingFrame(1), pingFrame(2));
  const goaway = answers.at(-1);
  assert.equal(payloadUint32(goaway, 4), errorCodes.ENHANCE_YOUR_CALM);
  assert.match(Buffer.from(goaway?.payload ?? []).toString("latin1", 8), /^too_many_pings/);
});

/** Repeats an attack: `allowed` times it is borne, once more and the connection ends by that limit. */
function endsAtBound(
  rig: Rig<Partial<ServerConnection> & { readonly phase: string }>,
  attack: () => readonly Uint8Array[],
  bound: { readonly allowed: number; readonly limit: string; readonly release?: boolean },
): void {
  for (let count = 0; count < bound.allowed; count += 1) {
    rig.send(...attack());
    assert.equal(rig.side.phase, "open", `borne ${count + 1} times`);
    for (const { id } of eventsOf(rig.log, "reset")) {
      rig.side.release?.(id);
    }
    checkInvariants(rig.core);
  }
  const answers = rig.send(...attack());
  assert.equal(codeOf(answers), errorCodes.ENHANCE_YOUR_CALM);
  assert.equal(rig.side.phase, "closed");
  assert.equal(eventsOf(rig.log, "close")[0]?.code, "PEER_EXCEEDED_LIMIT");
  assert.ok(closeMessage(rig).includes(bound.limit), closeMessage(rig));
}

function closeMessage(rig: Pick<Rig<unknown>, "log">): string {
  return eventsOf(rig.log, "close")[0]?.message ?? "still open";
}

function codeOf(answers: readonly Frame[]): number {
  return payloadUint32(
    answers.find(({ type }) => type === frameTypes.GOAWAY),
    4,
  );
}

function resetCodes(answers: readonly Frame[]): number[] {
  return answers
    .filter(({ type }) => type === frameTypes.RST_STREAM)
    .map((answer) => payloadUint32(answer));
}
