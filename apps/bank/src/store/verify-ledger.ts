import { emptyDigest, entryDigest } from "../ledger.ts";
import type { AccountState, Entry } from "../ledger.ts";
import { query } from "./procedures.ts";
import type { Procedure } from "./procedures.ts";
import { accountFromRow, entryFromRow, integer, text } from "./rows.ts";
import type { Verification } from "./store.ts";

/**
 * Replays the whole ledger inside one snapshot and names what does not hold: each operation sums to
 * zero, each account's entries have no gap, carry the right running balance and digest and end where
 * the account stands, no customer is below zero, and every currency sums to zero.
 */
export function* verifyLedger(): Procedure<Verification> {
  const faults: string[] = [];
  const sums = new Map<string, bigint>();
  for (let after = ""; faults.length < faultLimit;) {
    const rows = yield query("listAccounts", after, pageSize);
    if (rows.length === 0) break;
    for (const account of rows.map(accountFromRow)) {
      after = account.key;
      sums.set(account.currencyCode, (sums.get(account.currencyCode) ?? 0n) + account.balance);
      faults.push(...(yield* verifyAccount(account)));
    }
  }
  for (const [currency, sum] of sums) {
    if (sum !== 0n) faults.push(`the balances in ${currency} sum to ${sum}, not to zero`);
  }
  const unbalanced = yield query("listUnbalancedOperations");
  for (const row of unbalanced) {
    faults.push(`operation ${text(row["operation_id"])} is not two entries that sum to zero`);
  }
  const [counts] = yield query("countAll");
  return {
    accounts: integer(counts?.["accounts"]),
    operations: integer(counts?.["operations"]),
    entries: integer(counts?.["entries"]),
    faults: faults.slice(0, faultLimit),
  };
}

function* verifyAccount(account: AccountState): Procedure<readonly string[]> {
  const name = `account ${account.name.accountId} of ${account.name.owner}`;
  let before: Pick<Entry, "sequence" | "balance" | "digest"> = {
    sequence: 0n,
    balance: 0n,
    digest: emptyDigest,
  };
  for (;;) {
    const rows = yield query("listEntriesOfAccount", account.key, before.sequence, pageSize);
    if (rows.length === 0) break;
    for (const entry of rows.map(entryFromRow)) {
      const fault = faultOfEntry(before, entry, account.kind);
      if (fault !== undefined) return [`${name}, entry ${entry.sequence}: ${fault}`];
      before = entry;
    }
  }
  if (account.version !== before.sequence) {
    return [`${name}: version ${account.version}, but ${before.sequence} entries`];
  }
  if (account.balance !== before.balance) {
    return [`${name}: balance ${account.balance}, but its entries end at ${before.balance}`];
  }
  return isEqual(account.digest, before.digest) ? [] : [`${name}: digest is not its last entry's`];
}

function faultOfEntry(
  before: Pick<Entry, "sequence" | "balance" | "digest">,
  entry: Entry,
  kind: AccountState["kind"],
): string | undefined {
  if (entry.sequence !== before.sequence + 1n) return `follows entry ${before.sequence}`;
  if (entry.balance !== before.balance + entry.amount) {
    return `balance ${entry.balance}, expected ${before.balance + entry.amount}`;
  }
  if (kind === "customer" && entry.balance < 0n) return `balance ${entry.balance} is below zero`;
  if (!isEqual(entry.digest, entryDigest(before.digest, entry))) return "digest does not match";
  return undefined;
}

function isEqual(one: Uint8Array, other: Uint8Array): boolean {
  return Buffer.from(one).equals(other);
}

const pageSize = 500n;
const faultLimit = 100;
