import { randomInt } from "node:crypto";
import type pg from "pg";
import type { AccountName } from "../account-name.ts";
import { BankError } from "../errors.ts";
import type { BankErrorCode } from "../errors.ts";
import type { AccountState, Entry } from "../ledger.ts";
import { createGroupCommit } from "./group-commit.ts";
import type { Executed } from "./group-commit.ts";
import { createPool, inTransaction, postgresFailure } from "./postgres-database.ts";
import { prepareDatabase, runProcedure } from "./postgres-database.ts";
import type { Connection } from "./postgres-database.ts";
import { executeCommand, findAccount, listEntries } from "./procedures.ts";
import type { Procedure } from "./procedures.ts";
import type { BankMode, BankStore, Command, EntryRange, Outcome, Verification } from "./store.ts";
import { verifyLedger } from "./verify-ledger.ts";
import { createWatches } from "./watches.ts";

/** How a PostgreSQL store is opened. */
interface PostgresStoreOptions {
  /** "postgres://user:password@host:port/database", with what else `pg` understands. */
  readonly url: string;
  readonly mode: BankMode;
  /** How many commands may wait before the next is OVERLOADED; 10,000 by default. */
  readonly maxWaiting?: number;
}

/**
 * Opens the store for several banks at once, on PostgreSQL or what speaks its protocol. Each instance
 * commits in groups, one after the other; between instances, transactions are serializable, their
 * accounts are locked in the order of their keys, and what is in the way of another is tried again. Each
 * instance moves cash by one of {@link cashShards} accounts per currency, so that none of them is hot.
 *
 * @throws BankError STORE_UNREADABLE, STORE_MODE_MISMATCH, STORE_TOO_NEW, STORE_CHANGED
 */
export async function createPostgresStore(options: PostgresStoreOptions): Promise<BankStore> {
  const pool = createPool(options.url, { max: 1 + readers });
  try {
    await prepareDatabase(pool, { mode: options.mode, now: BigInt(Date.now()) });
    return new PostgresStore(pool, options);
  } catch (error) {
    await pool.end();
    throw error;
  }
}

/** Verifies a database, also while banks write to it: all invariants, in one snapshot. @throws BankError */
export async function verifyPostgres(url: string): Promise<Verification> {
  const pool = createPool(url, { max: 1 });
  try {
    return await verifyIn(pool);
  } finally {
    await pool.end();
  }
}

class PostgresStore implements BankStore {
  readonly #pool: pg.Pool;
  readonly #commits: ReturnType<typeof createGroupCommit>;
  readonly #watches = createWatches();
  readonly #cashShard = randomInt(cashShards);
  #broken: BankErrorCode | undefined;
  #away: NodeJS.Timeout | undefined;
  #closing = false;

  constructor(pool: pg.Pool, { maxWaiting }: PostgresStoreOptions) {
    this.#pool = pool;
    this.#commits = createGroupCommit({
      maxWaiting,
      maxBatch,
      commit: (commands) => this.#commit(commands),
      onOutcome: this.#watches.tell,
      onFailure: (error) => this.#note(error),
    });
  }

  get fault(): BankErrorCode | undefined {
    if (this.#broken !== undefined) return this.#broken;
    return this.#closing || this.#away !== undefined ? "STORE_UNAVAILABLE" : undefined;
  }

  execute(command: Command): Promise<Outcome> {
    if (this.#closing) return Promise.reject(storeClosed());
    return this.#commits.execute(command);
  }

  account(name: AccountName): Promise<AccountState | undefined> {
    return this.#read(findAccount(name));
  }

  entries(name: AccountName, range: EntryRange): Promise<readonly Entry[]> {
    return this.#read(listEntries(name, range));
  }

  async verify(): Promise<Verification> {
    return this.#noting(() => verifyIn(this.#pool));
  }

  watch(name: AccountName, listener: () => void): () => void {
    return this.#watches.add(name, listener);
  }

  async close(): Promise<void> {
    this.#closing = true;
    clearInterval(this.#away);
    await this.#commits.drain();
    await this.#pool.end();
  }

  #read<T>(procedure: Procedure<T>): Promise<T> {
    if (this.#closing) return Promise.reject(storeClosed());
    return this.#noting(() => runProcedure(this.#pool, procedure));
  }

  /** One transaction for the whole batch; if that fails for a reason of its own, one for each command. */
  async #commit(commands: readonly Command[]): Promise<readonly Executed[]> {
    if (this.#broken !== undefined) {
      const failure = { code: this.#broken, message: "an invariant of the ledger failed before" };
      return commands.map(() => ({ failure }));
    }
    try {
      return await this.#noting(() => executeBatch(this.#pool, commands, this.#cashShard));
    } catch (error) {
      const failure = postgresFailure(error);
      if (failure.code === "CONTENTION" && commands.length > 1) {
        const executed: Executed[] = [];
        for (const command of commands) executed.push(...(await this.#commit([command])));
        return executed;
      }
      return commands.map(() => ({ failure: { code: failure.code, message: failure.message } }));
    }
  }

  async #noting<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      const failure = postgresFailure(error);
      this.#note(failure);
      throw failure;
    }
  }

  /** After a broken invariant nothing is written any more; a store that is away is looked for. */
  #note({ code }: BankError): void {
    if (code === "LEDGER_BROKEN") this.#broken = code;
    if (code === "STORE_UNAVAILABLE" && !this.#closing) {
      this.#away ??= setInterval(() => void this.#look(), lookMs).unref();
    }
  }

  async #look(): Promise<void> {
    try {
      await this.#pool.query("SELECT 1");
      clearInterval(this.#away);
      this.#away = undefined;
    } catch {
      // Still away: the next look will tell.
    }
  }
}

function executeBatch(
  pool: pg.Pool,
  commands: readonly Command[],
  cashShard: number,
): Promise<readonly Executed[]> {
  return inTransaction(pool, "SERIALIZABLE", async (connection) => {
    await lockAccounts(connection, commands);
    const executed: Executed[] = [];
    for (const command of commands) {
      executed.push({
        outcome: await runProcedure(connection, executeCommand(command, { cashShard })),
      });
    }
    return executed;
  });
}

/** In the order of their keys, so that two batches never wait for each other. */
async function lockAccounts(connection: Connection, commands: readonly Command[]): Promise<void> {
  const names = commands.flatMap((command) =>
    command.kind === "open" ? [] : [command.from, command.to].filter((name) => name !== undefined),
  );
  if (names.length === 0) return;
  const places = names.map((_, index) => `($${2 * index + 1}, $${2 * index + 2})`).join(", ");
  await connection.query(
    `SELECT account_key FROM accounts WHERE (owner, account_id) IN (${places})
     ORDER BY account_key FOR UPDATE`,
    names.flatMap(({ owner, accountId }) => [owner, accountId]),
  );
}

function verifyIn(pool: pg.Pool): Promise<Verification> {
  return inTransaction(pool, "REPEATABLE READ READ ONLY", (connection) =>
    runProcedure(connection, verifyLedger()),
  );
}

function storeClosed(): BankError {
  return new BankError("STORE_UNAVAILABLE", "the store is closed");
}

/** How many cash accounts a currency has. */
const cashShards = 16;
/** A batch is repeated whole if another instance was in its way. */
const maxBatch = 64;
const readers = 4;
const lookMs = 1_000;
