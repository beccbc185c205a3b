import type { Pool } from "pg";
import { createGroupCommit } from "./group-commit.ts";
import type { TransactionConnection } from "./group-commit.ts";
import { preparePostgres } from "./postgres-schema.ts";
import { createPool, isCollision, postgresError, statementsOn } from "./postgres-pool.ts";
import type { SqlDialect } from "./sql.ts";
import { createRecordReads, createRecords } from "./sql-records.ts";
import type { Store } from "./store.ts";

/** Where the database is, and whether a store may be made in it. */
export interface PostgresStoreOptions {
  /**
   * `postgres://user:password@host:port/database`, with what else `pg` understands, such as
   * `sslmode=verify-full&sslrootcert=FILE`. A secret if it holds the password; `PGPASSWORD` and a
   * password file work as well.
   */
  readonly url: string;
  /** What to do if the database holds no store: make one (in a schema of its own), or fail. */
  readonly missing: "create" | "fail";
}

/**
 * Opens a store in PostgreSQL, which several instances of one authority may share. Writers take
 * turns by an advisory lock, so that each sees all that was committed before it; transactions that
 * arrive while another is under way share the next turn. The lock of an instance that dies falls at
 * once, that of one that stands still after 10 s.
 *
 * @throws CaError AUTHORITY_NOT_FOUND if the database holds no store, STORE_UNKNOWN, STORE_NEWER,
 * STORE_BUSY, STORE_FAILED
 */
export async function openPostgresStore({ url, missing }: PostgresStoreOptions): Promise<Store> {
  const pool = await createPool(url);
  try {
    await preparePostgres(pool, missing);
    return createStore(pool);
  } catch (error) {
    await pool.end();
    throw postgresError(error);
  }
}

function createStore(pool: Pool): Store {
  const commits = createGroupCommit({
    connect: () => connect(pool),
    explain: (error) => error, // what the database threw was explained where it was thrown
    isCollision,
  });
  let closed: Promise<void> | undefined;
  return {
    ...createRecordReads(statementsOn(pool), dialect),
    transaction: (work) => commits.transaction(work),
    close: () => (closed ??= commits.end().then(() => pool.end())),
  };
}

/** A connection for one transaction: it goes back to the pool when that ends, whichever way. */
async function connect(pool: Pool): Promise<TransactionConnection> {
  const client = await pool.connect().catch((error: unknown) => {
    throw postgresError(error);
  });
  const exec = async (sql: string): Promise<void> => {
    try {
      await client.query(sql);
    } catch (error) {
      throw postgresError(error);
    }
  };
  return {
    records: createRecords(statementsOn(client), dialect),
    exec,
    async begin(): Promise<void> {
      // Not serializable: its snapshot would be taken before the lock is granted, and be stale.
      await exec("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE");
      await exec(takeTurn);
    },
    async commit(): Promise<void> {
      await exec("COMMIT");
      client.release();
    },
    async rollback(): Promise<void> {
      try {
        await client.query("ROLLBACK");
        client.release();
      } catch (error) {
        client.release(error instanceof Error ? error : true);
      }
    },
  };
}

const dialect: SqlDialect = {
  namesAsJson: `coalesce(json_agg(json_build_object('kind', n.kind, 'value', n.value)
    ORDER BY n.value COLLATE "C", n.kind COLLATE "C"), '[]')::text`,
};

/**
 * Waits for the turn, which ends with the transaction; and whatever the server's habit, what is
 * committed shall be on the disk.
 */
const takeTurn = `SELECT pg_advisory_xact_lock(5215575679192757108), CASE
  WHEN current_setting('synchronous_commit') = 'off'
  THEN set_config('synchronous_commit', 'on', true) END`;
