import { createHash } from "node:crypto";
import type { AuditLoggingOptions } from "./audit-options.ts";
import { readAuditLoggingOptions } from "./audit-options.ts";
import type { CertificateRule } from "./certificate-rules.ts";
import { readCertificateRules } from "./certificate-rules.ts";
import type { Node } from "./read-json.ts";
import {
  invalid,
  readDocument,
  readNonEmptyString,
  readObject,
  requireMember,
} from "./read-json.ts";
import { readRules } from "./rules.ts";
import type { ParsePolicyOptions, Rule } from "./rules.ts";

/** A policy as it was written, checked and made readonly. */
export type PolicyDocument = RulesDocument | CertificateRulesDocument;

interface DocumentHead {
  readonly name: string;
  /** The SHA-256 of the document's bytes, in lower-case hex: what an audit event calls the version. */
  readonly version: string;
  readonly auditLogging: AuditLoggingOptions;
}

/** The form of gRFC A43. */
export interface RulesDocument extends DocumentHead {
  readonly form: "rules";
  readonly denyRules: readonly Rule[];
  readonly allowRules: readonly Rule[];
}

/** The form for lists of organisations and common names; it allows, and denies whatever is left. */
export interface CertificateRulesDocument extends DocumentHead {
  readonly form: "certificate-rules";
  readonly certificateRules: readonly CertificateRule[];
}

/**
 * Reads a policy document: JSON, the form of gRFC A43 or that of certificate rules, at most 4 MiB.
 *
 * Nothing is guessed: unknown fields, duplicate keys, empty lists, rules of the same name in one list
 * and trailing text make the document invalid.
 *
 * @throws {PolicyError} POLICY_INVALID; `place` and the start of the message say where
 */
export function parsePolicy(
  source: string | Uint8Array,
  options: ParsePolicyOptions = {},
): PolicyDocument {
  const node = readDocument(source, "POLICY_INVALID");
  const members = readObject(node, memberNames);
  const head: DocumentHead = {
    name: readNonEmptyString(requireMember(node, members, "name")),
    version: createHash("sha256").update(source).digest("hex"),
    auditLogging: readAuditLoggingOptions(members.get("audit_logging_options")),
  };
  const certificateRules = members.get("certificate_rules");
  if (certificateRules === undefined) return readRulesForm({ node, members, head, options });
  for (const name of ["deny_rules", "allow_rules"]) {
    const other = members.get(name);
    if (other !== undefined) throw invalid(other, "not allowed beside certificate_rules");
  }
  return {
    form: "certificate-rules",
    ...head,
    certificateRules: readCertificateRules(certificateRules),
  };
}

function readRulesForm(from: {
  node: Node;
  members: ReadonlyMap<string, Node>;
  head: DocumentHead;
  options: ParsePolicyOptions;
}): RulesDocument {
  const { node, members, head, options } = from;
  const denyRules = members.get("deny_rules");
  return {
    form: "rules",
    ...head,
    denyRules: denyRules === undefined ? [] : readRules(denyRules, options),
    allowRules: readRules(requireMember(node, members, "allow_rules"), options),
  };
}

const memberNames = [
  "name",
  "deny_rules",
  "allow_rules",
  "certificate_rules",
  "audit_logging_options",
] as const;
