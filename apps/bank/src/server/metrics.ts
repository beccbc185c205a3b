import { once } from "node:events";
import { createServer } from "node:http";
import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import { handshakeTelemetry } from "@handfast/grpc";
import type { TelemetryOptions } from "@handfast/grpc";
import type { ConfiguredTransport, TlsEvent } from "@handfast/tls";
import { PrometheusExporter } from "@opentelemetry/exporter-prometheus";
import { MeterProvider } from "@opentelemetry/sdk-metrics";
import { BankError } from "../errors.ts";
import { formatAddress, isLoopback } from "./address.ts";
import type { SideAddress } from "./address.ts";

/** What the bank measures of its calls and connections; nobody's identity is in it. */
export interface Metrics {
  readonly telemetry: TelemetryOptions;
  /** Counts handshakes. */
  onTlsEvent(event: TlsEvent): void;
  /**
   * Answers `GET /metrics` in the text format of Prometheus: on loopback in plaintext, elsewhere to
   * whoever the bank admits by mutual TLS (S42).
   *
   * @throws BankError CONFIG_INVALID
   */
  serve(address: SideAddress, transport: ConfiguredTransport): Promise<ServedMetrics>;
}

/** Metrics that are served. */
export interface ServedMetrics {
  readonly address: SideAddress;
  close(): Promise<void>;
}

/** Begins to measure. */
export function createMetrics(): Metrics {
  const exporter = new PrometheusExporter({ preventServerStart: true });
  const telemetry = { meterProvider: new MeterProvider({ readers: [exporter] }) };
  const server = createServer((request, response) => {
    if (request.method === "GET" && request.url === "/metrics") {
      exporter.getMetricsRequestHandler(request, response);
    } else {
      response.writeHead(404).end();
    }
  });
  server.headersTimeout = timeoutMs;
  server.requestTimeout = timeoutMs;
  server.maxConnections = maxConnections;
  return {
    telemetry,
    onTlsEvent: handshakeTelemetry(telemetry),
    async serve(address, transport) {
      if (isLoopback(address)) return listen(server, address);
      if (transport.mode === "mutual-tls") {
        const listener = await transport.mtls.serveHttp(server, address);
        const bound = "port" in listener.address ? listener.address.port : address.port;
        return { address: { ...address, port: bound }, close: () => listener.close() };
      }
      const message = `METRICS_ADDRESS is ${formatAddress(address)}: without TLS it must be on loopback`;
      throw new BankError("CONFIG_INVALID", message, {
        hint: "use METRICS_ADDRESS=127.0.0.1:9464",
      });
    },
  };
}

async function listen(server: Server, { host, port }: SideAddress): Promise<ServedMetrics> {
  try {
    await once(server.listen(port, host), "listening");
  } catch (cause) {
    const says = cause instanceof Error ? cause.message : String(cause);
    const message = `METRICS_ADDRESS cannot be bound: ${says}`;
    throw new BankError("CONFIG_INVALID", message, { cause, hint: "choose another port" });
  }
  return {
    address: { host, port: (server.address() as AddressInfo).port },
    async close() {
      const closed = once(server, "close");
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

const timeoutMs = 5000;
const maxConnections = 16;
