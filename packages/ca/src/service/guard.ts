import { errorInfo, GrpcError, retryInfo, statusName } from "@handfast/grpc";
import type { GrpcErrorCode } from "@handfast/grpc";
import { X509Error, x509Errors } from "@handfast/x509";
import type { RateLimit } from "../acme/rate-limit.ts";
import type { AuditTrail } from "../audit.ts";
import { CaError, caErrors } from "../errors.ts";
import { errorDomain } from "../wire-errors.ts";
import type { Caller } from "./caller.ts";

/** What every call passes, whichever protocol brought it. */
export interface Guard {
  /**
   * Runs a call, or refuses it.
   *
   * @throws GrpcError with google.rpc details
   */
  run<Result>(caller: Caller, work: () => Promise<Result>): Promise<Result>;
  /** How many calls with one answer are being worked on. */
  readonly pending: number;
  /** How many streams are open. */
  readonly streams: number;
}

/** The rules of one listener. */
export interface GuardOptions {
  /** Who a call is counted for: an identity, or a source address. */
  readonly keyOf: (caller: Caller) => string;
  readonly limiterOf: (caller: Caller) => RateLimit;
  /** Calls at a time, of all callers; beyond it they are told to come back. */
  readonly maxPending: number;
  /** Streams at a time of one caller. */
  readonly maxStreamsPerCaller: number;
  /** Throws for a caller that may call nothing. */
  readonly admit?: (caller: Caller) => Promise<void>;
  /** Told of the refusals that do not come from the authority itself, which records its own. */
  readonly audit: AuditTrail | undefined;
  readonly onFault: (during: string, error: unknown) => void;
}

/** Puts limits, admission and the words for errors around calls. */
export function createGuard(options: GuardOptions): Guard {
  const streamsOf = new Map<string, number>();
  const refusals = createRefusalLog(options);
  let pending = 0;
  let streams = 0;

  async function run<Result>(caller: Caller, work: () => Promise<Result>): Promise<Result> {
    try {
      enter(caller);
    } catch (error) {
      refusals.note(caller, error as CaError);
      throw grpcErrorOf(error as CaError);
    }
    try {
      await options.admit?.(caller);
      return await work();
    } catch (error) {
      if (error instanceof CaError && ownRefusals.has(error.code)) refusals.note(caller, error);
      throw told(caller, error);
    } finally {
      leave(caller);
    }
  }

  function enter(caller: Caller): void {
    const key = options.keyOf(caller);
    const waitMs = options.limiterOf(caller).take(key);
    if (waitMs > 0) throw new LaterError("TOO_MANY_REQUESTS", waitMs);
    if (isStream(caller)) {
      const open = streamsOf.get(key) ?? 0;
      if (open >= options.maxStreamsPerCaller) throw new LaterError("TOO_MANY_REQUESTS", 10_000);
      streamsOf.set(key, open + 1);
      streams += 1;
      return;
    }
    if (pending >= options.maxPending) throw new LaterError("OVERLOADED", 500);
    pending += 1;
  }

  function leave(caller: Caller): void {
    if (!isStream(caller)) {
      pending -= 1;
      return;
    }
    streams -= 1;
    const key = options.keyOf(caller);
    const left = (streamsOf.get(key) ?? 1) - 1;
    if (left > 0) streamsOf.set(key, left);
    else streamsOf.delete(key);
  }

  function told(caller: Caller, error: unknown): unknown {
    if (error instanceof CaError) {
      if (ownFaults.has(caErrors[error.code].status)) options.onFault(caller.method, error);
      return grpcErrorOf(error);
    }
    if (error instanceof X509Error) {
      return refusalFor(error.code, x509Errors[error.code].status, error.message, error);
    }
    if (!(error instanceof GrpcError)) options.onFault(caller.method, error);
    return error;
  }

  return {
    run,
    get pending() {
      return pending;
    },
    get streams() {
      return streams;
    },
  };
}

/** A refusal that ends by waiting. */
class LaterError extends CaError {
  readonly delayMs: number;

  constructor(code: "TOO_MANY_REQUESTS" | "OVERLOADED", delayMs: number) {
    super(code, `${caErrors[code].message.replace(/\.$/, "")}: try again in ${seconds(delayMs)} s`);
    this.delayMs = delayMs;
  }
}

/** What a caller reads of an error: its own words if they are for peers, else those of the table. */
function grpcErrorOf(error: CaError): GrpcError {
  const { message, status, public: forPeers } = caErrors[error.code];
  const text = forPeers ? error.message : toldByTable.has(error.code) ? message : hiddenText;
  const code = forPeers || toldByTable.has(error.code) ? error.code : "UNAVAILABLE";
  const delayMs = error instanceof LaterError ? error.delayMs : undefined;
  return refusalFor(code, code === "UNAVAILABLE" ? 14 : status, text, error, delayMs);
}

function refusalFor(
  reason: string,
  status: number,
  text: string,
  ...[cause, delayMs]: [cause: unknown, delayMs?: number]
): GrpcError {
  const details = [errorInfo({ reason, domain: errorDomain })];
  if (delayMs !== undefined) details.push(retryInfo({ delayMs }));
  return new GrpcError(statusName(status) as GrpcErrorCode, text, { details, cause });
}

/** Records refusals of the service, of one caller, method and reason at most one a second. */
function createRefusalLog({ audit, keyOf, onFault }: GuardOptions): {
  note(caller: Caller, error: CaError): void;
} {
  const recent = new Map<string, number>();
  return {
    note(caller, { code, message }) {
      const requester = keyOf(caller);
      const action = caller.descriptor.name.toLowerCase();
      const key = JSON.stringify([requester, action, code]);
      const now = performance.now();
      if (recent.size >= maxRecent) recent.clear();
      if ((recent.get(key) ?? -Infinity) > now - 1_000) return;
      recent.set(key, now);
      audit
        ?.append("authority", { action, requester, outcome: "refused", code, message })
        .catch((error: unknown) => onFault("audit", error));
    },
  };
}

function isStream({ descriptor }: Caller): boolean {
  return descriptor.methodKind !== "unary";
}

function seconds(ms: number): string {
  return String(Math.max(1, Math.ceil(ms / 1_000)));
}

const hiddenText = "the authority cannot do this now";
const maxRecent = 4_096;
/** The sender should know of these, though not in the words for the operator. */
const toldByTable: ReadonlySet<string> = new Set(["TOKEN_SPENT"]);
/** Found by the service, and therefore not recorded by the authority. */
const ownRefusals: ReadonlySet<string> = new Set(["NOT_PERMITTED", "REQUEST_UNAUTHENTICATED"]);
/** UNAVAILABLE and DATA_LOSS. */
const ownFaults: ReadonlySet<number> = new Set([14, 15]);
