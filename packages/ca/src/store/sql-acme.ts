import { CaError } from "../errors.ts";
import type { AcmeReads, AcmeRecord, AcmeWrites } from "./acme-records.ts";
import { optionalText, text, time } from "./sql.ts";
import type { Row, SqlValue, Statements } from "./sql.ts";

/** The reads of ACME state on one connection. */
export function createAcmeReads(statement: Statements): AcmeReads {
  return {
    async acmeRecord(kind, id): Promise<AcmeRecord | undefined> {
      const row = await statement("SELECT * FROM acme_records WHERE kind = ? AND id = ?").get(
        kind,
        id,
      );
      return row === undefined ? undefined : recordOf(row);
    },
    async acmeRecords({ kind, owner, before, limit }): Promise<readonly AcmeRecord[]> {
      const conditions = ["kind = ?"];
      const values: SqlValue[] = [kind];
      if (owner !== undefined) {
        conditions.push("owner = ?");
        values.push(owner);
      }
      if (before !== undefined) {
        conditions.push("position < (SELECT position FROM acme_records WHERE kind = ? AND id = ?)");
        values.push(kind, before);
      }
      const rows = await statement(`
        SELECT * FROM acme_records WHERE ${conditions.join(" AND ")}
        ORDER BY position DESC LIMIT ?`).all(...values, limit);
      return rows.map(recordOf);
    },
  };
}

/** The writes of ACME state, on the connection that holds the transaction. */
export function createAcmeWrites(statement: Statements): AcmeWrites {
  return {
    async addAcmeRecord({ kind, id, owner, body, createdAt, keepUntil }): Promise<void> {
      await statement(`
        INSERT INTO acme_records (kind, id, owner, body, created_at, keep_until)
        VALUES (?, ?, ?, ?, ?, ?)`).run(
        kind,
        id,
        owner ?? null,
        body,
        createdAt.getTime(),
        keepUntil?.getTime() ?? null,
      );
    },
    async changeAcmeRecord({ kind, id, body, keepUntil }): Promise<void> {
      const changes = await statement(
        "UPDATE acme_records SET body = ?, keep_until = ? WHERE kind = ? AND id = ?",
      ).run(body, keepUntil?.getTime() ?? null, kind, id);
      if (changes === 0) throw new CaError("STORE_FAILED", `ACME ${kind} ${id} is not recorded`);
    },
    async removeAcmeRecord(kind, id): Promise<void> {
      await statement("DELETE FROM acme_records WHERE kind = ? AND id = ?").run(kind, id);
    },
    async forgetAcmeRecords({ endedBefore, limit }): Promise<number> {
      return statement(`
        DELETE FROM acme_records WHERE position IN (
          SELECT position FROM acme_records WHERE keep_until < ? ORDER BY keep_until LIMIT ?)`).run(
        endedBefore.getTime(),
        limit,
      );
    },
  };
}

function recordOf(row: Row): AcmeRecord {
  return {
    kind: text(row, "kind"),
    id: text(row, "id"),
    owner: optionalText(row, "owner"),
    body: text(row, "body"),
    createdAt: time(row, "created_at"),
    keepUntil: row["keep_until"] === null ? undefined : time(row, "keep_until"),
  };
}
