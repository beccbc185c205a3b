import { parseFingerprint, parseSerialNumber } from "@handfast/x509";
import type { Fingerprint } from "@handfast/x509";
import { createAcmeReads, createAcmeWrites } from "./sql-acme.ts";
import { bytes, optionalText, text, time } from "./sql.ts";
import type { Row, SqlDialect, SqlValue, Statements } from "./sql.ts";
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

/** The reads of the store contract on one connection, or one that a pool lends for each. */
export function createRecordReads(statement: Statements, dialect: SqlDialect): RecordReads {
  const selectCertificates = certificateSelection(dialect);

  return {
    ...createAcmeReads(statement),
    async authority(): Promise<AuthorityRecord | undefined> {
      const row = await statement("SELECT trust_domain, created_at FROM authority").get();
      if (row === undefined) return undefined;
      return { trustDomain: text(row, "trust_domain"), createdAt: time(row, "created_at") };
    },
    async issuers(): Promise<readonly IssuerRecord[]> {
      const rows = await statement("SELECT * FROM issuers ORDER BY created_at, name").all();
      return rows.map(issuerOf);
    },
    async certificate(fingerprint: Fingerprint): Promise<CertificateRecord | undefined> {
      const row = await statement(`${selectCertificates} WHERE c.fingerprint = ?`).get(fingerprint);
      return row === undefined ? undefined : certificateOf(row);
    },
    async certificates(query: CertificateQuery): Promise<readonly CertificateRecord[]> {
      const { where, values } = conditionsOf(query);
      const limit = query.limit ?? 1_000;
      if (!Number.isInteger(limit) || limit < 1 || limit > 10_000) {
        throw new TypeError(`limit must be a whole number from 1 to 10,000, not ${limit}`);
      }
      const rows = await statement(
        `${selectCertificates} ${where} ORDER BY c.position DESC LIMIT ?`,
      ).all(...values, limit);
      return rows.map(certificateOf);
    },
    async revoked(issuer, { endingFrom }): Promise<readonly RevokedCertificate[]> {
      const rows = await statement(`
        SELECT c.serial_number, r.revoked_at, r.reason
        FROM revocations r JOIN certificates c ON c.fingerprint = r.certificate
        WHERE c.issuer = ? AND c.not_after >= ? ORDER BY r.revoked_at, c.position`).all(
        issuer,
        endingFrom.getTime(),
      );
      return rows.map((row) => ({
        serialNumber: parseSerialNumber(text(row, "serial_number")),
        revokedAt: time(row, "revoked_at"),
        reason: text(row, "reason") as RevocationReason,
      }));
    },
    async latestCrl(issuer): Promise<CrlRecord | undefined> {
      const row = await statement(
        "SELECT * FROM crls WHERE issuer = ? ORDER BY number DESC LIMIT 1",
      ).get(issuer);
      return row === undefined ? undefined : crlOf(row);
    },
    async crlNumber(issuer): Promise<number | undefined> {
      const row = await statement("SELECT max(number) AS number FROM crls WHERE issuer = ?").get(
        issuer,
      );
      return row === undefined || row["number"] === null ? undefined : Number(row["number"]);
    },
    async renewalBlocked(fingerprint): Promise<boolean> {
      const row = await statement(`
        SELECT 1 FROM certificates c
        JOIN certificates first ON first.fingerprint = c.enrolment
        JOIN renewal_blocks b ON b.identity = c.identity
        WHERE c.fingerprint = ? AND first.position <= b.last_position`).get(fingerprint);
      return row !== undefined;
    },
    async spentToken(id): Promise<SpentToken | undefined> {
      const row = await statement("SELECT * FROM tokens WHERE id = ?").get(id);
      if (row === undefined) return undefined;
      const certificate = parseFingerprint(text(row, "certificate"));
      return { id, spentAt: time(row, "spent_at"), certificate };
    },
  };
}

