import type { MessageInitShape } from "@bufbuild/protobuf";
import type { AccountName } from "../account-name.ts";
import { BankError } from "../errors.ts";
import type {
  EntrySchema,
  StatementClosingSchema,
  StatementOpeningSchema,
  StatementPageSchema,
} from "../gen/bank/v1/bank_pb.ts";
import { emptyDigest } from "../ledger.ts";
import { isInRange, maximumMinorUnits } from "../money.ts";
import { readAccount } from "./bank.ts";
import type { Bank } from "./bank.ts";
import { accountMessage, entryMessage } from "./messages.ts";
import { encodePageToken, parsePageToken } from "./page-token.ts";

/** The most entries that one message holds. */
export const pageLimit = 500;

/** One page of an account's entries. @throws BankError ACCOUNT_NOT_FOUND, INVALID_REQUEST */
export async function listEntries(
  bank: Bank,
  account: AccountName,
  page: { readonly caller: string; readonly size: number; readonly token: string },
): Promise<{ entries: MessageInitShape<typeof EntrySchema>[]; nextPageToken: string }> {
  const scope = { caller: page.caller, account };
  const afterSequence = page.token === "" ? 0n : parsePageToken(scope, page.token);
  if (afterSequence === undefined) {
    const violations = [{ field: "page_token", description: "is not of this caller and account" }];
    throw new BankError("INVALID_REQUEST", "page_token is not valid", { violations });
  }
  await readAccount(bank, account);
  const size = page.size === 0 ? defaultPageSize : page.size;
  const range = { afterSequence, lastSequence: maximumMinorUnits, limit: size + 1 };
  const found = await bank.store.entries(account, range);
  const entries = found.slice(0, size);
  const last = entries.at(-1);
  return {
    entries: entries.map(entryMessage),
    nextPageToken:
      last === undefined || found.length <= size ? "" : encodePageToken(scope, last.sequence),
  };
}

/** One message of a statement, as the oneof of both services has it. */
type StatementPart =
  | { case: "opening"; value: MessageInitShape<typeof StatementOpeningSchema> }
  | { case: "page"; value: MessageInitShape<typeof StatementPageSchema> }
  | { case: "closing"; value: MessageInitShape<typeof StatementClosingSchema> };

/**
 * A statement: what the account held when the call began, read page by page as the client takes them.
 * Entries are never changed, so that a snapshot is no more than a last sequence number.
 *
 * @throws BankError ACCOUNT_NOT_FOUND, SEQUENCE_OUT_OF_RANGE, BALANCE_OUT_OF_RANGE, LEDGER_BROKEN
 */
export async function* statementOf(
  bank: Bank,
  name: AccountName,
  afterSequence: bigint,
): AsyncGenerator<{ part: StatementPart }> {
  const account = await readAccount(bank, name);
  const lastSequence = account.version;
  if (afterSequence > lastSequence) {
    const text = `the account has ${lastSequence} entries, not ${afterSequence}`;
    throw new BankError("SEQUENCE_OUT_OF_RANGE", text);
  }
  const { currencyCode } = account;
  const money = (minorUnits: bigint): { minorUnits: bigint; currencyCode: string } => {
    if (isInRange(minorUnits)) return { minorUnits, currencyCode };
    throw new BankError("BALANCE_OUT_OF_RANGE", "a total of the statement does not fit an int64");
  };
  const before = await bank.store.entries(name, {
    afterSequence: afterSequence - 1n,
    lastSequence: afterSequence,
    limit: 1,
  });
  let { sequence, balance, digest } = before[0] ?? {
    sequence: 0n,
    balance: 0n,
    digest: emptyDigest,
  };
  const openingBalance = money(balance);
  yield {
    part: {
      case: "opening",
      value: { account: accountMessage(account), openingBalance, lastSequence },
    },
  };
  let totalIn = 0n;
  let totalOut = 0n;
  while (sequence < lastSequence) {
    const range = { afterSequence: sequence, lastSequence, limit: pageLimit };
    const entries = await bank.store.entries(name, range);
    const last = entries.at(-1);
    if (last === undefined)
      throw new BankError("LEDGER_BROKEN", "entries of an account are missing");
    for (const { amount } of entries) {
      if (amount > 0n) totalIn += amount;
      else totalOut -= amount;
    }
    ({ sequence, balance, digest } = last);
    yield { part: { case: "page", value: { entries: entries.map(entryMessage) } } };
  }
  yield {
    part: {
      case: "closing",
      value: {
        entryCount: lastSequence - afterSequence,
        totalIn: money(totalIn),
        totalOut: money(totalOut),
        closingBalance: money(balance),
        digest,
      },
    },
  };
}

const defaultPageSize = 50;
