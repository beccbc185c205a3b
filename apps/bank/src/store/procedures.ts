import type { AccountName } from "../account-name.ts";
import { BankError } from "../errors.ts";
import { emptyDigest, move } from "../ledger.ts";
import type { AccountState, Entry, PostingKind, Side } from "../ledger.ts";
import { accountFromRow, entryFromRow, text } from "./rows.ts";
import type { Row, SqlValue } from "./rows.ts";
import type { StatementName } from "./schema.ts";
import { refusalMemory } from "./store.ts";
import type {
  Command,
  CommandBase,
  EntryRange,
  MoveCommand,
  OpenCommand,
  Outcome,
  RefusalCode,
  RememberedCode,
} from "./store.ts";

/**
 * Work inside one transaction, told apart from how its statements are run: it yields a statement and is
 * given its rows. So SQLite (which answers at once) and PostgreSQL (which is awaited) share it.
 */
export type Procedure<T> = Generator<Query, T, readonly Row[]>;

/** One statement to be run. */
interface Query {
  readonly statement: StatementName;
  readonly parameters: readonly SqlValue[];
}

/** Carries out a command, or finds how it ended before. The caller owns the transaction. */
export function* executeCommand(
  command: Command,
  bank: BankInstance = { cashShard: 0 },
): Procedure<Outcome> {
  const earlier = yield* recall(command);
  if (earlier !== undefined) return earlier;
  return command.kind === "open" ? yield* openAccount(command) : yield* moveMoney(command, bank);
}

/** What tells one bank from another on the same database. */
interface BankInstance {
  /** Which of the cash accounts of a currency it moves money by. */
  readonly cashShard: number;
}

/** The account of this name. */
export function* findAccount(name: AccountName): Procedure<AccountState | undefined> {
  const [row] = yield query("findAccount", name.owner, name.accountId);
  return row === undefined ? undefined : accountFromRow(row);
}

/** Entries of the account of this name. */
export function* listEntries(name: AccountName, range: EntryRange): Procedure<readonly Entry[]> {
  const rows = yield query(
    "listEntries",
    name.owner,
    name.accountId,
    range.afterSequence,
    range.lastSequence,
    BigInt(range.limit),
  );
  return rows.map(entryFromRow);
}

/** One statement with its parameters. */
export function query(statement: StatementName, ...parameters: readonly SqlValue[]): Query {
  return { statement, parameters };
}

/** The key of one of the bank's own accounts of a currency, which is also its id. */
function cashAccountKey(currencyCode: string, shard: number): string {
  return `cash-${currencyCode.toLowerCase()}${shard === 0 ? "" : `-${shard}`}`;
}

/** Whose the cash accounts are: no identity reads like this, for all begin with a kind and a colon. */
const cashOwner = "the bank";

function* recall(command: CommandBase): Procedure<Outcome | undefined> {
  const { requester, method, requestId } = command;
  const oldest = command.at - BigInt(refusalMemory.ageMs);
  const rows = yield query("findRequest", requester, method, requestId, oldest);
  // A refusal that was forgotten and then became a success may be there beside it.
  const row = rows.find(({ code }) => code === null) ?? rows[0];
  if (row === undefined) return undefined;
  if (!hasFingerprint(row, command)) return refused("REQUEST_ID_REUSED");
  if (row["code"] !== null) {
    return { result: "refused", replayed: true, code: text(row["code"]) as RememberedCode };
  }
  if (row["from_key"] === null) {
    // What the reply says of an account (name, currency, opening) never changes.
    const [account] = yield query("findAccountByKey", text(row["to_key"]));
    if (account === undefined)
      throw brokenLedger("an operation names an account that is not there");
    return { result: "opened", replayed: true, account: accountFromRow(account) };
  }
  const from = yield* entryOf(row["from_key"], row["from_sequence"]);
  const to = yield* entryOf(row["to_key"], row["to_sequence"]);
  return { result: "moved", replayed: true, from: visible(from), to: visible(to) };
}

function* openAccount(command: OpenCommand): Procedure<Outcome> {
  if ((yield* findAccount(command.account)) !== undefined) return refused("ACCOUNT_EXISTS");
  const account = newAccount({
    key: command.operationId,
    name: command.account,
    kind: "customer",
    currencyCode: command.currencyCode,
    openedAt: command.at,
  });
  yield* insertAccount(account);
  yield query("insertOperation", ...operationColumns(command, ""), null, null, account.key, null);
  return { result: "opened", replayed: false, account };
}

