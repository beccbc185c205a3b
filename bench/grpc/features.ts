// What a service has switched on beside the calls themselves.
import { AsyncLocalStorage } from "node:async_hooks";
import { join } from "node:path";
import { ROOT_CONTEXT, context } from "@opentelemetry/api";
import type { Context } from "@opentelemetry/api";
import { allowEveryAdmittedPeer } from "@handfast/grpc";
import type { DecidingPolicy, TelemetryOptions } from "@handfast/grpc";
import {
  chainLogger,
  compilePolicy,
  createAuditQueue,
  openAuditChain,
  openAuditKey,
  parsePolicy,
} from "@handfast/policy";
import {
  AggregationTemporality,
  InMemoryMetricExporter,
  MeterProvider,
  PeriodicExportingMetricReader,
} from "@opentelemetry/sdk-metrics";
import {
  BatchSpanProcessor,
  NoopSpanProcessor,
  ParentBasedSampler,
  TraceIdRatioBasedSampler,
  TracerProvider,
} from "@opentelemetry/sdk-trace";

/** Metrics with an SDK's reader, and traces of which a hundredth is kept. */
export function telemetryOf(features: ReadonlySet<string>): { telemetry?: TelemetryOptions } {
  if (!features.has("metrics") && !features.has("traces")) return {};
  const exporter = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE);
  const reader = new PeriodicExportingMetricReader({
    exporter,
    exportIntervalMillis: 1_000,
    exportTimeoutMillis: 900,
  });
  // Kept for a second, as an exporter would until it is sent.
  setInterval(() => exporter.reset(), 1_000).unref();
  return {
    telemetry: {
      ...(features.has("metrics") && { meterProvider: new MeterProvider({ readers: [reader] }) }),
      ...(features.has("traces") && { tracerProvider: tracing() }),
    },
  };
}

function tracing(): TracerProvider {
  const storage = new AsyncLocalStorage<Context>();
  context.setGlobalContextManager({
    active: () => storage.getStore() ?? ROOT_CONTEXT,
    with: (inside, run, self, ...args) => storage.run(inside, () => run.apply(self as never, args)),
    bind: (_inside, target) => target,
    enable() {
      return this;
    },
    disable() {
      return this;
    },
  });
  return new TracerProvider({
    sampler: new ParentBasedSampler({ root: new TraceIdRatioBasedSampler(0.01) }),
    spanProcessors: [new NoopSpanProcessor(), new BatchSpanProcessor({ exporter: nowhere })],
  });
}

/** A policy of some rules of which the last allows, with every decision queued for an audit chain. */
export async function policyOf(
  features: ReadonlySet<string>,
  folder: string,
): Promise<DecidingPolicy> {
  if (!features.has("policy") && !features.has("audit")) return allowEveryAdmittedPeer();
  const others = Array.from({ length: 20 }, (_, at) => ({
    name: `team ${at}`,
    source: { principals: [`spiffe://handfast.test/team-${at}`] },
    request: { paths: ["/bench.v1.Echo/*"] },
  }));
  const document = {
    name: "bench",
    allow_rules: [
      ...others,
      { name: "client", source: { principals: ["spiffe://handfast.test/client"] } },
    ],
    ...(features.has("audit") && {
      audit_logging_options: {
        audit_condition: "ON_DENY_AND_ALLOW",
        audit_loggers: [{ name: "chain", config: {} }],
      },
    }),
  };
  const parsed = parsePolicy(JSON.stringify(document));
  if (!features.has("audit")) return compilePolicy(parsed);
  const signer = await openAuditKey(join(folder, "audit-key.pem"));
  const chain = await openAuditChain(join(folder, `audit-${process.pid}`), { signer });
  // As many may wait as a disk of a virtual machine makes them.
  const queue = createAuditQueue(chain, { limit: 1_000_000 });
  return compilePolicy(parsed, { auditLoggers: { chain: chainLogger(queue) } });
}

const nowhere: ConstructorParameters<typeof BatchSpanProcessor>[0]["exporter"] = {
  export: (_spans, done) => done({ code: 0 }),
  shutdown: () => Promise.resolve(),
};
