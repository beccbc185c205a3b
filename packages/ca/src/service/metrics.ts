import type { AuditTrail } from "../audit.ts";

/** What an authority did since it was started, as counters. No label holds an identity (security.md S42). */
export interface AuthorityCounters {
  /** By what was done: issue, renew, enrol, revoke, create-token, … */
  readonly done: Readonly<Record<string, number>>;
  /** By the code of the error. */
  readonly refused: Readonly<Record<string, number>>;
}

/** Counts acts on their way to the audit trail. */
export interface AuthorityMetrics {
  readonly counters: AuthorityCounters;
  /** Counts what passes, and hands it on to the trail that keeps it, if there is one. */
  counting(trail?: AuditTrail): AuditTrail;
}

/** Makes counters that stand at zero. */
export function createAuthorityMetrics(): AuthorityMetrics {
  const done: Record<string, number> = {};
  const refused: Record<string, number> = {};
  return {
    counters: { done, refused },
    counting: (trail) => ({
      async append(kind, fields) {
        const place = (await trail?.append(kind, fields)) ?? nowhere;
        const { outcome, action, code = "FAULT" } = fields;
        if (kind !== "authority" || typeof action !== "string") return place;
        if (outcome === "done") count(done, action);
        if (outcome === "refused" && typeof code === "string") count(refused, code);
        return place;
      },
    }),
  };
}

function count(counts: Record<string, number>, name: string): void {
  counts[name] = (counts[name] ?? 0) + 1;
}

const nowhere = { chain: "", seq: 0 };
