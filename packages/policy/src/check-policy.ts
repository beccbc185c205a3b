import type { CertificateRule } from "./certificate-rules.ts";
import type { CertificateRulesDocument, PolicyDocument, RulesDocument } from "./document.ts";
import { createPatternIndex } from "./pattern-index.ts";
import type { Pattern } from "./pattern.ts";
import { covers, formatPattern, lowerAscii, matches } from "./pattern.ts";
import type { HeaderRule, Rule } from "./rules.ts";

/** Something in a valid policy that does not do what it seems to. */
export interface PolicyFinding {
  readonly code: PolicyFindingCode;
  /** Such as `allow_rules[1].source.principals[0]`; "" for the whole document. */
  readonly place: string;
  readonly message: string;
}

/** What {@link checkPolicy} looks for. */
export type PolicyFindingCode =
  | "RULE_NEVER_ALLOWS"
  | "RULE_REDUNDANT"
  | "METHOD_NEVER_ALLOWED"
  | "PATH_UNKNOWN"
  | "PATH_MALFORMED"
  | "PREFIX_OPEN_ENDED"
  | "SUFFIX_ANY_TRUST_DOMAIN"
  | "STAR_IS_LITERAL"
  | "ANYONE_ALLOWED"
  | "ANONYMOUS_ALLOWED"
  | "HEADERS_ALONE"
  | "HEADER_DENY_EVADABLE"
  | "ISSUER_BY_SUBJECT"
  | "AUDIT_WITHOUT_LOGGER"
  | "AUDIT_NEVER";

/** What is known beside the document. */
export interface CheckPolicyOptions {
  /** The methods that exist, as paths `/package.Service/Method`: from a descriptor set. */
  readonly methods?: readonly string[];
}

/** Looks for rules that can never match, methods that nobody may call, and traps; in document order. */
export function checkPolicy(
  document: PolicyDocument,
  options: CheckPolicyOptions = {},
): readonly PolicyFinding[] {
  const ofForm =
    document.form === "rules"
      ? checkRules(document, options)
      : checkCertificateRules(document, options);
  return [...ofForm, ...checkMethods(document, options), ...checkAudit(document)];
}

/** A rule as the checks see it. */
interface Placed {
  readonly place: string;
  readonly index: number;
  readonly rule: Rule;
}

function checkRules(
  document: RulesDocument,
  { methods }: CheckPolicyOptions,
): readonly PolicyFinding[] {
  const deny = placed("deny_rules", document.denyRules);
  const allow = placed("allow_rules", document.allowRules);
  const findDenying = createCoverIndex(deny);
  const findAllowing = createCoverIndex(allow);
  return [
    ...deny.flatMap((each) => [
      ...checkParts(each, methods),
      ...redundant(each, findDenying(each.rule)),
      ...checkDenyHeaders(each),
    ]),
    ...allow.flatMap((each) => [
      ...checkParts(each, methods),
      ...neverAllows(each, findDenying(each.rule)),
      ...redundant(each, findAllowing(each.rule)),
      ...checkAllow(each),
    ]),
  ];
}

function placed(list: string, rules: readonly Rule[]): readonly Placed[] {
  return rules.map((rule, index) => ({ place: `${list}[${index}]`, index, rule }));
}

function neverAllows(
  { place, rule }: Placed,
  covering: readonly Placed[],
): readonly PolicyFinding[] {
  const [first] = covering;
  if (first === undefined) return [];
  const what = `${named(rule)} can never allow: ${first.place} ${named(first.rule)} denies all that it would`;
  return [{ code: "RULE_NEVER_ALLOWS", place, message: what }];
}

/** Of two rules that match the same, the second is the one that is too many. */
function redundant(each: Placed, covering: readonly Placed[]): readonly PolicyFinding[] {
  const other = covering.find(
    (by) => by.rule !== each.rule && (!ruleCovers(each.rule, by.rule) || by.index < each.index),
  );
  if (other === undefined) return [];
  const message = `${named(each.rule)} adds nothing: ${other.place} ${named(other.rule)} matches all that it does`;
  return [{ code: "RULE_REDUNDANT", place: each.place, message }];
}

