import { parseFingerprint, parseSerialNumber } from "@handfast/x509";
import { bytes, optionalText, text, time } from "./sql.ts";
import type { Row, SqlDialect, SqlValue } from "./sql.ts";
import type {
  CertificateName,
  CertificateQuery,
  CertificateRecord,
  RevocationReason,
} from "./store.ts";

/** Selects certificates `c` with their names and their revocation `r`. */
export function certificateSelection({ namesAsJson }: SqlDialect): string {
  return `
    SELECT c.*, r.revoked_at, r.reason, r.cause, r.requester AS revoked_by,
      (SELECT ${namesAsJson} FROM certificate_names n WHERE n.certificate = c.fingerprint) AS names
    FROM certificates c LEFT JOIN revocations r ON r.certificate = c.fingerprint`;
}

/** A query as conditions on such a selection. */
export function conditionsOf(query: CertificateQuery): { where: string; values: SqlValue[] } {
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

/** A row of such a selection. */
export function certificateOf(row: Row): CertificateRecord {
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

/** How a name is written in the index of names. */
export function nameKey({ kind, value }: CertificateName): string {
  return kind === "dns" ? value.toLowerCase() : value;
}
