import { metrics, trace } from "@opentelemetry/api";
import type { Histogram, Meter, MeterProvider, Tracer, TracerProvider } from "@opentelemetry/api";

/** Where measurements and spans go; OpenTelemetry's global providers unless others are given. */
export interface TelemetryOptions {
  readonly meterProvider?: MeterProvider;
  readonly tracerProvider?: TracerProvider;
  /**
   * Whether the calls of a peer are traced. `obey` does what the peer's `traceparent` says; by default a
   * hundredth of the traces is, chosen by the trace id, since a caller should not decide what we spend
   * (security.md S43). Without `traceparent` the SDK's sampler decides.
   */
  readonly peerSampling?: "obey" | { readonly ratio: number };
}

/** The meter of this package. */
export function meterOf({ meterProvider }: TelemetryOptions): Meter {
  return (meterProvider ?? metrics).getMeter(scope);
}

/** The tracer of this package. */
export function tracerOf({ tracerProvider }: TelemetryOptions): Tracer {
  return (tracerProvider ?? trace).getTracer(scope);
}

/** A histogram of seconds with the bounds of gRFC A66. */
export function secondsHistogram(meter: Meter, name: string, description: string): Histogram {
  const advice = { explicitBucketBoundaries: secondsBounds };
  return meter.createHistogram(name, { unit: "s", description, advice });
}

/** A histogram of bytes with the bounds of gRFC A66. */
export function bytesHistogram(meter: Meter, name: string, description: string): Histogram {
  const advice = { explicitBucketBoundaries: bytesBounds };
  return meter.createHistogram(name, { unit: "By", description, advice });
}

const scope = "@handfast/grpc";
const secondsBounds = [
  0, 0.00001, 0.00005, 0.0001, 0.0003, 0.0006, 0.0008, 0.001, 0.002, 0.003, 0.004, 0.005, 0.006,
  0.008, 0.01, 0.013, 0.016, 0.02, 0.025, 0.03, 0.04, 0.05, 0.065, 0.08, 0.1, 0.13, 0.16, 0.2, 0.25,
  0.3, 0.4, 0.5, 0.65, 0.8, 1, 2, 5, 10, 20, 50, 100,
];
const bytesBounds = [
  0, 1024, 2048, 4096, 16_384, 65_536, 262_144, 1_048_576, 4_194_304, 16_777_216, 67_108_864,
  268_435_456, 1_073_741_824, 4_294_967_296,
];
