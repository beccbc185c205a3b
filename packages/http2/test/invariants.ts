import assert from "node:assert/strict";
import type { Core } from "../src/core.ts";
import { largestInt31 } from "../src/frames.ts";

/** What must hold of a machine between any two calls, whatever came before. */
export function checkInvariants(core: Core): void {
  let queued = 0;
  let unconsumed = 0;
  for (const [id, stream] of core.streams) {
    assert.equal(stream.id, id, "a record is listed under its own number");
    assert.ok(!(stream.localEnded && stream.remoteEnded), `stream ${id} ended and is still open`);
    assert.ok(stream.sendWindow <= largestInt31, `stream ${id}: window too large`);
    const inQueue = stream.queue.reduce((sum, { data }) => sum + (data?.length ?? 0), 0);
    assert.equal(stream.queued, inQueue - stream.queueOffset, `stream ${id}: queued octets`);
    assert.ok(stream.queue.length === 0 || !stream.localEnded, `stream ${id}: queue after the end`);
    queued += stream.queued;
    unconsumed += stream.unconsumed;
    const arriving = core.dataStream === id ? core.dataLeft : 0;
    const { left, target, uncredited } = stream.receiveWindow;
    assert.equal(
      left + uncredited + stream.unconsumed + arriving,
      target,
      `stream ${id}: receive window`,
    );
  }
  for (const length of core.held.values()) {
    unconsumed += length;
  }
  assert.equal(core.queued, queued, "octets queued in all");
  assert.ok(core.sendWindow >= 0 && core.sendWindow <= largestInt31, "connection's send window");
  for (const record of core.spareRecords) {
    assert.equal(record.id, 0, "a spare record belongs to no stream");
    assert.equal(record.queue.length, 0);
    assert.equal(record.call, undefined);
    assert.ok(!record.listed);
  }
  const { outputHighWater, maxUnreadAnswers, maxConcurrentStreams } = core.options;
  assert.ok(core.output.size <= outputHighWater + maxUnreadAnswers + 65_536, "output is bounded");
  assert.ok(!core.isServer || core.streams.size + core.held.size <= maxConcurrentStreams);
  if (core.phase !== "closed") {
    const arriving = core.dataStream === 0 ? 0 : core.dataLeft;
    const { left, target, uncredited } = core.window;
    assert.equal(left + uncredited + unconsumed + arriving, target, "connection's receive window");
  }
}
