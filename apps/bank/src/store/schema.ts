import { createHash } from "node:crypto";

/**
 * The SQL of every store, in the dialect they share: `$1` for parameters, and words in braces that
 * {@link renderSql} replaces. Nothing that PostgreSQL or CockroachDB lacks: no triggers, sequences or
 * generated keys.
 */
export const migrations: readonly Migration[] = [
  {
    version: 1,
    name: "ledger",
    statements: [
      `CREATE TABLE accounts (
        account_key TEXT PRIMARY KEY,
        owner TEXT NOT NULL,
        account_id TEXT NOT NULL,
        kind TEXT NOT NULL CHECK (kind IN ('customer', 'cash')),
        currency_code TEXT NOT NULL CHECK (length(currency_code) = 3),
        balance {integer} NOT NULL,
        version {integer} NOT NULL CHECK (version >= 0),
        digest {bytes} NOT NULL CHECK (length(digest) = 32),
        opened_at {integer} NOT NULL,
        UNIQUE (owner, account_id),
        CHECK (kind = 'cash' OR balance >= 0)
      ){strict}`,
      `CREATE TABLE operations (
        operation_id TEXT PRIMARY KEY,
        kind TEXT NOT NULL CHECK (kind IN ('open', 'deposit', 'withdrawal', 'transfer')),
        requester TEXT NOT NULL,
        method TEXT NOT NULL,
        request_id TEXT NOT NULL,
        fingerprint {bytes} NOT NULL CHECK (length(fingerprint) = 32),
        posted_at {integer} NOT NULL,
        description TEXT NOT NULL,
        from_key TEXT REFERENCES accounts,
        from_sequence {integer},
        to_key TEXT NOT NULL REFERENCES accounts,
        to_sequence {integer},
        UNIQUE (requester, method, request_id),
        CHECK ((kind = 'open') = (from_key IS NULL)),
        CHECK ((from_key IS NULL) = (from_sequence IS NULL)),
        CHECK ((from_key IS NULL) = (to_sequence IS NULL))
      ){strict}`,
      `CREATE TABLE entries (
        account_key TEXT NOT NULL REFERENCES accounts,
        sequence {integer} NOT NULL CHECK (sequence > 0),
        operation_id TEXT NOT NULL REFERENCES operations,
        counterparty_key TEXT NOT NULL REFERENCES accounts,
        amount {integer} NOT NULL CHECK (amount <> 0),
        balance {integer} NOT NULL,
        digest {bytes} NOT NULL CHECK (length(digest) = 32),
        PRIMARY KEY (account_key, sequence)
      ){clustered}`,
      `CREATE TABLE refusals (
        requester TEXT NOT NULL,
        method TEXT NOT NULL,
        request_id TEXT NOT NULL,
        fingerprint {bytes} NOT NULL CHECK (length(fingerprint) = 32),
        code TEXT NOT NULL,
        refused_at {integer} NOT NULL,
        PRIMARY KEY (requester, method, request_id)
      ){clustered}`,
      `CREATE INDEX refusals_by_age ON refusals (requester, refused_at, request_id)`,
    ],
  },
];

/** One step of the schema. Released steps are never changed: their checksum is in every database. */
export interface Migration {
  readonly version: number;
  readonly name: string;
  readonly statements: readonly string[];
}

/** SHA-256 in hex over the SQL of a step, white space apart. */
export function migrationChecksum(migration: Migration): string {
  const text = migration.statements.map((sql) => sql.replaceAll(/\s+/g, " ").trim()).join(";\n");
  return createHash("sha256").update(text).digest("hex");
}

/** Made before the first migration, never changed. */
export const foundation: readonly string[] = [
  `CREATE TABLE IF NOT EXISTS migrations (
    version {integer} PRIMARY KEY,
    name TEXT NOT NULL,
    checksum TEXT NOT NULL,
    applied_at {integer} NOT NULL
  ){strict}`,
  `CREATE TABLE IF NOT EXISTS settings (name TEXT PRIMARY KEY, value TEXT NOT NULL){strict}`,
];

/** The statements that run when a database is opened. */
export const schemaStatements = {
  listMigrations: `SELECT version, checksum FROM migrations ORDER BY version`,
  insertMigration: `INSERT INTO migrations VALUES ($1, $2, $3, $4)`,
  findMode: `SELECT value FROM settings WHERE name = 'mode'`,
  insertMode: `INSERT INTO settings VALUES ('mode', $1) ON CONFLICT (name) DO NOTHING`,
} as const;

