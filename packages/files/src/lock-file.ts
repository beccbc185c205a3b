import { DatabaseSync } from "node:sqlite";
import { FilesError, systemCodeOf } from "./errors.ts";

/** A lock that is held until it is released or the process ends, however it ends. */
export interface FileLock {
  /** Gives the lock up; more than once does nothing. */
  release(): void;
}

/**
 * Takes the lock that `path` stands for: an empty file beside the one it protects, which stays.
 *
 * The operating system holds the lock for the process (through SQLite's exclusive lock, the only
 * one Node offers), so there is no stale lock after a crash. It holds against other lockers on this
 * machine only, and not on network file systems that have no locks.
 *
 * @throws {FilesError} FILE_LOCKED, FILE_WRITE_FAILED
 */
export function lockFile(path: string): FileLock {
  let database: DatabaseSync | undefined;
  try {
    database = new DatabaseSync(path, { timeout: 0 });
    database.exec("PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE");
  } catch (thrown) {
    database?.close();
    if (isBusy(thrown)) {
      throw new FilesError("FILE_LOCKED", `${path}: another writer holds the lock`, {
        cause: thrown,
      });
    }
    throw new FilesError("FILE_WRITE_FAILED", `${path}: no lock: ${systemCodeOf(thrown)}`, {
      cause: thrown,
    });
  }
  const lock = database;
  held.add(lock);
  return {
    release() {
      held.delete(lock);
      if (lock.isOpen) lock.close();
    },
  };
}

function isBusy(thrown: unknown): boolean {
  return thrown instanceof Error && "errcode" in thrown && thrown.errcode === sqliteBusy;
}

/** What nobody refers to is collected, and a collected database is closed: a lock must not end that way. */
const held = new Set<DatabaseSync>();
const sqliteBusy = 5;