function* moveMoney(command: MoveCommand, bank: BankInstance): Procedure<Outcome> {
  const cashKey = cashAccountKey(command.amount.currencyCode, bank.cashShard);
  const from = yield* accountOrCash(command.from, { command, cashKey });
  const to = yield* accountOrCash(command.to, { command, cashKey });
  if (from === undefined || to === undefined) return yield* refuse(command, "ACCOUNT_NOT_FOUND");
  const moved = move(from, to, {
    operationId: command.operationId,
    kind: command.kind satisfies PostingKind,
    amount: command.amount,
    postedAt: command.at,
    description: command.description,
  });
  if (!moved.ok) return yield* refuse(command, moved.refusal);
  // A cash account begins with its first entry, so that what is refused leaves no trace.
  if (from.kind === "cash" && from.version === 0n) yield* insertAccount(from);
  if (to.kind === "cash" && to.version === 0n) yield* insertAccount(to);
  yield query(
    "insertOperation",
    ...operationColumns(command, command.description),
    from.key,
    moved.from.entry.sequence,
    to.key,
    moved.to.entry.sequence,
  );
  yield* write(moved.from, to.key);
  yield* write(moved.to, from.key);
  return {
    result: "moved",
    replayed: false,
    from: from.kind === "cash" ? undefined : moved.from.entry,
    to: to.kind === "cash" ? undefined : moved.to.entry,
  };
}

function* accountOrCash(
  name: AccountName | undefined,
  { command, cashKey: key }: { command: MoveCommand; cashKey: string },
): Procedure<AccountState | undefined> {
  if (name !== undefined) return yield* findAccount(name);
  const { currencyCode } = command.amount;
  const [row] = yield query("findAccountByKey", key);
  if (row !== undefined) return accountFromRow(row);
  return newAccount({
    key,
    name: { owner: cashOwner, accountId: key },
    kind: "cash",
    currencyCode,
    openedAt: command.at,
  });
}

function newAccount(fields: Omit<AccountState, "balance" | "version" | "digest">): AccountState {
  return { ...fields, balance: 0n, version: 0n, digest: emptyDigest };
}

function* insertAccount(account: AccountState): Procedure<void> {
  const { key, name, kind, currencyCode, digest, openedAt } = account;
  const { owner, accountId } = name;
  yield query("insertAccount", key, owner, accountId, kind, currencyCode, digest, openedAt);
}

function* write({ account, entry }: Side, counterpartyKey: string): Procedure<void> {
  yield query(
    "insertEntry",
    account.key,
    entry.sequence,
    entry.operationId,
    counterpartyKey,
    entry.amount,
    entry.balance,
    entry.digest,
  );
  const updated = yield query(
    "updateAccount",
    account.balance,
    account.version,
    account.digest,
    account.key,
    account.version - 1n,
  );
  if (updated.length !== 1)
    throw brokenLedger("an account changed inside the transaction of another");
}

function* refuse(command: Command, code: RememberedCode): Procedure<Outcome> {
  const { requester, method, requestId, fingerprint, at } = command;
  yield query("dropOldRefusals", requester, at - BigInt(refusalMemory.ageMs));
  yield query("insertRefusal", requester, method, requestId, fingerprint, code, at);
  yield query("dropSurplusRefusals", requester, BigInt(refusalMemory.perRequester));
  return refused(code);
}

function* entryOf(key: SqlValue | undefined, sequence: SqlValue | undefined): Procedure<Entry> {
  const [row] = yield query("findEntry", key ?? null, sequence ?? null);
  if (row === undefined) throw brokenLedger("an operation names an entry that is not there");
  return entryFromRow(row);
}

function visible(entry: Entry): Entry | undefined {
  return entry.account.owner === cashOwner ? undefined : entry;
}

function operationColumns(command: Command, description: string): readonly SqlValue[] {
  const { operationId, kind, requester, method, requestId, fingerprint, at } = command;
  return [operationId, kind, requester, method, requestId, fingerprint, at, description];
}

function hasFingerprint(row: Row, command: CommandBase): boolean {
  const stored = row["fingerprint"];
  return stored instanceof Uint8Array && Buffer.from(command.fingerprint).equals(stored);
}

function refused(code: RefusalCode): Outcome {
  return { result: "refused", replayed: false, code };
}

function brokenLedger(message: string): BankError {
  return new BankError("LEDGER_BROKEN", message);
}
