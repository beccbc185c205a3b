import type { AccountName } from "../account-name.ts";
import { BankError } from "../errors.ts";
import type { AccountState } from "../ledger.ts";
import { readAccount } from "./bank.ts";
import type { Bank } from "./bank.ts";

/**
 * The account now and again after each change, until the signal aborts. Changes that come faster than
 * the reader reads are told as one: the latest.
 *
 * @throws BankError ACCOUNT_NOT_FOUND, TOO_MANY_WATCHES, and STORE_UNAVAILABLE when the bank stops
 */
export async function* watchAccount(
  bank: Bank,
  name: AccountName,
  { caller, signal }: { caller: string; signal: AbortSignal },
): AsyncGenerator<AccountState> {
  const release = admit(bank, caller);
  const changes = createSignalledChanges(AbortSignal.any([signal, bank.stopping]));
  const stop = bank.store.watch(name, changes.note);
  try {
    let version = -1n;
    while (!signal.aborted) {
      if (bank.stopping.aborted) throw new BankError("STORE_UNAVAILABLE", "the bank is stopping");
      const account = await readAccount(bank, name);
      if (account.version > version) {
        version = account.version;
        yield account;
      }
      await changes.next();
    }
  } finally {
    stop();
    changes.close();
    release();
  }
}

function admit(bank: Bank, caller: string): () => void {
  const open = bank.watchers.get(caller) ?? 0;
  if (open >= watchLimit) {
    throw new BankError("TOO_MANY_WATCHES", `${open} WatchBalance streams are open`);
  }
  bank.watchers.set(caller, open + 1);
  return () => {
    const left = (bank.watchers.get(caller) ?? 1) - 1;
    if (left === 0) bank.watchers.delete(caller);
    else bank.watchers.set(caller, left);
  };
}

interface Changes {
  /** Something has changed. */
  note(this: void): void;
  /** Resolves when something has changed since it resolved last, when it is time to look, or at the end. */
  next(): Promise<void>;
  close(): void;
}

function createSignalledChanges(signal: AbortSignal): Changes {
  let changed = false;
  let wake: () => void = () => undefined;
  const note = (): void => {
    changed = true;
    wake();
  };
  // Another instance on the same database tells us nothing: look from time to time.
  const timer = setInterval(note, pollMs);
  signal.addEventListener("abort", note);
  return {
    note,
    async next() {
      if (!changed) {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
      changed = false;
    },
    close() {
      clearInterval(timer);
      signal.removeEventListener("abort", note);
    },
  };
}

const pollMs = 2000;
/** How many WatchBalance streams one identity may have open (S62). */
const watchLimit = 16;
