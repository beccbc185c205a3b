import type { Pattern } from "./pattern.ts";
import { formatPattern } from "./pattern.ts";
import { createPatternIndex } from "./pattern-index.ts";
import type { PatternIndex } from "./pattern-index.ts";

/** A rule as the index sees it. */
interface IndexedRule<Request> {
  /** Numbers that stand for names of callers, from 1; the rule may match where one is at hand. */
  readonly nameIds: readonly number[] | undefined;
  readonly paths: readonly Pattern[] | undefined;
  /** What else must hold. */
  readonly condition: ((request: Request) => boolean) | undefined;
}

/** Finds the first rule that matches, at a cost that does not grow with the rules that cannot. */
export interface RuleIndex<Request> {
  /** The index of the first rule that matches; -1 if none does. */
  first(asked: {
    readonly nameIds: readonly number[];
    readonly path: string;
    readonly request: Request;
  }): number;
}

/**
 * Indexes rules by pairs of name and path. A rule with many of both is entered under one of the two,
 * and the other is looked up in a set of its own: so the index is at most 8 times the rules in size.
 */
export function createRuleIndex<Request>(
  rules: readonly IndexedRule<Request>[],
): RuleIndex<Request> {
  const paths = numberPaths(rules);
  const numbered = rules.map(({ nameIds, paths: patterns, condition }) => ({
    nameIds: nameIds === undefined ? [anyId] : [...new Set(nameIds)],
    pathIds: patterns === undefined ? [anyId] : paths.idsOf(patterns),
    condition,
  }));
  const crowding = {
    names: countUses(numbered.map(({ nameIds }) => nameIds)),
    paths: countUses(numbered.map(({ pathIds }) => pathIds)),
  };
  const buckets: Map<number, Candidate<Request>[]>[] = [];
  for (const [rule, entry] of numbered.entries()) {
    const { nameIds, pathIds, condition } = entry;
    let under = { nameIds, pathIds };
    let otherNames: ReadonlySet<number> | undefined;
    let otherPaths: ReadonlySet<number> | undefined;
    if (Math.min(nameIds.length, pathIds.length) > maxFullProduct) {
      // Under whichever fewer other rules are entered.
      if (mostUsed(nameIds, crowding.names) <= mostUsed(pathIds, crowding.paths)) {
        under = { nameIds, pathIds: [anyId] };
        otherPaths = new Set(pathIds);
      } else {
        under = { nameIds: [anyId], pathIds };
        otherNames = new Set(nameIds);
      }
    }
    const candidate: Candidate<Request> = { rule, condition, otherNames, otherPaths };
    for (const nameId of under.nameIds) {
      const byPath = (buckets[nameId] ??= new Map<number, Candidate<Request>[]>());
      for (const pathId of under.pathIds) {
        const bucket = byPath.get(pathId);
        if (bucket === undefined) byPath.set(pathId, [candidate]);
        else bucket.push(candidate);
      }
    }
  }

  return {
    first({ nameIds, path, request }) {
      const asked: Asked<Request> = { nameIds, pathIds: paths.index.find(path), request };
      let first = firstIn(buckets[anyId], { asked, before: none });
      for (const id of nameIds) first = firstIn(buckets[id], { asked, before: first });
      return first === none ? -1 : first;
    },
  };
}

interface Asked<Request> {
  readonly nameIds: readonly number[];
  readonly pathIds: readonly number[];
  readonly request: Request;
}

/** The first rule entered under one name, and any of the paths, that holds; else `before`. */
function firstIn<Request>(
  byPath: ReadonlyMap<number, readonly Candidate<Request>[]> | undefined,
  options: { asked: Asked<Request>; before: number },
): number {
  const { asked } = options;
  if (byPath === undefined) return options.before;
  let first = firstOf(byPath.get(anyId), asked, options.before);
  for (const id of asked.pathIds) first = firstOf(byPath.get(id), asked, first);
  return first;
}

function firstOf<Request>(
  bucket: readonly Candidate<Request>[] | undefined,
  asked: Asked<Request>,
  before: number,
): number {
  if (bucket === undefined) return before;
  for (const candidate of bucket) {
    if (candidate.rule >= before) return before;
    if (holds(candidate, asked)) return candidate.rule;
  }
  return before;
}

/** A rule in a bucket; buckets are in the order of the document. */
interface Candidate<Request> {
  readonly rule: number;
  readonly condition: ((request: Request) => boolean) | undefined;
  /** Set where the rule was not entered under its names: one of them must be at hand. */
  readonly otherNames: ReadonlySet<number> | undefined;
  readonly otherPaths: ReadonlySet<number> | undefined;
}

function holds<Request>(candidate: Candidate<Request>, asked: Asked<Request>): boolean {
  const { otherNames, otherPaths, condition } = candidate;
  if (otherNames !== undefined && !asked.nameIds.some((id) => otherNames.has(id))) return false;
  if (otherPaths !== undefined && !asked.pathIds.some((id) => otherPaths.has(id))) return false;
  return condition === undefined || condition(asked.request);
}

/** Gives each distinct path pattern a number from 1. */
function numberPaths(rules: readonly { readonly paths: readonly Pattern[] | undefined }[]): {
  index: PatternIndex;
  idsOf: (patterns: readonly Pattern[]) => readonly number[];
} {
  const entries = new Map<string, readonly [Pattern, number]>();
  for (const { paths } of rules) {
    for (const pattern of paths ?? []) {
      const key = formatPattern(pattern);
      if (!entries.has(key)) entries.set(key, [pattern, entries.size + 1]);
    }
  }
  const idOf = (pattern: Pattern): number => entries.get(formatPattern(pattern))?.[1] ?? anyId;
  return {
    index: createPatternIndex(entries.values()),
    idsOf: (patterns) => [...new Set(patterns.map(idOf))],
  };
}

function countUses(lists: readonly (readonly number[])[]): ReadonlyMap<number, number> {
  const uses = new Map<number, number>();
  for (const list of lists) {
    for (const id of list) uses.set(id, (uses.get(id) ?? 0) + 1);
  }
  return uses;
}

function mostUsed(ids: readonly number[], uses: ReadonlyMap<number, number>): number {
  return ids.reduce((most, id) => Math.max(most, uses.get(id) ?? 0), 0);
}

/** Stands for a rule that names nobody, or no path. */
const anyId = 0;
const none = Number.MAX_SAFE_INTEGER;
const maxFullProduct = 8;
