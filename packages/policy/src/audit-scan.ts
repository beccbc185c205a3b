import { open, readdir } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import type { AuditHead } from "./audit-head.ts";
import type { AuditRecord } from "./audit-record.ts";
import { chainMagic, decodeRecord, firstHash } from "./audit-record.ts";
import { PolicyError } from "./errors.ts";

/** A record, where it stands, and the hash that the chain has after it. */
export interface ScannedRecord {
  readonly record: AuditRecord;
  readonly hash: Uint8Array;
  readonly before: Uint8Array;
  /** Of its first byte. */
  readonly offset: number;
}

/** How the records of a file end. */
export interface ScanEnd {
  /** `incomplete`: in the middle of a record, or of the magic bytes. */
  readonly type: "end" | "incomplete" | "broken";
  /** The number that the next record has, or the one that is not right. */
  readonly seq: number;
  readonly offset: number;
  /** The hash of the last good record. */
  readonly hash: Uint8Array;
  /** What follows the last good record: of an incomplete one, all of it. */
  readonly rest: Uint8Array;
  /** What is broken. */
  readonly problem: string;
}

/**
 * Reads the records of one file in order and hands each to `onRecord`, until the file ends or one is
 * not what was written. What the records say is not looked at.
 *
 * @throws {PolicyError} AUDIT_UNREADABLE
 */
export async function scanAuditFile(
  path: string,
  onRecord: (scanned: ScannedRecord) => void,
): Promise<ScanEnd> {
  const handle = await openForReading(path);
  try {
    return await scan(createReader(handle), onRecord);
  } catch (thrown) {
    throw unreadable(path, thrown);
  } finally {
    await handle.close();
  }
}

/** The files of a chain, oldest first: those that were full (`PATH.000001` …) and `path` itself. */
export async function auditChainFiles(path: string): Promise<readonly string[]> {
  const name = basename(path);
  const names = await readdir(dirname(path)).catch((thrown: unknown) => {
    throw unreadable(dirname(path), thrown);
  });
  const full = names.filter((each) => fullName.test(each) && each.slice(0, -7) === name).sort();
  return [...full, ...names.filter((each) => each === name)].map((each) =>
    join(dirname(path), each),
  );
}

/** What a file says of itself in its first record; undefined if that is not how a file starts. */
export function openedFields(
  record: AuditRecord,
): { chain: string; previous: Pick<AuditHead, "chain" | "seq" | "hash"> | undefined } | undefined {
  const { chain, previous, version } = record.fields;
  if (record.kind !== "opened" || version !== 1 || typeof chain !== "string") return undefined;
  if (previous === undefined) return { chain, previous };
  if (typeof previous !== "object" || previous === null || !("chain" in previous)) return undefined;
  const { chain: before, seq, hash } = previous;
  if (typeof before !== "string" || typeof seq !== "number" || typeof hash !== "string") {
    return undefined;
  }
  return { chain, previous: { chain: before, seq, hash } };
}

async function scan(reader: Reader, onRecord: (scanned: ScannedRecord) => void): Promise<ScanEnd> {
  const magic = (await reader.peek(chainMagic.length)).subarray(0, chainMagic.length);
  const isMagic = Buffer.compare(magic, chainMagic.subarray(0, magic.length)) === 0;
  const start = { seq: 0, offset: 0, hash: firstHash, rest: magic, problem: "" };
  if (!isMagic) {
    return { ...start, type: "broken", problem: "the file does not begin as an audit log" };
  }
  if (magic.length < chainMagic.length) return { ...start, type: "incomplete" };
  reader.skip(chainMagic.length);
  let hash = firstHash;
  for (let seq = 0; ; seq++) {
    const { offset } = reader;
    const decoded = await decodeNext(reader, { seq, before: hash });
    const here = { seq, offset, hash, rest: reader.buffered(), problem: "" };
    if (decoded === "end") return { ...here, type: "end" };
    if (decoded.type === "incomplete") return { ...here, type: "incomplete" };
    if (decoded.type === "broken") return { ...here, type: "broken", problem: decoded.problem };
    onRecord({ record: decoded.record, hash: decoded.hash, before: hash, offset });
    reader.skip(decoded.bytes);
    ({ hash } = decoded);
  }
}

async function decodeNext(
  reader: Reader,
  expected: { seq: number; before: Uint8Array },
): Promise<ReturnType<typeof decodeRecord> | "end"> {
  let wanted = 1;
  for (;;) {
    const bytes = await reader.peek(wanted);
    if (bytes.length === 0) return "end";
    const decoded = decodeRecord(bytes, expected);
    if (decoded.type !== "incomplete" || bytes.length < wanted) return decoded;
    wanted = decoded.needed;
  }
}

/** A window over a file. */
interface Reader {
  /** Of the first byte of the window. */
  readonly offset: number;
  /** At least `count` bytes, unless the file ends before. */
  peek(count: number): Promise<Uint8Array>;
  skip(count: number): void;
  buffered(): Uint8Array;
}

function createReader(handle: FileHandle): Reader {
  let window = new Uint8Array();
  let offset = 0;
  return {
    get offset() {
      return offset;
    },
    async peek(count) {
      while (window.length < count) {
        const chunk = new Uint8Array(Math.max(chunkBytes, count - window.length));
        const { bytesRead } = await handle.read(chunk, 0, chunk.length, offset + window.length);
        if (bytesRead === 0) break;
        window = Buffer.concat([window, chunk.subarray(0, bytesRead)]);
      }
      return window;
    },
    skip(count) {
      window = window.subarray(count);
      offset += count;
    },
    buffered: () => window,
  };
}

async function openForReading(path: string): Promise<FileHandle> {
  try {
    return await open(path, "r");
  } catch (thrown) {
    throw unreadable(path, thrown);
  }
}

function unreadable(path: string, thrown: unknown): PolicyError {
  if (thrown instanceof PolicyError) return thrown;
  const reason = thrown instanceof Error ? thrown.message : String(thrown);
  return new PolicyError("AUDIT_UNREADABLE", `${path}: ${reason}`, { cause: thrown });
}

const fullName = /\.\d{6}$/;
const chunkBytes = 256 * 1024;
