import { createServer } from "node:http";
import type { Server } from "node:http";
import { once } from "node:events";
import type { Agent } from "./agent.ts";

/** Health and metrics of an agent on an address: for probes on this machine, plaintext by nature. */
export interface AgentStatusServer {
  readonly port: number;
  close(): Promise<void>;
}

/**
 * Serves `/healthz` (the process lives), `/readyz` (every certificate is there and in time; 503 if
 * not) and `/metrics` (the text format of Prometheus). No name or identity is told.
 */
export async function serveAgentStatus(
  agent: Agent,
  {
    host = "127.0.0.1",
    port,
    clock = () => new Date(),
  }: { readonly host?: string; readonly port: number; readonly clock?: () => Date },
): Promise<AgentStatusServer> {
  const server: Server = createServer(
    { headersTimeout: 5_000, requestTimeout: 5_000 },
    (request, response) => {
      const answer =
        request.method === "GET" ? answerTo(request.url ?? "", agent, clock()) : undefined;
      response.writeHead(answer?.status ?? 404, {
        "Content-Type": "text/plain; version=0.0.4",
        "Cache-Control": "no-store",
      });
      response.end(answer?.text ?? "not found\n");
    },
  );
  server.maxConnections = 64;
  server.listen(port, host);
  await once(server, "listening");
  const address = server.address();
  return {
    port: typeof address === "object" && address !== null ? address.port : port,
    async close(): Promise<void> {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** The metrics of an agent as text. */
export function agentMetrics(agent: Agent, now: Date): string {
  const certificates = agent.certificates();
  const ends = certificates.flatMap(({ notAfter }) => notAfter ?? []);
  const earliest = Math.min(...ends.map((end) => end.getTime()));
  const counts = agent.counts;
  const lines: (readonly [string, string, string, number])[] = [
    ["certificates", "gauge", "Certificates that are kept.", certificates.length],
    ["certificates_missing", "gauge", "Not there yet.", certificates.length - ends.length],
    ["certificates_expired", "gauge", "There, and ended.", ends.filter((end) => end <= now).length],
    [
      "certificates_failing",
      "gauge",
      "Whose last renewal failed.",
      certificates.filter(({ failures }) => failures > 0).length,
    ],
    ["renewals_total", "counter", "Certificates that were got.", counts.renewed],
    ["renewal_failures_total", "counter", "Attempts that failed.", counts.failed],
    ["hook_failures_total", "counter", "Services that could not be told.", counts.hooksFailed],
    ["bundle_changes_total", "counter", "Trust bundles that were taken.", counts.bundles],
  ];
  const first = Number.isFinite(earliest)
    ? [
        [
          "earliest_end_seconds",
          "gauge",
          "When the first certificate ends.",
          earliest / 1_000,
        ] as const,
      ]
    : [];
  return [...lines, ...first]
    .map(
      ([name, type, help, value]) =>
        `# HELP handfast_agent_${name} ${help}\n# TYPE handfast_agent_${name} ${type}\nhandfast_agent_${name} ${value}\n`,
    )
    .join("");
}

function answerTo(
  url: string,
  agent: Agent,
  now: Date,
): { readonly status: number; readonly text: string } | undefined {
  switch (url) {
    case "/healthz":
      return { status: 200, text: "ok\n" };
    case "/readyz":
      return agent.ready ? { status: 200, text: "ok\n" } : { status: 503, text: "not ready\n" };
    case "/metrics":
      return { status: 200, text: agentMetrics(agent, now) };
    default:
      return undefined;
  }
}
