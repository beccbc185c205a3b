import assert from "node:assert/strict";
import { test } from "node:test";
import { clientPreface, flags, frameTypes } from "../src/frames.ts";
import { fuzzProperties } from "./fuzz-properties.ts";
import { replayAtServer } from "./fuzz-replay.ts";
import {
  concat,
  dataFrame,
  eventsOf,
  frame,
  headersFrame,
  requestFields,
  settingsAck,
  settingsFrame,
} from "./wire.ts";

// A little of each property; `npm run fuzz:http2 -- --minutes 10` goes on for as long as it is told.

for (const { name, runs, check } of fuzzProperties) {
  test(name, () => check({ numRuns: runs }));
}

test("a valid session gives the same events at every split point", () => {
  const bytes = concat(
    clientPreface,
    settingsFrame(),
    settingsAck,
    headersFrame(1),
    dataFrame(1, "first piece"),
    frame(frameTypes.DATA, flags.PADDED, 1, [3, 1, 2, 3, 4, 0, 0, 0]),
    headersFrame(3, requestFields.slice(0, 4), { flags: 0 }),
    frame(
      frameTypes.CONTINUATION,
      flags.END_HEADERS,
      3,
      headersFrame(3, requestFields.slice(4)).subarray(9),
    ),
    dataFrame(3, "", { end: true }),
    frame(frameTypes.DATA, flags.PADDED | flags.END_STREAM, 1, [2, 9, 0, 0]),
  );
  const whole = replayAtServer(bytes);
  assert.equal(eventsOf(whole, "request").length, 2);
  assert.equal(eventsOf(whole, "close").length, 0);
  for (let at = 1; at < bytes.length; at += 1) {
    assert.deepEqual(replayAtServer(bytes, [at, bytes.length]), whole, `split at ${at}`);
  }
  assert.deepEqual(replayAtServer(bytes, [1]), whole, "octet by octet");
});
