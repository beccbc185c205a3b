import type { SQLInputValue, SQLOutputValue, StatementSync } from "node:sqlite";
import { CaError } from "../errors.ts";
import type { AcmeReads, AcmeRecord, AcmeWrites } from "./acme-records.ts";

/** The reads of ACME state on one connection. */
export function createAcmeReads(statement: (sql: string) => StatementSync): AcmeReads {
  return {
    async acmeRecord(kind, id): Promise<AcmeRecord | undefined> {
      const row = statement("SELECT * FROM acme_records WHERE kind = ? AND id = ?").get(kind, id);
      return row === undefined ? undefined : recordOf(row);
    },
    async acmeRecords({ kind, owner, before, limit }): Promise<readonly AcmeRecord[]> {
      const conditions = ["kind = ?"];
      const values: SQLInputValue[] = [kind];
      if (owner !== undefined) {
        conditions.push("owner = ?");
        values.push(owner);
      }
      if (before !== undefined) {
        conditions.push("position < (SELECT position FROM acme_records WHERE kind = ? AND id = ?)");
        values.push(kind, before);
      }
      return statement(`
        SELECT * FROM acme_records WHERE ${conditions.join(" AND ")}
        ORDER BY position DESC LIMIT ?`)
        .all(...values, limit)
        .map(recordOf);
    },
  };
}

/** The writes of ACME state, on the connection that holds the transaction. */
export function createAcmeWrites(statement: (sql: string) => StatementSync): AcmeWrites {
  return {
    async addAcmeRecord({ kind, id, owner, body, createdAt, keepUntil }): Promise<void> {
      statement(`
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
      const { changes } = statement(
        "UPDATE acme_records SET body = ?, keep_until = ? WHERE kind = ? AND id = ?",
      ).run(body, keepUntil?.getTime() ?? null, kind, id);
      if (changes === 0) throw new CaError("STORE_FAILED", `ACME ${kind} ${id} is not recorded`);
    },
    async removeAcmeRecord(kind, id): Promise<void> {
      statement("DELETE FROM acme_records WHERE kind = ? AND id = ?").run(kind, id);
    },
    async forgetAcmeRecords({ endedBefore, limit }): Promise<number> {
      const { changes } = statement(`
        DELETE FROM acme_records WHERE position IN (
          SELECT position FROM acme_records WHERE keep_until < ? ORDER BY keep_until LIMIT ?)`).run(
        endedBefore.getTime(),
        limit,
      );
      return Number(changes);
    },
  };
}

function recordOf(row: Record<string, SQLOutputValue>): AcmeRecord {
  const { kind, id, owner, body } = row;
  return {
    kind: String(kind),
    id: String(id),
    owner: owner === null ? undefined : String(owner),
    body: String(body),
    createdAt: new Date(Number(row["created_at"])),
    keepUntil: row["keep_until"] === null ? undefined : new Date(Number(row["keep_until"])),
  };
}
