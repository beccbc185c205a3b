// What scale.slow.ts shows with 10,000 sessions, with 200.
import { test } from "node:test";

import { assertDroppedCaCutsItsOwn, assertRevocationCutsOne } from "./scale.ts";

const scale = { sessions: 200, processes: 2 };

test("S12: one of 200 sessions is revoked by a file: cut within a second, nobody else disturbed", async () => {
  await assertRevocationCutsOne(scale);
});

test("S12: a bundle without the CA of half of 200 sessions cuts exactly these within a second", async () => {
  await assertDroppedCaCutsItsOwn(scale);
});
