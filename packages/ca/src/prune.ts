import type { Workshop } from "./workshop.ts";

/** What the authority may forget. */
export interface PruneRule {
  /** How long after its end a certificate is kept, in seconds; 90 days if not given. */
  readonly keepEndedSeconds?: number;
}

/**
 * Forgets certificates that ended longer ago than the rule keeps them, a few at a time so that
 * nobody waits for long. What stays: the authority's own; what was renewed from a certificate that
 * is kept; keys that were compromised; blocks of renewals that still block something. Keep them
 * longer than revocation lists live, for each ended one is still to be on one list after its end.
 */
export async function prune(
  { store, clock }: Pick<Workshop, "store" | "clock">,
  { keepEndedSeconds = usualKeepSeconds }: PruneRule = {},
): Promise<number> {
  if (!(keepEndedSeconds >= 0)) {
    throw new TypeError(`keepEndedSeconds must be 0 or more, not ${keepEndedSeconds}`);
  }
  const now = clock();
  const endedBefore = new Date(now.getTime() - keepEndedSeconds * 1_000);
  for (let count = 0; ;) {
    const forgotten = await store.transaction((records) =>
      records.prune({ endedBefore, now, limit: batch }),
    );
    count += forgotten;
    if (forgotten < batch) return count;
  }
}

const usualKeepSeconds = 90 * 86_400;
const batch = 200;
