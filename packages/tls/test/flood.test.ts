// What flood.slow.ts shows with thousands of connections, with a few hundred.
import assert from "node:assert/strict";
import { test } from "node:test";

import { assertServed, flood } from "./flood.ts";

const timeout = 60_000;
const heapBytes = 2 * 1024 * 1024;

test(
  "S20: 400 silent connections from one address do not delay a client from another",
  { timeout },
  async () => {
    const flooded = await flood({ kind: "silent", count: 400 }, { calls: 5 });
    assertServed(flooded, { heapBytes });
    assert.ok((flooded.refused.get("LIMIT_EXCEEDED") ?? 0) >= 400 - 128);
  },
);

test("S20: connections that send garbage leave a good client served", { timeout }, async () => {
  const flooded = await flood({ kind: "garbage", count: 300 }, { calls: 5 });
  assertServed(flooded, { heapBytes, percent: 50 });
});

test(
  "S21: strangers who come again and again leave a good client served",
  { timeout },
  async () => {
    const flooded = await flood({ kind: "strangers", count: 300 }, { calls: 5 });
    assertServed(flooded, { heapBytes, percent: 50 });
    assert.equal(flooded.refused.get("CERTIFICATE_AUTHORITY_INVALID"), 300);
  },
);
