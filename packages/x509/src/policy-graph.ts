import type { Certificate } from "./certificate.ts";
import { OID } from "./oid.ts";

/** What a validation asks of certificate policies (RFC 5280 6.1.1 c to g). */
export interface PolicyInputs {
  /** The policies that are acceptable, as dotted OIDs; any if not given. */
  readonly acceptable?: readonly string[];
  /** Whether one of them must hold along the whole path. */
  readonly explicit: boolean;
}

/**
 * What certificate policies hold against a path, leaf first and anchor last; undefined if nothing.
 * It is the policy graph of RFC 9618, whose size is linear in the extensions (the tree of RFC 5280
 * grows exponentially). Of the anchor, its policyConstraints and inhibitAnyPolicy are obeyed (RFC
 * 5937), its own policies are not asked.
 */
export function policyProblem(
  path: readonly Certificate[],
  inputs: PolicyInputs,
): string | undefined {
  if (!inputs.explicit && !path.some(hasSay)) return undefined;
  const anchor = path.at(-1) as Certificate;
  const certificates = path.slice(0, -1).reverse();
  const n = certificates.length;
  const counters: Counters = {
    explicitPolicy: inputs.explicit ? 0 : n + 1,
    policyMapping: n + 1,
    inhibitAnyPolicy: n + 1,
  };
  lower(counters, anchor);
  let levels: Level[] | undefined = [new Map([[ANY, node(ANY, [])]])];
  for (const [index, certificate] of certificates.entries()) {
    const last = index === n - 1;
    const anyAllowed = counters.inhibitAnyPolicy > 0 || (!last && certificate.selfIssued);
    levels &&= grow(levels, certificate, anyAllowed);
    if (counters.explicitPolicy === 0 && levels === undefined) return NO_POLICY;
    if (last) break;
    const mappings = certificate.known.policyMappings ?? [];
    if (mappings.some((m) => m.issuerDomainPolicy === ANY || m.subjectDomainPolicy === ANY)) {
      return "has a path that maps anyPolicy";
    }
    levels &&= applyMappings(levels, mappings, counters.policyMapping > 0);
    if (!certificate.selfIssued) countDown(counters);
    lower(counters, certificate);
  }
  if (counters.explicitPolicy > 0) counters.explicitPolicy--;
  if (certificates.at(-1)?.known.policyConstraints?.requireExplicitPolicy === 0) {
    counters.explicitPolicy = 0;
  }
  if (counters.explicitPolicy > 0) return undefined;
  return levels && isAcceptable(levels, inputs.acceptable) ? undefined : NO_POLICY;
}

interface Counters {
  explicitPolicy: number;
  policyMapping: number;
  inhibitAnyPolicy: number;
}

interface PolicyNode {
  readonly policy: string;
  readonly parents: readonly PolicyNode[];
  /** What a certificate below must call this policy. */
  expected: readonly string[];
}

/** The nodes of one depth by their policy. */
type Level = Map<string, PolicyNode>;

function hasSay({ known }: Certificate): boolean {
  return known.policyConstraints !== undefined || known.policyMappings !== undefined;
}

function node(policy: string, parents: readonly PolicyNode[]): PolicyNode {
  return { policy, parents, expected: [policy] };
}

/** RFC 9618 6.1.3 d, e: adds the depth of one certificate; undefined for the null graph. */
function grow(
  levels: readonly Level[],
  certificate: Certificate,
  anyAllowed: boolean,
): Level[] | undefined {
  const { policies } = certificate.known;
  if (policies === undefined) return undefined;
  const above = levels.at(-1) as Level;
  const parentsOf = byExpected(above);
  const any = above.get(ANY);
  const level: Level = new Map();
  for (const policy of policies) {
    if (policy === ANY) continue;
    const parents = parentsOf.get(policy) ?? (any ? [any] : []);
    if (parents.length > 0) level.set(policy, node(policy, parents));
  }
  if (anyAllowed && policies.includes(ANY)) {
    for (const [policy, parents] of parentsOf) {
      if (!level.has(policy)) level.set(policy, node(policy, parents));
    }
  }
  return prune([...levels, level]);
}

/** RFC 9618 6.1.4 b: what the next certificate calls the policies of this depth. */
function applyMappings(
  levels: readonly Level[],
  mappings: NonNullable<Certificate["known"]["policyMappings"]>,
  allowed: boolean,
): Level[] | undefined {
  if (mappings.length === 0) return [...levels];
  const level = levels.at(-1) as Level;
  const any = level.get(ANY);
  for (const [issuerPolicy, group] of Map.groupBy(mappings, (m) => m.issuerDomainPolicy)) {
    if (!allowed) {
      level.delete(issuerPolicy);
      continue;
    }
    const expected = [...new Set(group.map((m) => m.subjectDomainPolicy))];
    const found = level.get(issuerPolicy);
    if (found) found.expected = expected;
    else if (any) level.set(issuerPolicy, { policy: issuerPolicy, parents: any.parents, expected });
  }
  return prune(levels);
}

function byExpected(level: Level): Map<string, PolicyNode[]> {
  const found = new Map<string, PolicyNode[]>();
  for (const parent of level.values()) {
    for (const policy of parent.expected) {
      const parents = found.get(policy);
      if (parents) parents.push(parent);
      else found.set(policy, [parent]);
    }
  }
  return found;
}

/** Removes what has no child, from the deepest level upwards; nothing left is the null graph. */
function prune(levels: readonly Level[]): Level[] | undefined {
  const kept: Level[] = [levels.at(-1) as Level];
  for (let depth = levels.length - 2; depth >= 0; depth--) {
    const withChild = new Set([...(kept[0] as Level).values()].flatMap((child) => child.parents));
    kept.unshift(
      new Map([...(levels[depth] as Level)].filter(([, parent]) => withChild.has(parent))),
    );
  }
  return kept.some((level) => level.size === 0) ? undefined : kept;
}

/** RFC 9618 6.1.5 g: whether a policy that holds along the path is among the acceptable ones. */
function isAcceptable(
  levels: readonly Level[],
  acceptable: readonly string[] | undefined,
): boolean {
  if (acceptable === undefined || acceptable.includes(ANY)) return true;
  if (levels.at(-1)?.has(ANY)) return acceptable.length > 0;
  // The anchor's own words: nodes whose parent is still anyPolicy.
  return levels.some((level) =>
    [...level.values()].some(
      ({ policy, parents }) =>
        policy !== ANY && parents.some((p) => p.policy === ANY) && acceptable.includes(policy),
    ),
  );
}

function countDown(counters: Counters): void {
  counters.explicitPolicy = Math.max(0, counters.explicitPolicy - 1);
  counters.policyMapping = Math.max(0, counters.policyMapping - 1);
  counters.inhibitAnyPolicy = Math.max(0, counters.inhibitAnyPolicy - 1);
}

/** RFC 5280 6.1.4 i, j. */
function lower(counters: Counters, { known }: Certificate): void {
  const { policyConstraints, inhibitAnyPolicy } = known;
  counters.explicitPolicy = Math.min(
    counters.explicitPolicy,
    policyConstraints?.requireExplicitPolicy ?? Infinity,
  );
  counters.policyMapping = Math.min(
    counters.policyMapping,
    policyConstraints?.inhibitPolicyMapping ?? Infinity,
  );
  counters.inhibitAnyPolicy = Math.min(counters.inhibitAnyPolicy, inhibitAnyPolicy ?? Infinity);
}

const ANY = OID.anyPolicy;
const NO_POLICY = "has a path without a certificate policy that is required";
