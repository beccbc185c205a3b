import { parseFingerprint, parseSerialNumber } from "@handfast/x509";
import type { Fingerprint } from "@handfast/x509";
import { CaError } from "../errors.ts";
import { createAcmeReads, createAcmeWrites } from "./sql-acme.ts";
import { certificateOf, certificateSelection, conditionsOf, nameKey } from "./sql-certificates.ts";
import { prune } from "./sql-prune.ts";
import { bytes, text, time } from "./sql.ts";
import type { Row, SqlDialect, Statements } from "./sql.ts";
import type {
  AuthorityRecord,
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
      const row = await statement("SELECT * FROM authority").get();
      if (row === undefined) return undefined;
      return {
        trustDomain: text(row, "trust_domain"),
        createdAt: time(row, "created_at"),
        bundleSequence: Number(row["bundle_sequence"]),
      };
    },
    async issuers(): Promise<readonly IssuerRecord[]> {
      const rows = await statement("SELECT * FROM issuers ORDER BY generation, name DESC").all();
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
        JOIN renewal_blocks b ON b.identity = c.identity
        WHERE c.fingerprint = ? AND coalesce(c.line_start, c.position) <= b.last_position`).get(
        fingerprint,
      );
      return row !== undefined;
    },
    async keyCompromised(publicKey): Promise<boolean> {
      const sql = "SELECT 1 FROM compromised_keys WHERE public_key = ?";
      return (await statement(sql).get(publicKey)) !== undefined;
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
    prune: (rule) => prune(statement, rule),
    async addAuthority({ trustDomain, createdAt, bundleSequence }): Promise<void> {
      await statement(`
        INSERT INTO authority (one, trust_domain, created_at, bundle_sequence)
        VALUES (1, ?, ?, ?)`).run(trustDomain, createdAt.getTime(), bundleSequence);
    },
    async addIssuer(issuer: IssuerRecord): Promise<void> {
      await statement(`
        INSERT INTO issuers (name, role, generation, state, certificate, created_at)
        VALUES (?, ?, ?, ?, ?, ?)`).run(
        issuer.name,
        issuer.role,
        issuer.generation,
        issuer.state,
        issuer.certificate,
        issuer.createdAt.getTime(),
      );
    },
    async setIssuerState(name, state): Promise<void> {
      const changes = await statement("UPDATE issuers SET state = ? WHERE name = ?").run(
        state,
        name,
      );
      if (changes === 0) throw new CaError("STORE_FAILED", `issuer ${name} is not recorded`);
    },
    async raiseBundleSequence(atLeast): Promise<number> {
      const row = await statement(`
        UPDATE authority SET bundle_sequence = CASE
          WHEN bundle_sequence < ? THEN ? ELSE bundle_sequence + 1 END
        RETURNING bundle_sequence`).get(atLeast, atLeast);
      return Number(row?.["bundle_sequence"]);
    },
    async addCertificate(certificate: NewCertificateRecord): Promise<void> {
      await statement(`
        INSERT INTO certificates (
          fingerprint, issuer, serial_number, der, subject, identity, public_key, profile,
          requester, parent, enrolment, not_before, not_after, issued_at, line_start
        ) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, (
          SELECT coalesce(line_start, position) FROM certificates WHERE fingerprint = ?
        ))`).run(
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
        certificate.parent ?? null,
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
      if (reason !== "keyCompromise") return;
      await statement(`
        INSERT INTO compromised_keys SELECT public_key FROM certificates WHERE fingerprint = ?
        ON CONFLICT DO NOTHING`).run(fingerprint);
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

function issuerOf(row: Row): IssuerRecord {
  return {
    name: text(row, "name"),
    role: text(row, "role") as IssuerRole,
    generation: Number(row["generation"]),
    state: text(row, "state") as IssuerState,
    certificate: parseFingerprint(text(row, "certificate")),
    createdAt: time(row, "created_at"),
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
