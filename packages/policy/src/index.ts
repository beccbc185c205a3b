// The public names of @handfast/policy, grouped by reader.

// Whoever runs a server
export { parsePolicy } from "./document.ts";
export type { CertificateRulesDocument, PolicyDocument, RulesDocument } from "./document.ts";
export { definePolicy } from "./define-policy.ts";
export type {
  AuditLoggingDefinition,
  CertificateRuleDefinition,
  CertificateRulesDefinition,
  PolicyDefinition,
  RuleDefinition,
  RulesDefinition,
} from "./define-policy.ts";
export type { HeaderRule, ParsePolicyOptions, Rule } from "./rules.ts";
export type { CertificateRule, IssuerMatch } from "./certificate-rules.ts";
export type { Pattern } from "./pattern.ts";
export type { AuditCondition, AuditLoggerConfig, AuditLoggingOptions } from "./audit-options.ts";
export type { JsonValue } from "./parse-json.ts";
export { compilePolicy, deniedMessage } from "./compile.ts";
export type { CompiledPolicy, CompilePolicyOptions, Decision, DecisionRequest } from "./compile.ts";
export { createLivePolicy, policyFromFile } from "./live-policy.ts";
export type {
  LivePolicy,
  PolicyChangeListener,
  PolicyFile,
  PolicyFileEvent,
  PolicyFileOptions,
  ReplaceablePolicy,
} from "./live-policy.ts";

// Whoever reviews a policy
export { checkPolicy } from "./check-policy.ts";
export type { CheckPolicyOptions, PolicyFinding, PolicyFindingCode } from "./check-policy.ts";

// Whoever asks for decisions
export { anonymousPrincipal, plaintextPrincipal } from "./principal.ts";
export type { Principal } from "./principal.ts";
export { parseDecisionRequest, parsePolicyCases, testPolicy } from "./decision-request.ts";
export type { PolicyCase, PolicyCaseResult } from "./decision-request.ts";

// Whoever records decisions
export { auditFields, lineLogger } from "./audit-event.ts";
export type {
  AuditCall,
  AuditDecision,
  AuditEvent,
  AuditLogger,
  AuditLoggerFactories,
  AuditLoggerFactory,
} from "./audit-event.ts";
export { openAuditChain } from "./audit-chain.ts";
export type { AuditChain, AuditChainOptions, AuditPlace } from "./audit-chain.ts";
export type { RecordFields } from "./audit-record.ts";
export type { RecordValue } from "./canonical-json.ts";
export { chainLogger, createAuditQueue, createRefusalRecorder } from "./audit-queue.ts";
export type { AuditQueue, AuditQueueOptions, RefusalRecorder } from "./audit-queue.ts";
export { auditPublicKey, openAuditKey, parseAuditPublicKey } from "./audit-key.ts";

// Whoever checks what was recorded
export { verifyAuditChain } from "./audit-verify.ts";
export type {
  AuditProblem,
  AuditRestart,
  AuditVerification,
  VerifyAuditChainOptions,
} from "./audit-verify.ts";
export { parseAuditHead } from "./audit-head.ts";
export type { AuditHead, AuditSigner } from "./audit-head.ts";

// What can go wrong
export { PolicyError, policyErrors } from "./errors.ts";
export type { PolicyErrorCode } from "./errors.ts";
