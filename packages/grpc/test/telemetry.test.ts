// Measured against what happened, exactly.
import assert from "node:assert/strict";
import { AsyncLocalStorage } from "node:async_hooks";
import { test } from "node:test";
import {
  ROOT_CONTEXT,
  TraceFlags,
  context,
  createNoopMeter,
  propagation,
  trace,
} from "@opentelemetry/api";
import type {
  Attributes,
  Context,
  Meter,
  MeterProvider,
  Span,
  SpanContext,
  TracerProvider,
} from "@opentelemetry/api";
import { compilePolicy, parsePolicy } from "@handfast/policy";
import { GrpcError, createClient, handshakeTelemetry, observeMutualTls } from "../src/index.ts";
import { TestService } from "../src/testing/index.ts";
import { authority, collect, dial, failure, serve } from "./fixtures.ts";

/** Keeps what is counted and recorded, summed by name and attributes. */
function meters(): MeterProvider & {
  readonly points: Map<string, { count: number; sum: number }>;
  readonly units: Map<string, string | undefined>;
  observe(): Record<string, number>;
} {
  const points = new Map<string, { count: number; sum: number }>();
  const units = new Map<string, string | undefined>();
  const observers = new Set<Parameters<Meter["addBatchObservableCallback"]>[0]>();
  const instrument =
    () =>
    (name: string, options?: { unit?: string }): never => {
      units.set(name, options?.unit);
      const add = (value: number, attributes: Attributes = {}): void => {
        const key = [
          name,
          ...Object.entries(attributes).map(([key, value]) => `${key}=${String(value)}`),
        ].join(" ");
        const point = points.get(key) ?? { count: 0, sum: 0 };
        points.set(key, { count: point.count + 1, sum: point.sum + value });
      };
      return { name, add, record: add } as never;
    };
  const meter: Meter = {
    ...createNoopMeter(),
    createCounter: instrument(),
    createHistogram: instrument(),
    createObservableGauge: instrument(),
    createObservableUpDownCounter: instrument(),
    addBatchObservableCallback: (callback) => void observers.add(callback),
    removeBatchObservableCallback: (callback) => void observers.delete(callback),
  };
  return {
    points,
    units,
    getMeter: () => meter,
    observe() {
      const observed: Record<string, number> = {};
      const observe = (gauge: { name: string }, value: number): void => {
        observed[gauge.name] = value;
      };
      for (const observer of observers) void observer({ observe } as never);
      return observed;
    },
  };
}

interface Recorded {
  readonly name: string;
  readonly kind: number | undefined;
  readonly spanContext: SpanContext;
  readonly parent: SpanContext | undefined;
  readonly attributes: Attributes;
  ended: boolean;
}

/** Keeps the spans that were started. */
function tracers(): TracerProvider & { readonly spans: Recorded[] } {
  const spans: Recorded[] = [];
  const startSpan = (
    name: string,
    options: { kind?: number; attributes?: Attributes } = {},
    from: Context = context.active(),
  ): Span => {
    const parent = trace.getSpanContext(from);
    const recorded: Recorded = {
      name,
      kind: options.kind,
      parent,
      attributes: { ...options.attributes },
      ended: false,
      spanContext: {
        traceId: parent?.traceId ?? "0af7651916cd43dd8448eb211c80319c",
        spanId: (spans.length + 1).toString(16).padStart(16, "0"),
        traceFlags: parent?.traceFlags ?? TraceFlags.SAMPLED,
      },
    };
    spans.push(recorded);
    return {
      spanContext: () => recorded.spanContext,
      setAttribute: (key: string, value: string) =>
        Object.assign(recorded.attributes, { [key]: value }),
      setStatus: () => undefined,
      end: () => {
        recorded.ended = true;
      },
    } as unknown as Span;
  };
  return { spans, getTracer: () => ({ startSpan }) as never };
}

