import type { AuditCondition, AuditLoggerConfig, AuditLoggingOptions } from "./audit-options.ts";
import type { Decision, DecisionRequest } from "./compile.ts";
import { PolicyError } from "./errors.ts";
import type { JsonValue } from "./parse-json.ts";
import { principalName } from "./principal.ts";

/** What a server knows about a call that a policy does not look at. */
export interface AuditCall {
  readonly request: DecisionRequest;
  /** `swap`: an open call decided again because the policy was replaced (S13). */
  readonly phase: "start" | "swap";
  /** The one canonical identity of the peer; undefined where it has none. */
  readonly identity?: string | undefined;
  /** The SHA-256 of the peer's certificate, lower-case hex. */
  readonly fingerprint?: string | undefined;
  readonly serialNumber?: string | undefined;
  readonly remoteAddress?: string | undefined;
  readonly requestId?: string | undefined;
}

/** One decision, as it is recorded: the fields of gRFC A59, and ours. */
export interface AuditEvent extends Omit<AuditCall, "request"> {
  readonly time: Date;
  readonly fullMethodName: string;
  /** The first name of the first kind that the caller has; "" without a certificate. */
  readonly principal: string;
  readonly policyName: string;
  /** The SHA-256 of the document that decided. */
  readonly policyVersion: string;
  /** "" if no rule matched. */
  readonly matchedRule: string;
  readonly authorized: boolean;
}

/** Takes events in; it belongs to one loaded policy. */
export interface AuditLogger {
  /**
   * Records an event. A promise stands for "the reply has to wait until this is on disk"; nothing
   * for "taken". Throwing refuses the call.
   *
   * @throws {PolicyError} AUDIT_QUEUE_FULL, AUDIT_FAILED
   */
  log(event: AuditEvent): Promise<void> | undefined;
}

/** Makes a logger from its `config` in the document; what it throws makes the document invalid. */
export type AuditLoggerFactory = (config: ReadonlyMap<string, JsonValue>) => AuditLogger;

/** The loggers a server offers, by the name that documents call them. */
export type AuditLoggerFactories = Readonly<Record<string, AuditLoggerFactory>>;

/** Records the decisions that a document wants recorded. */
export type AuditDecision = (decision: Decision, call: AuditCall) => Promise<void> | undefined;

/**
 * Makes the loggers of a document. One that is not offered makes the document invalid unless it is
 * optional; a config that its logger does not understand always does.
 *
 * @throws {PolicyError} POLICY_INVALID
 */
export function createAudit(
  policy: {
    readonly name: string;
    readonly version: string;
    readonly auditLogging: AuditLoggingOptions;
  },
  options: { readonly factories: AuditLoggerFactories; readonly now: () => Date },
): AuditDecision {
  const { condition, loggers: configs } = policy.auditLogging;
  const loggers = configs.flatMap((config) => createLogger(config, options.factories));
  return (decision, call) => {
    if (loggers.length === 0 || !isRecorded(condition, decision)) return undefined;
    const { request, ...known } = call;
    const event: AuditEvent = {
      ...known,
      time: options.now(),
      fullMethodName: request.path,
      principal: principalName(request.principal),
      policyName: policy.name,
      policyVersion: policy.version,
      matchedRule: decision.rule,
      authorized: decision.allowed,
    };
    const waits = loggers.flatMap((logger) => logWith(logger, event) ?? []);
    return waits.length === 0 ? undefined : Promise.all(waits).then(() => undefined);
  };
}

/** An event with the field names of gRFC A59; what is not known is left out. */
export function auditFields(event: AuditEvent): Readonly<Record<string, string | boolean>> {
  const fields: Record<string, string | boolean | undefined> = {
    time: event.time.toISOString(),
    full_method_name: event.fullMethodName,
    principal: event.principal,
    policy_name: event.policyName,
    policy_version: event.policyVersion,
    matched_rule: event.matchedRule,
    authorized: event.authorized,
    phase: event.phase,
    identity: event.identity,
    peer_fingerprint: event.fingerprint,
    peer_serial_number: event.serialNumber,
    remote_address: event.remoteAddress,
    request_id: event.requestId,
  };
  return Object.fromEntries(
    Object.entries(fields).filter(
      (entry): entry is [string, string | boolean] => entry[1] !== undefined,
    ),
  );
}

/**
 * A logger that writes each event as one line of JSON, such as to standard output. Control and
 * bidirectional characters of names are escaped, so that no certificate can move a cursor.
 */
export function lineLogger(options: {
  readonly write: (line: string) => void;
}): AuditLoggerFactory {
  return (config) => {
    for (const name of config.keys()) throw new TypeError(`unknown field ${JSON.stringify(name)}`);
    return {
      log(event) {
        options.write(`${escapeControls(JSON.stringify({ audit: auditFields(event) }))}\n`);
        return undefined;
      },
    };
  };
}

function createLogger(config: AuditLoggerConfig, factories: AuditLoggerFactories): AuditLogger[] {
  const factory = Object.hasOwn(factories, config.name) ? factories[config.name] : undefined;
  if (factory === undefined) {
    if (config.isOptional) return [];
    const offered = Object.keys(factories).join(", ") || "none";
    const place = `${config.place}.name`;
    throw new PolicyError(
      "POLICY_INVALID",
      `${place}: unknown audit logger ${JSON.stringify(config.name)}; offered here: ${offered}`,
      { place },
    );
  }
  try {
    return [factory(config.config)];
  } catch (thrown) {
    const place = `${config.place}.config`;
    const reason = thrown instanceof Error ? thrown.message : String(thrown);
    throw new PolicyError("POLICY_INVALID", `${place}: ${reason}`, { place, cause: thrown });
  }
}

function isRecorded(condition: AuditCondition, { allowed }: Decision): boolean {
  switch (condition) {
    case "NONE":
      return false;
    case "ON_DENY":
      return !allowed;
    case "ON_ALLOW":
      return allowed;
    case "ON_DENY_AND_ALLOW":
      return true;
  }
}

/** A logger that breaks refuses the call: what cannot be recorded does not happen. */
function logWith(logger: AuditLogger, event: AuditEvent): Promise<void> | undefined {
  try {
    return logger.log(event);
  } catch (thrown) {
    if (thrown instanceof PolicyError) throw thrown;
    throw new PolicyError("AUDIT_FAILED", "the audit logger threw", { cause: thrown });
  }
}

function escapeControls(json: string): string {
  return json.replace(
    /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu,
    (character) => `\\u${(character.codePointAt(0) ?? 0).toString(16).padStart(4, "0")}`,
  );
}
