import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Roster } from "../src/roster.ts";

test("a roster holds what a set would, whatever comes and goes", () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.boolean(), fc.nat({ max: 9 }))), (steps) => {
      const items = Array.from({ length: 10 }, (_, id) => ({ id, place: -1 }));
      const roster = new Roster<(typeof items)[number]>();
      const expected = new Set<number>();
      for (const [isArrival, id] of steps) {
        if (isArrival && !expected.has(id)) {
          roster.add(items[id]!);
          expected.add(id);
        } else if (!isArrival) {
          roster.delete(items[id]!);
          expected.delete(id);
        }
        const listed = [...roster].map((item) => item.id).sort((one, other) => one - other);
        assert.deepEqual(
          listed,
          [...expected].sort((one, other) => one - other),
        );
      }
    }),
  );
});

test("a roster may change while it is gone through", () => {
  const items = [0, 1, 2, 3].map((id) => ({ id, place: -1 }));
  const roster = new Roster<(typeof items)[number]>();
  for (const item of items) roster.add(item);
  const seen: number[] = [];
  for (const item of roster) {
    seen.push(item.id);
    roster.delete(item);
  }
  assert.deepEqual(seen, [0, 1, 2, 3]);
  assert.deepEqual([...roster], []);
});
