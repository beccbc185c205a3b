import assert from "node:assert/strict";
import fc from "fast-check";
import { frame } from "./wire.ts";
import { Pair } from "./fuzz-pair.ts";
import type { Step } from "./fuzz-pair.ts";
import { chunks, mutate, replayAtClient, replayAtServer } from "./fuzz-replay.ts";
import { checkInvariants } from "./invariants.ts";
import { concat, openRequest, startBareServer, startClient, startServer } from "./wire.ts";
import type { Rig } from "./wire.ts";

// What holds of the machine whatever arrives. `fuzz.test.ts` tries each a little on every run of the
// tests, `fuzz.ts` for as long as it is told.

/** Something that must hold of all inputs. */
export interface FuzzProperty {
  readonly name: string;
  /** Tries in a run of the tests; a longer run makes batches of so many. */
  readonly runs: number;
  /** Tries it with inputs that follow from the seed; throws with the smallest input that fails. */
  check(options: { readonly seed?: number; readonly numRuns: number }): void;
}

const step: fc.Arbitrary<Step> = fc.tuple(
  fc.nat({ max: 19 }),
  fc.nat({ max: 7 }),
  fc.oneof(fc.nat({ max: 50 }), fc.nat({ max: 100_000 })),
);

const window = fc.constantFrom(3_000, 10_000, 30_000, 65_535, 70_000);

const octets = fc.oneof(
  fc.uint8Array({ maxLength: 400 }),
  // Frames with right headers and random rest get further than noise does.
  fc
    .array(
      fc.tuple(
        fc.nat({ max: 11 }),
        fc.nat({ max: 255 }),
        fc.nat({ max: 9 }),
        fc.uint8Array({ maxLength: 40 }),
      ),
      { maxLength: 30 },
    )
    .map((frames) =>
      concat(...frames.map(([type, bits, id, body]) => frame(type, bits, id, body))),
    ),
);

export const fuzzProperties: readonly FuzzProperty[] = [
  property("any octets, in any chunks: no crash, bounded memory, all accounts right", 1_500, {
    inputs: fc.tuple(octets, fc.array(fc.nat({ max: 60 }), { maxLength: 20 }), fc.boolean()),
    holds: ([bytes, cuts, isServer]) => {
      const rig = isServer ? startServer() : clientWithStreams();
      for (const piece of chunks(bytes, cuts)) {
        rig.send(piece);
        checkInvariants(rig.core);
      }
      rig.tickAt(120_000);
      checkInvariants(rig.core);
    },
  }),
  property("what one machine sends another gives the same events in any chunks", 60, {
    inputs: fc.tuple(
      fc.array(step, { minLength: 5, maxLength: 60 }),
      fc.array(fc.nat({ max: 3_000 }), { minLength: 1, maxLength: 20 }),
    ),
    holds: ([steps, cuts]) => {
      const pair = new Pair();
      pair.run(steps);
      const toServer = concat(...pair.clientSent);
      assert.deepEqual(replayAtServer(toServer, cuts), replayAtServer(toServer));
      const toClient = concat(...pair.serverSent);
      const calls = pair.callsMade;
      assert.deepEqual(replayAtClient(toClient, calls, cuts), replayAtClient(toClient, calls));
    },
  }),
  property("mutated sessions: no crash, bounded memory, all accounts right", 100, {
    inputs: fc.tuple(
      fc.array(step, { minLength: 5, maxLength: 30 }),
      fc.array(fc.tuple(fc.nat({ max: 5_000 }), fc.nat({ max: 255 }), fc.nat({ max: 3 })), {
        minLength: 1,
        maxLength: 5,
      }),
      fc.array(fc.nat({ max: 500 }), { minLength: 1, maxLength: 10 }),
    ),
    holds: ([steps, mutations, cuts]) => {
      const pair = new Pair();
      pair.run(steps);
      for (const [sent, rig] of [
        [pair.clientSent, startBareServer()],
        [pair.serverSent, clientWithStreams()],
      ] as const) {
        const bytes = mutate(concat(...sent).subarray(0, 20_000), mutations);
        for (const piece of chunks(bytes, cuts)) {
          rig.send(piece);
        }
        checkInvariants(rig.core);
      }
    },
  }),
  property(
    "two machines under random commands: every octet arrives once, in order, and the accounts agree",
    150,
    {
      inputs: fc.tuple(fc.array(step, { minLength: 10, maxLength: 150 }), window),
      holds: ([steps, streamWindow]) => {
        const pair = new Pair("peer", streamWindow);
        pair.run(steps);
        pair.finish();
      },
    },
  ),
  property("S37: two interleaved peers never see each other's octets or fields", 60, {
    inputs: fc.array(fc.tuple(fc.boolean(), step), { minLength: 20, maxLength: 120 }),
    holds: (steps) => {
      const peers = [new Pair("alice"), new Pair("mallory")] as const;
      for (const [isFirst, step] of steps) {
        peers[isFirst ? 0 : 1].run([step]);
      }
      for (const pair of peers) {
        pair.finish();
      }
    },
  }),
];

function property<Input>(
  name: string,
  runs: number,
  { inputs, holds }: { inputs: fc.Arbitrary<Input>; holds: (input: Input) => void },
): FuzzProperty {
  return { name, runs, check: (options) => fc.assert(fc.property(inputs, holds), options) };
}

function clientWithStreams(): Rig<unknown> {
  const rig = startClient();
  for (let count = 0; count < 20; count += 1) {
    openRequest(rig, { end: count % 2 === 0 });
  }
  rig.output();
  return rig;
}
