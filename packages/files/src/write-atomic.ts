import { randomBytes } from "node:crypto";
import { constants } from "node:fs";
import { chmod, link, lstat, mkdir, open, rename, unlink } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { FilesError, systemCodeOf } from "./errors.ts";
import { walkToDirectory } from "./trusted-directory.ts";

/** How a directory that files are written to is judged. */
export interface DirectoryTrust {
  /**
   * Refuse a directory that anyone but root or this process's user can write, at any level.
   * Always on when the process runs as root; off by default otherwise.
   */
  readonly trustedDirectory?: boolean;
  /** Lets even root write to a directory that others can write: they may then swap what is written. */
  readonly dangerouslyAllowSharedDirectory?: boolean;
}

/** How a file is written. */
export interface WriteFileAtomicOptions extends DirectoryTrust {
  /** The permission bits the file gets when it is complete, whatever the umask. Default 0600. */
  readonly mode?: number;
  /** Replace what is there, a symbolic link itself included. Default false: FILE_EXISTS. */
  readonly overwrite?: boolean;
  /** Whose the file shall be; only root can give files away. Default: this process's user. */
  readonly owner?: { readonly uid: number; readonly gid: number };
}

/**
 * Writes a file so that its path shows either nothing new or all of it, and survives a power cut.
 *
 * The bytes go to a file of random name in the same directory, which nobody else can read from its
 * first moment on, and which takes the path's place only when it is complete and on disk. No
 * symbolic link is followed at the file, and only those of root or this user on the way to it. If
 * it fails, nothing is left; if the process is killed, at most an unnamed `.handfast-….tmp` is.
 *
 * @throws {FilesError} FILE_EXISTS, FILE_NOT_FOUND (the directory), DIRECTORY_UNTRUSTED, FILE_WRITE_FAILED
 */
export async function writeFileAtomic(
  path: string,
  bytes: string | Uint8Array,
  options: WriteFileAtomicOptions = {},
): Promise<void> {
  const mode = requireMode(options.mode ?? 0o600);
  const name = requireName(path);
  try {
    const directory = await walkToDirectory(dirname(resolve(path)), {
      trusted: mustTrust(options),
    });
    const target = join(directory, name);
    const temporary = join(directory, `.handfast-${randomBytes(16).toString("hex")}.tmp`);
    const handle = await open(temporary, createFlags, 0o600);
    try {
      await fill(handle, { bytes, mode, owner: options.owner });
      await place(temporary, { target, overwrite: options.overwrite ?? false });
    } catch (thrown) {
      await unlink(temporary).catch(ignoreMissing);
      throw thrown;
    }
    await syncDirectory(directory);
  } catch (thrown) {
    throw writeError(path, thrown);
  }
}

/** How a directory is made. */
export interface CreateDirectoryOptions extends DirectoryTrust {
  /** The permission bits of each directory that is made, whatever the umask. Default 0700. */
  readonly mode?: number;
}

/**
 * Makes a directory and those missing above it; one that is there is left as it is.
 *
 * @throws {FilesError} FILE_EXISTS (something else is there), DIRECTORY_UNTRUSTED, FILE_WRITE_FAILED
 */
export async function createDirectory(
  path: string,
  options: CreateDirectoryOptions = {},
): Promise<void> {
  const mode = requireMode(options.mode ?? 0o700);
  const trusted = mustTrust(options);
  const absolute = resolve(path);
  try {
    const missing = await missingFrom(absolute);
    for (const directory of missing) {
      const parent = await walkToDirectory(dirname(directory), { trusted, stickyEnd: true });
      await makeOne(join(parent, basename(directory)), mode);
      await syncDirectory(parent);
    }
    await walkToDirectory(absolute, { trusted });
  } catch (thrown) {
    throw writeError(path, thrown);
  }
}

