/** Something that is done again and again. */
export interface Repetition {
  /** Does it now, or once more if it is being done; resolves when that is over. */
  now(): Promise<void>;
  /** Waits for what is being done, and does it no more. */
  close(): Promise<void>;
}

/** How often, and who hears of failures. */
export interface RepeatOptions {
  /** Milliseconds until the next time; asked after each. */
  readonly delayMs: () => number;
  /** What was thrown; the next time comes all the same. */
  readonly onError: (error: unknown) => void;
}

/** Does some work after a delay, and after each time again; never twice at once. */
export function repeat(work: () => Promise<void>, options: RepeatOptions): Repetition {
  let timer: NodeJS.Timeout | undefined;
  let running: Promise<void> | undefined;
  let next: Promise<void> | undefined;
  let closed = false;

  function arm(): void {
    if (closed) return;
    clearTimeout(timer);
    const delayMs = Math.min(Math.max(0, options.delayMs()), longestDelayMs);
    timer = setTimeout(() => void start(), delayMs).unref();
  }

  function start(): Promise<void> {
    clearTimeout(timer);
    running = work()
      .catch((error: unknown) => options.onError(error))
      .finally(() => {
        running = undefined;
        arm();
      });
    return running;
  }

  arm();
  return {
    now() {
      if (closed) return Promise.resolve();
      if (running === undefined) return start();
      // What is under way may have begun before the reason for asking.
      next ??= running.then(() => {
        next = undefined;
        return closed ? undefined : start();
      });
      return next;
    },
    async close() {
      closed = true;
      clearTimeout(timer);
      await running;
    },
  };
}

/** Longer delays fire at once; who waits longer looks again in between. */
const longestDelayMs = 3_600_000;
