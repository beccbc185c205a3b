import { TAG } from "./der.ts";
import type { Name, NameAttribute } from "./name.ts";

/**
 * A text that two names share exactly if they are the same by RFC 5280 7.1: attribute by attribute,
 * without regard to case, string type and runs of spaces. It is computed once for each name.
 */
export function nameKey(name: Name): string {
  return canonicalOf(name).key;
}

/** Whether a name lies in the subtree of another: it begins with all of its relative names. */
export function isWithinName(name: Name, subtree: Name): boolean {
  const parts = canonicalOf(name).parts;
  return canonicalOf(subtree).parts.every((part, index) => parts[index] === part);
}

interface Canonical {
  readonly parts: readonly string[];
  readonly key: string;
}

function canonicalOf(name: Name): Canonical {
  let found = canonical.get(name);
  if (found === undefined) {
    const parts = name.relativeNames.map((attributes) =>
      attributes.length === 1
        ? attributeKey(attributes[0] as NameAttribute)
        : attributes.map(attributeKey).sort().join(BETWEEN_ATTRIBUTES),
    );
    found = { parts, key: parts.join(BETWEEN_RELATIVE_NAMES) };
    canonical.set(name, found);
  }
  return found;
}

function attributeKey({ type, value, encoded }: NameAttribute): string {
  const isText = encoded === undefined || TEXT_TAGS.has(encoded[0] as number);
  return isText ? `${type}=${foldText(value)}` : `${type}#${value}`;
}

/** The string preparation of RFC 4518 as far as it matters here: NFKC, case, insignificant spaces. */
function foldText(text: string): string {
  const normal = PLAIN.test(text) ? text : text.normalize("NFKC");
  return normal.toLowerCase().trim().replace(/\s+/g, " ");
}

const canonical = new WeakMap<Name, Canonical>();
const PLAIN = /^[\x20-\x7e]*$/;
// No name holds control characters: the reader refuses them.
const BETWEEN_ATTRIBUTES = "\u0001";
const BETWEEN_RELATIVE_NAMES = "\u0002";
const TEXT_TAGS: ReadonlySet<number> = new Set([
  TAG.utf8String,
  TAG.printableString,
  TAG.ia5String,
  TAG.teletexString,
  TAG.bmpString,
  TAG.universalString,
]);
