import type { DatabaseSync, SQLInputValue, SQLOutputValue, StatementSync } from "node:sqlite";
import { parseFingerprint, parseSerialNumber } from "@handfast/x509";
import type { Fingerprint } from "@handfast/x509";
import { createAcmeReads, createAcmeWrites } from "./sqlite-acme.ts";
import type {
  AuthorityRecord,
  CertificateName,
  CertificateQuery,
  CertificateRecord,
  CrlRecord,
  IssuerRecord,
  IssuerRole,
  IssuerState,
  NewCertificateRecord,
  RecordReads,
  Records,
  RevocationReason,
  RevokedCertificate,
  SpentToken,
} from "./store.ts";

/** The reads of the store contract on one connection. */
export function createRecordReads(database: DatabaseSync): RecordReads {
  const statement = preparer(database);

  return {
    ...createAcmeReads(statement),
    async authority(): Promise<AuthorityRecord | undefined> {
      const row = statement("SELECT trust_domain, created_at FROM authority").get();
      if (row === undefined) return undefined;
      return { trustDomain: text(row, "trust_domain"), createdAt: time(row, "created_at") };
    },
    async issuers(): Promise<readonly IssuerRecord[]> {
      return statement("SELECT * FROM issuers ORDER BY created_at, rowid").all().map(issuerOf);
    },
    async certificate(fingerprint: Fingerprint): Promise<CertificateRecord | undefined> {
      const row = statement(`${selectCertificates} WHERE c.fingerprint = ?`).get(fingerprint);
      return row === undefined ? undefined : certificateOf(row);
    },
    async certificates(query: CertificateQuery): Promise<readonly CertificateRecord[]> {
      const { where, values } = conditionsOf(query);
      const limit = query.limit ?? 1_000;
      if (!Number.isInteger(limit) || limit < 1 || limit > 10_000) {
        throw new TypeError(`limit must be a whole number from 1 to 10,000, not ${limit}`);
      }
      return statement(`${selectCertificates} ${where} ORDER BY c.position DESC LIMIT ?`)
        .all(...values, limit)
        .map(certificateOf);
    },
    async revoked(issuer, { endingFrom }): Promise<readonly RevokedCertificate[]> {
      return statement(`
        SELECT c.serial_number, r.revoked_at, r.reason
        FROM revocations r JOIN certificates c ON c.fingerprint = r.certificate
        WHERE c.issuer = ? AND c.not_after >= ? ORDER BY r.rowid`)
        .all(issuer, endingFrom.getTime())
        .map((row) => ({
          serialNumber: parseSerialNumber(text(row, "serial_number")),
          revokedAt: time(row, "revoked_at"),
          reason: text(row, "reason") as RevocationReason,
        }));
    },
    async latestCrl(issuer): Promise<CrlRecord | undefined> {
      const row = statement("SELECT * FROM crls WHERE issuer = ? ORDER BY number DESC LIMIT 1").get(
        issuer,
      );
      return row === undefined ? undefined : crlOf(row);
    },
    async renewalBlocked(fingerprint): Promise<boolean> {
      const row = statement(`
        SELECT 1 FROM certificates c
        JOIN certificates first ON first.fingerprint = c.enrolment
        JOIN renewal_blocks b ON b.identity = c.identity
        WHERE c.fingerprint = ? AND first.position <= b.last_position`).get(fingerprint);
      return row !== undefined;
    },
    async spentToken(id): Promise<SpentToken | undefined> {
      const row = statement("SELECT * FROM tokens WHERE id = ?").get(id);
      if (row === undefined) return undefined;
      const certificate = parseFingerprint(text(row, "certificate"));
      return { id, spentAt: time(row, "spent_at"), certificate };
    },
  };
}

