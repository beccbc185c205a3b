import type { KeyObject } from "node:crypto";
import type { AuditHead } from "./audit-head.ts";
import { headVerifies, signatureProblem } from "./audit-head.ts";
import type { AuditRecord } from "./audit-record.ts";
import type { ScannedRecord } from "./audit-scan.ts";
import { auditChainFiles, openedFields, scanAuditFile } from "./audit-scan.ts";
import { PolicyError } from "./errors.ts";

/** What a verifier brings from outside the files. */
export interface VerifyAuditChainOptions {
  /** The key of the log, from whoever runs it: not from beside the files. */
  readonly publicKey: KeyObject;
  /** A checkpoint that was kept elsewhere; without one a cut end cannot be seen. */
  readonly head?: AuditHead;
}

/** What was found. */
export interface AuditVerification {
  /** No record is false, and the head, if one was given, is among them. */
  readonly ok: boolean;
  /** The first thing that is wrong. */
  readonly problem: AuditProblem | undefined;
  readonly files: readonly string[];
  /** How many records were right, those of the log about itself included. */
  readonly records: number;
  /** The last checkpoint found in the files. */
  readonly head: AuditHead | undefined;
  /** Whether the end was compared with a checkpoint from outside. */
  readonly headCompared: boolean;
  /** How many records stand after the last signature: anyone who can write the file can change them. */
  readonly unproven: number;
  /** Whether the last file was closed in order; else it is in use, its writer died, or it was cut. */
  readonly closed: boolean;
  /** What the first file builds on, if files before it are not here. */
  readonly startsAfter: Pick<AuditHead, "chain" | "seq" | "hash"> | undefined;
  /** Starts after an end that was not in order. */
  readonly restarts: readonly AuditRestart[];
}

/** A start that found the file not closed. */
export interface AuditRestart {
  readonly file: string;
  readonly seq: number;
  /** Records that were unsigned while nobody wrote, and were signed by this start. */
  readonly unproven: number;
  /** How many bytes of an incomplete record it dropped. */
  readonly droppedBytes: number;
}

/** The first thing that is wrong with a log. */
export interface AuditProblem {
  readonly kind:
    | "broken-record"
    | "incomplete-record"
    | "signature-invalid"
    | "link-broken"
    | "truncated"
    | "forked"
    | "head-invalid"
    | "head-unknown";
  readonly file: string;
  /** The number of the record that is wrong or missing. */
  readonly seq: number;
  /** Where it begins in the file; undefined where it is not in the file. */
  readonly offset: number | undefined;
  /** One sentence that names the record. */
  readonly message: string;
}

/**
 * Replays a log, its full files first, and names the first record that is not what was written.
 *
 * @throws {PolicyError} AUDIT_UNREADABLE
 */
export async function verifyAuditChain(
  path: string,
  options: VerifyAuditChainOptions,
): Promise<AuditVerification> {
  const files = await auditChainFiles(path);
  if (files.length === 0) {
    throw new PolicyError("AUDIT_UNREADABLE", `${path}: there is no such file`);
  }
  const found = createFindings(options);
  for (const file of files) {
    await readFile(file, found);
    if (found.problem !== undefined) break;
  }
  compareHead(files.at(-1) ?? path, found);
  const { problem, records, head, sinceSignature, closed, startsAfter, restarts } = found;
  return {
    ok: problem === undefined,
    problem,
    files,
    records,
    head,
    headCompared: options.head !== undefined,
    unproven: sinceSignature,
    closed,
    startsAfter,
    restarts,
  };
}

/** What is known so far, over all files. */
interface Findings {
  readonly publicKey: KeyObject;
  readonly expectedHead: AuditHead | undefined;
  problem: AuditProblem | undefined;
  records: number;
  head: AuditHead | undefined;
  sinceSignature: number;
  /** Undefined before the first file. */
  last: { chain: string; seq: number; hash: string; kind: string } | undefined;
  closed: boolean;
  startsAfter: AuditVerification["startsAfter"];
  restarts: AuditRestart[];
  /** The last number of the chain that the expected head is of. */
  headChainSeq: number | undefined;
  /** The hash that the record of the expected head has here. */
  headHashHere: string | undefined;
  /** The signature in the record after that one, where the expected head stands if it is of here. */
  signatureHere: unknown;
}

function createFindings({ publicKey, head }: VerifyAuditChainOptions): Findings {
  return {
    publicKey,
    expectedHead: head,
    problem: undefined,
    records: 0,
    head: undefined,
    sinceSignature: 0,
    last: undefined,
    closed: false,
    startsAfter: undefined,
    restarts: [],
    headChainSeq: undefined,
    headHashHere: undefined,
    signatureHere: undefined,
  };
}

