import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { clientPreface, flags, frameTypes } from "../src/frames.ts";
import { Pair } from "./fuzz-pair.ts";
import type { Step } from "./fuzz-pair.ts";
import { checkInvariants } from "./invariants.ts";
import {
  concat,
  dataFrame,
  eventsOf,
  frame,
  headersFrame,
  openRequest,
  requestFields,
  settingsAck,
  settingsFrame,
  startBareServer,
  startClient,
  startServer,
} from "./wire.ts";
import type { LoggedEvent, Rig } from "./wire.ts";

// Short by default. HANDFAST_FUZZ_SECONDS=600 spends that long on each of the five properties.
const seconds = Number(process.env["HANDFAST_FUZZ_SECONDS"] ?? 0);

function fuzz<Ts>(property: fc.IProperty<Ts>, runs: number): void {
  fc.assert(
    property,
    seconds > 0
      ? { numRuns: Number.MAX_SAFE_INTEGER, interruptAfterTimeLimit: seconds * 1_000 }
      : { numRuns: runs },
  );
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

test("any octets, in any chunks: no crash, bounded memory, all accounts right", () => {
  fuzz(
    fc.property(
      octets,
      fc.array(fc.nat({ max: 60 }), { maxLength: 20 }),
      fc.boolean(),
      (bytes, cuts, isServer) => {
        const rig = isServer ? startServer() : startClient();
        for (const piece of chunks(bytes, cuts)) {
          rig.send(piece);
          checkInvariants(rig.core);
        }
        rig.tickAt(120_000);
        checkInvariants(rig.core);
      },
    ),
    1_500,
  );
});

test("a valid session gives the same events at every split point", () => {
  const bytes = concat(
    clientPreface,
    settingsFrame(),
    settingsAck,
    headersFrame(1),
    dataFrame(1, "first piece"),
    frame(frameTypes.DATA, flags.PADDED, 1, [3, 1, 2, 3, 4, 0, 0, 0]),
    headersFrame(3, requestFields.slice(0, 4), { flags: 0 }),
    frame(
      frameTypes.CONTINUATION,
      flags.END_HEADERS,
      3,
      headersFrame(3, requestFields.slice(4)).subarray(9),
    ),
    dataFrame(3, "", { end: true }),
    frame(frameTypes.DATA, flags.PADDED | flags.END_STREAM, 1, [2, 9, 0, 0]),
  );
  const whole = replay(bytes, [bytes.length]);
  assert.equal(eventsOf(whole, "request").length, 2);
  assert.equal(eventsOf(whole, "close").length, 0);
  for (let at = 0; at <= bytes.length; at += 1) {
    assert.deepEqual(replay(bytes, [at]), whole, `split at ${at}`);
  }
  assert.deepEqual(
    replay(
      bytes,
      Array.from(bytes, () => 1),
    ),
    whole,
    "octet by octet",
  );
});

test("what one machine sends another gives the same events in any chunks", () => {
  fuzz(
    fc.property(
      fc.array(step, { minLength: 5, maxLength: 60 }),
      fc.array(fc.nat({ max: 3_000 }), { minLength: 1, maxLength: 20 }),
      (steps, cuts) => {
        const pair = new Pair();
        pair.run(steps);
        const bytes = concat(...pair.clientSent);
        assert.deepEqual(replay(bytes, cuts), replay(bytes, [bytes.length]));
      },
    ),
    60,
  );
});

test("mutated sessions: no crash, bounded memory, all accounts right", () => {
  fuzz(
    fc.property(
      fc.array(step, { minLength: 5, maxLength: 30 }),
      fc.array(fc.tuple(fc.nat({ max: 5_000 }), fc.nat({ max: 255 }), fc.nat({ max: 3 })), {
        minLength: 1,
        maxLength: 5,
      }),
      fc.array(fc.nat({ max: 500 }), { minLength: 1, maxLength: 10 }),
      (steps, mutations, cuts) => {
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
    ),
    100,
  );
});

test("two machines under random commands: every octet arrives once, in order, and the accounts agree", () => {
  fuzz(
    fc.property(
      fc.array(step, { minLength: 10, maxLength: 150 }),
      window,
      (steps, streamWindow) => {
        const pair = new Pair("peer", streamWindow);
        pair.run(steps);
        pair.finish();
      },
    ),
    150,
  );
});

test("S37: two interleaved peers never see each other's octets or fields", () => {
  fuzz(
    fc.property(
      fc.array(fc.tuple(fc.boolean(), step), { minLength: 20, maxLength: 120 }),
      (steps) => {
        const peers = [new Pair("alice"), new Pair("mallory")] as const;
        for (const [isFirst, step] of steps) {
          peers[isFirst ? 0 : 1].run([step]);
        }
        for (const pair of peers) {
          pair.finish();
        }
      },
    ),
    60,
  );
});

/** The events of a server that reads octets in chunks and consumes what it gets; pieces of data joined. */
function replay(bytes: Uint8Array, cuts: readonly number[]): LoggedEvent[] {
  const rig = startBareServer({
    onData: (side, id, piece) => side.consume(id, piece.length),
  });
  for (const piece of chunks(bytes, cuts)) {
    rig.send(piece);
  }
  checkInvariants(rig.core);
  const joined: LoggedEvent[] = [];
  for (const event of rig.log) {
    const last = joined.at(-1);
    if (event.on === "data" && last?.on === "data" && last.id === event.id && !last.end) {
      joined[joined.length - 1] = { ...event, bytes: concat(last.bytes, event.bytes) };
    } else {
      joined.push(event);
    }
  }
  return joined;
}

/** Cuts octets into pieces of the given lengths, over and over; zero counts as one. */
function chunks(bytes: Uint8Array, lengths: readonly number[]): Uint8Array[] {
  const pieces: Uint8Array[] = [];
  for (let at = 0, turn = 0; at < bytes.length; turn += 1) {
    const length = Math.max(1, lengths[turn % Math.max(1, lengths.length)] ?? bytes.length);
    pieces.push(bytes.slice(at, at + length));
    at += length;
  }
  return pieces;
}

/** Changes, removes, repeats or inserts octets. */
function mutate(
  bytes: Uint8Array,
  mutations: readonly (readonly [number, number, number])[],
): Uint8Array {
  let mutated = bytes;
  for (const [position, value, how] of mutations) {
    const at = mutated.length === 0 ? 0 : position % mutated.length;
    const before = mutated.subarray(0, at);
    const after = mutated.subarray(at);
    const replaced = [Uint8Array.of(value), after.subarray(1)];
    const removed = [after.subarray(1 + (value % 20))];
    const repeated = [after.subarray(0, value), after];
    const inserted = [Uint8Array.of(value), after];
    mutated = concat(before, ...[replaced, removed, repeated, inserted][how]!);
  }
  return mutated;
}

function clientWithStreams(): Rig<unknown> {
  const rig = startClient();
  for (let count = 0; count < 20; count += 1) {
    openRequest(rig, { end: count % 2 === 0 });
  }
  rig.output();
  return rig;
}
