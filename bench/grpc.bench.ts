import { cpus } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import {
  clientUnderLoad,
  nodeOptions,
  openGrpcWorkshop,
  serverUnderLoad,
} from "./grpc/workshop.ts";
import { startPeer } from "./http2-peers.ts";
import type { Figure, Load, Peer } from "./http2-peers.ts";

// npm run bench:grpc -- [--rounds 5] [--milliseconds 1000] [--only TEXT] [--part servers|features|clients]
// gRPC over mutual TLS, medians of interleaved rounds after one to warm up: servers under one load from grpc-go,
// what each feature of ours costs a server, and clients against one server of grpc-go.

const serverLoads: readonly Load[] = [
  { name: "64 in flight, 1 connection", connections: 1, inFlight: 64, size: 16 },
  { name: "64 connections, one call each", connections: 64, inFlight: 1, size: 16 },
  { name: "1 in flight", connections: 1, inFlight: 1, size: 16 },
  { name: "streaming, 16 streams", connections: 1, inFlight: 16, size: 16, streaming: true },
  { name: "64 KiB messages, 8 in flight", connections: 1, inFlight: 8, size: 65_536 },
];
const clientLoads = serverLoads.filter(({ connections }) => connections === 1);
const everything = ["policy", "audit", "metrics", "traces", "rateLimit"];

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "5" },
    milliseconds: { type: "string", default: "1000" },
    only: { type: "string", default: "" },
    part: { type: "string" },
  },
});
const rounds = Number(values.rounds);
const milliseconds = Number(values.milliseconds);
const workshop = openGrpcWorkshop();
const { folder, goProgram } = workshop;

console.log(`${cpus().length} × ${cpus()[0]?.model}, Node ${process.version}`);
console.log(`Medians of ${rounds} interleaved rounds of ${milliseconds} ms`);
if (goProgram === undefined) {
  console.log("Skipped: the load is made by grpc-go, and Go is not installed");
} else {
  const parts = { servers: compareServers, features: weighFeatures, clients: compareClients };
  for (const [name, measure] of Object.entries(parts)) {
    if (values.part === undefined || values.part === name) await measure(goProgram);
  }
}
workshop.close();

async function compareServers(program: string): Promise<void> {
  console.log("\nServers, bare mutual TLS but for ours; processor time of the server per call");
  const peers = [
    await handfast("ours, all on", everything),
    await handfast("ours, bare", []),
    await go(program),
    await other("grpc-js"),
    await other("nice-grpc"),
    await other("connect"),
  ];
  await underLoads(peers, serverLoads);
}

async function weighFeatures(): Promise<void> {
  console.log("\nWhat each feature costs our server");
  const peers = [await handfast("bare", [])];
  for (const feature of everything) {
    // An audit is of decisions: it comes with a policy.
    const features = feature === "audit" ? ["policy", "audit"] : [feature];
    peers.push(await handfast(features.join(" + "), features));
  }
  peers.push(await handfast("all", everything));
  await underLoads(peers, serverLoads.slice(0, 2));
}

async function compareClients(program: string): Promise<void> {
  console.log("\nClients of one grpc-go server; processor time of the client per call");
  const server = await go(program);
  const names = ["handfast, all on", "handfast", "grpc-go", "grpc-js", "nice-grpc", "connect"];
  for (const load of clientLoads.filter(({ name }) => name.includes(values.only))) {
    const figures = await interleave(names, (library) =>
      clientUnderLoad(workshop, library, { port: server.port, load, milliseconds }),
    );
    print(load, figures);
  }
  server.process.kill();
}

async function underLoads(peers: readonly Peer[], loads: readonly Load[]): Promise<void> {
  for (const load of loads.filter(({ name }) => name.includes(values.only))) {
    const byName = new Map(peers.map((peer) => [peer.name, peer]));
    const figures = await interleave([...byName.keys()], (name) =>
      serverUnderLoad(workshop, byName.get(name)!, { load, milliseconds }),
    );
    print(load, figures);
  }
  for (const peer of peers) peer.process.kill();
}

/** Everybody once to warm up, then in turn for each round. */
async function interleave(
  names: readonly string[],
  measure: (name: string) => Promise<Figure>,
): Promise<Map<string, Figure[]>> {
  const figures = new Map(names.map((name) => [name, [] as Figure[]]));
  for (let round = -1; round < rounds; round += 1) {
    for (const name of names) {
      const figure = await measure(name);
      if (round >= 0) figures.get(name)!.push(figure);
    }
  }
  return figures;
}

function print(load: Load, figures: ReadonlyMap<string, readonly Figure[]>): void {
  console.log(`\n${load.name}`);
  const micros = (name: string): number | undefined => {
    const rows = figures.get(name);
    return rows && median(rows.map(({ serverMicros }) => serverMicros));
  };
  const references = ["grpc-go", "grpc-js", "bare"].filter((name) => figures.has(name));
  for (const [name, rows] of figures) {
    const own = micros(name) ?? 0;
    const columns = [
      `${own.toFixed(1)} µs`,
      ...references.map((other) => `${(own / (micros(other) ?? 0)).toFixed(2)} × ${other}`),
      `p50 ${(median(rows.map(({ p50Micros }) => p50Micros)) / 1_000).toFixed(2)} ms`,
      `p99 ${(median(rows.map(({ p99Micros }) => p99Micros)) / 1_000).toFixed(2)} ms`,
      `${Math.round(median(rows.map(({ callsPerSecond }) => callsPerSecond))).toLocaleString("en")}/s`,
    ];
    console.log(`  ${name.padEnd(18)}${columns.map((column) => column.padStart(15)).join("")}`);
  }
}

function handfast(name: string, features: readonly string[]): Promise<Peer> {
  return node(name, "serve-handfast.ts", features.join(","));
}

function other(library: string): Promise<Peer> {
  return node(library, "serve-others.ts", library);
}

function node(name: string, script: string, argument: string): Promise<Peer> {
  const path = join(import.meta.dirname, "grpc", script);
  return startPeer(name, [process.execPath, ...nodeOptions, path, folder, argument]);
}

function go(program: string): Promise<Peer> {
  const files = [
    `-cert=${join(folder, "server.pem")}`,
    `-key=${join(folder, "server-key.pem")}`,
    `-client-ca=${join(folder, "ca.pem")}`,
  ];
  return startPeer("grpc-go", [program, ...files]);
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[sorted.length >> 1] ?? 0;
}
