/** A value that a record can hold; what is undefined is left out. */
export type RecordValue =
  | null
  | boolean
  | number
  | string
  | readonly RecordValue[]
  | { readonly [name: string]: RecordValue | undefined };

/**
 * Encodes a value as JSON in one way only: members sorted by UTF-16 units, no spaces, unpaired
 * surrogates replaced (as RFC 8785 does, but for the surrogates).
 *
 * @throws {TypeError} a number that is not finite
 */
export function canonicalJson(value: RecordValue): string {
  if (typeof value === "string") return JSON.stringify(value.toWellFormed());
  if (typeof value === "number" && !Number.isFinite(value)) {
    throw new TypeError(`a record holds finite numbers, not ${value}`);
  }
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  if (Array.isArray(value)) {
    return `[${(value as readonly RecordValue[]).map(canonicalJson).join(",")}]`;
  }
  const members: string[] = [];
  for (const [name, member] of Object.entries(value).sort(byName)) {
    if (member !== undefined) members.push(`${canonicalJson(name)}:${canonicalJson(member)}`);
  }
  return `{${members.join(",")}}`;
}

function byName(left: readonly [string, unknown], right: readonly [string, unknown]): number {
  return left[0] < right[0] ? -1 : left[0] > right[0] ? 1 : 0;
}
