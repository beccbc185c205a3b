import { basename, dirname, join, resolve } from "node:path";
import { lockFile, walkToDirectory } from "@handfast/files";
import type { FileLock } from "@handfast/files";
import { continueChainFile, openChainFile, openError } from "./audit-file.ts";
import type { ChainFile } from "./audit-file.ts";
import type { AuditHead, AuditSigner } from "./audit-head.ts";
import { signHead } from "./audit-head.ts";
import type { RecordFields } from "./audit-record.ts";
import { encodeFields } from "./audit-record.ts";
import { PolicyError } from "./errors.ts";

/** A tamper-evident log: the one writer of its files in this process and any other. */
export interface AuditChain {
  /**
   * Adds a record; resolves when it is on disk (after fdatasync), with its place in the chain.
   * Records that wait together are written together. `kind` is a word such as `decision`.
   *
   * @throws {PolicyError} AUDIT_FAILED, AUDIT_CLOSED
   * @throws {TypeError} at once: a kind of the chain's own, or fields over 1 MiB
   */
  append(kind: string, fields: RecordFields): Promise<AuditPlace>;
  /** The last checkpoint that was signed. */
  readonly head: AuditHead;
  /** Why nothing can be recorded any more; undefined while all is well. */
  readonly failure: PolicyError | undefined;
  /** Writes what waits, signs it and gives the files up. */
  close(): Promise<void>;
}

/** Where a record stands. */
export interface AuditPlace {
  readonly chain: string;
  readonly seq: number;
}

/** How a chain is kept. */
export interface AuditChainOptions {
  /** Signs at least every second while there are records, and at the end. */
  readonly signer: AuditSigner;
  /**
   * Told of each signed checkpoint, the first when the chain is open. Keep them elsewhere (a log, a
   * witness): without them nobody can tell that the end of a file was cut off.
   */
  readonly onHead?: (head: AuditHead) => void;
  /** Told once when a write fails; every later record is refused. */
  readonly onFailure?: (error: PolicyError) => void;
  /** The size over which a file is finished and another begun. Default 64 MiB. */
  readonly maxFileBytes?: number;
  /** The longest time a record is left unsigned, in a loop that is not blocked. Default and most 1000. */
  readonly signEveryMs?: number;
  /** The clock of the records. Default: the system's. */
  readonly now?: () => Date;
}

/**
 * Opens an audit chain, or begins one; holds a lock beside it (`PATH.lock`) until it is closed.
 *
 * After a crash an incomplete last record is dropped, and a record says so; a complete record that is
 * not what was written stops the start. A full file becomes `PATH.000001` and so on; the next one
 * begins with its last hash.
 *
 * @throws {PolicyError} AUDIT_CHAIN_LOCKED, AUDIT_CHAIN_BROKEN, AUDIT_FAILED
 */
export async function openAuditChain(
  path: string,
  options: AuditChainOptions,
): Promise<AuditChain> {
  const { signer, now = () => new Date() } = options;
  const fileOptions = { now, publicKey: signer.publicKey };
  let lock: FileLock | undefined;
  let file: ChainFile | undefined;
  try {
    const trusted = process.geteuid?.() === 0;
    const directory = await walkToDirectory(dirname(resolve(path)), { trusted });
    const real = join(directory, basename(path));
    lock = lockFile(`${real}.lock`);
    file = await openChainFile(real, fileOptions);
    const head = await signAll(file, { signer, now });
    const state: State = {
      path,
      lock,
      file,
      head,
      next: (full) => continueChainFile(real, { ...fileOptions, full }),
      sign: (full) => signAll(full, { signer, now }),
      maxFileBytes: options.maxFileBytes ?? 64 * 1024 * 1024,
      signAfterMs: Math.max(1, Math.min(options.signEveryMs ?? maxSignMs, maxSignMs) / 2),
      onHead: quietly(options.onHead),
      onFailure: quietly(options.onFailure),
    };
    state.onHead(head);
    return runChain(state);
  } catch (thrown) {
    await file?.close();
    lock?.release();
    throw openError(path, thrown);
  }
}

interface State {
  readonly path: string;
  readonly lock: FileLock;
  readonly file: ChainFile;
  readonly head: AuditHead;
  readonly next: (full: ChainFile) => Promise<ChainFile>;
  readonly sign: (file: ChainFile) => Promise<AuditHead>;
  readonly maxFileBytes: number;
  readonly signAfterMs: number;
  readonly onHead: (head: AuditHead) => void;
  readonly onFailure: (error: PolicyError) => void;
}

