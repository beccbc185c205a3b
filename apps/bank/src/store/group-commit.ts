import { BankError } from "../errors.ts";
import type { BankErrorCode } from "../errors.ts";
import type { Command, Outcome } from "./store.ts";

/** An error that may cross threads. */
export interface Failure {
  readonly code: BankErrorCode;
  readonly message: string;
}

/** How one command of a batch ended. */
export type Executed = { readonly outcome: Outcome } | { readonly failure: Failure };

/** Commands that arrive while a commit is under way share the next one. */
export interface GroupCommit {
  /** @throws BankError OVERLOADED, and whatever its batch fails with */
  execute(command: Command): Promise<Outcome>;
  /** Resolves when nothing that was accepted is left. */
  drain(): Promise<void>;
}

/** How batches are made. */
interface GroupCommitOptions {
  /** How many commands may wait before the next is OVERLOADED; 10,000 by default. */
  readonly maxWaiting?: number | undefined;
  /** How many commands share a commit at most. */
  readonly maxBatch: number;
  /** Carries out a batch in one transaction; resolves when it is durable, in the order given. */
  commit(this: void, commands: readonly Command[]): Promise<readonly Executed[]>;
  /** Told of each outcome and each failure of a single command before its caller is. */
  onOutcome(this: void, outcome: Outcome): void;
  onFailure(this: void, error: BankError): void;
}

/** Gathers commands into batches, one batch at a time. */
export function createGroupCommit(options: GroupCommitOptions): GroupCommit {
  const { maxWaiting = 10_000, maxBatch, commit } = options;
  const waiting: Waiting[] = [];
  let committing: Promise<void> | undefined;

  async function commitAll(): Promise<void> {
    // A turn of the loop, so that what arrives in this one shares the first commit.
    await Promise.resolve();
    while (waiting.length > 0) {
      const batch = waiting.splice(0, maxBatch);
      try {
        settle(batch, await commit(batch.map(({ command }) => command)));
      } catch (error) {
        for (const { reject } of batch) reject(error);
      }
    }
    committing = undefined;
  }

  function settle(batch: readonly Waiting[], results: readonly Executed[]): void {
    for (const [index, { resolve, reject }] of batch.entries()) {
      const executed = results[index];
      if (executed === undefined) {
        reject(new BankError("STORE_UNAVAILABLE", "the store gave no outcome"));
      } else if ("outcome" in executed) {
        options.onOutcome(executed.outcome);
        resolve(executed.outcome);
      } else {
        const error = new BankError(executed.failure.code, executed.failure.message);
        options.onFailure(error);
        reject(error);
      }
    }
  }

  return {
    execute(command) {
      if (waiting.length >= maxWaiting) {
        const text = `${waiting.length} commands are waiting`;
        return Promise.reject(new BankError("OVERLOADED", text));
      }
      const { promise, resolve, reject } = Promise.withResolvers<Outcome>();
      waiting.push({ command, resolve, reject });
      committing ??= commitAll();
      return promise;
    },
    async drain() {
      await committing;
    },
  };
}

interface Waiting {
  readonly command: Command;
  readonly resolve: (outcome: Outcome) => void;
  readonly reject: (error: unknown) => void;
}
