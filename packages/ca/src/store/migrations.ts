import type { DatabaseSync } from "node:sqlite";
import { CaError } from "../errors.ts";

/**
 * Brings a database to the newest schema, in one transaction. A new file becomes a store; a file
 * of something else, or of a newer release, is refused and not touched.
 *
 * @throws CaError STORE_UNKNOWN, STORE_NEWER
 */
export function migrate(database: DatabaseSync, path: string): void {
  if (schemaVersion(database, path) === migrations.length) return;
  database.exec("BEGIN IMMEDIATE");
  try {
    const version = schemaVersion(database, path); // another process may have been faster
    for (const migration of migrations.slice(version)) database.exec(migration);
    database.exec(`PRAGMA application_id = ${applicationId}`);
    database.exec(`PRAGMA user_version = ${migrations.length}`);
    database.exec("COMMIT");
  } catch (error) {
    database.exec("ROLLBACK");
    throw error;
  }
}

/**
 * The schema version of a store; 0 is a new file.
 *
 * @throws CaError STORE_UNKNOWN, STORE_NEWER
 */
export function schemaVersion(database: DatabaseSync, path: string): number {
  const application = pragma(database, "application_id");
  const version = pragma(database, "user_version");
  const tables = database.prepare("SELECT count(*) AS n FROM sqlite_schema").get()?.["n"];
  if (application === 0 && version === 0 && tables === 0) return 0;
  if (application !== applicationId) {
    throw new CaError(
      "STORE_UNKNOWN",
      `${path} is a database, but not the store of an authority (application id ${application})`,
    );
  }
  if (version > migrations.length) {
    throw new CaError(
      "STORE_NEWER",
      `${path} has schema version ${version}; this release knows versions up to ${migrations.length}`,
    );
  }
  return version;
}

function pragma(database: DatabaseSync, name: "application_id" | "user_version"): number {
  return Number(database.prepare(`PRAGMA ${name}`).get()?.[name]);
}

const applicationId = 0x48616e64; // "Hand"

/**
 * One entry per schema version, only ever appended to, in the words of SQLite that
 * `postgres-schema.ts` knows to put in those of PostgreSQL. Times are milliseconds since 1970;
 * fingerprints and serial numbers are text as @handfast/x509 writes them.
 */
export const migrations: readonly string[] = [
  `
  CREATE TABLE authority (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    trust_domain TEXT NOT NULL,
    created_at INTEGER NOT NULL
  ) STRICT;

  CREATE TABLE issuers (
    name TEXT PRIMARY KEY,
    role TEXT NOT NULL CHECK (role IN ('root', 'issuing')),
    state TEXT NOT NULL CHECK (state IN ('prepared', 'active', 'retiring', 'retired')),
    certificate TEXT NOT NULL REFERENCES certificates (fingerprint) DEFERRABLE INITIALLY DEFERRED,
    created_at INTEGER NOT NULL
  ) STRICT;

  CREATE TABLE certificates (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    fingerprint TEXT NOT NULL UNIQUE,
    issuer TEXT NOT NULL REFERENCES issuers (name) DEFERRABLE INITIALLY DEFERRED,
    serial_number TEXT NOT NULL,
    der BLOB NOT NULL,
    subject TEXT NOT NULL,
    identity TEXT,
    public_key TEXT NOT NULL,
    profile TEXT NOT NULL,
    requester TEXT NOT NULL,
    parent TEXT REFERENCES certificates (fingerprint),
    not_before INTEGER NOT NULL,
    not_after INTEGER NOT NULL,
    issued_at INTEGER NOT NULL,
    UNIQUE (issuer, serial_number)
  ) STRICT;
  CREATE INDEX certificates_by_serial_number ON certificates (serial_number);
  CREATE INDEX certificates_by_identity ON certificates (identity);
  CREATE INDEX certificates_by_public_key ON certificates (public_key);
  CREATE INDEX certificates_by_parent ON certificates (parent) WHERE parent IS NOT NULL;
  CREATE INDEX certificates_by_not_after ON certificates (not_after);

  CREATE TABLE certificate_names (
    value TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('cn', 'dns', 'ip', 'uri', 'email')),
    certificate TEXT NOT NULL REFERENCES certificates (fingerprint) ON DELETE CASCADE,
    PRIMARY KEY (value, kind, certificate)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX certificate_names_by_certificate ON certificate_names (certificate);

  CREATE TABLE revocations (
    certificate TEXT PRIMARY KEY REFERENCES certificates (fingerprint) ON DELETE CASCADE,
    revoked_at INTEGER NOT NULL,
    reason TEXT NOT NULL,
    cause TEXT NOT NULL,
    requester TEXT NOT NULL
  ) STRICT;

  CREATE TABLE crls (
    issuer TEXT NOT NULL REFERENCES issuers (name),
    number INTEGER NOT NULL,
    der BLOB NOT NULL,
    this_update INTEGER NOT NULL,
    next_update INTEGER NOT NULL,
    PRIMARY KEY (issuer, number)
  ) STRICT;

  CREATE TABLE tokens (
    id TEXT PRIMARY KEY,
    not_after INTEGER NOT NULL,
    spent_at INTEGER,
    certificate TEXT REFERENCES certificates (fingerprint)
  ) STRICT;
  CREATE INDEX tokens_by_not_after ON tokens (not_after);
  `,
  `
  ALTER TABLE certificates ADD COLUMN enrolment TEXT NOT NULL DEFAULT '';
  UPDATE certificates SET enrolment = fingerprint;

  CREATE TABLE renewal_blocks (
    identity TEXT PRIMARY KEY,
    last_position INTEGER NOT NULL
  ) STRICT;

  CREATE TABLE crl_numbers (
    issuer TEXT PRIMARY KEY REFERENCES issuers (name),
    last_number INTEGER NOT NULL
  ) STRICT;
  `,
  `
  CREATE TABLE acme_records (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    id TEXT NOT NULL,
    owner TEXT,
    body TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    keep_until INTEGER,
    UNIQUE (kind, id)
  ) STRICT;
  CREATE INDEX acme_records_by_owner ON acme_records (kind, owner, position);
  CREATE INDEX acme_records_by_end ON acme_records (keep_until) WHERE keep_until IS NOT NULL;
  `,
  `
  ALTER TABLE issuers ADD COLUMN generation INTEGER NOT NULL DEFAULT 1;

  ALTER TABLE authority ADD COLUMN bundle_sequence INTEGER NOT NULL DEFAULT 0;
  UPDATE authority SET bundle_sequence = created_at;

  ALTER TABLE certificates ADD COLUMN line_start INTEGER;
  UPDATE certificates SET line_start = (
    SELECT origin.position FROM certificates AS origin
    WHERE origin.fingerprint = certificates.enrolment
  ) WHERE parent IS NOT NULL;

  CREATE TABLE compromised_keys (
    public_key TEXT PRIMARY KEY
  ) STRICT, WITHOUT ROWID;
  INSERT INTO compromised_keys SELECT DISTINCT c.public_key
    FROM revocations r JOIN certificates c ON c.fingerprint = r.certificate
    WHERE r.reason = 'keyCompromise';
  `,
];
