import { BankError } from "../errors.ts";
import type { AccountState, Entry, PostingKind } from "../ledger.ts";

/** A value as the stores give and take it; integers are always bigint. */
export type SqlValue = string | bigint | Uint8Array | null;

/** One row, by column. */
export type Row = Readonly<Record<string, SqlValue>>;

/** The account in a row of `accounts`. @throws BankError LEDGER_BROKEN if the row is not one. */
export function accountFromRow(row: Row): AccountState {
  const kind = text(row["kind"]);
  if (kind !== "customer" && kind !== "cash") throw malformed("an account of unknown kind");
  return {
    key: text(row["account_key"]),
    name: { owner: text(row["owner"]), accountId: text(row["account_id"]) },
    kind,
    currencyCode: text(row["currency_code"]),
    balance: integer(row["balance"]),
    version: integer(row["version"]),
    digest: bytes(row["digest"]),
    openedAt: integer(row["opened_at"]),
  };
}

/** The entry in a row of the joined tables. @throws BankError LEDGER_BROKEN if the row is not one. */
export function entryFromRow(row: Row): Entry {
  return {
    account: { owner: text(row["owner"]), accountId: text(row["account_id"]) },
    sequence: integer(row["sequence"]),
    operationId: text(row["operation_id"]),
    kind: postingKind(text(row["kind"])),
    amount: integer(row["amount"]),
    balance: integer(row["balance"]),
    currencyCode: text(row["currency_code"]),
    postedAt: integer(row["posted_at"]),
    counterparty:
      text(row["counterparty_kind"]) === "cash"
        ? undefined
        : {
            owner: text(row["counterparty_owner"]),
            accountId: text(row["counterparty_account_id"]),
          },
    description: text(row["description"]),
    digest: bytes(row["digest"]),
  };
}

/** The text in a column. @throws BankError LEDGER_BROKEN if it holds something else. */
export function text(value: SqlValue | undefined): string {
  if (typeof value !== "string") throw malformed("a column that should hold text");
  return value;
}

/** The integer in a column. @throws BankError LEDGER_BROKEN if it holds something else. */
export function integer(value: SqlValue | undefined): bigint {
  if (typeof value !== "bigint") throw malformed("a column that should hold an integer");
  return value;
}

function bytes(value: SqlValue | undefined): Uint8Array {
  if (!(value instanceof Uint8Array)) throw malformed("a column that should hold bytes");
  return value;
}

function postingKind(kind: string): PostingKind {
  if (kind === "deposit" || kind === "withdrawal" || kind === "transfer") return kind;
  throw malformed("an entry of an operation that moves no money");
}

function malformed(what: string): BankError {
  return new BankError("LEDGER_BROKEN", `the store gave ${what}`);
}
