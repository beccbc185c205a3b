import assert from "node:assert/strict";
import { test } from "node:test";
import { backoffMs, renewalTime, timeInWindow } from "../src/agent/schedule.ts";

const noon = Date.parse("2026-03-01T12:00:00Z");
const hour = 3_600_000;

test("renewal is due at two thirds of the life, up to a fifteenth of it before, and never after", () => {
  const validity = { notBefore: new Date(noon - 60_000), notAfter: new Date(noon + 30 * hour) };
  assert.equal(renewalTime(validity, 0).getTime(), noon + 20 * hour);
  assert.equal(renewalTime(validity, 1).getTime(), noon + 18 * hour);
});

test("a certificate of a minute that was dated back by a minute is due after 36 to 40 s of its own minute", () => {
  const validity = { notBefore: new Date(noon - 60_000), notAfter: new Date(noon + 60_000) };
  assert.equal(renewalTime(validity, 0).getTime(), noon + 40_000);
  assert.equal(renewalTime(validity, 1).getTime(), noon + 36_000);
  const short = { notBefore: new Date(noon), notAfter: new Date(noon + 60_000) };
  assert.equal(renewalTime(short, 0).getTime(), noon + 40_000);
});

test("the window of the authority is used from its first moment to its last", () => {
  const window = { start: new Date(noon), end: new Date(noon + hour) };
  assert.equal(timeInWindow(window, 0).getTime(), noon);
  assert.equal(timeInWindow(window, 0.5).getTime(), noon + hour / 2);
});

test("waits double, end at a tenth of the life or an hour, and are never in step", () => {
  const waits = (lifeMs: number, random: number) =>
    [1, 2, 3, 4, 5, 6, 7, 8, 9, 100].map(
      (failures) => backoffMs(failures, { lifeMs, random }) / 1_000,
    );
  const day = 24 * hour;
  assert.deepEqual(waits(day, 1), [30, 60, 120, 240, 480, 960, 1_920, 3_600, 3_600, 3_600]);
  assert.deepEqual(
    waits(day, 0),
    waits(day, 1).map((wait) => wait / 2),
  );
  assert.deepEqual(waits(60_000, 1), [0.6, 1.2, 2.4, 4.8, 6, 6, 6, 6, 6, 6]);
  assert.equal(Math.min(...waits(1_000, 0)), 0.1);
});
