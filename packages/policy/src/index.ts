// The public names of @handfast/policy, grouped by reader.

// Whoever runs a server
export { parsePolicy } from "./document.ts";
export type { CertificateRulesDocument, PolicyDocument, RulesDocument } from "./document.ts";
export type { HeaderRule, ParsePolicyOptions, Rule } from "./rules.ts";
export type { CertificateRule, IssuerMatch } from "./certificate-rules.ts";
export type { Pattern } from "./pattern.ts";
export type { AuditCondition, AuditLoggerConfig, AuditLoggingOptions } from "./audit-options.ts";
export type { JsonValue } from "./parse-json.ts";
export { compilePolicy, deniedMessage } from "./compile.ts";
export type { CompiledPolicy, Decision, DecisionRequest } from "./compile.ts";

// Whoever asks for decisions
export { anonymousPrincipal, parsePrincipal, plaintextPrincipal } from "./principal.ts";
export type { Principal } from "./principal.ts";

// What can go wrong
export { PolicyError, policyErrors } from "./errors.ts";
export type { PolicyErrorCode } from "./errors.ts";