function checkParts(
  { place, rule }: Placed,
  methods: readonly string[] | undefined,
): readonly PolicyFinding[] {
  const principals = (rule.principals ?? []).flatMap((pattern, index) =>
    checkPrincipal(pattern, `${place}.source.principals[${index}]`),
  );
  return [
    ...principals,
    ...checkPaths(rule.paths ?? [], { at: `${place}.request.paths`, methods }),
  ];
}

function checkPrincipal(pattern: Pattern, place: string): readonly PolicyFinding[] {
  const { kind, literal } = pattern;
  const text = JSON.stringify(formatPattern(pattern));
  const findings = starIsLiteral(pattern, place);
  if (kind === "prefix" && !literal.endsWith("/")) {
    const message = `the prefix ${text} does not end at a slash: it also matches longer names`;
    findings.push({ code: "PREFIX_OPEN_ENDED", place, message });
  }
  if (kind === "suffix") {
    const message = `the suffix ${text} matches in every trust domain that is trusted, now or later`;
    findings.push({ code: "SUFFIX_ANY_TRUST_DOMAIN", place, message });
  }
  return findings;
}

function checkPaths(
  paths: readonly Pattern[],
  { at, methods }: { at: string; methods: readonly string[] | undefined },
): readonly PolicyFinding[] {
  return paths.flatMap((pattern, index) => {
    const place = `${at}[${index}]`;
    const text = JSON.stringify(formatPattern(pattern));
    const findings = starIsLiteral(pattern, place);
    if (!couldBePath(pattern)) {
      const message = `${text} matches no method: paths are written /package.Service/Method`;
      findings.push({ code: "PATH_MALFORMED", place, message });
    } else if (methods?.some((method) => matches(pattern, method)) === false) {
      findings.push({ code: "PATH_UNKNOWN", place, message: `${text} matches no method there is` });
    }
    if (pattern.kind === "prefix" && !pattern.literal.endsWith("/")) {
      const message = `the prefix ${text} does not end at a slash: it also matches longer names`;
      findings.push({ code: "PREFIX_OPEN_ENDED", place, message });
    }
    return findings;
  });
}

function starIsLiteral(pattern: Pattern, place: string): PolicyFinding[] {
  if (!pattern.literal.includes("*")) return [];
  const text = JSON.stringify(formatPattern(pattern));
  const which = pattern.kind === "exact" ? "a star" : "all but one star";
  const message = `in ${text} ${which} stands for itself: only one at an end is a wildcard`;
  return [{ code: "STAR_IS_LITERAL", place, message }];
}

function couldBePath({ kind, literal }: Pattern): boolean {
  if (kind === "exact") return /^\/[^/]+\/[^/]+$/.test(literal);
  if (kind === "prefix") return /^\/([^/]+(\/[^/]*)?)?$/.test(literal);
  return kind === "present" || /^(\/?[^/]+)?\/?[^/]+$/.test(literal);
}

function checkDenyHeaders({ place, rule }: Placed): readonly PolicyFinding[] {
  return (rule.headers ?? []).flatMap(({ key, values }, index) => {
    if (!values.some(({ kind }) => kind === "exact")) return [];
    const at = `${place}.request.headers[${index}].values`;
    const message = `a caller evades this by sending ${JSON.stringify(key)} twice or not at all`;
    return [{ code: "HEADER_DENY_EVADABLE", place: at, message }];
  });
}

