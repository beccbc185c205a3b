import { SpanKind, context, trace } from "@opentelemetry/api";
import type { ClientInterceptor } from "../client/interceptor.ts";
import { GrpcError } from "../errors.ts";
import { bytesHistogram, meterOf, secondsHistogram, tracerOf } from "./instruments.ts";
import type { TelemetryOptions } from "./instruments.ts";
import { contextInto, endSpan, methodName, spanAttributes } from "./spans.ts";

/** Measures and traces the calls of a client. */
export interface ClientTelemetry {
  /** Runs around each call: its span and its duration. */
  readonly interceptor: ClientInterceptor;
  /** An attempt begins; the function returned is called once, when it has ended. */
  attempt(of: AttemptLabels): (end: AttemptMeasures) => void;
}

/** Which attempt it is. */
export interface AttemptLabels {
  /** "/bank.v1.BankService/Deposit". */
  readonly path: string;
  readonly target: string;
}

/** How an attempt ended. */
export interface AttemptMeasures {
  readonly error: GrpcError | undefined;
  readonly sentBytes: number;
  readonly receivedBytes: number;
}

/** Creates the measurements of gRFC A66 and a span for each call. */
export function createClientTelemetry(options: TelemetryOptions): ClientTelemetry {
  const meter = meterOf(options);
  const tracer = tracerOf(options);
  const callDuration = secondsHistogram(
    meter,
    "grpc.client.call.duration",
    "From the beginning of a call to its status, all attempts together.",
  );
  const started = meter.createCounter("grpc.client.attempt.started", {
    unit: "{attempt}",
    description: "Attempts that have begun, whatever became of them.",
  });
  const duration = secondsHistogram(
    meter,
    "grpc.client.attempt.duration",
    "From the beginning of an attempt to its status.",
  );
  const sent = bytesHistogram(
    meter,
    "grpc.client.attempt.sent_total_compressed_message_size",
    "Request messages of an attempt together.",
  );
  const received = bytesHistogram(
    meter,
    "grpc.client.attempt.rcvd_total_compressed_message_size",
    "Response messages of an attempt together.",
  );

  return {
    async interceptor(call, next) {
      const begin = performance.now();
      const name = methodName(call.descriptor);
      const attributes = spanAttributes(call.descriptor);
      const span = tracer.startSpan(name, { kind: SpanKind.CLIENT, attributes });
      const inside = trace.setSpan(context.active(), span);
      contextInto(call.requestHeaders, inside);
      const end = (error: GrpcError | undefined): void => {
        callDuration.record((performance.now() - begin) / 1_000, {
          "grpc.method": name,
          "grpc.target": call.target,
          "grpc.status": error?.code ?? "OK",
        });
        endSpan(span, error);
      };
      try {
        await context.with(inside, next);
      } catch (thrown) {
        end(thrown instanceof GrpcError ? thrown : new GrpcError("UNKNOWN", "", { cause: thrown }));
        throw thrown;
      }
      end(undefined);
    },
    attempt({ path, target }) {
      const begin = performance.now();
      const labels = { "grpc.method": path.slice(1), "grpc.target": target };
      started.add(1, labels);
      return ({ error, sentBytes, receivedBytes }) => {
        const attributes = { ...labels, "grpc.status": error?.code ?? "OK" };
        duration.record((performance.now() - begin) / 1_000, attributes);
        sent.record(sentBytes, attributes);
        received.record(receivedBytes, attributes);
      };
    },
  };
}
