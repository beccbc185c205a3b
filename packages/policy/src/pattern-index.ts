import type { Pattern } from "./pattern.ts";

/** Finds the patterns that match a value without looking at those that do not. */
export interface PatternIndex {
  /** The ids of all patterns that match `value`. */
  find(value: string): readonly number[];
}

/** Indexes patterns by the ids given with them; `*` is to be given at most once. */
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
  const findExact = (value: string): readonly number[] =>
    exact.get(value) ?? (value === "" ? nothing : present);
  if (prefixes.children.size + suffixes.children.size === 0) return { find: findExact };

  const memo = createMemo();
  return {
    find(value) {
      const known = memo.recall(value);
      if (known !== undefined) return known;
      const walked: number[] = [];
      walk(prefixes, { value, start: 0, step: 1, into: walked });
      walk(suffixes, { value, start: value.length - 1, step: -1, into: walked });
      const found = walked.length === 0 ? findExact(value) : [...findExact(value), ...walked];
      memo.remember(value, found);
      return found;
    },
  };
}

/**
 * Remembers what was found for the values last met: callers and methods are few beside calls. It
 * holds at most two generations of values, and no long ones, so that strangers cannot fill memory.
 */
function createMemo(): {
  recall: (value: string) => readonly number[] | undefined;
  remember: (value: string, found: readonly number[]) => void;
} {
  let young = new Map<string, readonly number[]>();
  let old: ReadonlyMap<string, readonly number[]> = new Map();

  function remember(value: string, found: readonly number[]): void {
    if (value.length > maxRememberedLength) return;
    if (young.size >= generationSize) {
      old = young;
      young = new Map();
    }
    young.set(value, found);
  }

  return {
    recall(value) {
      const found = young.get(value);
      if (found !== undefined) return found;
      const older = old.get(value);
      if (older !== undefined) remember(value, older);
      return older;
    },
    remember,
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

/** Follows `value` from one end, and collects what ends on the way. */
function walk(
  root: Branch,
  on: { value: string; start: number; step: 1 | -1; into: number[] },
): void {
  const { value, step, into } = on;
  let branch = root;
  let at = on.start;
  // Beyond either end the code is NaN, which leads nowhere.
  for (;;) {
    const child = branch.children.get(value.charCodeAt(at));
    if (child === undefined) return;
    const { label } = child;
    for (let index = 0; index < label.length; index++, at += step) {
      if (value.charCodeAt(at) !== label.charCodeAt(index)) return;
    }
    for (const id of child.ids) into.push(id);
    branch = child;
  }
}

function sharedLength(left: string, right: string): number {
  let length = 0;
  while (length < left.length && left.charCodeAt(length) === right.charCodeAt(length)) length++;
  return length;
}

/** By UTF-16 units, as `walk` goes. */
function reverse(text: string): string {
  return text.split("").reverse().join("");
}

function append(to: Map<string, number[]>, entry: { key: string; id: number }): void {
  const ids = to.get(entry.key);
  if (ids === undefined) to.set(entry.key, [entry.id]);
  else ids.push(entry.id);
}

const nothing: readonly number[] = [];
const generationSize = 2048;
const maxRememberedLength = 512;
