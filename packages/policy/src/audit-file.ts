import { createHash, randomBytes } from "node:crypto";
import type { KeyObject } from "node:crypto";
import { constants } from "node:fs";
import { open, rename } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import { dirname } from "node:path";
import { FilesError } from "@handfast/files";
import type { AuditHead } from "./audit-head.ts";
import { signatureProblem } from "./audit-head.ts";
import { chainMagic, encodeFields, encodeRecord, firstHash } from "./audit-record.ts";
import type { ScanEnd, ScannedRecord } from "./audit-scan.ts";
import { auditChainFiles, openedFields, scanAuditFile } from "./audit-scan.ts";
import { PolicyError } from "./errors.ts";

/** A file of a chain, open at its end. */
export interface ChainFile {
  /** Its random id. */
  readonly chain: string;
  /** The size it has on disk. */
  readonly bytes: number;
  /** The last record staged or written. */
  readonly last: Pick<AuditHead, "chain" | "seq" | "hash">;
  /** Puts a record behind the others; `fields` is what `encodeFields` made. Returns its number. */
  stage(kind: string, fields: string): number;
  /** Writes what is staged, and returns when it is on disk. */
  write(): Promise<void>;
  /** Closes the file, and names it as one that is full. */
  retire(): Promise<void>;
  close(): Promise<void>;
}

/** What a chain file needs besides its path, which is free of symbolic links. */
interface ChainFileOptions {
  readonly now: () => Date;
  /** The key that the last signature in the file must be of. */
  readonly publicKey: KeyObject;
}

/**
 * Opens the file for writing and repairs its end, or begins one. Whoever calls holds the lock.
 *
 * @throws {PolicyError} AUDIT_CHAIN_BROKEN; system errors pass through
 */
export async function openChainFile(path: string, options: ChainFileOptions): Promise<ChainFile> {
  const files = await auditChainFiles(path);
  if (!files.includes(path)) {
    return await beginChainFile(path, { ...options, previous: await lastOf(files) });
  }
  const handle = await open(path, appendFlags);
  try {
    const found = await inspect(path, options.publicKey);
    if (found.chain !== undefined) return await reopen(path, { ...options, handle, found });
    // It was cut off while it was being made: nothing had been acknowledged yet.
    await truncate(handle, 0);
    const file = startFile(path, {
      ...options,
      handle,
      previous: await lastOf(files.slice(0, -1)),
    });
    stageRepair(file, found.end);
    await file.write();
    return file;
  } catch (thrown) {
    await handle.close();
    throw thrown;
  }
}

/** Begins the file that follows `full`. */
export async function continueChainFile(
  path: string,
  options: ChainFileOptions & { readonly full: ChainFile },
): Promise<ChainFile> {
  const previous = options.full.last;
  await options.full.retire();
  return await beginChainFile(path, { ...options, previous });
}

type Previous = Pick<AuditHead, "chain" | "seq" | "hash">;

interface Found {
  /** Undefined if the file ends before its first record does. */
  readonly chain: string | undefined;
  readonly end: ScanEnd;
  readonly unproven: number;
}

async function inspect(path: string, publicKey: KeyObject): Promise<Found> {
  let chain: string | undefined;
  let signature: ScannedRecord | undefined;
  let first: ScannedRecord | undefined;
  const end = await scanAuditFile(path, (scanned) => {
    first ??= scanned;
    if (scanned.record.kind === "signature") signature = scanned;
  });
  if (end.type === "broken") throw broken(path, end.seq, end.problem);
  if (first !== undefined) {
    chain = openedFields(first.record)?.chain;
    if (chain === undefined) throw broken(path, 0, "it does not say which chain it begins");
  }
  // The last signature covers all records before it: their hashes lead to it.
  if (signature !== undefined) {
    const problem = signatureProblem(signature, publicKey);
    if (problem !== undefined) throw broken(path, signature.record.seq, problem);
  }
  return { chain, end, unproven: end.seq - 1 - (signature?.record.seq ?? -1) };
}

async function reopen(
  path: string,
  options: ChainFileOptions & { handle: FileHandle; found: Found },
): Promise<ChainFile> {
  const { handle, found } = options;
  const { end, chain = "" } = found;
  if (end.type === "incomplete") await truncate(handle, end.offset);
  const file = createChainFile(path, {
    ...options,
    chain,
    at: { seq: end.seq, hash: end.hash, bytes: end.offset },
  });
  stageRepair(file, end);
  // These records were unsigned while nobody wrote: their first signature comes from this start.
  file.stage("reopened", encodeFields({ unproven: found.unproven }));
  await file.write();
  return file;
}

