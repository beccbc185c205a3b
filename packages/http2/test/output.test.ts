import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Output } from "../src/output.ts";

test("what was taken stays as it is until it is given back, whatever is written meanwhile", () => {
  const action = fc.oneof(
    fc.record({ write: fc.nat({ max: 9_000 }) }),
    fc.constant("take" as const),
    fc.constant("give back" as const),
    fc.constant("shrink" as const),
  );
  fc.assert(
    fc.property(fc.array(action, { maxLength: 60 }), (actions) => {
      const output = new Output();
      const lent: { readonly taken: Uint8Array; readonly copy: Uint8Array }[] = [];
      let written = 0;
      let read = 0;
      for (const action of actions) {
        if (action === "take") {
          const taken = output.take() ?? new Uint8Array(0);
          assert.deepEqual(taken, pattern(read, taken.length), "in order, nothing lost");
          read += taken.length;
          lent.push({ taken, copy: taken.slice() });
        } else if (action === "give back") {
          output.giveBack(lent.shift()?.taken ?? new Uint8Array(1));
        } else if (action === "shrink") {
          output.shrink();
        } else {
          output.append(pattern(written, action.write));
          written += action.write;
        }
        assert.equal(output.size, written - read);
        for (const { taken, copy } of lent) {
          assert.deepEqual(taken, copy);
        }
      }
    }),
  );
});

test("a driver that gives back what it has sent makes one slab serve for ever", () => {
  const output = new Output();
  const slabs = new Set<ArrayBufferLike>();
  for (let turn = 0; turn < 1_000; turn += 1) {
    output.append(pattern(0, 700));
    const taken = output.take()!;
    slabs.add(taken.buffer);
    output.giveBack(taken);
  }
  assert.equal(slabs.size, 1);
});

test("an output that was shrunk holds no memory, and what is waiting is not lost", () => {
  const output = new Output();
  output.append(pattern(0, 100_000));
  output.shrink();
  assert.equal(output.size, 100_000);
  output.take();
  output.shrink();
  assert.equal(output.bytes.length, 0);
});

function pattern(from: number, length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, index) => (from + index) * 7);
}
