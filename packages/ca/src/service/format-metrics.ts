import type { AuthorityCounters } from "./metrics.ts";
import type { OcspCounters } from "./ocsp-responder.ts";

/** What a running service adds to the counters. */
export interface ServiceGauges {
  /** Of the certificate that the authority serves with, and of its issuing CAs and roots, by name. */
  readonly expiries: Readonly<Record<string, Date>>;
  readonly crlNextUpdates: Readonly<Record<string, Date>>;
  readonly pendingRequests: number;
  readonly watchers: number;
  readonly ocsp: OcspCounters;
}

/** Counters and gauges in the text format of Prometheus (version 0.0.4). */
export function formatMetrics(
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
      values: { ...gauges.ocsp },
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

const dayMs = 86_400_000;
