import { createHash } from "node:crypto";
import { closeSync, constants, fstatSync, openSync, readSync } from "node:fs";
import { open } from "node:fs/promises";
import { FilesError, systemCodeOf } from "./errors.ts";

/** The limit of a read. */
export interface ReadBoundedOptions {
  /** The most bytes the file may have; more is FILE_TOO_LARGE, before they are held in memory. */
  readonly maxBytes: number;
}

/**
 * Reads a whole regular file of at most `maxBytes` bytes.
 *
 * Symbolic links are followed; a pipe or a device is refused without waiting for it. A file that
 * grows while it is read is still held to the limit.
 *
 * @throws {FilesError} FILE_NOT_FOUND, FILE_NOT_REGULAR, FILE_TOO_LARGE, FILE_UNREADABLE
 */
export async function readBounded(path: string, options: ReadBoundedOptions): Promise<Uint8Array> {
  const maxBytes = requireLimit(options.maxBytes);
  try {
    const handle = await open(path, readFlags);
    try {
      const stats = await handle.stat();
      let buffer = bufferFor({ path, maxBytes, regular: stats.isFile(), size: stats.size });
      let length = 0;
      for (;;) {
        const { bytesRead } = await handle.read(buffer, length, buffer.length - length, null);
        if (bytesRead === 0) return buffer.subarray(0, length);
        length += bytesRead;
        buffer = roomAfter(buffer, { path, maxBytes, length });
      }
    } finally {
      await handle.close();
    }
  } catch (thrown) {
    throw readError(path, thrown);
  }
}

/**
 * The SHA-256 of a whole regular file of at most `maxBytes` bytes, base64, without holding the file.
 *
 * @throws {FilesError} FILE_NOT_FOUND, FILE_NOT_REGULAR, FILE_TOO_LARGE, FILE_UNREADABLE
 */
export async function digestBounded(path: string, options: ReadBoundedOptions): Promise<string> {
  const maxBytes = requireLimit(options.maxBytes);
  try {
    const handle = await open(path, readFlags);
    try {
      const stats = await handle.stat();
      if (!stats.isFile()) throw notRegular(path);
      if (stats.size > maxBytes) throw tooLarge(path, maxBytes);
      const hash = createHash("sha256");
      const buffer = new Uint8Array(Math.min(stats.size + 1, digestChunkBytes));
      for (let length = 0; length <= maxBytes;) {
        const { bytesRead } = await handle.read(buffer, 0, buffer.length, null);
        if (bytesRead === 0) return hash.digest("base64");
        hash.update(buffer.subarray(0, bytesRead));
        length += bytesRead;
      }
      throw tooLarge(path, maxBytes);
    } finally {
      await handle.close();
    }
  } catch (thrown) {
    throw readError(path, thrown);
  }
}

/**
 * Reads as {@link readBounded} does, before it returns.
 *
 * @throws {FilesError} FILE_NOT_FOUND, FILE_NOT_REGULAR, FILE_TOO_LARGE, FILE_UNREADABLE
 */
export function readBoundedSync(path: string, options: ReadBoundedOptions): Uint8Array {
  const maxBytes = requireLimit(options.maxBytes);
  try {
    const descriptor = openSync(path, readFlags);
    try {
      const stats = fstatSync(descriptor);
      let buffer = bufferFor({ path, maxBytes, regular: stats.isFile(), size: stats.size });
      let length = 0;
      for (;;) {
        const count = readSync(descriptor, buffer, length, buffer.length - length, null);
        if (count === 0) return buffer.subarray(0, length);
        length += count;
        buffer = roomAfter(buffer, { path, maxBytes, length });
      }
    } finally {
      closeSync(descriptor);
    }
  } catch (thrown) {
    throw readError(path, thrown);
  }
}

/** Checks a limit given in bytes or in files; wrong use is a TypeError. */
export function requireLimit(limit: number): number {
  if (!Number.isSafeInteger(limit) || limit < 0) {
    throw new TypeError(`a limit is an integer of 0 or more, not ${String(limit)}`);
  }
  return limit;
}

/** Gives a system error of a read the code of this package. */
export function readError(path: string, thrown: unknown): FilesError {
  if (thrown instanceof FilesError) return thrown;
  const code = systemCodeOf(thrown);
  if (code === "ENOENT" || code === "ENOTDIR") {
    return new FilesError("FILE_NOT_FOUND", `${path}: there is no such file`, { cause: thrown });
  }
  if (code === "ENXIO") return notRegular(path, thrown);
  return new FilesError("FILE_UNREADABLE", `${path}: could not be read: ${code}`, {
    cause: thrown,
  });
}

/** One byte more than was announced, so that the end of the file is met without growing. */
function bufferFor(file: {
  path: string;
  maxBytes: number;
  regular: boolean;
  size: number;
}): Uint8Array {
  if (!file.regular) throw notRegular(file.path);
  if (file.size > file.maxBytes) throw tooLarge(file.path, file.maxBytes);
  return new Uint8Array(file.size + 1);
}

function roomAfter(
  buffer: Uint8Array,
  file: { path: string; maxBytes: number; length: number },
): Uint8Array {
  if (file.length > file.maxBytes) throw tooLarge(file.path, file.maxBytes);
  if (file.length < buffer.length) return buffer;
  const larger = new Uint8Array(Math.min(Math.max(buffer.length * 2, 4096), file.maxBytes + 1));
  larger.set(buffer);
  return larger;
}

function notRegular(path: string, cause?: unknown): FilesError {
  return new FilesError("FILE_NOT_REGULAR", `${path}: expected a regular file`, { cause });
}

function tooLarge(path: string, maxBytes: number): FilesError {
  return new FilesError(
    "FILE_TOO_LARGE",
    `${path}: expected at most ${maxBytes} bytes, and it has more`,
  );
}

/** Non-blocking, so that opening a pipe nobody writes to returns at once. */
const readFlags = constants.O_RDONLY | constants.O_NONBLOCK;
/** Hashed in less than a millisecond. */
const digestChunkBytes = 1024 * 1024;
