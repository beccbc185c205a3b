import type { MutualTls, TlsEventListener } from "@handfast/tls";
import { meterOf } from "./instruments.ts";
import type { TelemetryOptions } from "./instruments.ts";

/**
 * Counts handshakes as gRFC A118 does: give it to `createMutualTls({ onEvent })`, or call it from there.
 * Counters `grpc.server.tls.handshakes` and `grpc.client.tls.handshakes`, by result and resumption.
 */
export function handshakeTelemetry(options: TelemetryOptions = {}): TlsEventListener {
  const meter = meterOf(options);
  const description = "TLS handshakes that have ended, by their result.";
  const counter = (name: string): ReturnType<typeof meter.createCounter> =>
    meter.createCounter(name, { unit: "{handshake}", description });
  const counters = {
    server: counter("grpc.server.tls.handshakes"),
    client: counter("grpc.client.tls.handshakes"),
  };
  return (event) => {
    if (event.type !== "handshake") return;
    counters[event.side].add(1, {
      "grpc.tls.handshake.result": event.result,
      "grpc.tls.handshake.resumed": event.resumed ? "RESUMED_HANDSHAKE" : "FULL_HANDSHAKE",
    });
  };
}

/**
 * Observes a runtime: when its certificate expires, how many connections are live, and how many CAs have no
 * revocation news that counts. Nobody's identity is among the labels.
 *
 * @returns a function that ends it.
 */
export function observeMutualTls(tls: MutualTls, options: TelemetryOptions = {}): () => void {
  const meter = meterOf(options);
  const expiry = meter.createObservableGauge("handfast.tls.certificate.expiry", {
    unit: "s",
    description: "When the certificate in use expires, in seconds since 1970.",
  });
  const sessions = meter.createObservableUpDownCounter("handfast.tls.sessions", {
    unit: "{connection}",
    description: "Accepted connections that are alive.",
  });
  const uncovered = meter.createObservableGauge("handfast.tls.uncovered_authorities", {
    unit: "{authority}",
    description: "CAs of which there is no revocation news that counts.",
  });
  const observe: Parameters<typeof meter.addBatchObservableCallback>[0] = (result) => {
    const { identity } = tls;
    if (identity !== undefined) result.observe(expiry, identity.expiresAt.getTime() / 1_000);
    result.observe(sessions, tls.sessions().length);
    result.observe(uncovered, tls.uncoveredAuthorities);
  };
  const observed = [expiry, sessions, uncovered];
  meter.addBatchObservableCallback(observe, observed);
  return () => meter.removeBatchObservableCallback(observe, observed);
}
