import { createPatternIndex, numberPatterns } from "./pattern-index.ts";
import type { Pattern } from "./pattern.ts";
import { lowerAscii } from "./pattern.ts";
import type { Principal } from "./principal.ts";

/** Finds the principal patterns that match a caller, as numbers. */
export interface CallerIndex {
  readonly idsOf: (patterns: readonly Pattern[]) => readonly number[];
  /** The first kind that is not empty, and no other: falling through has been a bypass elsewhere. */
  findForAllow(principal: Principal): readonly number[];
  /** Every name of every kind: nobody escapes a deny rule by having one more (S26). */
  findForDeny(principal: Principal): readonly number[];
}

/** Indexes the principal patterns of a list of rules. */
export function createCallerIndex(patterns: readonly Pattern[]): CallerIndex {
  const { entries, idsOf } = numberPatterns(patterns);
  const asWritten = createPatternIndex(entries);
  // DNS names know no case (S30); the other kinds do.
  const inLowerCase = patterns.some(({ literal }) => lowerAscii(literal) !== literal)
    ? createPatternIndex(
        entries.map(([{ kind, literal }, id]) => [{ kind, literal: lowerAscii(literal) }, id]),
      )
    : asWritten;

  const findUri = (uri: string): readonly number[] =>
    requireString(uri) === "" ? [] : asWritten.find(uri);
  const findDns = (dns: string): readonly number[] =>
    requireString(dns) === "" ? [] : inLowerCase.find(lowerAscii(dns));
  const findSubject = (subject: string): readonly number[] =>
    asWritten.find(requireString(subject));
  return {
    idsOf,
    findForAllow({ authenticated, uriSans, dnsSans, subject }) {
      if (!authenticated) return [];
      if (uriSans.length > 0) return findAll(uriSans, findUri);
      if (dnsSans.length > 0) return findAll(dnsSans, findDns);
      return findSubject(subject);
    },
    findForDeny({ authenticated, uriSans, dnsSans, subject }) {
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

/** What the types promise is checked: a name that is none would lead a deny rule to "does not match". */
function requireString(value: unknown): string {
  if (typeof value === "string") return value;
  throw new TypeError("the names of a principal are strings");
}
