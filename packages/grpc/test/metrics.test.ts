// What Prometheus would scrape, by the SDK's own exporter over mutual TLS, against what happened, exactly; and
// the dashboard in deploy/grafana, whose every query has to name what is scraped.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createServer as createHttpServer } from "node:http";
import { request } from "node:https";
import { text } from "node:stream/consumers";
import { join } from "node:path";
import { test } from "node:test";
import { PrometheusExporter } from "@opentelemetry/exporter-prometheus";
import { MeterProvider } from "@opentelemetry/sdk-metrics";
import { compilePolicy, parsePolicy } from "@handfast/policy";
import type { MutualTls } from "@handfast/tls";
import { createTestAuthority } from "@handfast/x509/testing";
import { createClient, handshakeTelemetry, observeMutualTls } from "../src/index.ts";
import { UnimplementedService } from "../src/testing/index.ts";
import { bankIdentity, collect, dial, failure, runtime, serve } from "./fixtures.ts";

/** Every series of a scrape: its name and labels, and its value. */
type Scraped = ReadonlyMap<string, number>;

interface Metered extends AsyncDisposable {
  readonly meterProvider: MeterProvider;
  /** Asks as Prometheus would, with a certificate of ours. */
  scrape(scraper: MutualTls): Promise<Scraped>;
}

/** The metrics of one process, served over the runtime's own mutual TLS. */
async function metered(tls: MutualTls): Promise<Metered> {
  const exporter = new PrometheusExporter({ preventServerStart: true });
  const meterProvider = new MeterProvider({ readers: [exporter] });
  const server = createHttpServer((incoming, response) =>
    exporter.getMetricsRequestHandler(incoming, response),
  );
  const listener = await tls.serveHttp(server, { host: "localhost", port: 0 });
  const { address } = listener;
  if (!("port" in address)) throw new TypeError("expected a TCP address");
  return {
    meterProvider,
    async scrape(scraper) {
      const agent = scraper.httpsAgent();
      const body = await new Promise<string>((resolve, reject) => {
        request(`https://localhost:${address.port}/metrics`, { agent }, (response) => {
          text(response).then(resolve, reject);
        })
          .once("error", reject)
          .end();
      });
      agent.destroy();
      return parse(body);
    },
    async [Symbol.asyncDispose]() {
      await listener.close();
      await meterProvider.shutdown();
    },
  };
}

function parse(body: string): Scraped {
  const lines = body.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  return new Map(
    lines.map((line) => {
      const at = line.lastIndexOf(" ");
      const series = line
        .slice(0, at)
        .replace(/,?otel_scope_\w+="[^"]*"/g, "")
        .replace("{,", "{")
        .replace("{}", "");
      return [series, Number(line.slice(at + 1))];
    }),
  );
}

/** What happens in both tests: five calls that end in four ways, one to nobody, and one stranger. */
async function happenings(): Promise<{
  readonly ofServer: Scraped;
  readonly ofClient: Scraped;
  readonly target: string;
}> {
  await using door = await runtime(bankIdentity);
  await using server = await metered(door.mtls);
  await using own = await metered(door.mtls);
  const { meterProvider } = server;
  const paths = ["*/UnaryCall", "*/StreamingOutputCall"];
  const document = { name: "test", allow_rules: [{ name: "some", request: { paths } }] };
  await using bank = await serve({
    telemetry: { meterProvider },
    policy: compilePolicy(parsePolicy(JSON.stringify(document))),
    tlsOptions: { onEvent: handshakeTelemetry({ meterProvider }) },
  });
  const stop = observeMutualTls(bank.tls.mtls, { meterProvider });
  await using alice = await dial(bank.target, {
    telemetry: { meterProvider: own.meterProvider },
    tlsOptions: { onEvent: handshakeTelemetry({ meterProvider: own.meterProvider }) },
  });
  await alice.client.unaryCall({ responseSize: 100 });
  await alice.client.unaryCall({ responseSize: 100 });
  await failure(alice.client.unaryCall({ responseStatus: { code: 5, message: "none" } }));
  await collect(alice.client.streamingOutputCall({ responseParameters: [{ size: 1 }] }));
  await failure(alice.client.emptyCall({}));
  const nobody = createClient(UnimplementedService, { tls: alice.tls.mtls, target: bank.target });
  await failure(nobody.unimplementedCall({}));
  await using mallory = await dial(bank.target, {
    identity: createTestAuthority().issue({ name: "alice" }),
  });
  await failure(mallory.client.emptyCall({}));
  await bank.next(() => bank.events.filter(({ type }) => type === "call").length === 5);

  const ofServer = await server.scrape(alice.tls.mtls);
  const ofClient = await own.scrape(alice.tls.mtls);
  stop();
  nobody.close();
  return { ofServer, ofClient, target: bank.target };
}

/** The series of counters and of the counts of histograms, by labels. */
function counted(scraped: Scraped, name: string): Record<string, number> {
  const series = [...scraped].filter(([key]) => key.startsWith(`${name}{`));
  return Object.fromEntries(series.map(([key, value]) => [key.slice(name.length), value]));
}

