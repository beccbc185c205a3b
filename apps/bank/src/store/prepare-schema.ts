import { BankError } from "../errors.ts";
import { integer, text } from "./rows.ts";
import type { Row, SqlValue } from "./rows.ts";
import { migrationChecksum, migrations } from "./schema.ts";
import type { Migration } from "./schema.ts";
import type { BankMode } from "./store.ts";

/**
 * The steps of the schema that a database still lacks, given the rows of its `migrations`.
 *
 * @param place what messages call the database
 * @throws BankError STORE_TOO_NEW, STORE_CHANGED
 */
export function pendingMigrations(applied: readonly Row[], place: string): readonly Migration[] {
  for (const row of applied) {
    const version = integer(row["version"]);
    const known = migrations.find((migration) => BigInt(migration.version) === version);
    if (known === undefined) {
      throw new BankError("STORE_TOO_NEW", `${place}: has schema ${version}, not known here`);
    }
    if (migrationChecksum(known) !== text(row["checksum"])) {
      throw new BankError("STORE_CHANGED", `${place}: schema ${version} is not the known one`);
    }
  }
  return migrations.slice(applied.length);
}

/** The row of `migrations` that says a step was taken. */
export function migrationRow(migration: Migration, now: bigint): readonly SqlValue[] {
  return [BigInt(migration.version), migration.name, migrationChecksum(migration), now];
}

/** Compares the mode in the database with the bank's. @throws BankError STORE_MODE_MISMATCH */
export function checkMode(
  recorded: SqlValue,
  { mode, place }: { mode: BankMode; place: string },
): void {
  if (recorded === mode) return;
  const message = `${place}: was made in ${text(recorded)} mode, this bank runs in ${mode}`;
  throw new BankError("STORE_MODE_MISMATCH", message);
}
