import { watch } from "node:fs";
import type { FSWatcher } from "node:fs";
import { stat } from "node:fs/promises";
import { FilesError } from "./errors.ts";

/** What one look at the watched files found. */
export type CheckResult = "unchanged" | "changed" | "failed";

/** A running watch. */
export interface FileWatch {
  /**
   * Looks now, whatever the polling interval; the bytes are read even if the file seems untouched.
   * Resolves when the consumer has been told. Never rejects; "unchanged" once closed.
   */
  check(): Promise<CheckResult>;
  /** Ends it: nothing is reported afterwards, also of a look that is under way. */
  close(): void;
}

/** What all watches have in common. */
export interface WatchOptions {
  /** Called once for each new way in which looking fails; what was good before stays good. */
  readonly onError: (error: FilesError) => void;
  /** The time between two looks when no event comes. Default 5000. */
  readonly pollMs?: number;
  /** How long no further event must come before a look; at most 20 times as long in all. Default 50. */
  readonly debounceMs?: number;
}

/** What a watch looks at; the loop decides when. */
interface WatchSubject {
  /** The directory whose events are listened to. */
  readonly directory: string;
  /** Looks once. `forced` reads even what seems untouched. Reports through `tell`, in order. */
  look(options: { forced: boolean; tell: Teller }): Promise<CheckResult>;
}

/** How a look reports: what the consumer does wrong never reaches the event loop. */
export interface Teller {
  /** Calls the consumer with a change, unless the watch was closed meanwhile. */
  change(deliver: () => void): void;
  /** Reports errors, each only if it was not among those of the look before. */
  errors(errors: readonly FilesError[]): void;
}

/** Runs a subject's looks: at once, on events, at intervals and on demand, one at a time. */
export function startWatchLoop(subject: WatchSubject, options: WatchOptions): FileWatch {
  const pollMs = requireInterval(options.pollMs ?? 5000);
  const debounceMs = requireInterval(options.debounceMs ?? 50);
  let closed = false;
  let tail: Promise<CheckResult> = Promise.resolve("unchanged");
  let lastErrors: readonly string[] = [];
  const events = listen(subject.directory, { debounceMs, onSettled: () => void enqueue(false) });

  const tell: Teller = {
    change(deliver) {
      if (closed) return;
      try {
        deliver();
      } catch (thrown) {
        report(new FilesError("WATCH_CONSUMER_FAILED", "the consumer threw", { cause: thrown }));
      }
    },
    errors(errors) {
      if (closed) return;
      const seen = lastErrors;
      lastErrors = errors.map((error) => `${error.code} ${error.message}`);
      for (const error of errors) {
        if (!seen.includes(`${error.code} ${error.message}`)) report(error);
      }
    },
  };

  function report(error: FilesError): void {
    try {
      options.onError(error);
    } catch {
      // A consumer that fails to hear of an error has nobody left to tell.
    }
  }

  function enqueue(forced: boolean): Promise<CheckResult> {
    tail = tail.then(async () => {
      if (closed) return "unchanged";
      await events.follow();
      const result = await subject.look({ forced, tell });
      return closed ? "unchanged" : result;
    });
    return tail;
  }

  void enqueue(true);
  const poll = setInterval(() => void enqueue(false), pollMs);
  poll.unref();
  return {
    check: () => enqueue(true),
    close() {
      closed = true;
      clearInterval(poll);
      events.close();
    },
  };
}

/** Events of a directory, also when it is removed, replaced or cannot be watched at all. */
function listen(
  directory: string,
  options: { debounceMs: number; onSettled: () => void },
): { follow: () => Promise<void>; close: () => void } {
  let watcher: FSWatcher | undefined;
  let watched: string | undefined;
  let timer: NodeJS.Timeout | undefined;
  let firstEventAt: number | undefined;
  let closed = false;

  /** Listens to the directory that the path leads to now. */
  async function follow(): Promise<void> {
    const present = await identityOf(directory);
    if (closed || (present === watched && watcher !== undefined)) return;
    stop();
    if (present === undefined) return;
    try {
      watcher = watch(directory, { persistent: false }, onEvent);
      watcher.on("error", stop);
      watched = present;
    } catch {
      // Out of watches, or a file system without events: polling goes on.
      stop();
    }
  }

  function onEvent(): void {
    const now = performance.now();
    firstEventAt ??= now;
    const latest = firstEventAt + options.debounceMs * maxDebounces;
    clearTimeout(timer);
    timer = setTimeout(settle, Math.max(0, Math.min(options.debounceMs, latest - now)));
    timer.unref();
  }

  function settle(): void {
    firstEventAt = undefined;
    options.onSettled();
  }

  function stop(): void {
    watcher?.close();
    watcher = undefined;
    watched = undefined;
  }

  return {
    follow,
    close() {
      closed = true;
      clearTimeout(timer);
      stop();
    },
  };
}

/** A directory made again may get the number of the one before, but not its time of birth. */
async function identityOf(directory: string): Promise<string | undefined> {
  try {
    const stats = await stat(directory, { bigint: true });
    return `${stats.dev}:${stats.ino}:${stats.birthtimeNs}`;
  } catch {
    return undefined;
  }
}

function requireInterval(milliseconds: number): number {
  if (Number.isInteger(milliseconds) && milliseconds >= 1 && milliseconds <= maxTimerMs) {
    return milliseconds;
  }
  throw new TypeError(
    `an interval is an integer from 1 to ${maxTimerMs} ms, not ${String(milliseconds)}`,
  );
}

/** Under steady events a look still comes, after this many times the debounce interval. */
const maxDebounces = 20;
/** Longer delays would fire at once. */
const maxTimerMs = 2 ** 31 - 1;
