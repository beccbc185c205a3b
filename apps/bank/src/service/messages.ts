// What the bank knows, as the messages of bank.proto.
import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { AccountSchema, BalanceSchema, EntrySchema } from "../gen/bank/v1/bank_pb.ts";
import { entryKindNumber } from "../ledger.ts";
import type { AccountState, Entry } from "../ledger.ts";

/** bank.v1.Account */
export function accountMessage(account: AccountState): MessageInitShape<typeof AccountSchema> {
  const { name, currencyCode, openedAt } = account;
  return { name, currencyCode, openedAt: timestampFromMs(Number(openedAt)) };
}

/** bank.v1.Balance */
export function balanceMessage(account: AccountState): MessageInitShape<typeof BalanceSchema> {
  const { name, balance, currencyCode, version } = account;
  return { name, amount: { minorUnits: balance, currencyCode }, version };
}

/** bank.v1.Entry */
export function entryMessage(entry: Entry): MessageInitShape<typeof EntrySchema> {
  const { sequence, operationId, currencyCode, counterparty, description, digest } = entry;
  return {
    sequence,
    operationId,
    kind: entryKindNumber(entry),
    amount: { minorUnits: entry.amount, currencyCode },
    balance: { minorUnits: entry.balance, currencyCode },
    postedAt: timestampFromMs(Number(entry.postedAt)),
    ...(counterparty === undefined ? {} : { counterparty }),
    description,
    digest,
  };
}
