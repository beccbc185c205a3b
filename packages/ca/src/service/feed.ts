/** A value that changes, with those who want to know when. */
export interface Feed<Value> {
  readonly current: Value;
  /** Calls back after each change, until the returned function is called. */
  onChange(listener: () => void): () => void;
}

/** A feed, and the way to change what it shows. */
export interface WritableFeed<Value> extends Feed<Value> {
  put(value: Value): void;
}

/** A feed that begins with a value. */
export function createFeed<Value>(first: Value): WritableFeed<Value> {
  const listeners = new Set<() => void>();
  let current = first;
  return {
    get current() {
      return current;
    },
    onChange(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    put(value) {
      current = value;
      for (const listener of listeners) listener();
    },
  };
}

/**
 * The value now and after each change, until the signal aborts. Who reads slowly misses what was
 * replaced in between, never the newest.
 */
export async function* follow<Value>(
  feed: Feed<Value>,
  signal: AbortSignal,
): AsyncGenerator<Value, void> {
  let wake = (): void => undefined;
  const awake = (): void => wake();
  const stop = feed.onChange(awake);
  signal.addEventListener("abort", awake, { once: true });
  try {
    let told: Value | undefined;
    while (!signal.aborted) {
      const changed = new Promise<void>((resolve) => {
        wake = resolve;
      });
      const { current } = feed;
      if (current === told) {
        await changed;
      } else {
        told = current;
        yield current;
      }
    }
  } finally {
    stop();
    signal.removeEventListener("abort", awake);
  }
}
