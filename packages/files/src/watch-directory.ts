import { join, resolve } from "node:path";
import { FilesError } from "./errors.ts";
import { seemsUntouched, signatureOf } from "./file-signature.ts";
import type { Look } from "./file-signature.ts";
import { digestBounded, readError, requireLimit } from "./read-bounded.ts";
import { namesIn } from "./read-directory.ts";
import type { ReadDirectoryOptions } from "./read-directory.ts";
import { startWatchLoop } from "./watch-loop.ts";
import type { CheckResult, FileWatch, Teller, WatchOptions } from "./watch-loop.ts";

/** The names, sorted, in which a directory differs from before. */
export interface DirectoryChanges {
  readonly added: readonly string[];
  readonly changed: readonly string[];
  readonly removed: readonly string[];
}

/** How the changes of a directory are watched. */
export interface WatchDirectoryChangesOptions extends ReadDirectoryOptions, WatchOptions {
  /** Called whenever a file is new, other or gone; first with what is there at the start. */
  readonly onChange: (changes: DirectoryChanges) => void;
}

/**
 * Watches the regular files of a directory by events and by polling, for a consumer that reads for itself: of each
 * file a digest is held and not its bytes, and a large file whose attributes are the same as before is not read again.
 *
 * A file that can no longer be read counts as the same as before and is reported as an error; one that is gone is
 * reported as removed. A directory that cannot be read at all is an error, and nothing counts as removed.
 */
export function watchDirectoryChanges(
  path: string,
  options: WatchDirectoryChangesOptions,
): FileWatch {
  requireLimit(options.maxBytes);
  let last: ReadonlyMap<string, Known> | undefined;

  async function look({ forced, tell }: { forced: boolean; tell: Teller }): Promise<CheckResult> {
    try {
      const { files, errors } = await digests(path, { ...options, forced, last });
      tell.errors(errors);
      const changes = changesBetween(last ?? new Map<string, Known>(), files);
      const { added, changed, removed } = changes;
      const same = last !== undefined && added.length + changed.length + removed.length === 0;
      last = files;
      if (!same) tell.change(() => options.onChange(changes));
      if (errors.length > 0) return "failed";
      return same ? "unchanged" : "changed";
    } catch (thrown) {
      tell.errors([readError(path, thrown)]);
      return "failed";
    }
  }

  return startWatchLoop({ directory: resolve(path), look }, options);
}

/** What is known of a file. */
interface Known {
  readonly digest: string;
  readonly look: Look;
}

async function digests(
  path: string,
  options: ReadDirectoryOptions & {
    readonly forced: boolean;
    readonly last: ReadonlyMap<string, Known> | undefined;
  },
): Promise<{ files: ReadonlyMap<string, Known>; errors: readonly FilesError[] }> {
  const files = new Map<string, Known>();
  const errors: FilesError[] = [];
  for (const name of await namesIn(path, options)) {
    const before = options.last?.get(name);
    try {
      files.set(name, await digestOf(join(path, name), { ...options, before }));
    } catch (thrown) {
      const error = readError(join(path, name), thrown);
      // Gone since it was listed, or never a file: not there, rather than broken.
      if (error.code === "FILE_NOT_FOUND" || error.code === "FILE_NOT_REGULAR") continue;
      errors.push(error);
      if (before !== undefined) files.set(name, { ...before, look: neverLooked });
    }
  }
  return { files, errors };
}

async function digestOf(
  path: string,
  options: {
    readonly maxBytes: number;
    readonly forced: boolean;
    readonly before: Known | undefined;
  },
): Promise<Known> {
  const { maxBytes, forced, before } = options;
  const startedMs = Date.now();
  const signature = await signatureOf(path);
  if (!forced && before !== undefined && seemsUntouched(signature, before.look)) return before;
  return { digest: await digestBounded(path, { maxBytes }), look: { signature, startedMs } };
}

function changesBetween(
  before: ReadonlyMap<string, Known>,
  after: ReadonlyMap<string, Known>,
): DirectoryChanges {
  const names = [...after.keys()];
  return {
    added: names.filter((name) => !before.has(name)),
    changed: names.filter((name) => {
      const old = before.get(name);
      return old !== undefined && old.digest !== after.get(name)?.digest;
    }),
    removed: [...before.keys()].filter((name) => !after.has(name)),
  };
}

/** Nothing looks like this: the file is read again when it can be. */
const neverLooked: Look = { signature: { text: "", bytes: 0, changedMs: 0 }, startedMs: 0 };
