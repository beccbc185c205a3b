import type { JsonValue } from "./parse-json.ts";
import type { Node } from "./read-json.ts";
import {
  invalid,
  readBoolean,
  readList,
  readNonEmptyString,
  readObject,
  requireMember,
} from "./read-json.ts";

/** Which decisions are recorded, and by whom (gRFC A59). */
export interface AuditLoggingOptions {
  readonly condition: AuditCondition;
  readonly loggers: readonly AuditLoggerConfig[];
}

/** Which decisions are recorded. */
export type AuditCondition = (typeof auditConditions)[number];

/** One logger as the document asks for it. */
export interface AuditLoggerConfig {
  readonly name: string;
  /** What the logger itself understands; an empty Map where the document says nothing. */
  readonly config: ReadonlyMap<string, JsonValue>;
  /** Whether a logger nobody knows is left out instead of making the policy invalid. */
  readonly isOptional: boolean;
  /** Where in the document, for messages. */
  readonly place: string;
}

/** Reads `audit_logging_options`; without it nothing is recorded. */
export function readAuditLoggingOptions(node: Node | undefined): AuditLoggingOptions {
  if (node === undefined) return { condition: "NONE", loggers: [] };
  const members = readObject(node, ["audit_condition", "audit_loggers"]);
  const condition = members.get("audit_condition");
  const loggers = members.get("audit_loggers");
  return {
    condition: condition === undefined ? "NONE" : readCondition(condition),
    loggers: loggers === undefined ? [] : readList(loggers).map(readLogger),
  };
}

function readCondition(node: Node): AuditCondition {
  const text = readNonEmptyString(node);
  const condition = auditConditions.find((known) => known === text);
  if (condition !== undefined) return condition;
  throw invalid(node, `expected one of ${auditConditions.join(", ")}, got ${JSON.stringify(text)}`);
}

function readLogger(node: Node): AuditLoggerConfig {
  const members = readObject(node, ["name", "config", "is_optional"]);
  const config = members.get("config");
  const isOptional = members.get("is_optional");
  return {
    name: readNonEmptyString(requireMember(node, members, "name")),
    config: config === undefined ? new Map<string, JsonValue>() : readConfig(config),
    isOptional: isOptional !== undefined && readBoolean(isOptional),
    place: node.place,
  };
}

function readConfig(node: Node): ReadonlyMap<string, JsonValue> {
  if (node.value instanceof Map) return node.value as ReadonlyMap<string, JsonValue>;
  throw invalid(node, "expected an object");
}

const auditConditions = ["NONE", "ON_DENY", "ON_ALLOW", "ON_DENY_AND_ALLOW"] as const;
