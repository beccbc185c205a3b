import type { Pool, PoolClient } from "pg";
import { CaError } from "../errors.ts";
import { migrations } from "./migrations.ts";
import { schema } from "./postgres-pool.ts";

/**
 * Brings a database to the newest schema, in one transaction. Of several instances that start at
 * once, one does it and the others find it done.
 *
 * @throws CaError AUTHORITY_NOT_FOUND, STORE_UNKNOWN, STORE_NEWER; whatever the driver throws
 */
export async function preparePostgres(pool: Pool, missing: "create" | "fail"): Promise<void> {
  const client = await pool.connect();
  let failure: Error | undefined;
  try {
    await client.query("BEGIN");
    await client.query("SELECT pg_advisory_xact_lock(5215575679192757109)");
    const version = await schemaVersion(client);
    if (version === 0 && missing === "fail") {
      throw new CaError("AUTHORITY_NOT_FOUND", "the database holds no authority");
    }
    if (version < migrations.length) await migrate(client, version);
    await client.query("COMMIT");
  } catch (error) {
    failure = error instanceof Error ? error : new Error(String(error));
    throw error;
  } finally {
    client.release(failure); // with an error, the connection is closed and nothing remains
  }
}

async function schemaVersion(client: PoolClient): Promise<number> {
  if (!(await isThere(client, schema, "to_regnamespace"))) return 0;
  if (!(await isThere(client, `${schema}.schema_version`, "to_regclass"))) {
    const { rows } = await client.query("SELECT 1 FROM pg_tables WHERE schemaname = $1", [schema]);
    if (rows.length === 0) return 0;
    throw new CaError(
      "STORE_UNKNOWN",
      `the database has a schema ${schema}, but it is not the store of an authority`,
    );
  }
  const { rows } = await client.query<{ version: string }>("SELECT version FROM schema_version");
  const version = Number(rows[0]?.version);
  if (version <= migrations.length) return version;
  throw new CaError(
    "STORE_NEWER",
    `the database has schema version ${version}; this release knows versions up to ${migrations.length}`,
  );
}

/** An operator may have made the empty schema, for a user who may not. */
async function migrate(client: PoolClient, from: number): Promise<void> {
  if (!(await isThere(client, schema, "to_regnamespace"))) {
    await client.query(`CREATE SCHEMA ${schema}`);
  }
  for (const migration of migrations.slice(from)) await client.query(inPostgres(migration));
  await client.query(
    from === 0
      ? "CREATE TABLE schema_version (one BIGINT PRIMARY KEY CHECK (one = 1), version BIGINT NOT NULL)"
      : "DELETE FROM schema_version",
  );
  await client.query("INSERT INTO schema_version VALUES (1, $1)", [migrations.length]);
}

async function isThere(
  client: PoolClient,
  name: string,
  look: "to_regnamespace" | "to_regclass",
): Promise<boolean> {
  const { rows } = await client.query<{ found: string | null }>(`SELECT ${look}($1) AS found`, [
    name,
  ]);
  return rows[0]?.found !== null;
}

/**
 * A migration in the words of PostgreSQL. A deferred reference may name a table that comes later
 * only in SQLite, so these are added when all tables are there.
 */
function inPostgres(migration: string): string {
  const references: string[] = [];
  const tables = migration.replaceAll(
    /CREATE TABLE (\w+) \(([^;]*)\) STRICT(?:, WITHOUT ROWID)?;/g,
    (_, table: string, columns: string) => {
      for (const [, column, reference] of columns.matchAll(deferredReference)) {
        references.push(`ALTER TABLE ${table} ADD FOREIGN KEY (${column}) ${reference};`);
      }
      return `CREATE TABLE ${table} (${columns.replaceAll(deferredReference, "$1 TEXT NOT NULL")});`;
    },
  );
  const position = "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY";
  return [tables, ...references]
    .join("\n")
    .replaceAll("INTEGER PRIMARY KEY AUTOINCREMENT", position)
    .replaceAll(/\bINTEGER\b/g, "BIGINT")
    .replaceAll(/\bBLOB\b/g, "BYTEA");
}

const deferredReference =
  /(\w+) TEXT NOT NULL (REFERENCES \w+ \(\w+\) DEFERRABLE INITIALLY DEFERRED)/g;