test("calls, attempts, sizes and decisions are counted by method and status, exactly", async () => {
  const ofServer = meters();
  const ofClient = meters();
  const allow_rules = [
    { name: "some", request: { paths: ["*/UnaryCall", "*/StreamingOutputCall"] } },
  ];
  await using bank = await serve({
    telemetry: { meterProvider: ofServer },
    policy: compilePolicy(parsePolicy(JSON.stringify({ name: "test", allow_rules }))),
  });
  await using alice = await dial(bank.target, { telemetry: { meterProvider: ofClient } });
  const { client } = alice;
  await client.unaryCall({ responseSize: 100 });
  await client.unaryCall({ responseSize: 100 });
  await failure(client.unaryCall({ responseStatus: { code: 5, message: "none" } }));
  await collect(client.streamingOutputCall({ responseParameters: [{ size: 1 }, { size: 2 }] }));
  await failure(client.emptyCall({}));
  await bank.next(() => bank.events.filter(({ type }) => type === "call").length === 5);

  const count = (from: typeof ofServer, name: string): Record<string, number> =>
    Object.fromEntries(
      [...from.points]
        .filter(([key]) => key.startsWith(`${name} `))
        .map(([key, { count }]) => [key.slice(name.length + 1), count]),
    );
  const test = "grpc.method=grpc.testing.TestService";
  assert.deepEqual(count(ofServer, "grpc.server.call.started"), {
    [`${test}/UnaryCall`]: 3,
    [`${test}/StreamingOutputCall`]: 1,
    [`${test}/EmptyCall`]: 1,
  });
  const ended = {
    [`${test}/UnaryCall grpc.status=OK`]: 2,
    [`${test}/UnaryCall grpc.status=NOT_FOUND`]: 1,
    [`${test}/StreamingOutputCall grpc.status=OK`]: 1,
    [`${test}/EmptyCall grpc.status=PERMISSION_DENIED`]: 1,
  };
  assert.deepEqual(count(ofServer, "grpc.server.call.duration"), ended);
  assert.deepEqual(count(ofServer, "handfast.policy.decisions"), {
    "allowed=true": 4,
    "allowed=false": 1,
  });
  const sizes = (name: string): number =>
    ofServer.points.get(`${name} ${test}/UnaryCall grpc.status=OK`)?.sum ?? 0;
  // A payload of 100 bytes and the tags and lengths around it, twice; a request of one small field.
  assert.equal(sizes("grpc.server.call.sent_total_compressed_message_size"), 2 * 104);
  assert.equal(sizes("grpc.server.call.rcvd_total_compressed_message_size"), 2 * 2);

  const target = `grpc.target=${bank.target}`;
  const withTarget = Object.fromEntries(
    Object.entries(ended).map(([key, value]) => [key.replace(" ", ` ${target} `), value]),
  );
  assert.deepEqual(count(ofClient, "grpc.client.attempt.duration"), withTarget);
  assert.deepEqual(count(ofClient, "grpc.client.call.duration"), withTarget);
  assert.equal(ofServer.units.get("grpc.server.call.duration"), "s");
  assert.ok([...ofServer.points.keys()].every((key) => !key.includes("alice")));
});

test("each attempt of a retried call is counted, and the call once", async () => {
  const ofClient = meters();
  let calls = 0;
  await using bank = await serve({
    handlers: {
      emptyCall() {
        calls += 1;
        if (calls < 3) throw new GrpcError("UNAVAILABLE", "busy");
        return {};
      },
    },
  });
  await using alice = await dial(bank.target, {
    telemetry: { meterProvider: ofClient },
    retry: { initialBackoffMs: 1, retryable: () => true },
  });
  await alice.client.emptyCall({});
  const labels = `grpc.method=grpc.testing.TestService/EmptyCall grpc.target=${bank.target}`;
  const count = (key: string): number | undefined => ofClient.points.get(key)?.count;
  assert.equal(count(`grpc.client.attempt.started ${labels}`), 3);
  assert.equal(count(`grpc.client.attempt.duration ${labels} grpc.status=UNAVAILABLE`), 2);
  assert.equal(count(`grpc.client.attempt.duration ${labels} grpc.status=OK`), 1);
  assert.equal(count(`grpc.client.call.duration ${labels} grpc.status=OK`), 1);
});