/** Reads and writes of the store contract, on the connection that holds the transaction. */
export function createRecords(statement: Statements, dialect: SqlDialect): Records {
  return {
    ...createRecordReads(statement, dialect),
    ...createAcmeWrites(statement),
    async addAuthority({ trustDomain, createdAt }: AuthorityRecord): Promise<void> {
      await statement("INSERT INTO authority VALUES (1, ?, ?)").run(
        trustDomain,
        createdAt.getTime(),
      );
    },
    async addIssuer(issuer: IssuerRecord): Promise<void> {
      await statement("INSERT INTO issuers VALUES (?, ?, ?, ?, ?)").run(
        issuer.name,
        issuer.role,
        issuer.state,
        issuer.certificate,
        issuer.createdAt.getTime(),
      );
    },
    async addCertificate(certificate: NewCertificateRecord): Promise<void> {
      await statement(`
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
      const addName = statement(
        "INSERT INTO certificate_names VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
      );
      for (const { kind, value } of certificate.names) {
        await addName.run(nameKey({ kind, value }), kind, certificate.fingerprint);
      }
    },
    async addRevocation(fingerprint, { revokedAt, reason, cause, requester }): Promise<void> {
      await statement("INSERT INTO revocations VALUES (?, ?, ?, ?, ?)").run(
        fingerprint,
        revokedAt.getTime(),
        reason,
        cause,
        requester,
      );
    },
    async blockRenewals(identity): Promise<void> {
      await statement(`
        INSERT INTO renewal_blocks
        SELECT CAST(? AS TEXT), coalesce(max(position), 0) FROM certificates WHERE true
        ON CONFLICT (identity) DO UPDATE SET last_position = excluded.last_position`).run(identity);
    },
    async nextCrlNumber(issuer, atLeast): Promise<number> {
      const row = await statement(`
        INSERT INTO crl_numbers VALUES (?, ?)
        ON CONFLICT (issuer) DO UPDATE SET last_number = CASE
          WHEN crl_numbers.last_number < excluded.last_number THEN excluded.last_number
          ELSE crl_numbers.last_number + 1 END
        RETURNING last_number`).get(issuer, atLeast);
      return Number(row?.["last_number"]);
    },
    async spendToken({ id, spentAt, certificate, keepUntil }): Promise<void> {
      await statement("DELETE FROM tokens WHERE not_after < ?").run(spentAt.getTime());
      await statement(
        "INSERT INTO tokens (id, not_after, spent_at, certificate) VALUES (?, ?, ?, ?)",
      ).run(id, keepUntil.getTime(), spentAt.getTime(), certificate);
    },
    async addCrl({ issuer, number, der, thisUpdate, nextUpdate }): Promise<void> {
      await statement("INSERT INTO crls VALUES (?, ?, ?, ?, ?)").run(
        issuer,
        number,
        der,
        thisUpdate.getTime(),
        nextUpdate.getTime(),
      );
      await statement(`
        DELETE FROM crls WHERE issuer = ?
          AND number < (SELECT max(number) FROM crls WHERE issuer = ?)`).run(issuer, issuer);
    },
  };
}

function conditionsOf(query: CertificateQuery): { where: string; values: SqlValue[] } {
  const conditions: string[] = [];
  const values: SqlValue[] = [];
  const add = (condition: string, ...given: SqlValue[]) => {
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
      `(lower(c.subject) LIKE lower(?) ESCAPE '\\' OR EXISTS (SELECT 1 FROM certificate_names n
        WHERE n.certificate = c.fingerprint AND lower(n.value) LIKE lower(?) ESCAPE '\\'))`,
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
    der: bytes(row, "der"),
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
    der: bytes(row, "der"),
    thisUpdate: time(row, "this_update"),
    nextUpdate: time(row, "next_update"),
  };
}

function nameKey({ kind, value }: CertificateName): string {
  return kind === "dns" ? value.toLowerCase() : value;
}

function certificateSelection({ namesAsJson }: SqlDialect): string {
  return `
    SELECT c.*, r.revoked_at, r.reason, r.cause, r.requester AS revoked_by,
      (SELECT ${namesAsJson} FROM certificate_names n WHERE n.certificate = c.fingerprint) AS names
    FROM certificates c LEFT JOIN revocations r ON r.certificate = c.fingerprint`;
}