async function beginChainFile(
  path: string,
  options: ChainFileOptions & { previous: Previous | undefined },
): Promise<ChainFile> {
  const handle = await open(path, appendFlags | constants.O_CREAT | constants.O_EXCL, 0o600);
  try {
    const file = startFile(path, { ...options, handle });
    await file.write();
    await syncDirectory(dirname(path));
    return file;
  } catch (thrown) {
    await handle.close();
    throw thrown;
  }
}

function startFile(
  path: string,
  options: ChainFileOptions & { handle: FileHandle; previous: Previous | undefined },
): ChainFile {
  const chain = randomBytes(16).toString("hex");
  const file = createChainFile(path, {
    ...options,
    chain,
    at: { seq: 0, hash: firstHash, bytes: 0 },
  });
  const { previous } = options;
  const fields = { version: 1, chain, previous: previous && { ...previous } };
  file.stage("opened", encodeFields(fields));
  return file;
}

function stageRepair(file: ChainFile, { type, rest }: ScanEnd): void {
  if (type !== "incomplete" || rest.length === 0) return;
  const hash = createHash("sha256").update(rest).digest("hex");
  file.stage("repaired", encodeFields({ bytes: rest.length, hash }));
}

function createChainFile(
  path: string,
  options: ChainFileOptions & {
    handle: FileHandle;
    chain: string;
    at: { seq: number; hash: Uint8Array; bytes: number };
  },
): ChainFile {
  const { handle, chain, now } = options;
  let { seq: next, hash, bytes } = options.at;
  let staged: Uint8Array[] = bytes === 0 ? [chainMagic] : [];
  return {
    chain,
    get bytes() {
      return bytes;
    },
    get last() {
      return { chain, seq: next - 1, hash: Buffer.from(hash).toString("hex") };
    },
    stage(kind, fields) {
      const encoded = encodeRecord({ seq: next, time: now().toISOString(), kind, fields }, hash);
      staged.push(encoded.bytes);
      ({ hash } = encoded);
      return next++;
    },
    async write() {
      const all = Buffer.concat(staged);
      staged = [];
      await writeAll(handle, all);
      await handle.datasync();
      bytes += all.length;
    },
    async retire() {
      await handle.close();
      const files = await auditChainFiles(path);
      const number = Number(files.at(-2)?.slice(-6) ?? 0) + 1;
      await rename(path, `${path}.${String(number).padStart(6, "0")}`);
      await syncDirectory(dirname(path));
    },
    close: () => handle.close(),
  };
}

/** The last record of the last full file: what a new file builds on. */
async function lastOf(files: readonly string[]): Promise<Previous | undefined> {
  const path = files.at(-1);
  if (path === undefined) return undefined;
  let chain: string | undefined;
  const end = await scanAuditFile(path, ({ record }) => (chain ??= openedFields(record)?.chain));
  if (end.type !== "end" || chain === undefined) {
    throw broken(path, end.seq, end.problem || "it is cut off");
  }
  return { chain, seq: end.seq - 1, hash: Buffer.from(end.hash).toString("hex") };
}

async function writeAll(handle: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.length;) {
    const { bytesWritten } = await handle.write(bytes, done, bytes.length - done, null);
    done += bytesWritten;
  }
}

async function truncate(handle: FileHandle, bytes: number): Promise<void> {
  await handle.truncate(bytes);
  await handle.sync();
}

async function syncDirectory(path: string): Promise<void> {
  if (process.platform === "win32") return;
  const handle = await open(path, constants.O_RDONLY);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

function broken(path: string, seq: number, problem: string): PolicyError {
  return new PolicyError("AUDIT_CHAIN_BROKEN", `${path}: record ${seq}: ${problem}`);
}

/** Gives what went wrong while a chain was opened the code of this package. */
export function openError(path: string, thrown: unknown): PolicyError {
  if (thrown instanceof PolicyError) return thrown;
  if (thrown instanceof FilesError && thrown.code === "FILE_LOCKED") {
    return new PolicyError("AUDIT_CHAIN_LOCKED", `${path}: another writer has it open`, {
      cause: thrown,
    });
  }
  const reason = thrown instanceof Error ? thrown.message : String(thrown);
  return new PolicyError("AUDIT_FAILED", `${path}: ${reason}`, { cause: thrown });
}

const appendFlags = constants.O_WRONLY | constants.O_APPEND | (constants.O_NOFOLLOW ?? 0);
