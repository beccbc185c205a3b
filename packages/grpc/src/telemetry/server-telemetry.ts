import { SpanKind, context, trace } from "@opentelemetry/api";
import type { GrpcError } from "../errors.ts";
import { OpenCall } from "../server/call.ts";
import type { ServerInterceptor } from "../server/interceptor.ts";
import { bytesHistogram, meterOf, secondsHistogram, tracerOf } from "./instruments.ts";
import type { TelemetryOptions } from "./instruments.ts";
import { createLabels } from "./labels.ts";
import { contextFrom, endSpan, spanAttributes } from "./spans.ts";

/** Measures and traces the calls of a server. */
export interface ServerTelemetry {
  started(call: OpenCall): void;
  ended(call: OpenCall, error: GrpcError | undefined): void;
  /** A call to a method that nobody serves was answered. Its name is the caller's, and in no label. */
  unknown(): void;
  decided(allowed: boolean): void;
  /** Runs the rest of a call in its span's context. */
  readonly interceptor: ServerInterceptor;
}

/** Creates the measurements of gRFC A66 and a span for each call, denied ones included. */
export function createServerTelemetry(options: TelemetryOptions): ServerTelemetry {
  const meter = meterOf(options);
  const tracer = tracerOf(options);
  const started = meter.createCounter("grpc.server.call.started", {
    unit: "{call}",
    description: "Calls that have begun, whatever became of them.",
  });
  const duration = secondsHistogram(
    meter,
    "grpc.server.call.duration",
    "From the head of a call to its status.",
  );
  const sent = bytesHistogram(
    meter,
    "grpc.server.call.sent_total_compressed_message_size",
    "Response messages of a call together.",
  );
  const received = bytesHistogram(
    meter,
    "grpc.server.call.rcvd_total_compressed_message_size",
    "Request messages of a call together.",
  );
  const decisions = meter.createCounter("handfast.policy.decisions", {
    unit: "{decision}",
    description: "Policy decisions, by outcome.",
  });
  const labels = createLabels();

  return {
    started(call) {
      const { method } = labels(call.descriptor);
      started.add(1, method);
      const parent = contextFrom(context.active(), call.requestHeaders, options.peerSampling);
      const attributes = spanAttributes(call.descriptor);
      const name = method["grpc.method"];
      const span = tracer.startSpan(name, { kind: SpanKind.SERVER, attributes }, parent);
      call.context = trace.setSpan(parent, span);
    },
    ended(call, error) {
      const attributes = labels(call.descriptor).of(error?.code ?? "OK");
      duration.record((performance.now() - call.startedAt) / 1_000, attributes);
      sent.record(call.sentBytes, attributes);
      received.record(call.receivedBytes, attributes);
      const span = call.context && trace.getSpan(call.context);
      if (span !== undefined) endSpan(span, error);
    },
    unknown() {
      const method = { "grpc.method": "other" };
      started.add(1, method);
      const attributes = { ...method, "grpc.status": "UNIMPLEMENTED" };
      duration.record(0, attributes);
      sent.record(0, attributes);
      received.record(0, attributes);
    },
    decided: (allowed) => decisions.add(1, { allowed }),
    interceptor: (call, next) => {
      const inside = call instanceof OpenCall ? call.context : undefined;
      return inside === undefined ? next() : context.with(inside, next);
    },
  };
}
