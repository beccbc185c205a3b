import type { SharedBuckets } from "./shared-limit.ts";

/** What is needed of a pool of `pg`, or of anything that queries like it. */
export interface PostgresQueries {
  query(
    text: string,
    values?: unknown[],
  ): Promise<{ readonly rows: readonly Record<string, unknown>[] }>;
}

/**
 * Keeps buckets in PostgreSQL, or what speaks its protocol: an unlogged table `handfast_rate_limits`, made at
 * first use, in which a full bucket has no row for longer than a minute. One statement a call; the clock is
 * the database's. Give the pool a `statement_timeout`: who waits for it has gone on after a quarter of a second.
 */
export function sharedLimitsInPostgres(pool: PostgresQueries): SharedBuckets {
  let prepared: Promise<unknown> | undefined;
  let sweepAt = 0;

  const prepare = async (): Promise<void> => {
    prepared ??= pool.query(tableStatement);
    try {
      await prepared;
    } catch (error) {
      // Perhaps another instance made it in the same moment; the next call will see.
      prepared = undefined;
      throw error;
    }
  };
  const sweep = (): void => {
    const now = performance.now();
    if (now < sweepAt) return;
    sweepAt = now + sweepMs;
    // What it leaves, the next one takes.
    pool.query(sweepStatement).catch(() => undefined);
  };

  return {
    async take({ key, costMs, toleranceMs }) {
      await prepare();
      sweep();
      const { rows } = await pool.query(takeStatement, [key, costMs, toleranceMs]);
      return Number(rows[0]?.["wait"]);
    },
  };
}

const tableStatement = `
  CREATE UNLOGGED TABLE IF NOT EXISTS handfast_rate_limits (
    bucket text PRIMARY KEY,
    full_at double precision NOT NULL
  )`;
/** The row is locked while it is decided on; the insertion brings its own time along. */
const takeStatement = `
  WITH clock AS (
    SELECT extract(epoch FROM clock_timestamp())::float8 * 1000 AS now
  ), taken AS (
    INSERT INTO handfast_rate_limits AS r (bucket, full_at)
    SELECT $1::text, now + $2::float8 FROM clock
    ON CONFLICT (bucket) DO UPDATE
      SET full_at = greatest(r.full_at + $2::float8, EXCLUDED.full_at)
      WHERE greatest(r.full_at + $2::float8, EXCLUDED.full_at) - $3::float8
        <= EXCLUDED.full_at - $2::float8
    RETURNING 0::float8 AS wait
  )
  SELECT coalesce(
    (SELECT wait FROM taken),
    (SELECT greatest(1, r.full_at + $2::float8 - $3::float8 - now)
      FROM handfast_rate_limits r, clock WHERE r.bucket = $1::text),
    $2::float8
  ) AS wait`;
const sweepStatement = `
  DELETE FROM handfast_rate_limits
  WHERE full_at < extract(epoch FROM clock_timestamp())::float8 * 1000`;
const sweepMs = 60_000;