/** Reads and writes of the store contract, on the connection that holds the transaction. */
export function createRecords(database: DatabaseSync): Records {
  const statement = preparer(database);

  return {
    ...createRecordReads(database),
    ...createAcmeWrites(statement),
    async addAuthority({ trustDomain, createdAt }: AuthorityRecord): Promise<void> {
      statement("INSERT INTO authority VALUES (1, ?, ?)").run(trustDomain, createdAt.getTime());
    },
    async addIssuer(issuer: IssuerRecord): Promise<void> {
      statement("INSERT INTO issuers VALUES (?, ?, ?, ?, ?)").run(
        issuer.name,
        issuer.role,
        issuer.state,
        issuer.certificate,
        issuer.createdAt.getTime(),
      );
    },
    async addCertificate(certificate: NewCertificateRecord): Promise<void> {
      statement(`
        INSERT INTO certificates (
          fingerprint, issuer, serial_number, der, subject, identity, public_key, profile,
          requester, parent, enrolment, not_before, not_after, issued_at
        ) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`).run(
        certificate.fingerprint,
        certificate.issuer,
        certificate.serialNumber,
        certificate.der,
        certificate.subject,
        certificate.identity ?? null,
        certificate.publicKey,
        certificate.profile,
        certificate.requester,
        certificate.parent ?? null,
        certificate.enrolment,
        certificate.notBefore.getTime(),
        certificate.notAfter.getTime(),
        certificate.issuedAt.getTime(),
      );
      const addName = statement("INSERT OR IGNORE INTO certificate_names VALUES (?, ?, ?)");
      for (const { kind, value } of certificate.names) {
        addName.run(nameKey({ kind, value }), kind, certificate.fingerprint);
      }
    },
    async addRevocation(fingerprint, { revokedAt, reason, cause, requester }): Promise<void> {
      statement("INSERT INTO revocations VALUES (?, ?, ?, ?, ?)").run(
        fingerprint,
        revokedAt.getTime(),
        reason,
        cause,
        requester,
      );
    },
    async blockRenewals(identity): Promise<void> {
      statement(`
        INSERT INTO renewal_blocks SELECT ?, coalesce(max(position), 0) FROM certificates WHERE true
        ON CONFLICT DO UPDATE SET last_position = excluded.last_position`).run(identity);
    },
    async nextCrlNumber(issuer, atLeast): Promise<number> {
      const row = statement(`
        INSERT INTO crl_numbers VALUES (?, ?)
        ON CONFLICT DO UPDATE SET last_number = max(last_number + 1, excluded.last_number)
        RETURNING last_number`).get(issuer, atLeast);
      return Number(row?.["last_number"]);
    },
    async spendToken({ id, spentAt, certificate, keepUntil }): Promise<void> {
      statement("DELETE FROM tokens WHERE not_after < ?").run(spentAt.getTime());
      statement(
        "INSERT INTO tokens (id, not_after, spent_at, certificate) VALUES (?, ?, ?, ?)",
      ).run(id, keepUntil.getTime(), spentAt.getTime(), certificate);
    },
    async addCrl({ issuer, number, der, thisUpdate, nextUpdate }): Promise<void> {
      statement("INSERT INTO crls VALUES (?, ?, ?, ?, ?)").run(
        issuer,
        number,
        der,
        thisUpdate.getTime(),
        nextUpdate.getTime(),
      );
      statement(`
        DELETE FROM crls WHERE issuer = ?1
          AND number < (SELECT max(number) FROM crls WHERE issuer = ?1)`).run(issuer);
    },
  };
}

type Row = Record<string, SQLOutputValue>;

/** Each text is prepared once; the texts are few, for values never become part of them. */
function preparer(database: DatabaseSync): (sql: string) => StatementSync {
  const prepared = new Map<string, StatementSync>();
  return (sql) => {
    const known = prepared.get(sql) ?? database.prepare(sql);
    prepared.set(sql, known);
    return known;
  };
}

