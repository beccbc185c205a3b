import type { Pattern } from "./pattern.ts";
import { formatPattern } from "./pattern.ts";

/** Finds the patterns that match a value without looking at those that do not. */
export interface PatternIndex {
  /** The ids of all patterns that match `value`. */
  find(value: string): readonly number[];
}

/** Patterns, each distinct one with a number of its own, from 1. */
export interface NumberedPatterns {
  readonly entries: readonly (readonly [pattern: Pattern, id: number])[];
  /** The numbers of patterns that were among those given. */
  readonly idsOf: (patterns: readonly Pattern[]) => readonly number[];
}

/** Gives each distinct pattern a number. */
export function numberPatterns(patterns: Iterable<Pattern>): NumberedPatterns {
  const numbered = new Map<string, readonly [Pattern, number]>();
  for (const pattern of patterns) {
    const key = formatPattern(pattern);
    if (!numbered.has(key)) numbered.set(key, [pattern, numbered.size + 1]);
  }
  return {
    entries: [...numbered.values()],
    idsOf: (some) => [
      ...new Set(some.flatMap((pattern) => numbered.get(formatPattern(pattern))?.[1] ?? [])),
    ],
  };
}

/**
 * Indexes patterns by the ids given with them; `*` is to be given at most once. Nothing is remembered
 * from one value to the next, so whoever sends many different ones neither fills nor empties a memory.
 */
export function createPatternIndex(
  entries: Iterable<readonly [pattern: Pattern, id: number]>,
): PatternIndex {
  const exact = new Map<string, number[]>();
  const present: number[] = [];
  const prefixes = createBranch("");
  const suffixes = createBranch("");
  for (const [{ kind, literal }, id] of entries) {
    if (kind === "present") present.push(id);
    else if (kind === "prefix") insert(prefixes, literal, id);
    else if (kind === "suffix") insert(suffixes, reverse(literal), id);
    else append(exact, { key: literal, id });
  }
  // What an exact pattern finds is known beforehand, but for prefixes and suffixes.
  for (const [literal, ids] of exact) if (literal !== "") ids.push(...present);
  return {
    find(value) {
      const found = exact.get(value) ?? (value === "" ? nothing : present);
      return walkBack(suffixes, value, walk(prefixes, value, found));
    },
  };
}

/** A branch of a radix tree: the text that leads to it, and what begins with all text so far. */
interface Branch {
  label: string;
  ids: number[];
  children: Map<number, Branch>;
}

function createBranch(label: string): Branch {
  return { label, ids: [], children: new Map() };
}

function insert(root: Branch, text: string, id: number): void {
  let branch = root;
  let rest = text;
  while (rest !== "") {
    const child = branch.children.get(rest.charCodeAt(0));
    if (child === undefined) {
      const leaf = createBranch(rest);
      branch.children.set(rest.charCodeAt(0), leaf);
      branch = leaf;
      break;
    }
    const shared = sharedLength(child.label, rest);
    if (shared < child.label.length) split(child, shared);
    rest = rest.slice(shared);
    branch = child;
  }
  branch.ids.push(id);
}

/** Cuts a branch in two, so that something can end or branch off at `length`. */
function split(branch: Branch, length: number): void {
  const lower: Branch = { ...branch, label: branch.label.slice(length) };
  branch.label = branch.label.slice(0, length);
  branch.ids = [];
  branch.children = new Map([[lower.label.charCodeAt(0), lower]]);
}

/** Follows `value` from its start: `found`, and what ends on the way. */
function walk(root: Branch, value: string, found: readonly number[]): readonly number[] {
  let ids = found;
  let branch = root;
  let at = 0;
  while (branch.children.size > 0 && at < value.length) {
    const child = branch.children.get(value.charCodeAt(at));
    if (child === undefined) break;
    const { label } = child;
    if (at + label.length > value.length) break;
    for (let index = 1; index < label.length; index++) {
      if (value.charCodeAt(at + index) !== label.charCodeAt(index)) return ids;
    }
    if (child.ids.length > 0) ids = ids.length === 0 ? child.ids : [...ids, ...child.ids];
    at += label.length;
    branch = child;
  }
  return ids;
}

/** The same from its end, along labels that were written backwards; apart, for both are hot. */
function walkBack(root: Branch, value: string, found: readonly number[]): readonly number[] {
  let ids = found;
  let branch = root;
  let at = value.length - 1;
  while (branch.children.size > 0 && at >= 0) {
    const child = branch.children.get(value.charCodeAt(at));
    if (child === undefined) break;
    const { label } = child;
    if (label.length > at + 1) break;
    for (let index = 1; index < label.length; index++) {
      if (value.charCodeAt(at - index) !== label.charCodeAt(index)) return ids;
    }
    if (child.ids.length > 0) ids = ids.length === 0 ? child.ids : [...ids, ...child.ids];
    at -= label.length;
    branch = child;
  }
  return ids;
}

function sharedLength(left: string, right: string): number {
  let length = 0;
  while (length < left.length && left.charCodeAt(length) === right.charCodeAt(length)) length++;
  return length;
}

/** By UTF-16 units, as `walkBack` goes. */
function reverse(text: string): string {
  return text.split("").reverse().join("");
}

function append(to: Map<string, number[]>, entry: { key: string; id: number }): void {
  const ids = to.get(entry.key);
  if (ids === undefined) to.set(entry.key, [entry.id]);
  else ids.push(entry.id);
}

const nothing: readonly number[] = [];
