import { hash } from "node:crypto";
import { isSameAccount } from "./account-name.ts";
import type { AccountName } from "./account-name.ts";
import { isInRange } from "./money.ts";
import type { Money } from "./money.ts";

/** An account at one moment. The bank's own cash accounts may go below zero, customers' may not. */
export interface AccountState {
  /** The store's own name for it; never on the wire. */
  readonly key: string;
  readonly name: AccountName;
  readonly kind: "customer" | "cash";
  readonly currencyCode: string;
  readonly balance: bigint;
  /** The number of entries; thus the sequence number of the last one. */
  readonly version: bigint;
  /** Of the last entry ({@link entryDigest}); {@link emptyDigest} while there is none. */
  readonly digest: Uint8Array;
  /** Milliseconds since 1970. */
  readonly openedAt: bigint;
}

/** Why money was moved. */
export type PostingKind = "deposit" | "withdrawal" | "transfer";

/** What is to be posted: one amount from one account to another. */
interface Posting {
  readonly operationId: string;
  readonly kind: PostingKind;
  /** Greater than zero. */
  readonly amount: Money;
  /** Milliseconds since 1970. */
  readonly postedAt: bigint;
  readonly description: string;
}

/** One immutable line of one account. */
export interface Entry {
  readonly account: AccountName;
  readonly sequence: bigint;
  readonly operationId: string;
  readonly kind: PostingKind;
  /** Positive if money came in, negative if it went out. */
  readonly amount: bigint;
  /** After this entry. */
  readonly balance: bigint;
  readonly currencyCode: string;
  readonly postedAt: bigint;
  /** The other account of a transfer, on a cash account also the customer's; else undefined. */
  readonly counterparty: AccountName | undefined;
  readonly description: string;
  readonly digest: Uint8Array;
}

/** One side of a move: the account after it, and the entry that made it so. */
export interface Side {
  readonly account: AccountState;
  readonly entry: Entry;
}

/** Why a ledger refuses a move. */
type LedgerRefusal = "INSUFFICIENT_FUNDS" | "CURRENCY_MISMATCH" | "BALANCE_OUT_OF_RANGE";

/**
 * Moves an amount: two entries that sum to zero and the two accounts after them, or why not. Pure; the
 * only place where balances are computed.
 *
 * @throws TypeError if the amount is not greater than zero or both accounts are one.
 */
export function move(
  from: AccountState,
  to: AccountState,
  posting: Posting,
): { ok: true; from: Side; to: Side } | { ok: false; refusal: LedgerRefusal } {
  const { minorUnits, currencyCode } = posting.amount;
  if (minorUnits <= 0n) throw new TypeError("a posting moves an amount greater than zero");
  if (isSameAccount(from.name, to.name)) throw new TypeError("a posting has two accounts");
  if (from.currencyCode !== currencyCode || to.currencyCode !== currencyCode) {
    return { ok: false, refusal: "CURRENCY_MISMATCH" };
  }
  if (from.kind === "customer" && from.balance < minorUnits) {
    return { ok: false, refusal: "INSUFFICIENT_FUNDS" };
  }
  if (!isInRange(from.balance - minorUnits) || !isInRange(to.balance + minorUnits)) {
    return { ok: false, refusal: "BALANCE_OUT_OF_RANGE" };
  }
  return {
    ok: true,
    from: post(from, { ...posting, signedAmount: -minorUnits, other: to }),
    to: post(to, { ...posting, signedAmount: minorUnits, other: from }),
  };
}

/** The digest of an account without entries. */
export const emptyDigest: Uint8Array = new Uint8Array(32);

/**
 * The digest of an entry and all before it on its account, as bank.proto says at Entry.digest: whoever
 * has all lines of a statement can compute it and compare it with the closing's.
 *
 * @param previous the digest of the entry before, {@link emptyDigest} before the first
 */
export function entryDigest(
  previous: Uint8Array,
  entry: Omit<Entry, "digest" | "account">,
): Uint8Array {
  const { counterparty } = entry;
  const texts = [
    entry.currencyCode,
    entry.operationId,
    counterparty?.owner ?? "",
    counterparty?.accountId ?? "",
    entry.description,
  ];
  // One buffer and one call: this runs twice for every transfer.
  const lengths = texts.map((text) => Buffer.byteLength(text));
  const size = lengths.reduce((sum, length) => sum + 4 + length, previous.length + 33);
  const bytes = Buffer.allocUnsafe(size);
  bytes.set(previous, 0);
  let at = previous.length;
  for (const number of [entry.sequence, entry.amount, entry.balance, entry.postedAt]) {
    at = bytes.writeBigInt64BE(number, at);
  }
  at = bytes.writeUInt8(entryKindNumber(entry), at);
  for (const [index, text] of texts.entries()) {
    at = bytes.writeUInt32BE(lengths[index] ?? 0, at);
    at += bytes.write(text, at);
  }
  return hash("sha256", bytes, "buffer");
}

/** The number of the entry's kind in bank.v1.EntryKind. */
export function entryKindNumber(entry: Pick<Entry, "kind" | "amount">): 1 | 2 | 3 | 4 {
  switch (entry.kind) {
    case "deposit":
      return 1;
    case "withdrawal":
      return 2;
    case "transfer":
      return entry.amount < 0n ? 3 : 4;
  }
}

function post(
  account: AccountState,
  posting: Posting & { signedAmount: bigint; other: AccountState },
): Side {
  const sequence = account.version + 1n;
  const balance = account.balance + posting.signedAmount;
  const fields = {
    sequence,
    operationId: posting.operationId,
    kind: posting.kind,
    amount: posting.signedAmount,
    balance,
    currencyCode: account.currencyCode,
    postedAt: posting.postedAt,
    counterparty: posting.other.kind === "customer" ? posting.other.name : undefined,
    description: posting.description,
  };
  const digest = entryDigest(account.digest, fields);
  return {
    account: { ...account, balance, version: sequence, digest },
    entry: { account: account.name, ...fields, digest },
  };
}