function conditionsOf(query: CertificateQuery): { where: string; values: SQLInputValue[] } {
  const conditions: string[] = [];
  const values: SQLInputValue[] = [];
  const add = (condition: string, ...given: SQLInputValue[]) => {
    conditions.push(condition);
    values.push(...given);
  };

  if (query.name !== undefined) {
    add(
      `c.fingerprint IN (SELECT n.certificate FROM certificate_names n
        WHERE n.value = ? OR (n.value = ? AND n.kind = 'dns'))`,
      query.name,
      query.name.toLowerCase(),
    );
  }
  if (query.text !== undefined) {
    const pattern = `%${query.text.replaceAll(/[\\%_]/g, "\\$&")}%`;
    add(
      `(c.subject LIKE ? ESCAPE '\\' OR EXISTS (SELECT 1 FROM certificate_names n
        WHERE n.certificate = c.fingerprint AND n.value LIKE ? ESCAPE '\\'))`,
      pattern,
      pattern,
    );
  }
  if (query.fingerprint !== undefined) add("c.fingerprint = ?", query.fingerprint);
  if (query.serialNumber !== undefined) add("c.serial_number = ?", query.serialNumber);
  if (query.identity !== undefined) add("c.identity = ?", query.identity);
  if (query.publicKey !== undefined) add("c.public_key = ?", query.publicKey);
  if (query.issuer !== undefined) add("c.issuer = ?", query.issuer);
  if (query.profile !== undefined) add("c.profile = ?", query.profile);
  if (query.parent !== undefined) add("c.parent = ?", query.parent);
  if (query.expiresBefore !== undefined) add("c.not_after < ?", query.expiresBefore.getTime());
  if (query.before !== undefined) {
    add("c.position < (SELECT position FROM certificates WHERE fingerprint = ?)", query.before);
  }
  if (query.revokedFor !== undefined) add("r.reason = ?", query.revokedFor);
  if (query.status === "revoked") add("r.certificate IS NOT NULL");
  else if (query.status !== undefined) {
    if (query.now === undefined) throw new TypeError("a query by status needs `now`");
    add("r.certificate IS NULL");
    add(`c.not_after ${query.status === "valid" ? ">=" : "<"} ?`, query.now.getTime());
  }
  return { where: conditions.length === 0 ? "" : `WHERE ${conditions.join(" AND ")}`, values };
}

function issuerOf(row: Row): IssuerRecord {
  return {
    name: text(row, "name"),
    role: text(row, "role") as IssuerRole,
    state: text(row, "state") as IssuerState,
    certificate: parseFingerprint(text(row, "certificate")),
    createdAt: time(row, "created_at"),
  };
}

function certificateOf(row: Row): CertificateRecord {
  return {
    fingerprint: parseFingerprint(text(row, "fingerprint")),
    serialNumber: parseSerialNumber(text(row, "serial_number")),
    issuer: text(row, "issuer"),
    der: row["der"] as Uint8Array,
    subject: text(row, "subject"),
    names: JSON.parse(text(row, "names")) as CertificateName[],
    identity: optionalText(row, "identity"),
    publicKey: parseFingerprint(text(row, "public_key")),
    profile: text(row, "profile"),
    requester: text(row, "requester"),
    parent: row["parent"] === null ? undefined : parseFingerprint(text(row, "parent")),
    enrolment: parseFingerprint(text(row, "enrolment")),
    notBefore: time(row, "not_before"),
    notAfter: time(row, "not_after"),
    issuedAt: time(row, "issued_at"),
    revocation:
      row["revoked_at"] === null
        ? undefined
        : {
            revokedAt: time(row, "revoked_at"),
            reason: text(row, "reason") as RevocationReason,
            cause: parseFingerprint(text(row, "cause")),
            requester: text(row, "revoked_by"),
          },
  };
}

function crlOf(row: Row): CrlRecord {
  return {
    issuer: text(row, "issuer"),
    number: Number(row["number"]),
    der: row["der"] as Uint8Array,
    thisUpdate: time(row, "this_update"),
    nextUpdate: time(row, "next_update"),
  };
}

function text(row: Row, column: string): string {
  const value = row[column];
  if (typeof value !== "string") throw new TypeError(`column ${column} holds no text`);
  return value;
}

function optionalText(row: Row, column: string): string | undefined {
  return row[column] === null ? undefined : text(row, column);
}

function time(row: Row, column: string): Date {
  return new Date(Number(row[column]));
}

function nameKey({ kind, value }: CertificateName): string {
  return kind === "dns" ? value.toLowerCase() : value;
}

const selectCertificates = `
  SELECT c.*, r.revoked_at, r.reason, r.cause, r.requester AS revoked_by,
    (SELECT json_group_array(json_object('kind', n.kind, 'value', n.value))
      FROM certificate_names n WHERE n.certificate = c.fingerprint) AS names
  FROM certificates c LEFT JOIN revocations r ON r.certificate = c.fingerprint`;
