import { randomBytes } from "node:crypto";
import type { ServerCall } from "@handfast/grpc";
import type { AccountName } from "../account-name.ts";
import { BankError } from "../errors.ts";
import type { AccountState, Entry } from "../ledger.ts";
import type { Money } from "../money.ts";
import type { BankMode, BankStore, CommandBase, Outcome } from "../store/store.ts";
import { timeOrderedUuid } from "../uuid.ts";
import { callerOf } from "./caller.ts";

/** What the handlers of both services work with. */
export interface Bank {
  readonly store: BankStore;
  readonly mode: BankMode;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  /** WatchBalance streams that are open, per caller. */
  readonly watchers: Map<string, number>;
  /** Aborts when the bank begins to stop: streams that would never end by themselves end then. */
  readonly stopping: AbortSignal;
}

/** The parts of a call that a handler of the bank reads. */
export type BankCall = Pick<ServerCall, "method" | "peer" | "signal" | "responseTrailers">;

/** A bank on a store. */
export function createBank(options: {
  readonly store: BankStore;
  readonly mode: BankMode;
  readonly now?: () => number;
  readonly stopping?: AbortSignal;
}): Bank {
  const stopping = options.stopping ?? new AbortController().signal;
  return { now: Date.now, ...options, stopping, watchers: new Map() };
}

/** A change that a caller wants made once. */
export interface Change {
  readonly call: BankCall;
  /** A UUID in lower case. */
  readonly requestId: string;
  /** Of the request without its request_id. */
  readonly fingerprint: Uint8Array;
}

/** Opens an account; an empty id makes the bank choose one. @throws BankError, as `settle` */
export async function openAccount(
  bank: Bank,
  change: Change,
  { name, currencyCode }: { name: AccountName; currencyCode: string },
): Promise<AccountState> {
  const base = commandBase(bank, change);
  const accountId = name.accountId === "" ? base.operationId : name.accountId;
  const account = { ...name, accountId };
  const outcome = settle(
    change.call,
    await bank.store.execute({ ...base, kind: "open", account, currencyCode }),
  );
  if (outcome.result !== "opened") throw brokenOutcome();
  return outcome.account;
}

/** What is to be moved; money comes from or goes to the bank's cash unless both sides are named. */
type Movement = {
  /** Greater than zero. */
  readonly amount: Money;
  readonly description: string;
} & (
  | { readonly kind: "deposit"; readonly to: AccountName }
  | { readonly kind: "withdrawal"; readonly from: AccountName }
  | { readonly kind: "transfer"; readonly from: AccountName; readonly to: AccountName }
);

/** The entries that a movement makes, on the accounts that it names. */
type MovedBy<Made extends Movement> = {
  readonly [Side in keyof Made & ("from" | "to")]: Entry;
};

/** Moves money, once. @throws BankError, as `settle` */
export async function moveMoney<Made extends Movement>(
  bank: Bank,
  change: Change,
  movement: Made,
): Promise<MovedBy<Made>> {
  const from = "from" in movement ? movement.from : undefined;
  const to = "to" in movement ? movement.to : undefined;
  const command = { ...commandBase(bank, change), ...movement, from, to };
  const outcome = settle(change.call, await bank.store.execute(command));
  if (outcome.result !== "moved") throw brokenOutcome();
  const missing = (from !== undefined && !outcome.from) || (to !== undefined && !outcome.to);
  if (missing) throw brokenOutcome();
  return outcome as MovedBy<Made>;
}

/** The account of this name. @throws BankError ACCOUNT_NOT_FOUND */
export async function readAccount(bank: Bank, name: AccountName): Promise<AccountState> {
  const account = await bank.store.account(name);
  if (account === undefined) throw new BankError("ACCOUNT_NOT_FOUND", "account not found");
  return account;
}

function commandBase(bank: Bank, { call, requestId, fingerprint }: Change): CommandBase {
  const at = bank.now();
  return {
    requester: callerOf(call, bank.mode),
    method: call.method,
    requestId,
    fingerprint,
    operationId: timeOrderedUuid(at, randomBytes(10)),
    at: BigInt(at),
  };
}

/** Tells the caller that a reply is an earlier one, and turns a refusal into its error. */
function settle(call: BankCall, outcome: Outcome): Exclude<Outcome, { result: "refused" }> {
  if (outcome.replayed) call.responseTrailers.set("idempotency-hit", "true");
  if (outcome.result !== "refused") return outcome;
  throw new BankError(outcome.code, `refused: ${outcome.code}`);
}

function brokenOutcome(): BankError {
  return new BankError("LEDGER_BROKEN", "the store gave the outcome of another kind of command");
}
