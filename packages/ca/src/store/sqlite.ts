import { closeSync, constants, openSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import type { StatementSync } from "node:sqlite";
import { setTimeout } from "node:timers/promises";
import { CaError } from "../errors.ts";
import { createGroupCommit } from "./group-commit.ts";
import { migrate, schemaVersion } from "./migrations.ts";
import { explained } from "./sql.ts";
import type { SqlDialect, Statements } from "./sql.ts";
import { createRecordReads, createRecords } from "./sql-records.ts";
import type { Store } from "./store.ts";

/** Where the store is, and whether it may be made. */
export interface SqliteStoreOptions {
  /** The database file; SQLite keeps `-wal` and `-shm` files beside it. */
  readonly path: string;
  /** What to do if the file is not there: make it (mode 0600), or fail. */
  readonly missing: "create" | "fail";
}

/**
 * Opens the store in a SQLite file, in write-ahead mode with full synchronisation. Transactions
 * that arrive while another is on its way to the disk share the next journey (group commit).
 *
 * @throws CaError AUTHORITY_NOT_FOUND if the file is not there, STORE_UNKNOWN, STORE_NEWER,
 * STORE_BUSY, STORE_FAILED
 */
export function openSqliteStore({ path, missing }: SqliteStoreOptions): Store {
  try {
    createFile(path, missing);
    const writer = new DatabaseSync(path, { timeout: busyTimeoutMs });
    try {
      prepareWriter(writer, path);
      const reader = new DatabaseSync(path, { readOnly: true, timeout: busyTimeoutMs });
      return createStore({ writer, reader, path });
    } catch (error) {
      writer.close();
      throw error;
    }
  } catch (error) {
    throw storeError(error, path);
  }
}

interface Connections {
  readonly writer: DatabaseSync;
  /** Its own connection, so that it sees what is committed and nothing else. */
  readonly reader: DatabaseSync;
  readonly path: string;
}

function createStore({ writer, reader, path }: Connections): Store {
  const explain = (error: unknown) => storeError(error, path);
  const records = createRecords(statementsOn(writer), dialect);
  const commits = createGroupCommit({
    explain,
    isCollision: () => false, // `begin` waits until nobody is in the way
    connect: async () => ({
      records,
      begin,
      exec: async (sql) => writer.exec(sql),
      commit: async () => writer.exec("COMMIT"),
      async rollback(): Promise<void> {
        if (writer.isTransaction) writer.exec("ROLLBACK");
      },
    }),
  });

  return {
    ...explained(createRecordReads(statementsOn(reader), dialect), explain),
    transaction: (work) => commits.transaction(work),
    async close(): Promise<void> {
      await commits.end();
      if (reader.isOpen) reader.close();
      if (writer.isOpen) writer.close();
    },
  };

  /** The holder may be of this very process: waiting must let it go on. */
  async function begin(): Promise<void> {
    const deadline = performance.now() + busyTimeoutMs;
    for (;;) {
      try {
        writer.exec("BEGIN IMMEDIATE");
        return;
      } catch (error) {
        if (!isBusy(error) || performance.now() > deadline) throw error;
        await setTimeout(1 + Math.random() * longestPauseMs);
      }
    }
  }
}

/** Each text is prepared once; the texts are few, for values never become part of them. */
function statementsOn(database: DatabaseSync): Statements {
  const prepared = new Map<string, StatementSync>();
  return (sql) => {
    const statement = prepared.get(sql) ?? database.prepare(sql);
    prepared.set(sql, statement);
    return {
      get: async (...values) => statement.get(...values),
      all: async (...values) => statement.all(...values),
      run: async (...values) => Number(statement.run(...values).changes),
    };
  };
}

/** SQLite would make the file with the process's own mask; it gives `-wal` and `-shm` its mode. */
function createFile(path: string, missing: SqliteStoreOptions["missing"]): void {
  const { O_RDWR, O_CREAT, O_NOFOLLOW } = constants;
  const flags = O_RDWR | O_NOFOLLOW | (missing === "create" ? O_CREAT : 0);
  closeSync(openSync(path, flags, 0o600));
}

/** Nothing is changed in a file that is not ours, not even its journal mode. */
function prepareWriter(writer: DatabaseSync, path: string): void {
  writer.exec("PRAGMA trusted_schema = OFF");
  schemaVersion(writer, path);
  writer.exec("PRAGMA journal_mode = WAL");
  writer.exec("PRAGMA synchronous = FULL");
  writer.exec("PRAGMA fullfsync = ON"); // macOS: past the disk's own cache
  writer.exec("PRAGMA checkpoint_fullfsync = ON");
  // What takes back one work of a batch; a crash does not need it. In a file it is a fifth of the work.
  writer.exec("PRAGMA temp_store = MEMORY");
  writer.exec("PRAGMA cache_size = -16384"); // KiB: the indexes of 100,000 certificates
  migrate(writer, path);
  writer.exec("PRAGMA busy_timeout = 0"); // from here on we wait without blocking the process
}

/** What SQLite or the file system throws, as an error of the table; others are left as they are. */
function storeError(error: unknown, path: string): unknown {
  if (!(error instanceof Error) || error instanceof CaError) return error;
  const { code, errcode } = error as { code?: unknown; errcode?: unknown };
  if (code === "ENOENT") {
    return new CaError("AUTHORITY_NOT_FOUND", `${path} is not there`, { cause: error });
  }
  if (code === "ERR_SQLITE_ERROR" && typeof errcode === "number") {
    const primary = errcode & 0xff;
    if (isBusy(error)) {
      return new CaError(
        "STORE_BUSY",
        `${path} was held by another process for ${busyTimeoutMs} ms`,
        { cause: error },
      );
    }
    if (primary === 19) {
      return new CaError("STORE_CONFLICT", `${path} has the record already: ${error.message}`, {
        cause: error,
      });
    }
    if (primary === 26) {
      return new CaError("STORE_UNKNOWN", `${path} is not a database`, { cause: error });
    }
    return new CaError("STORE_FAILED", `${path}: ${error.message}`, { cause: error });
  }
  if (typeof code === "string" && /^E[A-Z]+$/.test(code)) {
    return new CaError("STORE_FAILED", `${path} cannot be opened: ${error.message}`, {
      cause: error,
    });
  }
  return error;
}

function isBusy(error: unknown): boolean {
  const { errcode } = error as { errcode?: unknown };
  return typeof errcode === "number" && [5, 6].includes(errcode & 0xff);
}

const dialect: SqlDialect = {
  namesAsJson: "json_group_array(json_object('kind', n.kind, 'value', n.value))",
};

const busyTimeoutMs = 5_000;
const longestPauseMs = 10;