const method = (name: string): string => `grpc_method="grpc.testing.TestService/${name}"`;
const ended = [
  [method("UnaryCall"), "OK", 2],
  [method("UnaryCall"), "NOT_FOUND", 1],
  [method("StreamingOutputCall"), "OK", 1],
  [method("EmptyCall"), "PERMISSION_DENIED", 1],
] as const;

test("S42 what is scraped is what happened, to the last call, and names nobody", async () => {
  const { ofServer, ofClient, target } = await happenings();
  assert.deepEqual(counted(ofServer, "grpc_server_call_started_total"), {
    [`{${method("UnaryCall")}}`]: 3,
    [`{${method("StreamingOutputCall")}}`]: 1,
    [`{${method("EmptyCall")}}`]: 1,
    '{grpc_method="other"}': 1,
  });
  const atServer = {
    ...Object.fromEntries(ended.map(([name, code, n]) => [`{${name},grpc_status="${code}"}`, n])),
    '{grpc_method="other",grpc_status="UNIMPLEMENTED"}': 1,
  };
  const sizes = ["sent", "rcvd"].map(
    (way) => `grpc_server_call_${way}_total_compressed_message_size`,
  );
  for (const name of ["grpc_server_call_duration", ...sizes]) {
    assert.deepEqual(counted(ofServer, `${name}_count`), atServer, name);
  }
  // Two payloads of 100 octets, with tags and lengths.
  const unary = `{${method("UnaryCall")},grpc_status="OK"}`;
  assert.equal(ofServer.get(`${sizes[0]}_sum${unary}`), 2 * 104);
  assert.deepEqual(counted(ofServer, "handfast_policy_decisions_total"), {
    '{allowed="true"}': 4,
    '{allowed="false"}': 1,
  });
  const resumed = 'grpc_tls_handshake_resumed="FULL_HANDSHAKE"';
  assert.deepEqual(counted(ofServer, "grpc_server_tls_handshakes_total"), {
    [`{grpc_tls_handshake_result="SUCCESS",${resumed}}`]: 1,
    [`{grpc_tls_handshake_result="CERTIFICATE_AUTHORITY_INVALID",${resumed}}`]: 1,
  });
  assert.equal(ofServer.get("handfast_tls_sessions"), 1);
  assert.equal(ofServer.get("handfast_tls_uncovered_authorities"), 0);
  const expiresAt = bankIdentity.certificate.notAfter.getTime() / 1_000;
  assert.equal(ofServer.get("handfast_tls_certificate_expiry"), expiresAt);

  const atClient = Object.fromEntries(
    ended.map(([name, code, n]) => [`{${name},grpc_target="${target}",grpc_status="${code}"}`, n]),
  );
  for (const name of ["grpc_client_attempt", "grpc_client_call"]) {
    assert.deepEqual(counted(ofClient, `${name}_duration_count`), atClient, name);
  }
  for (const series of [...ofServer.keys(), ...ofClient.keys()]) {
    assert.doesNotMatch(series, /alice|spiffe/);
  }
});

test("the dashboard's every query names metrics and labels that are scraped", async () => {
  const { ofServer, ofClient } = await happenings();
  const names = new Set<string>();
  const labels = new Set<string>(["le"]);
  for (const series of [...ofServer.keys(), ...ofClient.keys()]) {
    names.add(series.replace(/\{.*/, ""));
    for (const [, label = ""] of series.matchAll(/[{,](\w+)="/g)) labels.add(label);
  }
  const path = join(import.meta.dirname, "../../../deploy/grafana/handfast.json");
  const dashboard = JSON.parse(await readFile(path, "utf8")) as Dashboard;
  const queries = dashboard.panels.flatMap(({ targets }) => targets.map(({ expr }) => expr));
  const variables = dashboard.templating.list.flatMap(({ query }) => query ?? []);
  assert.ok(queries.length >= 10);
  for (const query of [...queries, ...variables.filter((text) => text !== "prometheus")]) {
    const used = [...query.matchAll(/\b(?:grpc|handfast)_\w+(?=[{[)\s,]|$)/g)].map(
      ([name]) => name,
    );
    const inMatchers = [...query.matchAll(/[{,]\s*(\w+)\s*[=!]~?"/g)].map(([, label]) => label);
    const inBy = [...query.matchAll(/\bby \(([^)]*)\)/g)].flatMap(([, list = ""]) =>
      list.split(/\s*,\s*/),
    );
    const asLabels = [...inMatchers, ...inBy, ...used.filter((name) => labels.has(name))];
    const asNames = used.filter((name) => !labels.has(name));
    assert.ok(asNames.length > 0, query);
    for (const name of asNames) assert.ok(names.has(name), `${name} in ${query}`);
    for (const label of asLabels) {
      assert.ok(labels.has(label ?? "") || fromPrometheus.has(label ?? ""), `${label} in ${query}`);
    }
  }
});

interface Dashboard {
  readonly panels: readonly {
    readonly title: string;
    readonly targets: readonly { readonly expr: string }[];
  }[];
  readonly templating: { readonly list: readonly { readonly query?: string }[] };
}

/** What Prometheus adds to everything it scrapes. */
const fromPrometheus: ReadonlySet<string> = new Set(["job", "instance"]);