function checkAllow({ place, rule }: Placed): readonly PolicyFinding[] {
  const findings: PolicyFinding[] = [];
  const { principals, headers } = rule;
  if (principals === undefined && headers !== undefined) {
    const message = `${named(rule)} rests on headers alone, and the caller chooses those`;
    findings.push({ code: "HEADERS_ALONE", place, message });
  } else if (principals === undefined) {
    const message = `${named(rule)} allows every caller, with or without a certificate`;
    findings.push({ code: "ANYONE_ALLOWED", place, message });
  }
  for (const [index, { kind, literal }] of (principals ?? []).entries()) {
    if (kind !== "exact" || literal !== "") continue;
    const message = 'the principal "" matches TLS callers that presented no certificate';
    const at = `${place}.source.principals[${index}]`;
    findings.push({ code: "ANONYMOUS_ALLOWED", place: at, message });
  }
  return findings;
}

function checkCertificateRules(
  { certificateRules }: CertificateRulesDocument,
  { methods }: CheckPolicyOptions,
): readonly PolicyFinding[] {
  return certificateRules.flatMap((rule, index) => {
    const place = `certificate_rules[${index}]`;
    const findings = [...checkPaths(rule.methods, { at: `${place}.methods`, methods })];
    if (rule.issuers.some(({ by }) => by === "subject")) {
      const message = `${named(rule)} names its issuer by subject: any CA that is trusted can bear it; name sha256:…`;
      findings.push({ code: "ISSUER_BY_SUBJECT", place: `${place}.issuer`, message });
    }
    const other = certificateRules.findIndex(
      (by) => by !== rule && certificateCovers(by, rule) && !certificateCovers(rule, by),
    );
    const same = certificateRules.findIndex(
      (by) => certificateCovers(by, rule) && certificateCovers(rule, by),
    );
    const cover = other >= 0 ? other : same < index ? same : -1;
    const covering = certificateRules[cover];
    if (covering !== undefined) {
      const message = `${named(rule)} adds nothing: certificate_rules[${cover}] ${named(covering)} matches all that it does`;
      findings.push({ code: "RULE_REDUNDANT", place, message });
    }
    return findings;
  });
}

/** Methods that no caller at all may call. */
function checkMethods(
  document: PolicyDocument,
  { methods = [] }: CheckPolicyOptions,
): readonly PolicyFinding[] {
  const allowing =
    document.form === "rules"
      ? document.allowRules
      : document.certificateRules.map(({ methods: paths }) => ({ paths }));
  const closing =
    document.form === "rules"
      ? document.denyRules.filter(
          (rule) => rule.principals === undefined && rule.headers === undefined,
        )
      : [];
  const includes = ({ paths }: { paths: Rule["paths"] }, method: string): boolean =>
    paths === undefined || paths.some((pattern) => matches(pattern, method));
  return methods
    .filter(
      (method) =>
        !allowing.some((rule) => includes(rule, method)) ||
        closing.some((rule) => includes(rule, method)),
    )
    .map((method) => ({
      code: "METHOD_NEVER_ALLOWED",
      place: "",
      message: `nobody may call ${method}`,
    }));
}

function checkAudit({ auditLogging }: PolicyDocument): readonly PolicyFinding[] {
  const { condition, loggers } = auditLogging;
  const place = "audit_logging_options";
  if (condition !== "NONE" && loggers.length === 0) {
    const message = `${condition} is to be recorded, but there is no logger`;
    return [{ code: "AUDIT_WITHOUT_LOGGER", place, message }];
  }
  if (condition !== "NONE" || loggers.length === 0) return [];
  return [
    { code: "AUDIT_NEVER", place, message: "there are loggers, but nothing is to be recorded" },
  ];
}

/**
 * Finds the rules that match all that a rule does, without comparing each with each: a rule that
 * covers another covers its first path and its first principal.
 */
