import assert from "node:assert/strict";
import { test } from "node:test";
import { RecentStreams, Stream, StreamList } from "../src/stream.ts";
import { checkInvariants } from "./invariants.ts";
import { dataFrame, headersFrame, startServer, windowUpdate } from "./wire.ts";

test("a list keeps its order, and a stream stands in it once", () => {
  const list = new StreamList();
  const [one, two] = [new Stream(), new Stream()];
  for (const stream of [one, two, one]) {
    list.push(stream);
  }
  assert.deepEqual([list.shift(), list.shift(), list.shift()], [one, two, undefined]);
  list.push(two);
  assert.equal(list.shift(), two);
});

test("recent streams are remembered up to the capacity, the oldest forgotten first", () => {
  const recent = new RecentStreams(3);
  assert.equal(recent.has(1), false);
  for (const id of [1, 3, 5, 7]) {
    recent.add(id);
  }
  assert.deepEqual(
    [1, 3, 5, 7].map((id) => recent.has(id)),
    [false, true, true, true],
  );
});

test("a record that is opened again knows nothing of the stream before", () => {
  const record = new Stream();
  record.open(1, 10, 10);
  record.call = {};
  record.headReceived = record.remoteEnded = record.discarding = record.answersHead = true;
  record.headGiven = record.endGiven = record.localEnded = record.awaitsDrain = true;
  record.bodyLeft = record.unconsumed = record.queueOffset = record.queued = 5;
  record.stalledSince = 5;
  record.receiveWindow.receive(5);
  record.receiveWindow.consume(3);
  record.queue.push({ headers: undefined, data: new Uint8Array(1), end: true });
  record.clear();
  record.open(0, 65_535, 0);
  assert.deepEqual(record, new Stream());
});

test("ten thousand calls leave nothing behind", () => {
  const rig = startServer({
    onData: (side, id, bytes, end) => {
      side.consume(id, bytes.length);
      return end ? side.respond(id, { head: [":status", "200"], data: bytes }) : undefined;
    },
  });
  for (let id = 1; id < 20_001; id += 2) {
    rig.send(headersFrame(id), dataFrame(id, "x", { end: true }), windowUpdate(0, 1));
    rig.log.length = 0;
    rig.now += 1;
  }
  assert.equal(rig.side.phase, "open");
  assert.equal(rig.core.streams.size + rig.core.held.size + rig.core.queued, 0);
  assert.ok(rig.core.spareRecords.length <= 64);
  assert.ok(rig.core.ready.isEmpty && rig.core.windowBlocked.isEmpty);
  checkInvariants(rig.core);
});