async function readFile(file: string, found: Findings): Promise<void> {
  const place: { chain: string | undefined; lastSigned: number; dropped: number } = {
    chain: undefined,
    lastSigned: -1,
    dropped: 0,
  };
  const end = await scanAuditFile(file, (scanned) => {
    if (found.problem !== undefined) return;
    const { record, hash, offset } = scanned;
    const wrong = (kind: AuditProblem["kind"], what: string): void => {
      const message = `${file}: record ${record.seq} at byte ${offset}: ${what}`;
      found.problem = { kind, file, seq: record.seq, offset, message };
    };
    if (record.seq === 0) place.chain = begin(scanned, { found, wrong });
    else if (record.kind === "opened") wrong("broken-record", "a second beginning");
    if (place.chain === undefined || found.problem !== undefined) return;
    if (record.kind === "signature") {
      const problem = signatureProblem(scanned, found.publicKey);
      if (problem !== undefined) {
        const suspects = `one of the records ${place.lastSigned + 1} to ${record.seq} is false`;
        wrong("signature-invalid", `${problem}: ${suspects}`);
        return;
      }
      place.lastSigned = record.seq;
      found.head = record.fields as unknown as AuditHead;
      found.sinceSignature = 0;
    } else {
      found.sinceSignature++;
    }
    if (record.kind === "repaired") place.dropped = numberOf(record.fields["bytes"]);
    if (record.kind === "reopened") {
      const unproven = numberOf(record.fields["unproven"]);
      found.restarts.push({ file, seq: record.seq, unproven, droppedBytes: place.dropped });
      place.dropped = 0;
    }
    found.closed = record.kind === "signature" && found.last?.kind === "closed";
    found.records++;
    note(found, { record, chain: place.chain, hash: Buffer.from(hash).toString("hex") });
  });
  if (found.problem !== undefined || end.type === "end") {
    if (place.chain === undefined) {
      found.problem ??= atEnd(file, { kind: "incomplete-record", end, what: "the file is empty" });
    }
    return;
  }
  found.closed = false;
  found.problem =
    end.type === "broken"
      ? atEnd(file, { kind: "broken-record", end, what: end.problem })
      : atEnd(file, {
          kind: "incomplete-record",
          end,
          what: `the file ends ${end.rest.length} bytes into it; it is being written, its writer died, or it was cut`,
        });
}

/** Takes the first record of a file: its chain, and what it builds on. */
function begin(
  { record }: ScannedRecord,
  to: { found: Findings; wrong: (kind: AuditProblem["kind"], what: string) => void },
): string | undefined {
  const { found, wrong } = to;
  const opened = openedFields(record);
  if (opened === undefined) {
    wrong("broken-record", "it does not say which chain it begins");
    return undefined;
  }
  const { last } = found;
  const { previous } = opened;
  if (last === undefined) {
    found.startsAfter = previous;
  } else if (
    previous?.chain !== last.chain ||
    previous.seq !== last.seq ||
    previous.hash !== last.hash
  ) {
    wrong("link-broken", "it does not build on the last record of the file before");
    return undefined;
  }
  return opened.chain;
}

function note(
  found: Findings,
  { record, chain, hash }: { record: AuditRecord; chain: string; hash: string },
): void {
  const { expectedHead } = found;
  const { seq, kind, fields } = record;
  found.last = { chain, seq, hash, kind };
  if (expectedHead?.chain !== chain) return;
  found.headChainSeq = seq;
  if (seq === expectedHead.seq) found.headHashHere = hash;
  if (seq === expectedHead.seq + 1) found.signatureHere = fields["signature"];
}

/** What comes before the head may be wrong by itself; else the head has to be among the records. */
function compareHead(file: string, found: Findings): void {
  const { expectedHead, headChainSeq, headHashHere, signatureHere, publicKey } = found;
  if (found.problem !== undefined || expectedHead === undefined) return;
  const { seq, chain, time } = expectedHead;
  const wrong = (kind: AuditProblem["kind"], what: string, at = seq): void => {
    found.problem = { kind, file, seq: at, offset: undefined, message: `${file}: ${what}` };
  };
  if (!headVerifies(expectedHead, publicKey)) {
    wrong("head-invalid", "the checkpoint was not signed with this key");
  } else if (headChainSeq === undefined) {
    wrong("head-unknown", `no file here is of the chain ${chain} that was signed at ${time}`);
  } else if (headHashHere !== undefined && headHashHere !== expectedHead.hash) {
    wrong("forked", `record ${seq} is not the one that was signed at ${time}, or one before it`);
  } else if (headChainSeq <= seq) {
    // A head is emitted when the record that carries it, one after those it signs, is on disk.
    const next = headChainSeq + 1;
    wrong("truncated", `record ${next} is missing: ${seq} was signed at ${time}`, next);
  } else if (signatureHere !== expectedHead.signature) {
    wrong("forked", `record ${seq + 1} is not the signature that was written at ${time}`, seq + 1);
  }
}

function atEnd(
  file: string,
  of: { kind: AuditProblem["kind"]; end: { seq: number; offset: number }; what: string },
): AuditProblem {
  const { seq, offset } = of.end;
  const message = `${file}: record ${seq} at byte ${offset}: ${of.what}`;
  return { kind: of.kind, file, seq, offset, message };
}

function numberOf(value: unknown): number {
  return typeof value === "number" ? value : 0;
}
