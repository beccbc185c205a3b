import type { Pool, PoolClient, PoolConfig } from "pg";
import { CaError } from "../errors.ts";
import type { Row, SqlValue, Statements } from "./sql.ts";

/**
 * A pool of connections whose tables are those of the authority's own schema. The driver is loaded
 * here and not before: who keeps an authority in SQLite has no use for it.
 *
 * @throws CaError STORE_FAILED if the address cannot be read; nothing is dialled yet
 */
export async function createPool(url: string): Promise<Pool> {
  const { default: pg } = await import("pg");
  const config: PoolConfig = {
    connectionString: withSchema(url),
    max: 1 + readers,
    application_name: "handfast-ca",
    connectionTimeoutMillis: connectMs,
    lock_timeout: lockMs,
    statement_timeout: statementMs,
    query_timeout: statementMs + 1_000,
    // An instance that stands still in a transaction must not stop the others for longer.
    idle_in_transaction_session_timeout: statementMs,
    keepAlive: true,
    types: { getTypeParser: typeParser },
  };
  const pool = new pg.Pool(config);
  // A connection that breaks while nobody uses it is replaced; in use, its statements fail.
  pool.on("error", () => undefined);
  pool.on("connect", (client) => client.on("error", () => undefined));
  return pool;
}

/** The statements of the stores on a pool (a connection for each) or on one of its connections. */
export function statementsOn(connection: Pick<PoolClient, "query">): Statements {
  return (sql) => {
    const { name, text } = prepared(sql);
    const query = async (values: readonly SqlValue[]) => {
      try {
        return await connection.query<Row>({ name, text, values: [...values] });
      } catch (error) {
        throw postgresError(error);
      }
    };
    return {
      get: async (...values) => (await query(values)).rows[0],
      all: async (...values) => (await query(values)).rows,
      run: async (...values) => (await query(values)).rowCount ?? 0,
    };
  };
}

/** What PostgreSQL or the way to it throws, as an error of the table, without the address. */
export function postgresError(error: unknown): CaError {
  if (error instanceof CaError) return error;
  const says = error instanceof Error ? error.message : String(error);
  const state = stateOf(error);
  if (waitedStates.has(state)) {
    return new CaError("STORE_BUSY", `the database was held by others: ${says}`, { cause: error });
  }
  if (state.startsWith("23")) {
    return new CaError("STORE_CONFLICT", `the database has the record already: ${says}`, {
      cause: error,
    });
  }
  return new CaError("STORE_FAILED", `the database failed: ${says}`, { cause: error });
}

/** Whether a transaction failed for no other reason than that another was there (40001, 40P01). */
export function isCollision(error: unknown): boolean {
  return error instanceof CaError && collisionStates.has(stateOf(error.cause));
}

/** SQLSTATE (PostgreSQL, appendix A); empty for what did not come from the server. */
function stateOf(error: unknown): string {
  if (!(error instanceof Error) || !("code" in error)) return "";
  return typeof error.code === "string" ? error.code : "";
}

function withSchema(url: string): string {
  let parsed;
  try {
    parsed = new URL(url);
  } catch {
    throw new CaError("STORE_FAILED", "the database's address is not a URL: postgres://…");
  }
  const options = parsed.searchParams.get("options");
  const path = `-c search_path=${schema}`;
  parsed.searchParams.set("options", options === null ? path : `${options} ${path}`);
  return parsed.href;
}

/** `$1`, `$2`, … for each `?`; each text is prepared once per connection. */
function prepared(sql: string): { name: string; text: string } {
  const known = preparedTexts.get(sql);
  if (known !== undefined) return known;
  let values = 0;
  const made = {
    name: `handfast_${preparedTexts.size}`,
    text: sql.replaceAll("?", () => `$${++values}`),
  };
  preparedTexts.set(sql, made);
  return made;
}

function typeParser(oid: number): (value: string) => unknown {
  if (oid === bytea) return (value) => new Uint8Array(Buffer.from(value.slice(2), "hex"));
  return (value) => value;
}

/** The schema that holds the authority's tables, beside whatever else the database holds. */
export const schema = "handfast_ca";

/** The statements are few, and the same for every store. */
const preparedTexts = new Map<string, { name: string; text: string }>();

const bytea = 17;
const collisionStates: ReadonlySet<string> = new Set(["40001", "40P01"]);
/** The two above, a lock that was not granted, and a statement that took too long. */
const waitedStates: ReadonlySet<string> = new Set([...collisionStates, "55P03", "57014"]);
const readers = 4;
const connectMs = 5_000;
const lockMs = 5_000;
const statementMs = 10_000;
