import type { AuditDecision, AuditLoggerFactories } from "./audit-event.ts";
import { createAudit } from "./audit-event.ts";
import { certificateMatches } from "./certificate-rules.ts";
import type { CertificateRule } from "./certificate-rules.ts";
import type { CertificateRulesDocument, PolicyDocument, RulesDocument } from "./document.ts";
import { createPatternIndex } from "./pattern-index.ts";
import type { Pattern } from "./pattern.ts";
import { formatPattern, lowerAscii, matches } from "./pattern.ts";
import type { Principal } from "./principal.ts";
import { createRuleIndex } from "./rule-index.ts";
import type { RuleIndex } from "./rule-index.ts";
import type { HeaderRule, Rule } from "./rules.ts";

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
        requireString(request.path);
        return decideOrThrow(request);
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
  const deny = indexRules(denyRules);
  const allow = indexRules(allowRules);
  return (request) => {
    const { principal, path } = request;
    if (denied.length > 0) {
      const nameIds = deny.namesForDeny(principal);
      const found = denied[deny.index.first({ nameIds, path, request })];
      if (found !== undefined) return found;
    }
    const nameIds = allow.namesForAllow(principal);
    return allowed[allow.index.first({ nameIds, path, request })] ?? noRule;
  };
}

function indexRules(rules: readonly Rule[]): {
  index: RuleIndex<DecisionRequest>;
  namesForAllow: (principal: Principal) => readonly number[];
  namesForDeny: (principal: Principal) => readonly number[];
} {
  const numbers = new Map<string, readonly [Pattern, number]>();
  for (const pattern of rules.flatMap(({ principals }) => principals ?? [])) {
    const key = formatPattern(pattern);
    if (!numbers.has(key)) numbers.set(key, [pattern, numbers.size + 1]);
  }
  const entries = [...numbers.values()];
  const asWritten = createPatternIndex(entries);
  // DNS names know no case (S30); the other kinds do.
  const inLowerCase = [...numbers.keys()].some((key) => lowerAscii(key) !== key)
    ? createPatternIndex(
        entries.map(([{ kind, literal }, id]) => [{ kind, literal: lowerAscii(literal) }, id]),
      )
    : asWritten;
  const idOf = (pattern: Pattern): number => numbers.get(formatPattern(pattern))?.[1] ?? 0;

  const findUri = (uri: string): readonly number[] =>
    requireString(uri) === "" ? [] : asWritten.find(uri);
  const findDns = (dns: string): readonly number[] =>
    requireString(dns) === "" ? [] : inLowerCase.find(lowerAscii(dns));
  const findSubject = (subject: string): readonly number[] =>
    asWritten.find(requireString(subject));
  return {
    index: createRuleIndex(
      rules.map(({ principals, paths, headers }) => ({
        nameIds: principals?.map(idOf),
        paths,
        condition: headers && compileHeaders(headers),
      })),
    ),
    /** The first kind that is not empty, and no other: falling through has been a bypass elsewhere. */
    namesForAllow({ authenticated, uriSans, dnsSans, subject }) {
      if (!authenticated) return [];
      if (uriSans.length > 0) return findAll(uriSans, findUri);
      if (dnsSans.length > 0) return findAll(dnsSans, findDns);
      return findSubject(subject);
    },
    /** Every name of every kind: nobody escapes a deny rule by having one more (S26). */
    namesForDeny({ authenticated, uriSans, dnsSans, subject }) {
      if (!authenticated) return [];
      const isOnlyName = uriSans.length + dnsSans.length === 0;
      if (isOnlyName) return findSubject(subject);
      const ids = together(findAll(uriSans, findUri), findAll(dnsSans, findDns));
      return subject === "" ? ids : together(ids, findSubject(subject));
    },
  };
}

function findAll(
  names: readonly string[],
  find: (name: string) => readonly number[],
): readonly number[] {
  const [first] = names;
  if (first === undefined) return [];
  return names.length === 1 ? find(first) : names.flatMap(find);
}

function together(left: readonly number[], right: readonly number[]): readonly number[] {
  if (left.length === 0) return right;
  return right.length === 0 ? left : [...left, ...right];
}

function compileHeaders(rules: readonly HeaderRule[]): (request: DecisionRequest) => boolean {
  const compiled = rules.map(({ key, values }) => ({
    key,
    exact: new Set(values.flatMap(({ kind, literal }) => (kind === "exact" ? [literal] : []))),
    others: values.filter(({ kind }) => kind !== "exact"),
  }));
  return ({ headers }) => {
    for (const { key, exact, others } of compiled) {
      if (!Object.hasOwn(headers, key)) return false;
      const value = joined(headers[key]);
      if (value === undefined) return false;
      if (!exact.has(value) && !others.some((pattern) => matches(pattern, value))) return false;
    }
    return true;
  };
}

/** What the types promise is checked where it would otherwise lead to "does not match": a deny rule. */
function requireString(value: unknown): string {
  if (typeof value === "string") return value;
  throw new TypeError("a path and the names of a principal are strings");
}

/** The same for headers, which come from the wire. */
function joined(value: unknown): string | undefined {
  if (typeof value === "string" || value === undefined) return value;
  if (Array.isArray(value) && value.every((element) => typeof element === "string")) {
    return value.join(",");
  }
  throw new TypeError("a header is a string or a list of strings");
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
  const index = createRuleIndex<DecisionRequest>(
    certificateRules.map((rule) => ({
      nameIds: selectiveKeys(rule).map(idOf),
      paths: rule.methods,
      condition: ({ principal }) => certificateMatches(rule, principal),
    })),
  );
  return (request) => {
    const { principal, path } = request;
    const nameIds: number[] = [];
    const collect = (key: string): void => {
      const id = ids.get(key);
      if (id !== undefined) nameIds.push(id);
    };
    for (const uri of principal.uriSans) collect(`uri:${uri}`);
    for (const dns of principal.dnsSans) collect(`dns:${lowerAscii(dns)}`);
    for (const name of principal.commonNames) collect(`cn:${name}`);
    for (const organization of principal.organizations) collect(`o:${organization}`);
    return allowed[index.first({ nameIds, path, request })] ?? noRule;
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
