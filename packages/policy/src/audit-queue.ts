import type { AuditChain } from "./audit-chain.ts";
import type { AuditLoggerFactory } from "./audit-event.ts";
import { auditFields } from "./audit-event.ts";
import type { RecordFields } from "./audit-record.ts";
import { PolicyError } from "./errors.ts";

/** A bounded way into an audit chain: nobody waits, and memory does not grow. */
export interface AuditQueue {
  /**
   * Takes a record. The promise resolves when it is on disk, and need not be awaited; of a record
   * that was dropped it resolves at once.
   *
   * @throws {PolicyError} AUDIT_QUEUE_FULL, AUDIT_FAILED: whatever was to be recorded is to be refused
   */
  offer(
    kind: string,
    fields: RecordFields,
    options?: { identity?: string | undefined },
  ): Promise<void>;
  /** How many records are not on disk yet. */
  readonly length: number;
  /** Resolves when nothing waits and what was dropped is recorded: before the chain is closed. */
  flush(): Promise<void>;
}

/** How a queue is bounded. */
export interface AuditQueueOptions {
  /** The most records that wait; one identity has at most a quarter of them. Default 10,000. */
  readonly limit?: number;
  /**
   * `refuse` (default): offering throws, and the call is refused. `drop`: the record is lost, and as
   * soon as there is room a record `dropped` says how many were, from when to when, by whom.
   */
  readonly whenFull?: "refuse" | "drop";
  /** The clock of dropped records. Default: the system's. */
  readonly now?: () => Date;
}

/** Puts a bounded queue before a chain. */
export function createAuditQueue(chain: AuditChain, options: AuditQueueOptions = {}): AuditQueue {
  const { limit = 10_000, whenFull = "refuse", now = () => new Date() } = options;
  if (!Number.isSafeInteger(limit) || limit < 4) {
    throw new TypeError(`the limit of a queue is an integer of at least 4, not ${String(limit)}`);
  }
  const share = Math.floor(limit / 4);
  const waitingBy = new Map<string, number>();
  const pending = new Set<Promise<void>>();
  let waiting = 0;
  let dropped: Dropped | undefined;

  function enter(kind: string, fields: RecordFields, identity: string): Promise<void> {
    const appended = chain.append(kind, fields);
    waiting++;
    waitingBy.set(identity, (waitingBy.get(identity) ?? 0) + 1);
    const done = appended.then(
      () => leave(identity),
      (thrown: unknown) => {
        leave(identity);
        throw thrown;
      },
    );
    track(done);
    return done;
  }

  /** Whoever does not wait for a record hears of a failure at the next one. */
  function track(done: Promise<unknown>): void {
    const settled: Promise<void> = done.then(
      () => void pending.delete(settled),
      () => void pending.delete(settled),
    );
    pending.add(settled);
  }

  function leave(identity: string): void {
    waiting--;
    const left = (waitingBy.get(identity) ?? 1) - 1;
    if (left > 0) waitingBy.set(identity, left);
    else waitingBy.delete(identity);
    if (dropped !== undefined && waiting <= limit / 2 && chain.failure === undefined) {
      const fields = droppedFields(dropped);
      dropped = undefined;
      // Not part of the queue: it stands for what did not fit.
      track(chain.append("dropped", fields));
    }
  }

  return {
    get length() {
      return waiting;
    },
    offer(kind, fields, { identity = "" } = {}) {
      if (chain.failure !== undefined) throw chain.failure;
      if (waiting < limit && (waitingBy.get(identity) ?? 0) < share) {
        return enter(kind, fields, identity);
      }
      if (whenFull === "refuse") {
        throw new PolicyError(
          "AUDIT_QUEUE_FULL",
          `the audit queue has no room: ${waiting} of ${limit} records wait`,
        );
      }
      const time = now().toISOString();
      dropped ??= { count: 0, from: time, to: time, by: new Map(), others: 0 };
      addDropped(dropped, { identity, time });
      return Promise.resolve();
    },
    async flush() {
      while (pending.size > 0) await Promise.all(pending);
    },
  };
}

/**
 * A logger that puts each event into a chain, as records of the kind `decision`. Its config may say
 * `{"mode": "queued"}`, the default, or `{"mode": "beforeReply"}`: the reply then waits for the disk.
 */
export function chainLogger(queue: AuditQueue): AuditLoggerFactory {
  return (config) => {
    for (const name of config.keys()) {
      if (name !== "mode") throw new TypeError(`unknown field ${JSON.stringify(name)}`);
    }
    const mode = config.get("mode") ?? "queued";
    if (mode !== "queued" && mode !== "beforeReply") {
      throw new TypeError('mode: expected "queued" or "beforeReply"');
    }
    return {
      log(event) {
        const { identity } = event;
        const { time: _, ...fields } = auditFields(event);
        const done = queue.offer("decision", fields, { identity });
        return mode === "beforeReply" ? done : undefined;
      },
    };
  };
}

/** Records refused connections, at most one per source, reason and second. */
export interface RefusalRecorder {
  /** Records a refusal unless one like it was recorded within the second; never throws. */
  record(refusal: { source: string; reason: string; fields?: RecordFields }): void;
}

/** Makes a recorder of refused connections; those left out are counted in the next record like them. */
export function createRefusalRecorder(
  queue: AuditQueue,
  options: { now?: () => Date } = {},
): RefusalRecorder {
  const { now = () => new Date() } = options;
  const recent = new Map<string, { sinceMs: number; suppressed: number }>();

  /** Forgets the oldest entries; those that suppressed something may go too when there are too many. */
  function prune(nowMs: number): void {
    for (const [key, { sinceMs, suppressed }] of recent) {
      const isOver = nowMs - sinceMs >= 1000 && suppressed === 0;
      if (isOver || recent.size >= maxSources) recent.delete(key);
      else return;
    }
  }

  return {
    record({ source, reason, fields = {} }) {
      const nowMs = now().getTime();
      const key = JSON.stringify([source, reason]);
      const known = recent.get(key);
      if (known !== undefined && nowMs - known.sinceMs < 1000 && nowMs >= known.sinceMs) {
        known.suppressed++;
        return;
      }
      recent.delete(key);
      prune(nowMs);
      recent.set(key, { sinceMs: nowMs, suppressed: 0 });
      const suppressed = known?.suppressed ?? 0;
      try {
        void queue.offer(
          "refusal",
          { ...fields, source, reason, suppressed },
          { identity: source },
        );
      } catch {
        // The connection is refused anyway; there is nothing left to refuse.
      }
    },
  };
}

/** What did not fit since the last time that was recorded. */
interface Dropped {
  count: number;
  readonly from: string;
  to: string;
  readonly by: Map<string, number>;
  /** Of identities beyond those named. */
  others: number;
}

function addDropped(
  dropped: Dropped,
  { identity, time }: { identity: string; time: string },
): void {
  dropped.count++;
  dropped.to = time;
  const known = dropped.by.get(identity);
  if (known !== undefined || dropped.by.size < maxNamed) dropped.by.set(identity, (known ?? 0) + 1);
  else dropped.others++;
}

function droppedFields({ count, from, to, by, others }: Dropped): RecordFields {
  const identities = [...by].map(([identity, records]) => ({ identity, records }));
  return { count, from, to, identities, others };
}

const maxNamed = 100;
const maxSources = 10_000;
