import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { decodeStatusMessage, encodeStatusMessage } from "../src/wire/status-message.ts";
import { formatTimeout, parseTimeout } from "../src/wire/timeout.ts";

test("a timeout is read in each of its six units", () => {
  const read = ["2H", "3M", "4S", "250m", "1500u", "999999n"].map(parseTimeout);
  assert.deepEqual(read, [7_200_000, 180_000, 4_000, 250, 1, 0]);
});

test("what is not a timeout is not read as one", () => {
  for (const text of [
    "",
    "5",
    "m",
    "-1m",
    "1.5S",
    "123456789m",
    "1s",
    " 1m",
    "1m ",
    "1mm",
    "0x1m",
  ]) {
    assert.equal(parseTimeout(text), undefined, text);
  }
});

test("a timeout written is never shorter than asked, and within a thousandth of it", () => {
  fc.assert(
    fc.property(fc.double({ min: 0, max: 1e13, noNaN: true }), (milliseconds) => {
      const text = formatTimeout(milliseconds);
      const back = parseTimeout(text);
      assert.ok(back !== undefined && /^\d{1,8}[HMSm]$/.test(text), text);
      assert.ok(
        back >= milliseconds && back <= milliseconds * 1.001 + 1,
        `${milliseconds}: ${text}`,
      );
    }),
  );
});

test("a timeout of no end is written as the longest there is, a past one as none", () => {
  assert.equal(formatTimeout(Number.POSITIVE_INFINITY), "99999999H");
  assert.equal(formatTimeout(-5), "0m");
});

test("a status text goes over the wire in printable ASCII and comes back as it was", () => {
  fc.assert(
    fc.property(fc.string({ unit: "grapheme" }), (text) => {
      const encoded = encodeStatusMessage(text);
      assert.match(encoded, /^[\x21-\x7e]?[\x20-\x7e]*$/);
      assert.equal(encoded, encoded.trim());
      assert.equal(decodeStatusMessage(encoded), text.toWellFormed());
    }),
  );
});

test("a percent sign that begins no escape is kept, since the protocol forbids dropping the text", () => {
  assert.equal(decodeStatusMessage("100% of %zz and %4"), "100% of %zz and %4");
  assert.equal(decodeStatusMessage("%e2%82%ac"), "€");
});
