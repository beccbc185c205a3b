import { dirname, resolve } from "node:path";
import type { FilesError } from "./errors.ts";
import { seemsUntouched, signatureOf } from "./file-signature.ts";
import type { Look } from "./file-signature.ts";
import { readBounded, readError, requireLimit } from "./read-bounded.ts";
import { startWatchLoop } from "./watch-loop.ts";
import type { CheckResult, FileWatch, Teller, WatchOptions } from "./watch-loop.ts";

/** How a file is watched. */
export interface WatchFileOptions extends WatchOptions {
  /** The most bytes the file may have. */
  readonly maxBytes: number;
  /** Called with the bytes whenever they differ from those before. */
  readonly onChange: (bytes: Uint8Array) => void;
  /** Called when the file can be read again after an error, with the bytes it had before. */
  readonly onRecover?: () => void;
  /**
   * The bytes the consumer has already. Without them the first bytes read are a change, so that
   * nothing is lost between the consumer's own reading and the start of the watch.
   */
  readonly initial?: Uint8Array;
}

/**
 * Watches a file by change events and by polling, and reports only other bytes.
 *
 * A write in place, a rename over it, removal and return, and swapped directory links (Kubernetes'
 * `..data`) are all seen. A missing or unreadable file is an error, reported once until it changes;
 * the consumer keeps what it had. Nothing throws into the event loop or keeps the process alive.
 */
export function watchFile(path: string, options: WatchFileOptions): FileWatch {
  const maxBytes = requireLimit(options.maxBytes);
  let last = options.initial;
  let lookedAt: Look | undefined;
  let failed = false;

  async function look({ forced, tell }: { forced: boolean; tell: Teller }): Promise<CheckResult> {
    try {
      const startedMs = Date.now();
      const signature = await signatureOf(path);
      if (!forced && seemsUntouched(signature, lookedAt)) return "unchanged";
      const bytes = await readBounded(path, { maxBytes });
      lookedAt = { signature, startedMs };
      tell.errors([]);
      const recovered = failed;
      failed = false;
      if (last !== undefined && Buffer.compare(bytes, last) === 0) {
        if (recovered) tell.change(() => options.onRecover?.());
        return "unchanged";
      }
      last = bytes;
      tell.change(() => options.onChange(bytes));
      return "changed";
    } catch (thrown) {
      lookedAt = undefined;
      failed = true;
      tell.errors([readError(path, thrown) satisfies FilesError]);
      return "failed";
    }
  }

  return startWatchLoop({ directory: dirname(resolve(path)), look }, options);
}
