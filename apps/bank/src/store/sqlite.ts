import { once } from "node:events";
import { extname } from "node:path";
import { Worker } from "node:worker_threads";
import type { AccountName } from "../account-name.ts";
import { BankError } from "../errors.ts";
import type { BankErrorCode } from "../errors.ts";
import type { AccountState, Entry } from "../ledger.ts";
import { createGroupCommit } from "./group-commit.ts";
import type { Executed } from "./group-commit.ts";
import { createWatches } from "./watches.ts";
import type { FailPoint, WorkerReply, WorkerRequest, WorkerRole } from "./sqlite-worker.ts";
import type { BankMode, BankStore, Command, EntryRange, Outcome, Verification } from "./store.ts";

/** How a SQLite store is opened. */
export interface SqliteStoreOptions {
  /** The database file; made with mode 0600 if it is not there. Its folder must exist. */
  readonly path: string;
  readonly mode: BankMode;
  /** How many commands may wait before the next is OVERLOADED; 10,000 by default. */
  readonly maxWaiting?: number;
  /** How many commands share a commit at most; 512 by default. */
  readonly maxBatch?: number;
  /** The size the file may reach, in pages of 4 KiB; unlimited by default. */
  readonly maxPageCount?: number;
  /** How long to wait for a lock of another process, before CONTENTION; 2,000 ms by default. */
  readonly contentionMs?: number;
  /** For tests of recovery: the process dies by SIGKILL there. */
  readonly failPoint?: FailPoint;
}

/**
 * Opens the embedded store: one writer and one reader, each in its own worker thread. Commands that
 * arrive while a commit is under way share the next one (group commit).
 *
 * @throws BankError STORE_IN_USE, STORE_UNREADABLE, STORE_MODE_MISMATCH, STORE_TOO_NEW, STORE_CHANGED
 */
export async function createSqliteStore(options: SqliteStoreOptions): Promise<BankStore> {
  const { path, mode, maxPageCount, contentionMs, failPoint } = options;
  const writer = await startWorker({
    role: "writer",
    options: {
      path,
      mode,
      now: BigInt(Date.now()),
      ...(maxPageCount === undefined ? {} : { maxPageCount }),
      ...(contentionMs === undefined ? {} : { contentionMs }),
    },
    ...(failPoint === undefined ? {} : { failPoint }),
  });
  try {
    const reader = await startWorker({ role: "reader", path });
    return new SqliteStore(writer, reader, options);
  } catch (error) {
    await writer.close();
    throw error;
  }
}

class SqliteStore implements BankStore {
  readonly #writer: Conversation;
  readonly #reader: Conversation;
  readonly #commits: ReturnType<typeof createGroupCommit>;
  readonly #watches = createWatches();
  #broken: BankErrorCode | undefined;
  #closing = false;

  constructor(writer: Conversation, reader: Conversation, options: SqliteStoreOptions) {
    this.#writer = writer;
    this.#reader = reader;
    this.#commits = createGroupCommit({
      maxWaiting: options.maxWaiting,
      maxBatch: options.maxBatch ?? 512,
      commit: async (commands) =>
        (await this.#writer.ask({ ask: "execute", commands })) as readonly Executed[],
      onOutcome: this.#watches.tell,
      onFailure: (error) => this.#note(error),
    });
  }

  get fault(): BankErrorCode | undefined {
    if (this.#broken !== undefined) return this.#broken;
    return this.#closing || this.#writer.ended || this.#reader.ended
      ? "STORE_UNAVAILABLE"
      : undefined;
  }

  execute(command: Command): Promise<Outcome> {
    if (this.#closing) return Promise.reject(storeClosed());
    if (this.#broken !== undefined) return Promise.reject(ledgerBroken());
    return this.#commits.execute(command);
  }

  account(name: AccountName): Promise<AccountState | undefined> {
    return this.#read({ ask: "account", name });
  }

  entries(name: AccountName, range: EntryRange): Promise<readonly Entry[]> {
    return this.#read({ ask: "entries", name, range });
  }

  verify(): Promise<Verification> {
    return this.#read({ ask: "verify" });
  }

  watch(name: AccountName, listener: () => void): () => void {
    return this.#watches.add(name, listener);
  }

  async close(): Promise<void> {
    this.#closing = true;
    await this.#commits.drain();
    await Promise.all([this.#writer.close(), this.#reader.close()]);
  }

  async #read<T>(question: Question): Promise<T> {
    if (this.#closing) throw storeClosed();
    try {
      return (await this.#reader.ask(question)) as T;
    } catch (error) {
      this.#note(error);
      throw error;
    }
  }

  /** After a broken invariant, found by whomever, nothing is written any more. */
  #note(error: unknown): void {
    if (error instanceof BankError && error.code === "LEDGER_BROKEN") this.#broken = error.code;
  }
}

/** Questions and answers with one worker. */
interface Conversation {
  readonly ended: boolean;
  ask(question: Question): Promise<unknown>;
  close(): Promise<void>;
}

type Question = WorkerRequest extends infer Request
  ? Request extends WorkerRequest
    ? Omit<Request, "id">
    : never
  : never;

async function startWorker(role: WorkerRole): Promise<Conversation> {
  // The worker stands beside this file, as .ts in the sources and .js in a build.
  const file = new URL(`./sqlite-worker${extname(import.meta.filename)}`, import.meta.url);
  const worker = new Worker(file, { workerData: role });
  const pending = new Map<number, { resolve(value: unknown): void; reject(error: Error): void }>();
  const opened = Promise.withResolvers<unknown>();
  pending.set(0, opened);
  let lastId = 0;
  let ended = false;
  worker.on("message", ({ id, failure, value }: WorkerReply) => {
    const asked = pending.get(id);
    pending.delete(id);
    if (failure === undefined) asked?.resolve(value);
    else asked?.reject(new BankError(failure.code, failure.message));
  });
  const end = (cause: unknown): void => {
    ended = true;
    for (const asked of pending.values()) {
      asked.reject(new BankError("STORE_UNAVAILABLE", "the store's thread has ended", { cause }));
    }
    pending.clear();
  };
  worker.on("error", end);
  worker.on("exit", end);
  const ask = (question: Question): Promise<unknown> => {
    if (ended) return Promise.reject(storeClosed());
    lastId += 1;
    const asked = Promise.withResolvers<unknown>();
    pending.set(lastId, asked);
    worker.postMessage({ ...question, id: lastId }, []);
    return asked.promise;
  };
  await opened.promise;
  return {
    get ended() {
      return ended;
    },
    ask,
    async close() {
      if (ended) return;
      const exited = once(worker, "exit");
      await ask({ ask: "close" });
      await exited;
    },
  };
}

function ledgerBroken(): BankError {
  return new BankError("LEDGER_BROKEN", "an invariant of the ledger failed before");
}

function storeClosed(): BankError {
  return new BankError("STORE_UNAVAILABLE", "the store is closed");
}
