import { opendir } from "node:fs/promises";
import { join } from "node:path";
import { FilesError } from "./errors.ts";
import { readBounded, readError, requireLimit } from "./read-bounded.ts";

/** The limits of reading a directory, and which files of it count. */
export interface ReadDirectoryOptions {
  /** The most bytes one file may have. */
  readonly maxBytes: number;
  /** The most files that count. Default 1000; more is FILE_TOO_LARGE for the directory. */
  readonly maxFiles?: number;
  /** Which names count. Names with a dot in front never do. Default: all others. */
  readonly include?: (name: string) => boolean;
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
