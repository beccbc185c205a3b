import { setTimeout } from "node:timers/promises";
import type { Records } from "./store.ts";

/** One connection that transactions are made on. */
export interface TransactionConnection {
  /** Begins a transaction that no other of the store runs beside. */
  begin(): Promise<void>;
  /** Runs one of the fixed texts of SQL for savepoints. */
  exec(sql: string): Promise<void>;
  commit(): Promise<void>;
  /** Takes back what was begun; never throws. */
  rollback(): Promise<void>;
  readonly records: Records;
}

/** How transactions are grouped. */
export interface GroupCommitOptions {
  /** Lends a connection for one batch. */
  readonly connect: () => Promise<TransactionConnection>;
  /** What any error means, in the words of the table. */
  readonly explain: (error: unknown) => unknown;
  /** Whether a batch that failed so may be tried again as it is. */
  readonly isCollision: (error: unknown) => boolean;
}

/** Runs works in transactions; those that arrive while another is under way share the next. */
export interface GroupCommit {
  transaction<Result>(work: (records: Records) => Promise<Result>): Promise<Result>;
  /** Takes no more works; resolves when those that were taken are done. */
  end(): Promise<void>;
}

/**
 * One journey to the disk for many works. A work that throws takes only its own changes back. A
 * batch that another process got in the way of is run again.
 */
export function createGroupCommit(options: GroupCommitOptions): GroupCommit {
  const { explain } = options;
  let waiting: Waiting[] = [];
  let pumping: Promise<void> | undefined;
  let ended = false;

  return {
    transaction<Result>(work: (records: Records) => Promise<Result>): Promise<Result> {
      if (ended) throw new TypeError("the store is closed");
      return new Promise<Result>((resolve, reject) => {
        waiting.push({
          fail: (error) => reject(explain(error)),
          run: async (records) => {
            const result = await work(records);
            return () => resolve(result);
          },
        });
        pumping ??= pump();
      });
    },
    async end(): Promise<void> {
      ended = true;
      await pumping;
    },
  };

  async function pump(): Promise<void> {
    await Promise.resolve(); // so that what is asked for in one turn shares a batch
    while (waiting.length > 0) {
      const batch = waiting.slice(0, largestBatch);
      waiting = waiting.slice(largestBatch);
      try {
        const settlements = await commitRepeatedly(batch, options);
        for (const settle of settlements) settle();
      } catch (error) {
        for (const one of batch) one.fail(error);
      }
    }
    pumping = undefined;
  }
}

interface Waiting {
  /** Does the work; what it gives reports the result, once that is committed. */
  run(records: Records): Promise<() => void>;
  fail(error: unknown): void;
}

async function commitRepeatedly(
  batch: readonly Waiting[],
  options: GroupCommitOptions,
): Promise<readonly (() => void)[]> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await commit(batch, options);
    } catch (error) {
      if (!options.isCollision(error) || attempt === mostAttempts) throw error;
      // Longer and longer, and not in step with the other.
      await setTimeout(Math.random() * Math.min(2 ** attempt, longestPauseMs));
    }
  }
}

async function commit(
  batch: readonly Waiting[],
  { connect, isCollision }: GroupCommitOptions,
): Promise<readonly (() => void)[]> {
  const connection = await connect();
  try {
    await connection.begin();
    const settlements: (() => void)[] = [];
    for (const one of batch) {
      await connection.exec("SAVEPOINT work");
      try {
        settlements.push(await one.run(connection.records));
      } catch (error) {
        if (isCollision(error)) throw error; // of the whole batch, not of this work
        await connection.exec("ROLLBACK TO SAVEPOINT work");
        settlements.push(() => one.fail(error));
      }
      await connection.exec("RELEASE SAVEPOINT work");
    }
    await connection.commit();
    return settlements;
  } catch (error) {
    await connection.rollback();
    throw error;
  }
}

/** Bounds how long the first of a batch waits for the last. */
const largestBatch = 128;
const mostAttempts = 12;
const longestPauseMs = 100;
