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

/** What a running service adds to the counters. */
export interface ServiceGauges {
  /** Of the certificate that the authority serves with, and of its issuing CAs and roots, by name. */
  readonly expiries: Readonly<Record<string, Date>>;
  readonly crlNextUpdates: Readonly<Record<string, Date>>;
  readonly pendingRequests: number;
  readonly watchers: number;
  readonly ocsp: { readonly cached: number; readonly signed: number; readonly unknown: number };
}

/** Counters and gauges in the text format of Prometheus (version 0.0.4). */
function formatMetrics(
  { done, refused }: AuthorityCounters,
  { gauges, now }: { readonly gauges: ServiceGauges; readonly now: Date },
): string {
  const days = (times: Readonly<Record<string, Date>>): Record<string, number> =>
    Object.fromEntries(
      Object.entries(times).map(([name, at]) => [name, (at.getTime() - now.getTime()) / dayMs]),
    );
  return [
    ...family("handfast_ca_acts_total", {
      help: "Acts of the authority that are recorded.",
      type: "counter",
      label: "action",
      values: done,
    }),
    ...family("handfast_ca_refusals_total", {
      help: "Refusals, by error code.",
      type: "counter",
      label: "code",
      values: refused,
    }),
    ...family("handfast_ca_own_certificate_days", {
      help: "Days until the authority's own certificates expire.",
      type: "gauge",
      label: "name",
      values: days(gauges.expiries),
    }),
    ...family("handfast_ca_crl_days", {
      help: "Days until the next update of each revocation list is due.",
      type: "gauge",
      label: "issuer",
      values: days(gauges.crlNextUpdates),
    }),
    ...family("handfast_ca_ocsp_responses_total", {
      help: "OCSP responses: from the cache, signed on demand, and about certificates nobody knows.",
      type: "counter",
      label: "kind",
      values: gauges.ocsp,
    }),
    ...family("handfast_ca_pending_requests", {
      help: "Requests that are being worked on.",
      type: "gauge",
      values: { "": gauges.pendingRequests },
    }),
    ...family("handfast_ca_watchers", {
      help: "Open streams that follow the bundle or the revocation lists.",
      type: "gauge",
      values: { "": gauges.watchers },
    }),
    "",
  ].join("\n");
}

interface Family {
  readonly help: string;
  readonly type: "counter" | "gauge";
  readonly label?: string;
  readonly values: Readonly<Record<string, number>>;
}

function family(name: string, { help, type, label, values }: Family): string[] {
  const lines = Object.entries(values).map(([value, number]) =>
    label === undefined ? `${name} ${number}` : `${name}{${label}="${value}"} ${number}`,
  );
  return [`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`, ...lines];
}

function count(counts: Record<string, number>, name: string): void {
  counts[name] = (counts[name] ?? 0) + 1;
}

const nowhere = { chain: "", seq: 0 };
const dayMs = 86_400_000;
