// Judges a history against the statements that were read when all was over. Pure.
import type { Entry } from "../../src/gen/bank/v1/bank_pb.ts";
import type { Operation } from "./schedule.ts";

/** What became of one operation, as its client saw it. Times are of one clock. */
export interface Observation {
  readonly operation: Operation;
  /** Before the first attempt. */
  readonly start: number;
  /** After the answer. */
  readonly end: number;
  readonly result:
    | { readonly kind: "read"; readonly version: bigint; readonly balance: bigint }
    | { readonly kind: "moved"; readonly entries: readonly { account: string; entry: Entry }[] }
    | { readonly kind: "refused"; readonly code: string };
}

/** Everything that does not hold, one sentence each. */
export function checkHistory(
  history: readonly Observation[],
  statements: ReadonlyMap<string, readonly Entry[]>,
): string[] {
  return [
    ...checkOnce(history, statements),
    ...checkAcknowledged(history, statements),
    ...checkBalances(statements),
    ...checkReads(history, statements),
    ...checkTotal(history, statements),
    ...checkRealTime(history),
  ];
}

/** Each request is in the statements as often as it should be: once if acknowledged, never if refused. */
function checkOnce(
  history: readonly Observation[],
  statements: ReadonlyMap<string, readonly Entry[]>,
): string[] {
  const seen = new Map<string, number>();
  for (const { description } of [...statements.values()].flat()) {
    seen.set(description, (seen.get(description) ?? 0) + 1);
  }
  return history.flatMap(({ operation, result }) => {
    if (operation.kind === "read") return [];
    const sides = operation.kind === "transfer" ? 2 : 1;
    const expected = result.kind === "moved" ? sides : 0;
    const found = seen.get(operation.requestId) ?? 0;
    return found === expected
      ? []
      : [`request ${operation.requestId}: ${found} entries, expected ${expected}`];
  });
}

/** What a client was told is what stands there. */
function checkAcknowledged(
  history: readonly Observation[],
  statements: ReadonlyMap<string, readonly Entry[]>,
): string[] {
  return history.flatMap(({ result }) => {
    if (result.kind !== "moved") return [];
    return result.entries.flatMap(({ account, entry }) => {
      const line = statements.get(account)?.[Number(entry.sequence) - 1];
      const same =
        line !== undefined &&
        line.operationId === entry.operationId &&
        line.amount?.minorUnits === entry.amount?.minorUnits &&
        line.balance?.minorUnits === entry.balance?.minorUnits &&
        Buffer.from(line.digest).equals(entry.digest);
      return same ? [] : [`${account}: entry ${entry.sequence} is not what was acknowledged`];
    });
  });
}

function checkBalances(statements: ReadonlyMap<string, readonly Entry[]>): string[] {
  return [...statements].flatMap(([account, entries]) =>
    entries
      .filter((entry) => (entry.balance?.minorUnits ?? -1n) < 0n)
      .map((entry) => `${account}: balance below zero at ${entry.sequence}`),
  );
}

/** A read shows a balance that the account had at that version. */
function checkReads(
  history: readonly Observation[],
  statements: ReadonlyMap<string, readonly Entry[]>,
): string[] {
  return history.flatMap(({ operation, result }) => {
    if (result.kind !== "read") return [];
    const line = statements.get(operation.account)?.[Number(result.version) - 1];
    const expected = result.version === 0n ? 0n : line?.balance?.minorUnits;
    return expected === result.balance
      ? []
      : [`${operation.account}: read ${result.balance} at version ${result.version}`];
  });
}

/** Money comes by deposits and goes by withdrawals, and in no other way. */
function checkTotal(
  history: readonly Observation[],
  statements: ReadonlyMap<string, readonly Entry[]>,
): string[] {
  let expected = 0n;
  for (const { operation, result } of history) {
    if (result.kind !== "moved") continue;
    if (operation.kind === "deposit") expected += operation.amount;
    if (operation.kind === "withdraw") expected -= operation.amount;
  }
  let total = 0n;
  for (const entries of statements.values()) total += entries.at(-1)?.balance?.minorUnits ?? 0n;
  return total === expected ? [] : [`the accounts hold ${total}, expected ${expected}`];
}

/**
 * Linearizable in real time, per account: what begins after another operation has ended sees a version
 * at least as great, and a greater one if it changes the account itself.
 */
function checkRealTime(history: readonly Observation[]): string[] {
  const byAccount = new Map<string, Seen[]>();
  const note = (account: string, seen: Seen): void => {
    byAccount.set(account, [...(byAccount.get(account) ?? []), seen]);
  };
  for (const { operation, start, end, result } of history) {
    if (result.kind === "read") {
      note(operation.account, { start, end, version: result.version, changes: false });
    }
    if (result.kind !== "moved") continue;
    for (const { account, entry } of result.entries) {
      note(account, { start, end, version: entry.sequence, changes: true });
    }
  }
  return [...byAccount].flatMap(([account, all]) => staleAmong(account, all));
}

interface Seen {
  readonly start: number;
  readonly end: number;
  readonly version: bigint;
  readonly changes: boolean;
}

function staleAmong(account: string, all: readonly Seen[]): string[] {
  const byEnd = [...all].sort((one, other) => one.end - other.end);
  const byStart = [...all].sort((one, other) => one.start - other.start);
  const faults: string[] = [];
  let latest = -1n;
  let ended = 0;
  for (const { start, version, changes } of byStart) {
    for (; (byEnd[ended]?.end ?? Infinity) < start; ended += 1) {
      const known = byEnd[ended]?.version ?? -1n;
      if (known > latest) latest = known;
    }
    if (changes ? version <= latest : version < latest) {
      faults.push(`${account}: version ${version} after ${latest} had been seen`);
    }
  }
  return faults;
}