test("handshakes are counted by result on both sides, and the runtime is observed", async () => {
  const ofServer = meters();
  const ofClient = meters();
  await using bank = await serve({
    tlsOptions: { onEvent: handshakeTelemetry({ meterProvider: ofServer }) },
  });
  const clientTls = { onEvent: handshakeTelemetry({ meterProvider: ofClient }) };
  await using alice = await dial(bank.target, { tlsOptions: clientTls });
  await alice.client.connect();
  await using kiosk = await dial(bank.target, {
    identity: authority.issue({ name: "kiosk", profile: "server" }),
    tlsOptions: clientTls,
  });
  await failure(kiosk.client.connect());
  const full = "grpc.tls.handshake.resumed=FULL_HANDSHAKE";
  assert.deepEqual(
    Object.fromEntries([...ofServer.points].map(([key, { count }]) => [key, count])),
    {
      [`grpc.server.tls.handshakes grpc.tls.handshake.result=SUCCESS ${full}`]: 1,
      [`grpc.server.tls.handshakes grpc.tls.handshake.result=CERTIFICATE_VERIFICATION_FAILED ${full}`]: 1,
    },
  );
  assert.equal(
    ofClient.points.get(`grpc.client.tls.handshakes grpc.tls.handshake.result=SUCCESS ${full}`)
      ?.count,
    2,
  );
  const stop = observeMutualTls(bank.tls.mtls, { meterProvider: ofServer });
  assert.deepEqual(ofServer.observe(), {
    "handfast.tls.certificate.expiry": (bank.tls.mtls.identity?.expiresAt.getTime() ?? 0) / 1_000,
    "handfast.tls.sessions": 1,
    "handfast.tls.uncovered_authorities": 0,
  });
  stop();
  assert.deepEqual(ofServer.observe(), {});
});

test("S43 a trace goes on from client to server to handler; the peer's sampling flag is not obeyed", async () => {
  installContext();
  const ofServer = tracers();
  const ofClient = tracers();
  let inHandler: SpanContext | undefined;
  const handlers = {
    emptyCall(): object {
      inHandler = trace.getSpanContext(context.active());
      return {};
    },
  };
  await using bank = await serve({
    telemetry: { tracerProvider: ofServer, peerSampling: { ratio: 0 } },
    handlers,
  });
  await using obeying = await serve({
    telemetry: { tracerProvider: ofServer, peerSampling: "obey" },
    handlers,
  });
  await using alice = await dial(bank.target, { telemetry: { tracerProvider: ofClient } });
  await alice.client.emptyCall({});
  const [client] = ofClient.spans;
  const [server] = ofServer.spans;
  assert.equal(client?.name, "grpc.testing.TestService/EmptyCall");
  assert.deepEqual(
    [server?.parent?.spanId, server?.parent?.traceId],
    [client?.spanContext.spanId, client?.spanContext.traceId],
  );
  assert.equal(client?.spanContext.traceFlags, TraceFlags.SAMPLED);
  assert.equal(server?.parent?.traceFlags, TraceFlags.NONE);
  assert.equal(inHandler?.spanId, server?.spanContext.spanId);
  assert.equal(server?.attributes["rpc.grpc.status_code"], 0);
  assert.ok(client.ended && server?.ended);

  const other = createClient(TestService, {
    tls: alice.tls.mtls,
    target: obeying.target,
    telemetry: { tracerProvider: ofClient },
  });
  await other.emptyCall({});
  assert.equal(ofServer.spans[1]?.parent?.traceFlags, TraceFlags.SAMPLED);
  other.close();
});

/** What an SDK would install: contexts that follow async calls, and `traceparent`. */
function installContext(): void {
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
  propagation.setGlobalPropagator({
    inject(from, carrier, setter) {
      const span = trace.getSpanContext(from);
      if (span === undefined) return;
      setter.set(carrier, "traceparent", `00-${span.traceId}-${span.spanId}-0${span.traceFlags}`);
    },
    extract(into, carrier, getter) {
      const [, traceId, spanId, flags] = String(getter.get(carrier, "traceparent")).split("-");
      if (traceId === undefined || spanId === undefined) return into;
      return trace.setSpanContext(into, {
        traceId,
        spanId,
        traceFlags: Number(flags),
        isRemote: true,
      });
    },
    fields: () => ["traceparent"],
  });
}
