import { isDeepStrictEqual } from "node:util";

import { reasonOf } from "./errors.ts";
import type { SourceKind, TlsEventListener } from "./events.ts";
import type { ReloadOutcome, Source } from "./source.ts";

/** The last good value of a source, kept up to date. */
export interface Tracked<Value> {
  readonly current: Value;
  /** Reads the source now and waits for the outcome. Reloads run one after the other. */
  reload(): Promise<ReloadOutcome>;
  /** Starts to follow changes of the source. */
  watch(): void;
  close(): void;
}

export interface TrackedOptions<Material, Value> {
  readonly kind: SourceKind;
  /** Checks what was read. Throws if it cannot be used. */
  readonly parse: (material: Material) => Value;
  /**
   * Puts the new `current` to use, in one synchronous step. Throws if that is not possible, having changed
   * nothing: `current` is then set back.
   */
  readonly swap: () => void;
  readonly onEvent: TlsEventListener;
}

/**
 * Reads a source for the first time and keeps its last good value from then on: unchanged bytes do nothing at
 * all, a value that cannot be used leaves the old one in force and is reported once.
 *
 * Rejects as the source or `parse` does if the first value cannot be used.
 */
export async function createTracked<Material, Value>(
  source: Source<Material>,
  { kind, parse, swap, onEvent }: TrackedOptions<Material, Value>,
): Promise<Tracked<Value>> {
  let seen = await source.read();
  let current = parse(seen);
  let lastReason: string | undefined;
  let queue: Promise<unknown> = Promise.resolve();
  let stop: (() => void) | undefined;

  async function load(): Promise<ReloadOutcome> {
    try {
      const material = await source.read();
      if (isDeepStrictEqual(material, seen) && lastReason === undefined) return "unchanged";
      put(parse(material));
      const same = isDeepStrictEqual(material, seen);
      seen = material;
      lastReason = undefined;
      if (same) return "unchanged";
      onEvent({ type: "source-replaced", source: kind, description: source.description });
      return "replaced";
    } catch (thrown) {
      const reason = reasonOf(thrown);
      if (reason !== lastReason) {
        lastReason = reason;
        onEvent({ type: "source-kept", source: kind, description: source.description, reason });
      }
      return { kept: reason };
    }
  }

  function put(value: Value): void {
    const previous = current;
    current = value;
    try {
      swap();
    } catch (thrown) {
      current = previous;
      throw thrown;
    }
  }

  function reload(): Promise<ReloadOutcome> {
    const outcome = queue.then(load);
    queue = outcome;
    return outcome;
  }

  return {
    get current() {
      return current;
    },
    reload,
    watch() {
      stop ??= source.watch?.(() => void reload());
    },
    close() {
      stop?.();
      stop = undefined;
    },
  };
}
