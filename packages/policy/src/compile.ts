import type { AuditDecision, AuditLoggerFactories } from "./audit-event.ts";
import { createAudit } from "./audit-event.ts";
import { createCallerIndex } from "./caller-index.ts";
import { certificateMatches } from "./certificate-rules.ts";
import type { CertificateRule } from "./certificate-rules.ts";
import type { CertificateRulesDocument, PolicyDocument, RulesDocument } from "./document.ts";
import { compileHeaders, createHeaderIndex } from "./header-index.ts";
import { createPatternIndex, numberPatterns } from "./pattern-index.ts";
import { lowerAscii } from "./pattern.ts";
import type { Principal } from "./principal.ts";
import { createRuleIndex } from "./rule-index.ts";
import type { IndexedRule } from "./rule-index.ts";
import type { Rule } from "./rules.ts";

/** One call, as far as a policy looks at it. */
export interface DecisionRequest {
  readonly principal: Principal;
  /** The path of the registered method, `/package.Service/Method`: never what the caller sent. */
  readonly path: string;
  /** By name in lower case; several values of a header are joined by a comma. */
  readonly headers: Readonly<Record<string, string | readonly string[]>>;
}

/** What a policy says about a call. */
export interface Decision {
  readonly allowed: boolean;
  /** The name of the first rule, in the order of the document, that led to it; "" if none did. */
  readonly rule: string;
  /** `fault`: the request was not of the stated types, or its properties threw. */
  readonly reason: "allow-rule" | "deny-rule" | "no-rule" | "fault";
}

/** A policy ready to decide. */
export interface CompiledPolicy {
  readonly name: string;
  /** The SHA-256 of the document. */
  readonly version: string;
  readonly document: PolicyDocument;
  /**
   * Decides a call; pure and synchronous. It never throws: what it cannot understand is denied.
   * A deny rule decides before any allow rule, and a call that no rule allows is denied.
   */
  decide(request: DecisionRequest): Decision;
  /**
   * Records a decision, if the document wants it recorded; call it once per decision. A promise
   * stands for "the reply has to wait for this".
   *
   * @throws {PolicyError} AUDIT_QUEUE_FULL, AUDIT_FAILED: the call is to be refused
   */
  readonly audit: AuditDecision;
}

/** What a policy needs besides its document. */
export interface CompilePolicyOptions {
  /**
   * The audit loggers on offer, by name. `none` makes no loggers at all, for a policy that is looked
   * at and not in force. Default: none on offer, so that a document that asks for one is invalid.
   */
  readonly auditLoggers?: AuditLoggerFactories | "none";
  /** The clock of audit events. Default: the system's. */
  readonly now?: () => Date;
}

/**
 * Makes the indexes of a policy, so that its size does not matter to a decision, and its loggers.
 *
 * @throws {PolicyError} POLICY_INVALID: the document asks for a logger that is not on offer
 */
export function compilePolicy(
  document: PolicyDocument,
  options: CompilePolicyOptions = {},
): CompiledPolicy {
  const { auditLoggers = {}, now = () => new Date() } = options;
  const { name, version } = document;
  const decideOrThrow =
    document.form === "rules" ? compileRules(document) : compileCertificateRules(document);
  return {
    name,
    version,
    document,
    audit:
      auditLoggers === "none"
        ? () => undefined
        : createAudit(document, { factories: auditLoggers, now }),
    decide(request) {
      try {
        return typeof request.path === "string" ? decideOrThrow(request) : fault;
      } catch {
        return fault;
      }
    },
  };
}

type Decide = (request: DecisionRequest) => Decision;

