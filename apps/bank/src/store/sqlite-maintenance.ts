import { closeSync, fsyncSync, openSync, rmSync } from "node:fs";
import { dirname } from "node:path";
import { BankError } from "../errors.ts";
import { openSqliteReader, sqliteFailure } from "./sqlite-database.ts";
import type { SqliteConnection } from "./sqlite-database.ts";
import type { Verification } from "./store.ts";
import { verifyLedger } from "./verify-ledger.ts";

/**
 * Verifies a database file, also while a bank writes to it: all invariants, in one snapshot.
 *
 * @throws BankError STORE_UNREADABLE, STORE_UNAVAILABLE
 */
export function verifySqlite(path: string): Verification {
  const connection = openExisting(path);
  try {
    connection.database.exec("BEGIN");
    return connection.run(verifyLedger());
  } catch (error) {
    throw sqliteFailure(error);
  } finally {
    connection.close();
  }
}

/**
 * Copies a database, also while a bank writes to it: one snapshot, in a file of mode 0600 that must not
 * be there yet, durable and verified when this returns. On failure no file is left.
 *
 * @throws BankError STORE_UNREADABLE, STORE_FULL, LEDGER_BROKEN if the copy does not verify
 */
export function backupSqlite(path: string, target: string): Verification {
  const connection = openExisting(path);
  try {
    createEmpty(target);
    try {
      connection.database.exec("PRAGMA query_only = OFF");
      connection.database.prepare("VACUUM INTO ?1").run(target);
      sync(target);
      sync(dirname(target));
      const verification = verifySqlite(target);
      if (verification.faults.length === 0) return verification;
      throw new BankError("LEDGER_BROKEN", `backup ${target}: ${verification.faults[0]}`);
    } catch (error) {
      rmSync(target, { force: true });
      throw sqliteFailure(error);
    }
  } finally {
    connection.close();
  }
}

function openExisting(path: string): SqliteConnection {
  try {
    closeSync(openSync(path, "r"));
  } catch (error) {
    throw unreadable(path, error);
  }
  return openSqliteReader(path);
}

function createEmpty(target: string): void {
  try {
    closeSync(openSync(target, "wx", 0o600));
  } catch (error) {
    throw unreadable(target, error);
  }
}

function sync(path: string): void {
  const file = openSync(path, "r");
  try {
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}

function unreadable(path: string, cause: unknown): BankError {
  const says = cause instanceof Error ? cause.message : String(cause);
  return new BankError("STORE_UNREADABLE", `database ${path}: ${says}`, { cause });
}
