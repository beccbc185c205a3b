import { checkInvariants } from "./invariants.ts";
import { concat, openRequest, startBareClient, startBareServer } from "./wire.ts";
import type { LoggedEvent, Rig } from "./wire.ts";

// Recorded octets, given to a machine again in other pieces.

/**
 * The events of a server that reads octets in chunks and consumes what it gets; pieces of data joined.
 * Without lengths it reads all at once.
 */
export function replayAtServer(bytes: Uint8Array, cuts: readonly number[] = []): LoggedEvent[] {
  return replay(startBareServer({ onData: consumeAll }), bytes, cuts);
}

/** The same of a client that has opened so many streams. */
export function replayAtClient(
  bytes: Uint8Array,
  streams: number,
  cuts: readonly number[] = [],
): LoggedEvent[] {
  const rig = startBareClient({ onData: consumeAll });
  for (let count = 0; count < streams; count += 1) {
    openRequest(rig);
  }
  return replay(rig, bytes, cuts);
}

/** Cuts octets into pieces of the given lengths, over and over; zero counts as one. */
export function chunks(bytes: Uint8Array, lengths: readonly number[]): Uint8Array[] {
  const pieces: Uint8Array[] = [];
  for (let at = 0, turn = 0; at < bytes.length; turn += 1) {
    const length = Math.max(1, lengths[turn % Math.max(1, lengths.length)] ?? bytes.length);
    pieces.push(bytes.slice(at, at + length));
    at += length;
  }
  return pieces;
}

/** Changes, removes, repeats or inserts octets. */
export function mutate(
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

function replay(rig: Rig<unknown>, bytes: Uint8Array, cuts: readonly number[]): LoggedEvent[] {
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

function consumeAll(
  side: { consume(streamId: number, length: number): void },
  id: number,
  piece: Uint8Array,
): void {
  side.consume(id, piece.length);
}