interface Waiting {
  readonly kind: string;
  readonly fields: string;
  readonly resolve: (place: AuditPlace) => void;
  readonly reject: (error: PolicyError) => void;
}

/** One loop writes: whatever waits by then, in one piece. */
function runChain(state: State): AuditChain {
  let { file, head } = state;
  let waiting: Waiting[] = [];
  let busy = false;
  let onIdle: (() => void) | undefined;
  let signTimer: NodeJS.Timeout | undefined;
  let signDue = false;
  let failure: PolicyError | undefined;
  let closing: Promise<void> | undefined;

  function wake(): void {
    if (busy) return;
    busy = true;
    void work();
  }

  /** Never rejects. */
  async function work(): Promise<void> {
    while (failure === undefined && (waiting.length > 0 || signDue)) {
      const batch = waiting.slice(0, maxBatch);
      waiting = waiting.slice(maxBatch);
      try {
        await writeBatch(batch);
      } catch (thrown) {
        fail(thrown, batch);
      }
    }
    busy = false;
    onIdle?.();
  }

  async function writeBatch(batch: readonly Waiting[]): Promise<void> {
    const { chain } = file;
    const places = batch.map(({ kind, fields }) => ({ chain, seq: file.stage(kind, fields) }));
    if (signDue) {
      await signNow();
    } else {
      await file.write();
      signTimer ??= setTimeout(() => {
        signDue = true;
        wake();
      }, state.signAfterMs);
    }
    for (const [index, place] of places.entries()) batch[index]?.resolve(place);
    if (file.bytes >= state.maxFileBytes) await beginNextFile();
  }

  async function signNow(): Promise<void> {
    clearTimeout(signTimer);
    signTimer = undefined;
    signDue = false;
    head = await state.sign(file);
    state.onHead(head);
  }

  async function beginNextFile(): Promise<void> {
    file.stage("continued", encodeFields({}));
    await signNow();
    file = await state.next(file);
    await signNow();
  }

  function fail(thrown: unknown, batch: readonly Waiting[]): void {
    clearTimeout(signTimer);
    const reason = thrown instanceof Error ? thrown.message : String(thrown);
    failure = new PolicyError("AUDIT_FAILED", `${state.path}: ${reason}`, { cause: thrown });
    // Of a batch that was acknowledged before the failure, this rejects nothing.
    for (const { reject } of [...batch, ...waiting]) reject(failure);
    waiting = [];
    state.onFailure(failure);
  }

  async function finish(): Promise<void> {
    if (busy) await new Promise<void>((resolve) => (onIdle = resolve));
    clearTimeout(signTimer);
    try {
      if (failure !== undefined) return;
      file.stage("closed", encodeFields({}));
      await signNow();
    } catch (thrown) {
      fail(thrown, []);
    } finally {
      await file.close().catch(() => undefined);
      state.lock.release();
    }
  }

  return {
    get head() {
      return head;
    },
    get failure() {
      return failure;
    },
    append(kind, given) {
      requireKind(kind);
      // Encoded now: the caller may change them, and a mistake in them is the caller's alone.
      const fields = encodeFields(given);
      if (failure !== undefined) return Promise.reject(failure);
      if (closing !== undefined) {
        return Promise.reject(new PolicyError("AUDIT_CLOSED", `${state.path}: is closed`));
      }
      return new Promise((resolve, reject) => {
        waiting.push({ kind, fields, resolve, reject });
        wake();
      });
    },
    close: () => (closing ??= finish()),
  };
}

/** Stages a signature over all records of a file, and puts everything staged on disk. */
async function signAll(
  file: ChainFile,
  options: { signer: AuditSigner; now: () => Date },
): Promise<AuditHead> {
  const head = await signHead({ ...file.last, time: options.now().toISOString() }, options.signer);
  file.stage("signature", encodeFields({ ...head }));
  await file.write();
  return head;
}

function requireKind(kind: string): void {
  if (/^[a-z][a-z0-9-]{0,31}$/.test(kind) && !ownKinds.has(kind)) return;
  throw new TypeError(
    `a kind is a word of up to 32 letters and not one of the chain's own: ${kind}`,
  );
}

function quietly<T>(listener: ((value: T) => void) | undefined): (value: T) => void {
  return (value) => {
    try {
      listener?.(value);
    } catch {
      // Whoever listens badly does not stop the log.
    }
  };
}

/** What the chain says of itself. */
const ownKinds: ReadonlySet<string> = new Set([
  "opened",
  "reopened",
  "repaired",
  "continued",
  "closed",
  "signature",
]);
const maxSignMs = 1000;
const maxBatch = 1000;
