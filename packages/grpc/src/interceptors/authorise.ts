import { deniedMessage } from "@handfast/policy";
import type { AuditCall, AuditDecision, Decision, DecisionRequest } from "@handfast/policy";
import { GrpcError } from "../errors.ts";
import type { ReadonlyMetadata } from "../metadata.ts";
import type { OpenCall } from "../server/call.ts";
import type { GateOutcome } from "../server/interceptor.ts";

/** A policy as a server asks it; what `compilePolicy` makes is one. */
export interface DecidingPolicy {
  /** Which policy it is: the SHA-256 of its document, where it has one. */
  readonly version?: string;
  decide(request: DecisionRequest): Decision;
  /** Records a decision; a promise stands for "the reply has to wait", a throw refuses the call. */
  readonly audit?: AuditDecision;
}

/** A policy that may be replaced while calls are open: these are then decided again (security.md S13). */
export interface LivePolicy {
  readonly current: DecidingPolicy;
  /** Calls back after each replacement, until the returned function is called. */
  onChange(changed: () => void): () => void;
}

/** What a server decides calls by. */
export type ServerPolicy = DecidingPolicy | LivePolicy;

/** The policy that has to be written out where there is none: whoever was admitted may call everything. */
export function allowEveryAdmittedPeer(): DecidingPolicy {
  return { decide: () => ({ allowed: true, rule: "", reason: "allow-rule" }) };
}

/** One decision, for an audit. */
export interface DecisionEvent {
  /** `swap`: an open call was decided again because the policy changed. */
  readonly phase: "start" | "swap";
  readonly method: string;
  readonly requestId: string;
  readonly identity: string | undefined;
  readonly remoteAddress: string | undefined;
  readonly allowed: boolean;
  readonly rule: string;
  /** The policy that decided: the SHA-256 of its document, where it has one. */
  readonly policyVersion: string | undefined;
}

/** A call as a decision sees it. */
export interface DecidableCall extends Pick<
  OpenCall,
  "method" | "caller" | "principal" | "remoteAddress" | "requestId" | "requestHeaders"
> {
  /** Ends the call over the head of its handler. */
  abort(error: GrpcError): void;
}

export interface AuthoriserOptions<Call extends DecidableCall> {
  readonly policy: ServerPolicy;
  /** `refuse`: a call without a verified peer is UNAUTHENTICATED before the policy is asked. */
  readonly unauthenticatedPeers: "refuse" | "ask-policy";
  /** Whether calls of this method are decided at all. */
  applies(call: Call): boolean;
  onDecision(event: DecisionEvent): void;
}

/** Decides calls as they come, and open ones again when the policy changes. */
export interface Authoriser<Call extends DecidableCall> {
  /** The end of a call that is not allowed; looks at its head alone. */
  gate(call: Call): GateOutcome | Promise<GateOutcome>;
  /** Whether the caller of this call might call another method, with the same headers; not recorded. */
  mayCall(call: Call, path: string): boolean;
  /** A call that had passed the gate has ended. */
  ended(call: Call): void;
  close(): void;
}

/** Creates the policy decision of a server. Each call is decided on one version of the policy. */
export function createAuthoriser<Call extends DecidableCall>(
  options: AuthoriserOptions<Call>,
): Authoriser<Call> {
  const live = "onChange" in options.policy ? options.policy : undefined;
  const open = new Map<Call, DecisionRequest>();
  const stop = live?.onChange(() => decideAgain(open.entries()));
  const current = (): DecidingPolicy =>
    "onChange" in options.policy ? options.policy.current : options.policy;

  return {
    gate(call) {
      if (!options.applies(call)) return undefined;
      if (call.caller === undefined && options.unauthenticatedPeers === "refuse") {
        return new GrpcError("UNAUTHENTICATED", "no verified client certificate");
      }
      const request = requestOf(call, call.method);
      const policy = current();
      const decision = policy.decide(request);
      if (decision.allowed && live !== undefined) open.set(call, request);
      tell(call, { decision, policy, phase: "start" });
      return record(() => policy.audit?.(decision, auditOf(call, request, "start")), decision);
    },
    mayCall: (call, path) => current().decide(requestOf(call, path)).allowed,
    ended: (call) => void open.delete(call),
    close: () => stop?.(),
  };

  /** One slice of the open calls; the rest goes on after other work of the event loop. */
  function decideAgain(rest: Iterator<[Call, DecisionRequest]>): void {
    for (let count = 0; count < callsPerSlice; count++) {
      const next = rest.next();
      if (next.done === true) return;
      const [call, request] = next.value;
      const policy = current();
      const decision = policy.decide(request);
      if (decision.allowed) continue;
      call.abort(denied());
      tell(call, { decision, policy, phase: "swap" });
      void record(() => policy.audit?.(decision, auditOf(call, request, "swap")), decision);
    }
    setImmediate(decideAgain, rest);
  }

  function tell(call: Call, { decision, policy, phase }: Decided): void {
    const { method, requestId, caller, remoteAddress } = call;
    const { allowed, rule } = decision;
    const about = { phase, method, requestId, identity: caller?.identity, remoteAddress };
    options.onDecision({ ...about, allowed, rule, policyVersion: policy.version });
  }
}

/** A decision and what made it. */
interface Decided {
  readonly decision: Decision;
  readonly policy: DecidingPolicy;
  readonly phase: DecisionEvent["phase"];
}

/** What is asked of a policy. The headers are read only if a rule asks for them, and once. */
function requestOf(call: DecidableCall, path: string): DecisionRequest {
  let headers: Record<string, string> | undefined;
  return {
    principal: call.principal,
    path,
    get headers() {
      return (headers ??= headersOf(call.requestHeaders));
    },
  };
}

function auditOf(
  { caller, remoteAddress, requestId }: DecidableCall,
  request: DecisionRequest,
  phase: AuditCall["phase"],
): AuditCall {
  const { identity, fingerprint, serialNumber } = caller ?? {};
  return { request, phase, identity, fingerprint, serialNumber, remoteAddress, requestId };
}

/**
 * Has a decision recorded, and gives the outcome: at once, or when a record that the call has to wait for
 * is on disk. A decision that cannot be recorded is not acted on: the call is refused.
 */
function record(
  audit: () => Promise<void> | undefined,
  { allowed }: Decision,
): GateOutcome | Promise<GateOutcome> {
  const outcome = allowed ? undefined : denied();
  const failed = (cause: unknown): GrpcError =>
    new GrpcError("UNAVAILABLE", "the decision could not be recorded", { cause });
  try {
    return audit()?.then(() => outcome, failed) ?? outcome;
  } catch (thrown) {
    return failed(thrown);
  }
}

/** The same for everybody: the peer learns no rule (security.md S34). */
function denied(): GrpcError {
  return new GrpcError("PERMISSION_DENIED", deniedMessage);
}

/** Bytes are written as base64: a rule can only ask whether a `-bin` header is there (security.md S31). */
function headersOf(metadata: ReadonlyMetadata): Record<string, string> {
  const headers = Object.create(null) as Record<string, string>;
  for (const name of metadata.names()) {
    headers[name] = name.endsWith("-bin")
      ? metadata.getAllBinary(name).map(base64).join(",")
      : (metadata.get(name) ?? "");
  }
  return headers;
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("base64");
}

/** A decision takes about a microsecond; a slice stays far under 10 ms. */
const callsPerSlice = 1_000;
