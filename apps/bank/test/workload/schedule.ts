// What the clients of the workload will do, and when the bank will die: all of it from one seed.
import type { FailPoint } from "../../src/store/sqlite-worker.ts";

export interface WorkloadSize {
  readonly seed: number;
  readonly clients: number;
  readonly accounts: number;
  readonly operationsPerClient: number;
  readonly kills: number;
}

/** One thing that a client does. Moves carry their request id in the description too. */
export type Operation =
  | { readonly kind: "read"; readonly account: string }
  | {
      readonly kind: "deposit" | "withdraw";
      readonly account: string;
      readonly amount: bigint;
      readonly requestId: string;
    }
  | {
      readonly kind: "transfer";
      readonly account: string;
      readonly to: string;
      readonly amount: bigint;
      readonly requestId: string;
    };

export interface Schedule {
  readonly accounts: readonly string[];
  readonly operations: readonly (readonly Operation[])[];
  /** Where each life of the bank ends; the last one lives. */
  readonly failPoints: readonly FailPoint[];
}

/** The same seed gives the same schedule. */
export function createSchedule(size: WorkloadSize): Schedule {
  const random = createRandom(size.seed);
  const accounts = Array.from({ length: size.accounts }, (_, index) => `account-${index}`);
  const pick = <T>(from: readonly T[]): T => from[random(from.length)] as T;
  const operation = (): Operation => {
    const account = pick(accounts);
    const kind = pick(["read", "deposit", "withdraw", "transfer", "transfer", "transfer"] as const);
    if (kind === "read") return { kind, account };
    const amount = BigInt(1 + random(300));
    const requestId = uuidFrom(random);
    if (kind !== "transfer") return { kind, account, amount, requestId };
    const to = pick(accounts.filter((other) => other !== account));
    return { kind, account, to, amount, requestId };
  };
  return {
    accounts,
    operations: Array.from({ length: size.clients }, () =>
      Array.from({ length: size.operationsPerClient }, operation),
    ),
    failPoints: Array.from({ length: size.kills }, () => ({
      at: pick(["before-begin", "before-commit", "after-commit"] as const),
      // Soon enough that even a short schedule reaches each.
      batch: 3 + random(8),
    })),
  };
}

/** Whole numbers below a limit: mulberry32. */
function createRandom(seed: number): (limit: number) => number {
  let state = seed >>> 0;
  return (limit) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)) ^ mixed;
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * limit);
  };
}

function uuidFrom(random: (limit: number) => number): string {
  const hex = Array.from({ length: 32 }, () => random(16).toString(16)).join("");
  return hex.replace(/^(.{8}).(.{3})(.{4})(.{4})(.{12}).*$/, "$1-4$2-$3-$4-$5").padEnd(36, "0");
}