/** Every statement that runs while the bank works, by name. */
export const statements = {
  findRequest: `SELECT fingerprint, CAST(NULL AS TEXT) AS code, from_key, from_sequence, to_key,
      to_sequence FROM operations
    WHERE requester = $1 AND method = $2 AND request_id = $3
    UNION ALL
    SELECT fingerprint, code, NULL, NULL, NULL, NULL FROM refusals
    WHERE requester = $1 AND method = $2 AND request_id = $3 AND refused_at > $4`,
  insertRefusal: `INSERT INTO refusals (requester, method, request_id, fingerprint, code, refused_at)
    VALUES ($1, $2, $3, $4, $5, $6)
    ON CONFLICT (requester, method, request_id) DO UPDATE SET
      fingerprint = excluded.fingerprint, code = excluded.code, refused_at = excluded.refused_at`,
  dropOldRefusals: `DELETE FROM refusals WHERE requester = $1 AND refused_at <= $2`,
  dropSurplusRefusals: `DELETE FROM refusals WHERE requester = $1 AND (method, request_id) IN (
    SELECT method, request_id FROM refusals WHERE requester = $1
    ORDER BY refused_at DESC, request_id DESC LIMIT 1000 OFFSET $2)`,
  dropAllOldRefusals: `DELETE FROM refusals WHERE refused_at <= $1`,
  findAccount: `SELECT {account columns} FROM accounts WHERE owner = $1 AND account_id = $2`,
  findAccountByKey: `SELECT {account columns} FROM accounts WHERE account_key = $1`,
  insertAccount: `INSERT INTO accounts ({account columns})
    VALUES ($1, $2, $3, $4, $5, 0, 0, $6, $7)
    ON CONFLICT (owner, account_id) DO NOTHING`,
  updateAccount: `UPDATE accounts SET balance = $1, version = $2, digest = $3
    WHERE account_key = $4 AND version = $5 RETURNING version`,
  insertOperation: `INSERT INTO operations (operation_id, kind, requester, method, request_id,
      fingerprint, posted_at, description, from_key, from_sequence, to_key, to_sequence)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`,
  insertEntry: `INSERT INTO entries (account_key, sequence, operation_id, counterparty_key, amount,
      balance, digest)
    VALUES ($1, $2, $3, $4, $5, $6, $7)`,
  findEntry: `SELECT {entry columns} FROM {entry tables} WHERE e.account_key = $1 AND e.sequence = $2`,
  listEntries: `SELECT {entry columns} FROM {entry tables}
    WHERE a.owner = $1 AND a.account_id = $2 AND e.sequence > $3 AND e.sequence <= $4
    ORDER BY e.sequence LIMIT $5`,
  listEntriesOfAccount: `SELECT {entry columns} FROM {entry tables}
    WHERE e.account_key = $1 AND e.sequence > $2 ORDER BY e.sequence LIMIT $3`,
  listAccounts: `SELECT {account columns} FROM accounts WHERE account_key > $1
    ORDER BY account_key LIMIT $2`,
  countAll: `SELECT (SELECT count(*) FROM accounts) AS accounts,
    (SELECT count(*) FROM operations) AS operations, (SELECT count(*) FROM entries) AS entries`,
  listUnbalancedOperations: `SELECT o.operation_id FROM operations o
    LEFT JOIN entries e ON e.operation_id = o.operation_id
    GROUP BY o.operation_id, o.kind
    HAVING count(e.sequence) <> CASE o.kind WHEN 'open' THEN 0 ELSE 2 END
      OR coalesce(min(e.amount) + max(e.amount), 0) <> 0
    LIMIT 100`,
} as const;

/** The name of a statement. */
export type StatementName = keyof typeof statements;

/** What the stores say differently. */
export interface SqlDialect {
  /** The type of a 64-bit integer. */
  readonly integer: string;
  /** The type of bytes. */
  readonly bytes: string;
  /** After the columns of a table. */
  readonly strict: string;
  /** After the columns of a table that is to be kept in the order of its key. */
  readonly clustered: string;
}

/** SQL of this file in the words of a store. */
export function renderSql(sql: string, dialect: SqlDialect): string {
  return sql
    .replace("{account columns}", accountColumns)
    .replace("{entry columns}", entryColumns)
    .replace("{entry tables}", entryTables)
    .replaceAll("{integer}", dialect.integer)
    .replaceAll("{bytes}", dialect.bytes)
    .replaceAll("{strict}", dialect.strict)
    .replaceAll("{clustered}", dialect.clustered);
}

const accountColumns = `account_key, owner, account_id, kind, currency_code, balance, version, digest,
  opened_at`;

const entryColumns = `a.owner, a.account_id, a.currency_code, e.sequence, e.operation_id, e.amount,
  e.balance, e.digest, o.kind, o.posted_at, o.description, c.kind AS counterparty_kind,
  c.owner AS counterparty_owner, c.account_id AS counterparty_account_id`;

const entryTables = `entries e
  JOIN accounts a ON a.account_key = e.account_key
  JOIN operations o ON o.operation_id = e.operation_id
  JOIN accounts c ON c.account_key = e.counterparty_key`;
