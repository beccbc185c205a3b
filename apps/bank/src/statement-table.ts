import { timestampDate } from "@bufbuild/protobuf/wkt";
import { EntryKind } from "./gen/bank/v1/bank_pb.ts";
import type { Entry, StatementClosing, StatementOpening } from "./gen/bank/v1/bank_pb.ts";
import { formatAmount } from "./money.ts";
import type { Money } from "./money.ts";
import { printable } from "./printable.ts";

/** What a statement came to, as it was streamed. */
export interface Statement {
  readonly opening: StatementOpening;
  readonly entries: readonly Entry[];
  readonly closing: StatementClosing;
}

/** A statement as a table of plain text, one line per entry, numbers to the right. */
export function statementTable({ opening, entries, closing }: Statement): string {
  const account = opening.account?.name?.accountId ?? "";
  const currency = opening.account?.currencyCode ?? "";
  const before = closing.entryCount - BigInt(entries.length);
  const rows = [
    ["", "", "opening balance", "", amount(opening.openingBalance)],
    ...entries.map((entry) => [
      entry.sequence.toString(),
      entry.postedAt === undefined ? "" : timestampDate(entry.postedAt).toISOString(),
      [kinds[entry.kind] ?? "entry", counterpartyOf(entry), printable(entry.description)]
        .filter((part) => part !== "")
        .join(" "),
      signed(entry.amount),
      amount(entry.balance),
    ]),
    ["", "", "in", signed(closing.totalIn), ""],
    ["", "", "out", signed(negated(closing.totalOut)), ""],
    ["", "", "closing balance", "", amount(closing.closingBalance)],
  ];
  const header = ["no.", "time", "what", `amount ${currency}`, `balance ${currency}`];
  const widths = header.map((title, column) =>
    Math.max(title.length, ...rows.map((row) => (row[column] ?? "").length)),
  );
  const line = (row: readonly string[]): string =>
    row
      .map((cell, column) => {
        const width = widths[column] ?? 0;
        return rightAligned.has(column) ? cell.padStart(width) : cell.padEnd(width);
      })
      .join("  ")
      .trimEnd();
  const rule = widths.map((width) => "-".repeat(width)).join("  ");
  const title = `Statement of account ${printable(account)}`;
  const digest = `SHA-256 ${Buffer.from(closing.digest).toString("hex")}`;
  const missing = before === 0n ? [] : [`${before} entries are missing`];
  return [title, "", line(header), rule, ...rows.map(line), rule, digest, ...missing].join("\n");
}

function counterpartyOf(entry: Entry): string {
  const name = entry.counterparty;
  if (name === undefined) return "";
  return `${entry.kind === EntryKind.TRANSFER_OUT ? "to" : "from"} ${printable(name.accountId)}`;
}

function amount(money: Money | undefined): string {
  return money === undefined ? "" : formatAmount(money);
}

function negated(money: Money | undefined): Money | undefined {
  return money && { ...money, minorUnits: -money.minorUnits };
}

function signed(money: Money | undefined): string {
  const text = amount(money);
  return money !== undefined && money.minorUnits > 0n ? `+${text}` : text;
}

const kinds: Readonly<Record<EntryKind, string>> = {
  [EntryKind.UNSPECIFIED]: "entry",
  [EntryKind.DEPOSIT]: "deposit",
  [EntryKind.WITHDRAWAL]: "withdrawal",
  [EntryKind.TRANSFER_OUT]: "transfer",
  [EntryKind.TRANSFER_IN]: "transfer",
};

/** The columns of numbers. */
const rightAligned: ReadonlySet<number> = new Set([0, 3, 4]);
