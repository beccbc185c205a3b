import pg from "pg";
import { BankError } from "../errors.ts";
import type { Procedure } from "./procedures.ts";
import type { Row, SqlValue } from "./rows.ts";
import { foundation, renderSql, schemaStatements, statements } from "./schema.ts";
import type { SqlDialect, StatementName } from "./schema.ts";
import { checkMode, migrationRow, pendingMigrations } from "./prepare-schema.ts";
import { refusalMemory } from "./store.ts";
import type { BankMode } from "./store.ts";

/** One connection to PostgreSQL, lent by a pool. */
export type Connection = pg.PoolClient;

/** A pool of connections; integers are bigint, bytes are Uint8Array. */
export function createPool(url: string, options: { readonly max: number }): pg.Pool {
  const pool = new pg.Pool({
    connectionString: url,
    max: options.max,
    application_name: "handfast-bank",
    connectionTimeoutMillis: connectMs,
    statement_timeout: statementMs,
    query_timeout: statementMs + 1000,
    types: { getTypeParser: typeParser },
  });
  // A connection that breaks while nobody uses it: the next one is new.
  pool.on("error", () => undefined);
  return pool;
}

/** Runs a procedure to its end. The caller owns the transaction. */
export async function runProcedure<T>(
  connection: Pick<Connection, "query">,
  procedure: Procedure<T>,
): Promise<T> {
  let step = procedure.next();
  while (step.done !== true) {
    const { statement, parameters } = step.value;
    const text = rendered[statement];
    const { rows } = await connection.query<Row>({
      name: statement,
      text,
      values: [...parameters],
    });
    step = procedure.next(rows);
  }
  return step.value;
}

/**
 * Runs work in a transaction, again and again while others are in the way (40001, 40P01; 23505 is another
 * who wrote the same request first, whom the next attempt finds).
 *
 * @throws BankError, as `postgresFailure`
 */
export async function inTransaction<T>(
  pool: pg.Pool,
  mode: "SERIALIZABLE" | "REPEATABLE READ READ ONLY",
  work: (connection: Connection) => Promise<T>,
): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await attemptTransaction(pool, mode, work);
    } catch (error) {
      const isRetried = retriedStates.has(stateOf(error) ?? "") && attempt < maxAttempts;
      if (!isRetried) throw postgresFailure(error);
      // Longer and longer, and not in step with the other.
      const pauseMs = Math.random() * Math.min(2 ** attempt, 100);
      await new Promise((resolve) => setTimeout(resolve, pauseMs));
    }
  }
}

/**
 * Brings the schema up to date and checks the mode. Of several instances that start at once, one does it
 * and the others find it done.
 *
 * @throws BankError STORE_UNREADABLE, STORE_MODE_MISMATCH, STORE_TOO_NEW, STORE_CHANGED
 */
export async function prepareDatabase(
  pool: pg.Pool,
  { mode, now }: { mode: BankMode; now: bigint },
): Promise<void> {
  const place = "the database";
  try {
    await inTransaction(pool, "SERIALIZABLE", async (connection) => {
      for (const sql of foundation) await connection.query(renderSql(sql, dialect));
      const run = async (sql: string, values: readonly SqlValue[]): Promise<readonly Row[]> =>
        (await connection.query<Row>(sql, [...values])).rows;
      const applied = await run(schemaStatements.listMigrations, []);
      for (const migration of pendingMigrations(applied, place)) {
        for (const sql of migration.statements) await connection.query(renderSql(sql, dialect));
        await run(schemaStatements.insertMigration, migrationRow(migration, now));
      }
      await run(schemaStatements.insertMode, [mode]);
      const [row] = await run(schemaStatements.findMode, []);
      checkMode(row?.["value"] ?? null, { mode, place });
      await run(statements.dropAllOldRefusals, [now - BigInt(refusalMemory.ageMs)]);
    });
  } catch (error) {
    if (!(error instanceof BankError) || error.code !== "STORE_UNAVAILABLE") throw error;
    // The URL may hold a password: the server's words do not.
    throw new BankError("STORE_UNREADABLE", `${place}: ${error.message}`, { cause: error });
  }
}

/** A failure of PostgreSQL or of the way to it in the bank's words. Errors of the bank pass unchanged. */
export function postgresFailure(error: unknown): BankError {
  if (error instanceof BankError) return error;
  const says = error instanceof Error ? error.message : String(error);
  const state = stateOf(error) ?? "";
  const withCause = { cause: error };
  if (state === diskFull) return new BankError("STORE_FULL", "the store is full", withCause);
  if (contentionStates.has(state)) {
    return new BankError("CONTENTION", `others are in the way: ${says}`, withCause);
  }
  // Class 23 is a constraint, XX that the server finds its own data damaged.
  if (/^(23|XX)...$/.test(state)) {
    return new BankError("LEDGER_BROKEN", `an invariant failed: ${says}`, withCause);
  }
  return new BankError("STORE_UNAVAILABLE", `the store failed: ${says}`, withCause);
}

async function attemptTransaction<T>(
  pool: pg.Pool,
  mode: string,
  work: (connection: Connection) => Promise<T>,
): Promise<T> {
  const connection = await pool.connect();
  let unusable: Error | undefined;
  try {
    await connection.query(`BEGIN ISOLATION LEVEL ${mode}`);
    const result = await work(connection);
    await connection.query("COMMIT");
    return result;
  } catch (error) {
    await connection.query("ROLLBACK").catch((thrown: unknown) => {
      unusable = thrown instanceof Error ? thrown : new Error(String(thrown));
    });
    throw error;
  } finally {
    connection.release(unusable);
  }
}

/** SQLSTATE (PostgreSQL, appendix A). */
function stateOf(error: unknown): string | undefined {
  if (!(error instanceof Error) || !("code" in error)) return undefined;
  return typeof error.code === "string" ? error.code : undefined;
}

/** PostgreSQL writes an int8 as text, for JavaScript's numbers do not hold it. */
function typeParser(oid: number): (value: string) => unknown {
  if (oid === int8) return BigInt;
  if (oid === bytea) return (value) => new Uint8Array(Buffer.from(value.slice(2), "hex"));
  return (value) => value;
}

const dialect: SqlDialect = { integer: "BIGINT", bytes: "BYTEA", strict: "", clustered: "" };

const rendered = Object.fromEntries(
  Object.entries(statements).map(([name, sql]) => [name, renderSql(sql, dialect)]),
) as Record<StatementName, string>;

const int8 = 20;
const bytea = 17;
const diskFull = "53100";
/** Serialization failure, deadlock, unique violation. */
const retriedStates: ReadonlySet<string> = new Set(["40001", "40P01", "23505"]);
/** The first two, a lock not granted, and a statement that waited too long. */
const contentionStates: ReadonlySet<string> = new Set(["40001", "40P01", "55P03", "57014"]);
const maxAttempts = 12;
const connectMs = 5_000;
const statementMs = 10_000;
