import { stat } from "node:fs/promises";

/** What the file system tells of a file without reading it. */
export interface Signature {
  readonly text: string;
  readonly bytes: number;
  /** When contents or attributes last changed, in ms since 1970. */
  readonly changedMs: number;
}

/** When a file was last read, and what it looked like before. */
export interface Look {
  readonly signature: Signature;
  readonly startedMs: number;
}

/** Asks the file system; its errors pass through. */
export async function signatureOf(path: string): Promise<Signature> {
  const stats = await stat(path, { bigint: true });
  return {
    text: `${stats.dev}:${stats.ino}:${stats.size}:${stats.mtimeNs}:${stats.ctimeNs}`,
    bytes: Number(stats.size),
    changedMs: Number(stats.ctimeMs > stats.mtimeMs ? stats.ctimeMs : stats.mtimeMs),
  };
}

/**
 * Small files are simply read again. A large one is skipped if its attributes are the same and the
 * last look began well after its last change: time stamps are too coarse to tell two changes in
 * one tick apart.
 */
export function seemsUntouched(now: Signature, before: Look | undefined): boolean {
  if (before === undefined || now.bytes <= alwaysReadBytes) return false;
  if (now.text !== before.signature.text) return false;
  return before.startedMs - before.signature.changedMs > stampTickMs;
}

const alwaysReadBytes = 1024 * 1024;
const stampTickMs = 2000;
