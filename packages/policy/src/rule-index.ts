/** What a rule asks for, in numbers, as the index sees it. */
export interface IndexedRule<Request> {
  /**
   * By kind (callers, paths, headers): the numbers of which one must be at hand; undefined where the
   * rule does not ask. Lists are of the same length for all rules.
   */
  readonly wanted: readonly (readonly number[] | undefined)[];
  /** What else must hold. */
  readonly condition: ((request: Request) => boolean) | undefined;
}

/** Finds the first rule that matches, at a cost that does not grow with the rules that cannot. */
export interface RuleIndex<Request> {
  /** The index of the first rule that matches; -1 if none does. */
  first(asked: Asked<Request>): number;
}

/** A request, and the numbers it has at hand of each kind. */
export interface Asked<Request> {
  readonly request: Request;
  /** Undefined until it is needed for the kind that is dear to look up. */
  readonly atHand: (readonly number[] | undefined)[];
  readonly lookUpRest: (request: Request) => readonly number[];
}

/**
 * Indexes rules as a tree. Each rule is entered under the numbers of that kind which it shares with the
 * fewest other rules; where many meet under one number nevertheless, they are divided once more by
 * another kind. So a rule is entered at most 64 times as often as it has numbers.
 */
export function createRuleIndex<Request>(
  rules: readonly IndexedRule<Request>[],
): RuleIndex<Request> {
  const root = createNode(
    rules.map(({ wanted, condition }, rule) => ({
      rule,
      wanted: wanted.map(wantedOf),
      condition,
    })),
    { isRoot: true },
  );
  return {
    first(asked) {
      const first = firstIn(root, asked, none);
      return first === none ? -1 : first;
    },
  };
}

/** A rule in the tree: what is wanted of it beyond what the way to it has shown. */
interface Candidate<Request> {
  readonly rule: number;
  readonly wanted: readonly Wanted[];
  readonly condition: ((request: Request) => boolean) | undefined;
}

/** One number, one of several, or anything. */
type Wanted = number | ReadonlySet<number> | undefined;

/** A few rules to be tried one by one, or the branches of more. */
type Node<Request> = readonly Candidate<Request>[] | Branch<Request>;

interface Branch<Request> {
  /** The first rule of all below. */
  readonly least: number;
  /** Rules that are under no number. */
  readonly others: readonly Candidate<Request>[];
  readonly parts: readonly Part<Request>[];
}

/** What is under the numbers of one kind. */
interface Part<Request> {
  readonly kind: number;
  readonly nodes: ReadonlyMap<number, Node<Request>>;
}

function createNode<Request>(
  all: readonly Candidate<Request>[],
  { isRoot }: { isRoot: boolean },
): Node<Request> {
  if (all.length <= fewRules) return all;
  const uses = countUses(all);
  const others: Candidate<Request>[] = [];
  const groups = uses.map(() => new Map<number, Candidate<Request>[]>());
  for (const candidate of all) {
    const kind = leastShared(candidate, { uses, most: isRoot ? Infinity : maxNumbersBelowRoot });
    const group = groups[kind];
    if (group === undefined) {
      others.push(candidate);
      continue;
    }
    const wanted = candidate.wanted.map((each, other) => (other === kind ? undefined : each));
    for (const number of numbersOf(candidate.wanted[kind])) {
      const members = group.get(number) ?? [];
      members.push({ ...candidate, wanted });
      group.set(number, members);
    }
  }
  const parts = groups.flatMap((group, kind) => {
    const nodes = new Map<number, Node<Request>>();
    for (const [number, members] of group)
      nodes.set(number, createNode(members, { isRoot: false }));
    return nodes.size === 0 ? [] : [{ kind, nodes }];
  });
  return parts.length === 0 ? others : { least: all[0]?.rule ?? none, others, parts };
}

/** How many rules want each number of each kind. */
function countUses<Request>(all: readonly Candidate<Request>[]): ReadonlyMap<number, number>[] {
  const uses = (all[0]?.wanted ?? []).map(() => new Map<number, number>());
  for (const { wanted } of all) {
    for (const [kind, counts] of uses.entries()) {
      for (const number of numbersOf(wanted[kind])) {
        counts.set(number, (counts.get(number) ?? 0) + 1);
      }
    }
  }
  return uses;
}

/** The kind whose numbers the rule shares with the fewest others; -1 if it asks for nothing. */
function leastShared<Request>(
  { wanted }: Candidate<Request>,
  { uses, most }: { uses: readonly ReadonlyMap<number, number>[]; most: number },
): number {
  let least = Infinity;
  let chosen = -1;
  for (const [kind, counts] of uses.entries()) {
    const numbers = numbersOf(wanted[kind]);
    if (numbers.length === 0 || numbers.length > most) continue;
    const shared = numbers.reduce((max, number) => Math.max(max, counts.get(number) ?? 0), 0);
    if (shared < least) {
      least = shared;
      chosen = kind;
    }
  }
  return chosen;
}

function wantedOf(numbers: readonly number[] | undefined): Wanted {
  return numbers?.length === 1 ? numbers[0] : numbers && new Set(numbers);
}

function numbersOf(wanted: Wanted): readonly number[] {
  if (wanted === undefined) return [];
  return typeof wanted === "number" ? [wanted] : [...wanted];
}

/** The first rule of a node that holds, if it comes before `before`; else `before`. */
function firstIn<Request>(node: Node<Request>, asked: Asked<Request>, before: number): number {
  if (Array.isArray(node)) return firstOf(node, asked, before);
  const { least, others, parts } = node as Branch<Request>;
  if (least >= before) return before;
  let first = firstOf(others, asked, before);
  for (const { kind, nodes } of parts) {
    for (const number of atHandOf(asked, kind)) {
      const below = nodes.get(number);
      if (below !== undefined) first = firstIn(below, asked, first);
    }
  }
  return first;
}

function firstOf<Request>(
  candidates: readonly Candidate<Request>[],
  asked: Asked<Request>,
  before: number,
): number {
  for (const candidate of candidates) {
    if (candidate.rule >= before) break;
    if (holds(candidate, asked)) return candidate.rule;
  }
  return before;
}

function holds<Request>({ wanted, condition }: Candidate<Request>, asked: Asked<Request>): boolean {
  for (let kind = 0; kind < wanted.length; kind++) {
    const wantedHere = wanted[kind];
    if (wantedHere !== undefined && !hasOne(atHandOf(asked, kind), wantedHere)) return false;
  }
  return condition === undefined || condition(asked.request);
}

function hasOne(atHand: readonly number[], wanted: number | ReadonlySet<number>): boolean {
  if (typeof wanted === "number") return atHand.includes(wanted);
  for (const number of atHand) if (wanted.has(number)) return true;
  return false;
}

function atHandOf<Request>(asked: Asked<Request>, kind: number): readonly number[] {
  return (asked.atHand[kind] ??= asked.lookUpRest(asked.request));
}

const none = Number.MAX_SAFE_INTEGER;
/** So few are tried one by one. */
const fewRules = 4;
const maxNumbersBelowRoot = 8;
