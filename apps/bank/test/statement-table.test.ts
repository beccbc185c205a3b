import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  EntryKind,
  EntrySchema,
  StatementClosingSchema,
  StatementOpeningSchema,
} from "../src/gen/bank/v1/bank_pb.ts";
import { printable } from "../src/printable.ts";
import { statementTable } from "../src/statement-table.ts";

test("a statement is printed as a table, numbers to the right", () => {
  const table = statementTable({
    opening: create(StatementOpeningSchema, {
      account: { name: { owner: "o", accountId: "12345" }, currencyCode: "USD" },
      openingBalance: usd(0n),
      lastSequence: 3n,
    }),
    entries: [
      line(1n, EntryKind.DEPOSIT, { amount: 100_000n, balance: 100_000n, description: "wages" }),
      line(2n, EntryKind.WITHDRAWAL, { amount: -25_000n, balance: 75_000n, description: "" }),
      line(3n, EntryKind.TRANSFER_OUT, { amount: -1n, balance: 74_999n, description: "rent" }),
    ],
    closing: create(StatementClosingSchema, {
      entryCount: 3n,
      totalIn: usd(100_000n),
      totalOut: usd(25_001n),
      closingBalance: usd(74_999n),
      digest: new Uint8Array(32).fill(0xab),
    }),
  });
  assert.equal(
    table,
    `Statement of account 12345

no.  time                      what                      amount USD  balance USD
---  ------------------------  ------------------------  ----------  -----------
                               opening balance                              0.00
  1  2026-01-02T03:04:05.006Z  deposit wages               +1000.00      1000.00
  2  2026-01-02T03:04:05.006Z  withdrawal                   -250.00       750.00
  3  2026-01-02T03:04:05.006Z  transfer to savings rent       -0.01       749.99
                               in                          +1000.00
                               out                          -250.01
                               closing balance                            749.99
---  ------------------------  ------------------------  ----------  -----------
SHA-256 ${"ab".repeat(32)}`,
  );
});

test("S64: what could move a terminal's cursor or turn its text around is written as an escape", () => {
  assert.equal(printable("\u001b]0;title\u0007"), String.raw`\u{1b}]0;title\u{7}`);
  assert.equal(printable("a\u202eb\u0085c\u2028d"), String.raw`a\u{202e}b\u{85}c\u{2028}d`);
  assert.equal(printable("naïve 日本 🙂"), "naïve 日本 🙂");
});

function line(
  sequence: bigint,
  kind: EntryKind,
  fields: { amount: bigint; balance: bigint; description: string },
) {
  return create(EntrySchema, {
    sequence,
    kind,
    amount: usd(fields.amount),
    balance: usd(fields.balance),
    description: fields.description,
    postedAt: timestampFromMs(Date.UTC(2026, 0, 2, 3, 4, 5, 6)),
    ...(kind === EntryKind.TRANSFER_OUT
      ? { counterparty: { owner: "o", accountId: "savings" } }
      : {}),
  });
}

function usd(minorUnits: bigint) {
  return { minorUnits, currencyCode: "USD" };
}