function compileRules({ denyRules, allowRules }: RulesDocument): Decide {
  const denied = denyRules.map(({ name }) => decision("deny-rule", name));
  const allowed = allowRules.map(({ name }) => decision("allow-rule", name));
  const rules = [...denyRules, ...allowRules];
  const denyCallers = createCallerIndex(denyRules.flatMap(({ principals }) => principals ?? []));
  const allowCallers = createCallerIndex(allowRules.flatMap(({ principals }) => principals ?? []));
  const paths = numberPatterns(rules.flatMap((rule) => rule.paths ?? []));
  const pathIndex = createPatternIndex(paths.entries);
  const headers = createHeaderIndex(rules.flatMap((rule) => (rule.headers ? [rule.headers] : [])));
  const findHeaders = (request: DecisionRequest): readonly number[] =>
    headers.find(request.headers);
  const wantedBesides = (rule: Rule): IndexedRule<DecisionRequest>["wanted"] => [
    rule.paths && paths.idsOf(rule.paths),
    rule.headers && headers.idsOf(rule.headers),
  ];
  const deny = createRuleIndex(
    denyRules.map((rule) => ({
      wanted: [
        rule.principals && denyCallers.idsOf(rule.principals),
        undefined,
        ...wantedBesides(rule),
      ],
      condition: headersCondition(rule),
    })),
  );
  const allow = createRuleIndex(
    allowRules.map((rule) => ({
      wanted: [
        undefined,
        rule.principals && allowCallers.idsOf(rule.principals),
        ...wantedBesides(rule),
      ],
      condition: headersCondition(rule),
    })),
  );
  return (request) => {
    const { principal, path } = request;
    const asked = {
      request,
      atHand: [
        denied.length === 0 ? [] : denyCallers.findForDeny(principal),
        allowCallers.findForAllow(principal),
        pathIndex.find(path),
        undefined,
      ],
      lookUpRest: findHeaders,
    };
    return denied[deny.first(asked)] ?? allowed[allow.first(asked)] ?? noRule;
  };
}

/** One header rule is looked up; of several, all must hold. */
function headersCondition({ headers }: Rule): ((request: DecisionRequest) => boolean) | undefined {
  if (headers === undefined || headers.length === 1) return undefined;
  const matchesAll = compileHeaders(headers);
  return (request) => matchesAll(request.headers);
}

/** Each rule is found by one kind of name it asks for, the most selective; the rest is its condition. */
function compileCertificateRules({ certificateRules }: CertificateRulesDocument): Decide {
  const allowed = certificateRules.map(({ name }) => decision("allow-rule", name));
  const ids = new Map<string, number>();
  const idOf = (key: string): number => {
    const known = ids.get(key) ?? ids.size + 1;
    ids.set(key, known);
    return known;
  };
  const paths = numberPatterns(certificateRules.flatMap(({ methods }) => methods));
  const pathIndex = createPatternIndex(paths.entries);
  const index = createRuleIndex<DecisionRequest>(
    certificateRules.map((rule) => ({
      wanted: [selectiveKeys(rule).map(idOf), paths.idsOf(rule.methods)],
      condition: ({ principal }) => certificateMatches(rule, principal),
    })),
  );
  const findNames = (principal: Principal): readonly number[] => {
    const found: number[] = [];
    const collect = (key: string): void => {
      const id = ids.get(key);
      if (id !== undefined) found.push(id);
    };
    for (const uri of principal.uriSans) collect(`uri:${uri}`);
    for (const dns of principal.dnsSans) collect(`dns:${lowerAscii(dns)}`);
    for (const name of principal.commonNames) collect(`cn:${name}`);
    for (const organization of principal.organizations) collect(`o:${organization}`);
    return found;
  };
  return (request) => {
    const atHand = [findNames(request.principal), pathIndex.find(request.path)];
    return allowed[index.first({ request, atHand, lookUpRest: () => [] })] ?? noRule;
  };
}

function selectiveKeys(rule: CertificateRule): readonly string[] {
  const { uriSans, dnsSans, commonNames, organizations } = rule;
  if (uriSans !== undefined) return [...uriSans].map((uri) => `uri:${uri}`);
  if (dnsSans !== undefined) return [...dnsSans].map((dns) => `dns:${dns}`);
  if (commonNames !== undefined) return [...commonNames].map((name) => `cn:${name}`);
  return [...(organizations ?? [])].map((organization) => `o:${organization}`);
}

function decision(reason: "allow-rule" | "deny-rule", rule: string): Decision {
  return Object.freeze({ allowed: reason === "allow-rule", rule, reason });
}

/** What the peer is told when a call is denied; never which rule it was (S34). */
export const deniedMessage = "authz: unauthorized RPC request rejected";

const noRule: Decision = Object.freeze({ allowed: false, rule: "", reason: "no-rule" });
const fault: Decision = Object.freeze({ allowed: false, rule: "", reason: "fault" });
