import { createPatternIndex, numberPatterns } from "./pattern-index.ts";
import type { PatternIndex } from "./pattern-index.ts";
import type { Pattern } from "./pattern.ts";
import { matches } from "./pattern.ts";
import type { HeaderRule } from "./rules.ts";

/** Headers by name in lower case, as they come from the wire. */
export type Headers = Readonly<Record<string, string | readonly string[]>>;

/** Finds the header patterns that match a request, as numbers. */
export interface HeaderIndex {
  /** The numbers of the header rule, of several, that the fewest other rules share. */
  idsOf(rules: readonly HeaderRule[]): readonly number[];
  find(headers: Headers): readonly number[];
}

/** Indexes the header rules of all rules of a policy, each rule's in a list. */
export function createHeaderIndex(rules: readonly (readonly HeaderRule[])[]): HeaderIndex {
  const patternsByKey = new Map<string, Pattern[]>();
  for (const { key, values } of rules.flat()) {
    const patterns = patternsByKey.get(key) ?? [];
    patterns.push(...values);
    patternsByKey.set(key, patterns);
  }
  const keys = new Map<string, NumberedKey>();
  let count = 0;
  for (const [key, patterns] of patternsByKey) {
    const { entries, idsOf } = numberPatterns(patterns);
    const before = count;
    keys.set(key, {
      index: createPatternIndex(entries.map(([pattern, id]) => [pattern, id + before])),
      idsOf: (values) => idsOf(values).map((id) => id + before),
    });
    count += entries.length;
  }
  const uses = Array.from({ length: count + 1 }, () => 0);
  const idsOf = ({ key, values }: HeaderRule): readonly number[] =>
    keys.get(key)?.idsOf(values) ?? [];
  for (const id of rules.flat().flatMap(idsOf)) uses[id] = (uses[id] ?? 0) + 1;
  const mostUsed = (ids: readonly number[]): number =>
    ids.reduce((most, id) => Math.max(most, uses[id] ?? 0), 0);

  return {
    idsOf(of) {
      const [first = [], ...others] = of.map(idsOf);
      return others.reduce((least, ids) => (mostUsed(ids) < mostUsed(least) ? ids : least), first);
    },
    find(headers) {
      // Whichever are fewer: the headers of the request or those that rules ask for.
      const asked = keys.size <= fewKeys ? keys.keys() : Object.getOwnPropertyNames(headers);
      const found: number[] = [];
      for (const key of asked) {
        const value = keys.has(key) ? headerValue(headers, key) : undefined;
        if (value !== undefined) found.push(...(keys.get(key)?.index.find(value) ?? []));
      }
      return found;
    },
  };
}

interface NumberedKey {
  readonly index: PatternIndex;
  readonly idsOf: (values: readonly Pattern[]) => readonly number[];
}

/** The condition that all of several header rules hold. */
export function compileHeaders(rules: readonly HeaderRule[]): (headers: Headers) => boolean {
  const compiled = rules.map(({ key, values }) => ({
    key,
    exact: new Set(values.flatMap(({ kind, literal }) => (kind === "exact" ? [literal] : []))),
    others: values.filter(({ kind }) => kind !== "exact"),
  }));
  return (headers) => {
    for (const { key, exact, others } of compiled) {
      const value = headerValue(headers, key);
      if (value === undefined) return false;
      if (!exact.has(value) && !others.some((pattern) => matches(pattern, value))) return false;
    }
    return true;
  };
}

/** Several values joined by a comma; undefined where the header is not there. */
function headerValue(headers: Headers, key: string): string | undefined {
  const value: unknown = Object.hasOwn(headers, key) ? headers[key] : undefined;
  if (typeof value === "string" || value === undefined) return value;
  if (Array.isArray(value) && value.every((element) => typeof element === "string")) {
    return value.join(",");
  }
  throw new TypeError("a header is a string or a list of strings");
}

const fewKeys = 16;
