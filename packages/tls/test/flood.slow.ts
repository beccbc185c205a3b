// Floods of full size, with figures. On a busy machine the client of a flood is as slow as its server.
import assert from "node:assert/strict";
import { test } from "node:test";

import { assertServed, describeFlood, flood } from "./flood.ts";

const timeout = 300_000;
const heapBytes = 4 * 1024 * 1024;

test(
  "S20: 5,000 silent connections from one address: a client from another is served in a second",
  { timeout },
  async (context) => {
    const flooded = await flood({ kind: "silent", count: 5000 }, { calls: 100 });
    context.diagnostic(describeFlood(flooded));
    assertServed(flooded, { heapBytes });
    assert.ok((flooded.refused.get("LIMIT_EXCEEDED") ?? 0) >= 5000 - 128);
  },
);

test("S20: garbage, 1,000 connections a second", { timeout }, async (context) => {
  const flooded = await flood({ kind: "garbage", count: 5000 }, { calls: 100 });
  context.diagnostic(describeFlood(flooded));
  assertServed(flooded, { heapBytes, percent: 50 });
});

test("S21: 1,000 refused strangers a second: memory flat", { timeout }, async (context) => {
  const flooded = await flood({ kind: "strangers", count: 5000 }, { calls: 100 });
  context.diagnostic(describeFlood(flooded));
  assertServed(flooded, { heapBytes, percent: 50 });
  assert.equal(flooded.refused.get("CERTIFICATE_AUTHORITY_INVALID"), 5000);
});
