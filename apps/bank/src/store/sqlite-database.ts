import { closeSync, openSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import type { StatementSync } from "node:sqlite";
import { BankError } from "../errors.ts";
import type { Procedure } from "./procedures.ts";
import { checkMode, migrationRow, pendingMigrations } from "./prepare-schema.ts";
import type { Row, SqlValue } from "./rows.ts";
import { foundation, renderSql, schemaStatements, statements } from "./schema.ts";
import type { SqlDialect, StatementName } from "./schema.ts";
import { refusalMemory } from "./store.ts";
import type { BankMode } from "./store.ts";

/**
 * The one writer of a database file: takes the sidecar lock, makes the file (0600) if it is not there,
 * brings the schema up to date and checks the mode. Everything here is synchronous and belongs in a
 * worker thread.
 *
 * @throws BankError STORE_IN_USE, STORE_UNREADABLE, STORE_MODE_MISMATCH, STORE_TOO_NEW, STORE_CHANGED
 */
export function openSqliteWriter(options: SqliteWriterOptions): SqliteConnection {
  // The lock is a database of its own: locking_mode=EXCLUSIVE on the ledger would lock out readers.
  // The system lets go of it when the process ends, however it ends.
  const lock = openDatabase(`${options.path}-writer`, { create: true, timeoutMs: 0 });
  try {
    takeLock(lock, options.path);
    const database = openDatabase(options.path, {
      create: true,
      timeoutMs: options.contentionMs ?? contentionMs,
    });
    try {
      database.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL");
      // Random request ids touch many pages: keep them, and copy each back less often.
      database.exec("PRAGMA cache_size = -65536; PRAGMA wal_autocheckpoint = 4000");
      if (options.maxPageCount !== undefined) {
        database.exec(`PRAGMA max_page_count = ${Math.trunc(options.maxPageCount)}`);
      }
      prepareSchema(database, options);
    } catch (error) {
      database.close();
      throw resultCode(error) === SQLITE_NOTADB ? unreadable(options.path, error) : error;
    }
    return connection(database, () => lock.close());
  } catch (error) {
    lock.close();
    throw error;
  }
}

/** A reader beside the writer: sees what was committed, never waits for it. */
export function openSqliteReader(path: string): SqliteConnection {
  const database = openDatabase(path, { create: false, timeoutMs: contentionMs });
  database.exec("PRAGMA query_only = ON");
  return connection(database, () => undefined);
}

/** How a database is opened for writing. */
export interface SqliteWriterOptions {
  readonly path: string;
  readonly mode: BankMode;
  /** Milliseconds since 1970. */
  readonly now: bigint;
  /** The size the file may reach, in pages of 4 KiB; unlimited if left out. */
  readonly maxPageCount?: number;
  /** How long a statement waits for a lock of another process; 2,000 ms if left out. */
  readonly contentionMs?: number;
}

/** An open database and its prepared statements. */
export interface SqliteConnection {
  readonly database: DatabaseSync;
  /** Runs a procedure to its end. The caller owns the transaction. */
  run<T>(procedure: Procedure<T>): T;
  close(): void;
}

/** A failure of SQLite in the bank's words. Errors of the bank pass unchanged. */
export function sqliteFailure(error: unknown): BankError {
  if (error instanceof BankError) return error;
  const code = resultCode(error);
  const says = error instanceof Error ? error.message : String(error);
  if (code === SQLITE_FULL)
    return new BankError("STORE_FULL", "the store is full", { cause: error });
  if (code === SQLITE_BUSY || code === SQLITE_LOCKED) {
    return new BankError("CONTENTION", `the database is locked: ${says}`, { cause: error });
  }
  if (code === SQLITE_CONSTRAINT || code === SQLITE_CORRUPT || code === SQLITE_NOTADB) {
    return new BankError("LEDGER_BROKEN", `an invariant failed: ${says}`, { cause: error });
  }
  return new BankError("STORE_UNAVAILABLE", `the store failed: ${says}`, { cause: error });
}

function connection(database: DatabaseSync, release: () => void): SqliteConnection {
  const prepared = new Map<StatementName, StatementSync>();
  const prepare = (name: StatementName): StatementSync => {
    const statement = database.prepare(inSqlite(statements[name]));
    prepared.set(name, statement);
    return statement;
  };
  return {
    database,
    run<T>(procedure: Procedure<T>): T {
      let step = procedure.next();
      while (step.done !== true) {
        const { statement, parameters } = step.value;
        const rows = (prepared.get(statement) ?? prepare(statement)).all(...parameters);
        step = procedure.next(rows as unknown as readonly Row[]);
      }
      return step.value;
    },
    close() {
      database.close();
      release();
    },
  };
}

function openDatabase(
  path: string,
  { create, timeoutMs }: { create: boolean; timeoutMs: number },
): DatabaseSync {
  try {
    // SQLite would make the file with the umask's mode; its WAL takes the mode of the file.
    if (create) closeSync(openSync(path, "a", 0o600));
    return new DatabaseSync(path, {
      timeout: timeoutMs,
      readBigInts: true,
      enableDoubleQuotedStringLiterals: false,
    });
  } catch (error) {
    throw unreadable(path, error);
  }
}

function takeLock(lock: DatabaseSync, path: string): void {
  try {
    lock.exec("BEGIN EXCLUSIVE");
  } catch (error) {
    if (resultCode(error) !== SQLITE_BUSY) throw unreadable(path, error);
    const message = `database ${path}: another process writes to it`;
    throw new BankError("STORE_IN_USE", message, { cause: error });
  }
}

function unreadable(path: string, cause: unknown): BankError {
  const says = cause instanceof Error ? cause.message : String(cause);
  return new BankError("STORE_UNREADABLE", `database ${path}: ${says}`, { cause });
}

function prepareSchema(database: DatabaseSync, options: SqliteWriterOptions): void {
  database.exec("BEGIN IMMEDIATE");
  for (const sql of foundation) database.exec(inSqlite(sql));
  migrate(database, options);
  database
    .prepare(inSqlite(statements.dropAllOldRefusals))
    .run(options.now - BigInt(refusalMemory.ageMs));
  database.exec("COMMIT");
}

function migrate(database: DatabaseSync, { path, mode, now }: SqliteWriterOptions): void {
  const place = `database ${path}`;
  const run = (sql: string, values: readonly SqlValue[]): readonly Row[] =>
    database.prepare(inSqlite(sql)).all(...values) as unknown as readonly Row[];
  for (const migration of pendingMigrations(run(schemaStatements.listMigrations, []), place)) {
    for (const sql of migration.statements) database.exec(inSqlite(sql));
    run(schemaStatements.insertMigration, migrationRow(migration, now));
  }
  run(schemaStatements.insertMode, [mode]);
  const [row] = run(schemaStatements.findMode, []);
  checkMode(row?.["value"] ?? null, { mode, place });
}

function inSqlite(sql: string): string {
  return renderSql(sql, dialect).replaceAll(/\$(\d+)/g, "?$1");
}

/** The primary result code (sqlite.org/rescode.html), without the extension. */
function resultCode(error: unknown): number | undefined {
  if (!(error instanceof Error) || !("errcode" in error)) return undefined;
  return typeof error.errcode === "number" ? error.errcode & 0xff : undefined;
}

const dialect: SqlDialect = {
  integer: "INTEGER",
  bytes: "BLOB",
  strict: " STRICT",
  clustered: " STRICT, WITHOUT ROWID",
};

/** How long a statement waits for a lock of another process: a shell, a backup. */
const contentionMs = 2000;

const SQLITE_BUSY = 5;
const SQLITE_LOCKED = 6;
const SQLITE_CORRUPT = 11;
const SQLITE_FULL = 13;
const SQLITE_CONSTRAINT = 19;
const SQLITE_NOTADB = 26;