function createCoverIndex(rules: readonly Placed[]): (narrow: Rule) => readonly Placed[] {
  const byPath = createListIndex(rules.map(({ rule }) => rule.paths ?? []));
  const byPrincipal = createListIndex(
    rules.map(({ rule }) => (rule.principals ?? []).map(lowered)),
  );
  const anyPath = rules.flatMap(({ rule }, index) => (rule.paths === undefined ? [index] : []));
  const anyPrincipal = rules.flatMap(({ rule }, index) =>
    rule.principals === undefined ? [index] : [],
  );
  return (narrow) => {
    const [path] = narrow.paths ?? [];
    const [principal] = narrow.principals ?? [];
    const pathCandidates = path === undefined ? anyPath : [...anyPath, ...byPath(path)];
    const principalCandidates =
      principal === undefined
        ? anyPrincipal
        : [...anyPrincipal, ...byPrincipal(lowered(principal))];
    const fewer =
      pathCandidates.length < principalCandidates.length ? pathCandidates : principalCandidates;
    return [...new Set(fewer)]
      .sort((left, right) => left - right)
      .flatMap((index) => rules[index] ?? [])
      .filter(({ rule }) => ruleCovers(rule, narrow));
  };
}

/** Finds the lists that have a pattern which may cover another: one that matches its literal. */
function createListIndex(
  lists: readonly (readonly Pattern[])[],
): (narrow: Pattern) => readonly number[] {
  const uses = new Map<string, { pattern: Pattern; lists: number[] }>();
  for (const [list, patterns] of lists.entries()) {
    for (const pattern of patterns) {
      const key = formatPattern(pattern);
      const use = uses.get(key);
      if (use === undefined) uses.set(key, { pattern, lists: [list] });
      else use.lists.push(list);
    }
  }
  const all = [...uses.values()];
  const index = createPatternIndex(all.map(({ pattern }, id) => [pattern, id]));
  return ({ kind, literal }) =>
    index.find(kind === "present" ? "*" : literal).flatMap((id) => all[id]?.lists ?? []);
}

function lowered({ kind, literal }: Pattern): Pattern {
  return { kind, literal: lowerAscii(literal) };
}

/** Whether a rule matches whatever another one matches; "no" where that is not plain to see. */
function ruleCovers(wide: Rule, narrow: Rule): boolean {
  return (
    listCovers(wide.principals, narrow.principals) &&
    listCovers(wide.paths, narrow.paths) &&
    (wide.headers ?? []).every((header) => headerCovers(header, narrow.headers ?? []))
  );
}

function listCovers(
  wide: readonly Pattern[] | undefined,
  narrow: readonly Pattern[] | undefined,
): boolean {
  if (wide === undefined) return true;
  return narrow?.every((each) => wide.some((pattern) => covers(pattern, each))) ?? false;
}

function headerCovers(wide: HeaderRule, narrow: readonly HeaderRule[]): boolean {
  return narrow.some(({ key, values }) => key === wide.key && listCovers(wide.values, values));
}

function certificateCovers(wide: CertificateRule, narrow: CertificateRule): boolean {
  const issuers = wide.issuers.map((issuer) => JSON.stringify(issuer));
  const namesSans = narrow.dnsSans !== undefined || narrow.uriSans !== undefined;
  const wideNamesSans = wide.dnsSans !== undefined || wide.uriSans !== undefined;
  return (
    narrow.issuers.every((issuer) => issuers.includes(JSON.stringify(issuer))) &&
    setCovers(wide.organizations, narrow.organizations) &&
    setCovers(wide.commonNames, narrow.commonNames) &&
    setCovers(wide.dnsSans, narrow.dnsSans) &&
    setCovers(wide.uriSans, narrow.uriSans) &&
    (wideNamesSans || wide.withSans || !(namesSans || narrow.withSans)) &&
    listCovers(wide.methods, narrow.methods)
  );
}

function setCovers(
  wide: ReadonlySet<string> | undefined,
  narrow: ReadonlySet<string> | undefined,
): boolean {
  return wide === undefined || narrow?.isSubsetOf(wide) === true;
}

function named({ name }: { readonly name: string }): string {
  return JSON.stringify(name);
}
