import type { Stats } from "node:fs";
import { lstat, readlink } from "node:fs/promises";
import { dirname, join, parse, resolve, sep } from "node:path";
import { FilesError } from "./errors.ts";

/**
 * Walks to a directory and returns its real path, free of symbolic links.
 *
 * A link on the way is followed only if root or this process's user owns it. With `trusted`, every
 * directory passed must belong to one of the two and be writable by its owner alone; a sticky
 * directory of root's (`/tmp`) is accepted on the way, since nobody can replace what is ours in it,
 * and as the end only with `stickyEnd`: for making a directory there, not a file. An access list that lets others write shows as a group that may write.
 *
 * Windows has no owners or modes to look at: there the path is only resolved.
 *
 * @throws {FilesError} DIRECTORY_UNTRUSTED; system errors (ENOENT, ENOTDIR, …) pass through
 */
export async function walkToDirectory(
  path: string,
  options: { trusted: boolean; stickyEnd?: boolean },
): Promise<string> {
  const { root } = parse(resolve(path));
  if (process.platform === "win32") return resolve(path);
  let pending = segmentsOf(resolve(path));
  let current = root;
  let links = 0;
  const { trusted, stickyEnd = false } = options;
  if (trusted) checkDirectory(current, await lstat(current), { last: false });
  for (let segment = pending.shift(); segment !== undefined; segment = pending.shift()) {
    const next = join(current, segment);
    const stats = await lstat(next);
    if (stats.isSymbolicLink()) {
      checkLink(next, stats);
      if (++links > maxLinks) throw untrusted(next, "leads through too many symbolic links");
      const target = await readlink(next);
      // A link starts again from the root or from where it stands; ".." is resolved there, not in text.
      if (target.startsWith(sep)) current = root;
      pending = [...segmentsOf(target), ...pending];
    } else if (segment === "..") {
      current = dirname(current);
    } else if (stats.isDirectory()) {
      if (trusted) checkDirectory(next, stats, { last: false });
      current = next;
    } else {
      throw new FilesError("FILE_NOT_FOUND", `${next}: expected a directory`);
    }
  }
  if (trusted) checkDirectory(current, await lstat(current), { last: !stickyEnd });
  return current;
}

function segmentsOf(path: string): string[] {
  return path.split(sep).filter((segment) => segment !== "" && segment !== ".");
}

function checkLink(path: string, stats: Stats): void {
  if (isOurs(stats.uid)) return;
  throw untrusted(path, `is a symbolic link of user ${stats.uid}`);
}

function checkDirectory(path: string, stats: Stats, place: { last: boolean }): void {
  if (!isOurs(stats.uid)) throw untrusted(path, `belongs to user ${stats.uid}`);
  const mode = stats.mode & 0o7777;
  if ((mode & othersMayWrite) === 0) return;
  if ((mode & sticky) !== 0 && !place.last) return;
  throw untrusted(path, `can be written by others (mode ${mode.toString(8).padStart(4, "0")})`);
}

function isOurs(uid: number): boolean {
  return uid === 0 || uid === process.geteuid?.();
}

function untrusted(path: string, what: string): FilesError {
  return new FilesError("DIRECTORY_UNTRUSTED", `${path}: ${what}`);
}

const othersMayWrite = 0o022;
const sticky = 0o1000;
const maxLinks = 40;
