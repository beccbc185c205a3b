// Databases as released schemas left them: rows in test/released, written once by the bank of that time.
import assert from "node:assert/strict";
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { foundation, migrations, renderSql } from "../../src/store/schema.ts";
import type { SqlDialect } from "../../src/store/schema.ts";
import type { SqlValue } from "../../src/store/rows.ts";
import type { BankStore } from "../../src/store/store.ts";
import { alice, depositCommand, fingerprintOf } from "./commands.ts";

/** A database as a release left it. */
export interface ReleasedDatabase {
  readonly version: number;
  /** What makes it, in order; parameters are `$1` and so on. */
  statements(dialect: SqlDialect): readonly Statement[];
}

interface Statement {
  readonly sql: string;
  readonly values: readonly SqlValue[];
}

/** One of each schema that was ever released, by version. */
export const releasedDatabases: readonly ReleasedDatabase[] = globSync("schema-*.json", {
  cwd: folder(),
})
  .map((name) => readReleased(readFileSync(join(folder(), name), "utf8")))
  .sort((one, other) => one.version - other.version);

/** A store that opened such a database: everything is there, and counts as before. */
export async function continueReleased(store: BankStore): Promise<void> {
  const checking = { owner: alice, accountId: "12345" };
  const { faults, operations, entries } = await store.verify();
  assert.deepEqual([operations, entries, faults], [7n, 8n, []]);
  assert.equal((await store.account(checking))?.balance, 57_500n);
  const first = {
    requestId: "11111111-1111-4111-8111-000000000004",
    fingerprint: fingerprintOf("content 4"),
  };
  const again = await store.execute(depositCommand(100_000n, first));
  assert.deepEqual([again.result, again.replayed], ["moved", true]);
  assert.equal((await store.execute(depositCommand(1n))).result, "moved");
  assert.equal((await store.account(checking))?.balance, 57_501n);
  assert.deepEqual((await store.verify()).faults, []);
}

function readReleased(text: string): ReleasedDatabase {
  const tables = JSON.parse(text) as Readonly<Record<string, readonly JsonRow[]>>;
  const version = tables["migrations"]?.length ?? 0;
  const schema = migrations.slice(0, version).flatMap(({ statements }) => statements);
  const inserts = Object.entries(tables).flatMap(([table, rows]) =>
    rows.map((row): Statement => {
      const columns = Object.keys(row);
      const places = columns.map((_, index) => `$${index + 1}`);
      const sql = `INSERT INTO ${table} (${columns.join(", ")}) VALUES (${places.join(", ")})`;
      return { sql, values: Object.values(row).map(sqlValue) };
    }),
  );
  return {
    version,
    statements: (dialect) => [
      ...[...foundation, ...schema].map((sql) => ({ sql: renderSql(sql, dialect), values: [] })),
      ...inserts,
    ],
  };
}

type JsonRow = Readonly<Record<string, JsonValue>>;
type JsonValue = string | number | null | { readonly bytes: string };

function sqlValue(value: JsonValue): SqlValue {
  if (typeof value === "number") return BigInt(value);
  return value === null || typeof value === "string" ? value : Buffer.from(value.bytes, "hex");
}

function folder(): string {
  return join(import.meta.dirname, "../released");
}
