import type { AccountName } from "../account-name.ts";
import type { AccountState, Entry } from "../ledger.ts";
import type { Money } from "../money.ts";
import type { BankErrorCode } from "../errors.ts";

/**
 * Where the bank keeps its accounts. The contract, for whoever writes another one:
 *
 * 1. `execute` MUST resolve only after the effect, the request's key and its outcome are durable, all
 *    three in one transaction; after a crash at any moment either all are there or none.
 * 2. A command whose (requester, method, requestId) succeeded before MUST resolve with the outcome of
 *    that time and change nothing, for ever; one that was refused with a remembered code MUST resolve
 *    with that refusal for {@link refusalMemory}.ageMs, at most {@link refusalMemory}.perRequester of
 *    them per requester. If the fingerprint differs, it MUST resolve with REQUEST_ID_REUSED.
 * 3. Commands MUST take effect one after the other, or as if so; a read that begins after `execute`
 *    resolved MUST see its effect.
 * 4. If `execute` rejects with STORE_FULL, CONTENTION or OVERLOADED, nothing was changed. If it rejects
 *    with STORE_UNAVAILABLE the effect may or may not be there: the same command again tells.
 * 5. Entries MUST never be changed or removed, and their sequence numbers have no gaps.
 * 6. If an invariant fails, the store MUST reject with LEDGER_BROKEN and take no further command.
 * 7. `watch` listeners MUST be called after each effect of this instance on the account; effects of
 *    other instances MAY be missed, so whoever watches also looks from time to time.
 */
export interface BankStore {
  /** Carries out one command, once. */
  execute(command: Command): Promise<Outcome>;
  /** The account now, or undefined if the owner has none of this id. */
  account(name: AccountName): Promise<AccountState | undefined>;
  /** Entries in order, from just after a sequence number up to and including another. */
  entries(name: AccountName, range: EntryRange): Promise<readonly Entry[]>;
  /** Calls the listener after each change of the account; the result ends that. */
  watch(name: AccountName, listener: () => void): () => void;
  /** Replays everything: the invariants of the whole ledger. */
  verify(): Promise<Verification>;
  /** Why the store cannot work now, or undefined. */
  readonly fault: BankErrorCode | undefined;
  /** Waits for what was accepted, then closes. Later calls are STORE_UNAVAILABLE. */
  close(): Promise<void>;
}

/** Whether callers have identities. Recorded in the database, so that the two never mix. */
export type BankMode = "mtls" | "plaintext";

/** Something that changes accounts or money. */
export type Command = OpenCommand | MoveCommand;

/** What every command carries. */
export interface CommandBase {
  /** The identity of the caller: with method and requestId the key of the request (S59). */
  readonly requester: string;
  /** The full name, "/bank.v1.BankService/Deposit". */
  readonly method: string;
  /** A UUID in lower case. */
  readonly requestId: string;
  /** SHA-256 of the request without its request_id. */
  readonly fingerprint: Uint8Array;
  /** A new UUID; the operation's name if this command is the one that takes effect. */
  readonly operationId: string;
  /** Milliseconds since 1970. */
  readonly at: bigint;
}

/** Opens an account. */
export interface OpenCommand extends CommandBase {
  readonly kind: "open";
  readonly account: AccountName;
  readonly currencyCode: string;
}

/** Moves money; the side left out is the bank's cash account of the currency. */
export interface MoveCommand extends CommandBase {
  readonly kind: "deposit" | "withdrawal" | "transfer";
  readonly from: AccountName | undefined;
  readonly to: AccountName | undefined;
  /** Greater than zero. */
  readonly amount: Money;
  readonly description: string;
}

/** How a command ended. `replayed`: it had been carried out, or refused, before. */
export type Outcome =
  | { readonly result: "opened"; readonly replayed: boolean; readonly account: AccountState }
  | {
      readonly result: "moved";
      readonly replayed: boolean;
      /** The entries on customers' accounts: the one the money left, the one it reached. */
      readonly from: Entry | undefined;
      readonly to: Entry | undefined;
    }
  | { readonly result: "refused"; readonly replayed: boolean; readonly code: RefusalCode };

/** Why a command was refused by what is in the store. */
export type RefusalCode = RememberedCode | "ACCOUNT_EXISTS" | "REQUEST_ID_REUSED";

/** Refusals that hang on a state that may change: remembered, so that a retry is no surprise. */
export type RememberedCode =
  | "ACCOUNT_NOT_FOUND"
  | "INSUFFICIENT_FUNDS"
  | "CURRENCY_MISMATCH"
  | "BALANCE_OUT_OF_RANGE";

/** How long and how many refusals are remembered (S60). */
export const refusalMemory: { readonly ageMs: number; readonly perRequester: number } = {
  ageMs: 24 * 60 * 60 * 1000,
  perRequester: 1000,
};

/** Which entries of an account. */
export interface EntryRange {
  readonly afterSequence: bigint;
  readonly lastSequence: bigint;
  /** At most this many. */
  readonly limit: number;
}

/** What {@link BankStore.verify} found. */
export interface Verification {
  readonly accounts: bigint;
  readonly operations: bigint;
  readonly entries: bigint;
  /** One sentence for each invariant that does not hold; empty if all do. At most 100. */
  readonly faults: readonly string[];
}
