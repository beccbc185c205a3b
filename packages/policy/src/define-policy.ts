import type { AuditCondition } from "./audit-options.ts";
import type { PolicyDocument } from "./document.ts";
import { parsePolicy } from "./document.ts";
import type { ParsePolicyOptions } from "./rules.ts";

/** A document written in code, in the shape it has as JSON. */
export type PolicyDefinition = RulesDefinition | CertificateRulesDefinition;

/** The form of gRFC A43. */
export interface RulesDefinition {
  readonly name: string;
  readonly deny_rules?: readonly RuleDefinition[];
  readonly allow_rules: readonly RuleDefinition[];
  readonly audit_logging_options?: AuditLoggingDefinition;
}

/** Rules on the attributes of certificates. */
export interface CertificateRulesDefinition {
  readonly name: string;
  readonly certificate_rules: readonly CertificateRuleDefinition[];
  readonly audit_logging_options?: AuditLoggingDefinition;
}

/** A rule of gRFC A43: source and request must match; what is left out matches everything. */
export interface RuleDefinition {
  readonly name: string;
  readonly source?: { readonly principals?: readonly string[] };
  readonly request?: {
    readonly paths?: readonly string[];
    readonly headers?: readonly { readonly key: string; readonly values: readonly string[] }[];
  };
}

/** A rule on the attributes of a certificate; at least one kind of attribute has to be named. */
export interface CertificateRuleDefinition {
  readonly name: string;
  /** The CAs believed for these attributes: a subject in RFC 4514 text, or `sha256:` and the hash of the certificate. */
  readonly issuer: string | readonly string[];
  readonly organizations?: readonly string[];
  /** The certificate must have exactly one CN. */
  readonly common_names?: readonly string[];
  readonly dns_sans?: readonly string[];
  readonly uri_sans?: readonly string[];
  /** Also certificates with SANs, although the rule names none. Default false. */
  readonly with_sans?: boolean;
  /** Patterns of paths, such as `/bank.v1.BankService/*`. */
  readonly methods: readonly string[];
}

/** What is recorded (gRFC A59). */
export interface AuditLoggingDefinition {
  readonly audit_condition?: AuditCondition;
  readonly audit_loggers?: readonly {
    readonly name: string;
    readonly config?: Readonly<Record<string, unknown>>;
    readonly is_optional?: boolean;
  }[];
}

/**
 * Makes a policy document in code; it is read as its JSON would be, and its version is of that.
 *
 * @throws {PolicyError} POLICY_INVALID
 */
export function definePolicy(
  definition: PolicyDefinition,
  options?: ParsePolicyOptions,
): PolicyDocument {
  return parsePolicy(JSON.stringify(definition), options);
}
