import type { ServerResponse } from "node:http";
import { formatMetrics } from "./format-metrics.ts";
import type { ServiceGauges } from "./format-metrics.ts";
import type { HttpHandler } from "./http-door.ts";
import type { AuthorityCounters } from "./metrics.ts";

/** What the operations listener tells. */
export interface OperationsOptions {
  readonly ready: () => boolean;
  readonly counters: AuthorityCounters;
  readonly gauges: () => Promise<ServiceGauges>;
  readonly clock: () => Date;
  readonly onError: (error: unknown) => void;
}

/**
 * `/healthz`: the process answers. `/readyz`: its certificate and lists are in time. `/metrics`:
 * counters and gauges for Prometheus; none tells of an identity.
 */
export function operationsHandler(options: OperationsOptions): HttpHandler {
  async function metrics(response: ServerResponse): Promise<void> {
    try {
      const gauges = await options.gauges();
      const text = formatMetrics(options.counters, { gauges, now: options.clock() });
      send(response, 200, text);
    } catch (error) {
      options.onError(error);
      send(response, 500, "the store does not answer\n");
    }
  }

  return ({ url, method }, response) => {
    if (method !== "GET" && method !== "HEAD") return false;
    switch (url) {
      case "/healthz":
        send(response, 200, "ok\n");
        return true;
      case "/readyz":
        send(response, options.ready() ? 200 : 503, options.ready() ? "ready\n" : "not ready\n");
        return true;
      case "/metrics":
        void metrics(response);
        return true;
      default:
        return false;
    }
  };
}

function send(response: ServerResponse, status: number, text: string): void {
  response.writeHead(status, {
    "content-type": "text/plain; version=0.0.4; charset=utf-8",
    "content-length": Buffer.byteLength(text),
    "cache-control": "no-store",
  });
  response.end(text);
}
