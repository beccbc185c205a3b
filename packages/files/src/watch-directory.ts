import { opendir } from "node:fs/promises";
import { join, resolve } from "node:path";
import { FilesError } from "./errors.ts";
import { readBounded, readError, requireLimit } from "./read-bounded.ts";
import { startWatchLoop } from "./watch-loop.ts";
import type { CheckResult, FileWatch, Teller, WatchOptions } from "./watch-loop.ts";

/** The limits of reading a directory, and which files of it count. */
export interface ReadDirectoryOptions {
  /** The most bytes one file may have. */
  readonly maxBytes: number;
  /** The most files that count. Default 1000; more is FILE_TOO_LARGE for the directory. */
  readonly maxFiles?: number;
  /** Which names count. Names with a dot in front never do. Default: all others. */
  readonly include?: (name: string) => boolean;
}

/** How a directory is watched. */
export interface WatchDirectoryOptions extends ReadDirectoryOptions, WatchOptions {
  /** Called with all files whenever one of them is new, other or gone. */
  readonly onChange: (files: ReadonlyMap<string, Uint8Array>, changes: DirectoryChanges) => void;
  /** The files the consumer has already; without them the first files read are a change. */
  readonly initial?: ReadonlyMap<string, Uint8Array>;
}

/** The names, sorted, in which a directory differs from before. */
export interface DirectoryChanges {
  readonly added: readonly string[];
  readonly changed: readonly string[];
  readonly removed: readonly string[];
}

/** What is in a directory: the regular files by name, and those that could not be read. */
export interface DirectoryContent {
  readonly files: ReadonlyMap<string, Uint8Array>;
  readonly errors: ReadonlyMap<string, FilesError>;
}

/**
 * Reads the regular files of a directory, links followed, sorted by name; not those below it.
 *
 * @throws {FilesError} FILE_NOT_FOUND, FILE_UNREADABLE, FILE_TOO_LARGE: of the directory as a whole
 */
export async function readDirectoryBounded(
  path: string,
  options: ReadDirectoryOptions,
): Promise<DirectoryContent> {
  const maxBytes = requireLimit(options.maxBytes);
  const names = await namesIn(path, options);
  const files = new Map<string, Uint8Array>();
  const errors = new Map<string, FilesError>();
  for (const name of names) {
    try {
      files.set(name, await readBounded(join(path, name), { maxBytes }));
    } catch (thrown) {
      const error = readError(join(path, name), thrown);
      // Gone since it was listed, or never a file: not there, rather than broken.
      if (error.code !== "FILE_NOT_FOUND" && error.code !== "FILE_NOT_REGULAR") {
        errors.set(name, error);
      }
    }
  }
  return { files, errors };
}

/**
 * Watches the regular files of a directory by events and by polling, and reports only other bytes.
 *
 * A file that can no longer be read keeps its last good bytes and is reported as an error; one that
 * is gone is reported as removed. A directory that cannot be read at all is an error, and nothing
 * counts as removed.
 */
export function watchDirectory(path: string, options: WatchDirectoryOptions): FileWatch {
  requireLimit(options.maxBytes);
  let last = options.initial;

  async function look({ tell }: { tell: Teller }): Promise<CheckResult> {
    try {
      const read = await readDirectoryBounded(path, options);
      const files = withLastGood(read, last);
      tell.errors([...read.errors.values()]);
      const changes = changesBetween(last ?? new Map<string, Uint8Array>(), files);
      const same =
        changes.added.length + changes.changed.length + changes.removed.length === 0 &&
        last !== undefined;
      if (!same) {
        last = files;
        tell.change(() => options.onChange(files, changes));
      }
      if (read.errors.size > 0) return "failed";
      return same ? "unchanged" : "changed";
    } catch (thrown) {
      tell.errors([readError(path, thrown)]);
      return "failed";
    }
  }

  return startWatchLoop({ directory: resolve(path), look }, options);
}

/** The names that count, sorted. */
export async function namesIn(path: string, options: ReadDirectoryOptions): Promise<string[]> {
  const maxFiles = requireLimit(options.maxFiles ?? 1000);
  const include = options.include ?? (() => true);
  const names: string[] = [];
  try {
    for await (const entry of await opendir(path)) {
      if (entry.name.startsWith(".") || entry.isDirectory() || !include(entry.name)) continue;
      if (names.push(entry.name) > maxFiles) {
        throw new FilesError("FILE_TOO_LARGE", `${path}: expected at most ${maxFiles} files`);
      }
    }
  } catch (thrown) {
    throw readError(path, thrown);
  }
  return names.sort();
}

function withLastGood(
  read: DirectoryContent,
  last: ReadonlyMap<string, Uint8Array> | undefined,
): ReadonlyMap<string, Uint8Array> {
  const files = new Map(read.files);
  for (const name of read.errors.keys()) {
    const bytes = last?.get(name);
    if (bytes !== undefined) files.set(name, bytes);
  }
  return files;
}

function changesBetween(
  before: ReadonlyMap<string, Uint8Array>,
  after: ReadonlyMap<string, Uint8Array>,
): DirectoryChanges {
  const added: string[] = [];
  const changed: string[] = [];
  for (const [name, bytes] of after) {
    const old = before.get(name);
    if (old === undefined) added.push(name);
    else if (Buffer.compare(old, bytes) !== 0) changed.push(name);
  }
  const removed = [...before.keys()].filter((name) => !after.has(name));
  return { added: added.sort(), changed: changed.sort(), removed: removed.sort() };
}
