// 10,000 live sessions. Needs 10,000 open files in this process, and minutes.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { TestContext } from "node:test";

import { assertDroppedCaCutsItsOwn, assertRevocationCutsOne, describeOutcome } from "./scale.ts";
import type { Outcome, Scale } from "./scale.ts";

const scale: Scale = { sessions: 10_000, processes: 4 };

function assertSmooth(context: TestContext, scale: Scale, outcome: Outcome): void {
  context.diagnostic(describeOutcome(scale, outcome));
  assert.ok(outcome.loopDelayP99Ms < 50, `p99 ${outcome.loopDelayP99Ms} ms`);
}

test(
  "S12: one of 10,000 sessions is revoked by a file: cut within a second, nobody else disturbed",
  { timeout: 600_000 },
  async (context) => {
    assertSmooth(context, scale, await assertRevocationCutsOne(scale));
  },
);

test("S12: the same with ML-DSA-65 in every certificate", { timeout: 600_000 }, async (context) => {
  const postQuantum: Scale = { ...scale, algorithm: "ml-dsa-65" };
  assertSmooth(context, postQuantum, await assertRevocationCutsOne(postQuantum));
});

test(
  "S12: a bundle without the CA of half of 10,000 sessions cuts exactly these",
  { timeout: 600_000 },
  async (context) => {
    assertSmooth(context, scale, await assertDroppedCaCutsItsOwn(scale));
  },
);