/** The directories to be made, outermost first. */
async function missingFrom(path: string): Promise<string[]> {
  const missing: string[] = [];
  for (let current = path; ; current = dirname(current)) {
    try {
      const stats = await lstat(current);
      if (!stats.isDirectory() && !stats.isSymbolicLink()) {
        throw new FilesError("FILE_EXISTS", `${current}: expected a directory`);
      }
      return missing;
    } catch (thrown) {
      if (systemCodeOf(thrown) !== "ENOENT") throw thrown;
      missing.unshift(current);
    }
  }
}

async function makeOne(path: string, mode: number): Promise<void> {
  try {
    await mkdir(path, mode & 0o700);
  } catch (thrown) {
    // Another process made it first: what it is, is checked by the walk of the next level.
    if (systemCodeOf(thrown) === "EEXIST") return;
    throw thrown;
  }
  if (process.platform === "win32") return;
  // By name: under a umask that leaves the owner no rights the directory cannot be opened.
  const { mode: given } = await lstat(path);
  if ((given & 0o777) !== mode) await chmod(path, mode);
}

async function fill(
  handle: FileHandle,
  content: {
    bytes: string | Uint8Array;
    mode: number;
    owner: { readonly uid: number; readonly gid: number } | undefined;
  },
): Promise<void> {
  try {
    await handle.writeFile(content.bytes);
    if (process.platform !== "win32") {
      // The owner first: giving a file away takes bits off its mode.
      if (content.owner !== undefined) await handle.chown(content.owner.uid, content.owner.gid);
      await handle.chmod(content.mode);
    }
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** `link` fails where something is, in one step; `rename` replaces it, in one step. */
async function place(temporary: string, to: { target: string; overwrite: boolean }): Promise<void> {
  if (to.overwrite) {
    await rename(temporary, to.target);
    return;
  }
  try {
    await link(temporary, to.target);
  } catch (thrown) {
    if (systemCodeOf(thrown) !== "EEXIST") throw thrown;
    throw new FilesError("FILE_EXISTS", `${to.target}: is there already`, { cause: thrown });
  }
  await unlink(temporary);
}

async function syncDirectory(path: string): Promise<void> {
  if (process.platform === "win32") return;
  const handle = await open(path, directoryFlags);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

function mustTrust(options: DirectoryTrust): boolean {
  if (options.trustedDirectory === true) return true;
  return process.geteuid?.() === 0 && options.dangerouslyAllowSharedDirectory !== true;
}

function requireMode(mode: number): number {
  if (!Number.isInteger(mode) || mode < 0 || mode > 0o777) {
    throw new TypeError(`a mode is an integer from 0 to 0o777, not ${String(mode)}`);
  }
  return mode;
}

function requireName(path: string): string {
  const name = basename(path);
  if (path === "" || /[/\\]$/.test(path) || name === "." || name === ".." || path.includes("\0")) {
    throw new TypeError(`a path to write to ends in a file name, not as ${JSON.stringify(path)}`);
  }
  return name;
}

function ignoreMissing(thrown: unknown): void {
  if (systemCodeOf(thrown) !== "ENOENT") throw thrown;
}

function writeError(path: string, thrown: unknown): FilesError {
  if (thrown instanceof FilesError) return thrown;
  const code = systemCodeOf(thrown);
  if (code === "ENOENT" || code === "ENOTDIR") {
    return new FilesError("FILE_NOT_FOUND", `${path}: its directory does not exist`, {
      cause: thrown,
      hint: "make the directory first, or give another path",
    });
  }
  return new FilesError("FILE_WRITE_FAILED", `${path}: could not be written: ${code}`, {
    cause: thrown,
  });
}

/* Windows knows neither O_NOFOLLOW nor O_DIRECTORY: Node leaves them undefined there. */
const noFollow = constants.O_NOFOLLOW ?? 0;
const createFlags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | noFollow;
const directoryFlags = constants.O_RDONLY | (constants.O_DIRECTORY ?? 0) | noFollow;
