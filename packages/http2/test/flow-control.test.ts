import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { ReceiveWindow, WindowTuner } from "../src/flow-control.ts";

test("a window takes what it announced and nothing more", () => {
  const window = new ReceiveWindow();
  window.reset(100);
  assert.equal(window.receive(100), true);
  assert.equal(window.receive(0), true, "an empty frame fits through a shut window");
  assert.equal(window.receive(1), false);
});

test("consumption is announced from half a window on", () => {
  const window = new ReceiveWindow();
  window.reset(100);
  window.receive(100);
  assert.equal(window.consume(49), 0);
  assert.equal(window.consume(1), 50);
  assert.equal(window.left, 50);
  assert.equal(window.consume(50), 50);
});

test("whatever is received and consumed, what is left and what is held make up the target", () => {
  const step = fc.tuple(
    fc.constantFrom("receive", "consume", "grow", "shift"),
    fc.nat({ max: 200 }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const window = new ReceiveWindow();
      window.reset(1_000);
      let held = 0;
      let announced = 1_000;
      let received = 0;
      for (const [what, amount] of steps) {
        if (what === "receive") {
          const fits = window.receive(amount);
          held += fits ? amount : 0;
          received += fits ? amount : 0;
        } else if (what === "consume") {
          const consumed = Math.min(held, amount);
          held -= consumed;
          announced += window.consume(consumed);
        } else if (what === "grow") {
          announced += window.growTo(window.target + amount);
        } else {
          window.shift(amount);
          announced += amount;
        }
        assert.equal(window.left, announced - received, "both sides count alike");
        assert.equal(window.left + window.uncredited + held, window.target);
      }
    }),
  );
});

test("the tuner doubles what one round trip carried, while the bandwidth grows, up to the bound", () => {
  const tuner = new WindowTuner(1_000, 5_000);
  const probe = (octets: number, from: number, to: number): number => {
    tuner.begin(from);
    tuner.count(octets);
    return tuner.finish(to);
  };
  assert.equal(probe(500, 0, 10), 1_000, "half full: the window is not the brake");
  assert.equal(probe(900, 20, 30), 1_800);
  assert.equal(probe(1_700, 40, 60), 1_800, "more octets at a lower bandwidth prove nothing");
  assert.equal(probe(1_700, 70, 80), 3_400);
  assert.equal(probe(3_400, 90, 100), 5_000, "the bound");
  assert.equal(tuner.wantsProbe, false);
});

test("one probe at a time", () => {
  const tuner = new WindowTuner(1_000, 5_000);
  assert.equal(tuner.wantsProbe, true);
  tuner.begin(0);
  assert.equal(tuner.wantsProbe, false);
  tuner.finish(1);
  assert.equal(tuner.wantsProbe, true);
});
