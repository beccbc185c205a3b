import { deniedMessage } from "@handfast/policy";
import type { DecisionRequest } from "@handfast/policy";
import { GrpcError } from "../errors.ts";
import type { ReadonlyMetadata } from "../metadata.ts";
import type { OpenCall } from "../server/call.ts";

/** A policy as a server asks it; what `compilePolicy` makes is one. */
export interface DecidingPolicy {
  decide(request: DecisionRequest): PolicyDecision;
}

/** What a policy decided. */
export interface PolicyDecision {
  readonly allowed: boolean;
  /** The name of the rule that led to it; "" if none did. */
  readonly rule: string;
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
  return { decide: () => ({ allowed: true, rule: "" }) };
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
}

/** A call as a decision sees it. */
export interface DecidableCall extends Pick<
  OpenCall,
  "method" | "peer" | "principal" | "remoteAddress" | "requestId" | "requestHeaders"
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
  gate(call: Call): GrpcError | undefined;
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
  const open = new Set<Call>();
  const stop = live?.onChange(() => decideAgain(open.values()));

  return {
    gate(call) {
      if (!options.applies(call)) return undefined;
      if (call.peer === undefined && options.unauthenticatedPeers === "refuse") {
        return new GrpcError("UNAUTHENTICATED", "no verified client certificate");
      }
      if (!decide(call, "start")) return denied();
      if (live !== undefined) open.add(call);
      return undefined;
    },
    mayCall: (call, path) => ask(call, path).allowed,
    ended: (call) => void open.delete(call),
    close: () => stop?.(),
  };

  function decide(call: Call, phase: DecisionEvent["phase"]): boolean {
    const { allowed, rule } = ask(call, call.method);
    if (phase === "start" || !allowed) {
      options.onDecision({
        phase,
        method: call.method,
        requestId: call.requestId,
        identity: call.peer?.identity,
        remoteAddress: call.remoteAddress,
        allowed,
        rule,
      });
    }
    return allowed;
  }

  function ask(call: Call, path: string): PolicyDecision {
    const policy = "onChange" in options.policy ? options.policy.current : options.policy;
    return policy.decide({
      principal: call.principal,
      path,
      // Read only if a rule asks for headers.
      get headers() {
        return headersOf(call.requestHeaders);
      },
    });
  }

  /** One slice of the open calls; the rest goes on after other work of the event loop. */
  function decideAgain(rest: Iterator<Call>): void {
    for (let count = 0; count < callsPerSlice; count++) {
      const next = rest.next();
      if (next.done === true) return;
      if (!decide(next.value, "swap")) next.value.abort(denied());
    }
    setImmediate(decideAgain, rest);
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
