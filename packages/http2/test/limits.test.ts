import assert from "node:assert/strict";
import { test } from "node:test";
import { Http2Error, http2Errors } from "@handfast/http2";
import { PingStrikes, TokenBucket, resolveOptions } from "../src/limits.ts";

test("a bucket gives its burst at once, then its rate, and never more than the burst", () => {
  const bucket = new TokenBucket({ burst: 3, perSecond: 2 }, 0);
  const take = (now: number): boolean => bucket.take(now);
  assert.deepEqual([0, 0, 0, 0].map(take), [true, true, true, false]);
  assert.deepEqual([499, 500, 501].map(take), [false, true, false]);
  assert.deepEqual([90_000, 90_000, 90_000, 90_000].map(take), [true, true, true, false]);
});

test("a long quiet time does not buy two bursts", () => {
  const bucket = new TokenBucket({ burst: 2, perSecond: 1 }, 0);
  bucket.take(60_000);
  bucket.take(60_000);
  assert.equal(bucket.take(60_000), false);
});

test("earned tokens count up to the burst", () => {
  const bucket = new TokenBucket({ burst: 2, perSecond: 0 }, 0);
  bucket.earn(100);
  assert.deepEqual([bucket.take(0), bucket.take(0), bucket.take(0)], [true, true, false]);
  bucket.earn(1);
  assert.deepEqual([bucket.take(0), bucket.take(0)], [true, false]);
});

test("pings in time are no strikes, quick ones are, and data forgives them", () => {
  const strikes = new PingStrikes({ minIntervalMs: 100, maxStrikes: 1 });
  assert.deepEqual(
    [0, 100, 200, 250].map((now) => strikes.take(now)),
    [true, true, true, true],
  );
  strikes.forgive();
  assert.deepEqual(
    [251, 252, 253].map((now) => strikes.take(now)),
    [true, true, false],
  );
});

test("the defaults are those the documentation names", () => {
  const { maxConcurrentStreams, maxHeaderListSize, maxHeaderBlockSize, peerResets, stallMs } =
    resolveOptions();
  assert.deepEqual(
    { maxConcurrentStreams, maxHeaderListSize, maxHeaderBlockSize, peerResets, stallMs },
    {
      maxConcurrentStreams: 100,
      maxHeaderListSize: 16_384,
      maxHeaderBlockSize: 17_408,
      peerResets: { burst: 500, perSecond: 100 },
      stallMs: 60_000,
    },
  );
});

test("every error has a meaning, a hint, a status and a word on who may see it", () => {
  for (const [code, entry] of Object.entries(http2Errors)) {
    assert.match(code, /^[A-Z]+(_[A-Z]+)*$/);
    assert.ok(entry.message.length > 0 && entry.hint.length > 0);
    assert.ok(entry.status >= 1 && entry.status <= 16);
    assert.equal(typeof entry.public, "boolean");
  }
  const error = new Http2Error("PEER_SILENT", "peer sent nothing", { cause: "why", hint: "look" });
  assert.deepEqual(
    [error.code, error.message, error.hint, error.cause, error.wireCode],
    ["PEER_SILENT", "peer sent nothing", "look", "why", 0],
  );
  assert.equal(new Http2Error("PEER_SILENT", "x").hint, http2Errors.PEER_SILENT.hint);
});
