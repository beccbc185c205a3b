import type { AccountName } from "../account-name.ts";
import type { Outcome } from "./store.ts";

/** Who wants to hear of changes to which account. */
interface Watches {
  /** Calls the listener after each change; the result ends that. */
  add(name: AccountName, listener: () => void): () => void;
  /** Calls the listeners of each account that the outcome changed. */
  tell(this: void, outcome: Outcome): void;
}

/** A table of watches, empty. */
export function createWatches(): Watches {
  const listeners = new Map<string, Set<() => void>>();
  const tellOne = (name: AccountName | undefined): void => {
    if (name === undefined) return;
    for (const listener of listeners.get(keyOf(name)) ?? []) listener();
  };
  return {
    add(name, listener) {
      const key = keyOf(name);
      const set = listeners.get(key) ?? new Set();
      // A function of its own for each watch: the same listener may be given twice.
      const own = (): void => listener();
      listeners.set(key, set.add(own));
      return () => {
        set.delete(own);
        if (set.size === 0 && listeners.get(key) === set) listeners.delete(key);
      };
    },
    tell(outcome) {
      if (outcome.result !== "moved" || outcome.replayed || listeners.size === 0) return;
      tellOne(outcome.from?.account);
      tellOne(outcome.to?.account);
    },
  };
}

function keyOf({ owner, accountId }: AccountName): string {
  return `${accountId} ${owner}`;
}
