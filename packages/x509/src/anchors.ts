import type { Certificate } from "./certificate.ts";
import { nameKey } from "./name-match.ts";
import type { Name } from "./name.ts";

/** Trust anchors prepared once for many validations. */
export interface Anchors {
  readonly certificates: readonly Certificate[];
  /** The anchors of that name, in the order given. */
  named(name: Name): readonly Certificate[];
}

/** Indexes trust anchors by name; for a trust store of more than a few. The list is copied. */
export function createAnchors(certificates: readonly Certificate[]): Anchors {
  const byName = Map.groupBy(certificates, ({ subject }) => nameKey(subject));
  return {
    certificates: [...certificates],
    named: (name) => byName.get(nameKey(name)) ?? [],
  };
}
