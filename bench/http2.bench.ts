import { execFileSync } from "node:child_process";
import { cpus } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { measureMachine, measureMemory } from "./http2-machine.ts";
import { openWorkshop, startPeer, underLoad } from "./http2-peers.ts";
import type { Figure, Load, Peer } from "./http2-peers.ts";

// npm run bench:http2 -- [--rounds 10] [--milliseconds 1500] [--only TEXT] [--machine]
// The machine alone, then echo servers over TLS under one load from grpc-go, in interleaved rounds after
// one to warm up. Node servers run with --initial-old-space-size=128, see below.

const loads: readonly Load[] = [
  { name: "64 in flight, 1 connection", connections: 1, inFlight: 64, size: 16 },
  {
    name: "the same with deadline and metadata",
    connections: 1,
    inFlight: 64,
    size: 16,
    metadata: true,
  },
  { name: "8 in flight", connections: 1, inFlight: 8, size: 16 },
  { name: "1,000 in flight", connections: 1, inFlight: 1_000, size: 16 },
  { name: "64 connections, one call each", connections: 64, inFlight: 1, size: 16 },
  { name: "1 in flight", connections: 1, inFlight: 1, size: 16 },
  { name: "streaming, 16 streams", connections: 1, inFlight: 16, size: 16, streaming: true },
  { name: "16 KiB messages, 8 in flight", connections: 1, inFlight: 8, size: 16_384 },
  { name: "64 KiB messages, 8 in flight", connections: 1, inFlight: 8, size: 65_536 },
  { name: "1 MiB messages, 4 in flight", connections: 1, inFlight: 4, size: 1_048_576 },
];

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "5" },
    milliseconds: { type: "string", default: "1500" },
    only: { type: "string", default: "" },
    machine: { type: "boolean", default: false },
  },
});
const rounds = Number(values.rounds);
const milliseconds = Number(values.milliseconds);

console.log(`${cpus().length} × ${cpus()[0]?.model}, Node ${process.version}\n`);
console.log("The machine alone");
measureMachine(200);
for (const { name, perSecond, cost } of measureMachine(milliseconds)) {
  console.log(`  ${name.padEnd(62)} ${perSecond.padStart(20)}   ${cost}`);
}
for (const { name, octets } of measureMemory()) {
  console.log(
    `  ${name.padEnd(62)} ${Math.round(octets).toLocaleString("en").padStart(13)} octets`,
  );
}
if (!values.machine) {
  await compareServers();
}

async function compareServers(): Promise<void> {
  const workshop = openWorkshop();
  if (workshop.goProgram === undefined) {
    console.log("\nServers over TLS: skipped, Go is not installed");
    workshop.close();
    return;
  }
  const files = [workshop.certFile, workshop.keyFile] as const;
  const node = (name: string): [string, ...string[]] => [
    process.execPath,
    "--conditions=@handfast/source",
    // A service has a heap; with the few megabytes of an echo server, V8 collects for every 13 MB of
    // buffers, and large messages cost more than half again in any Node server that reads them.
    "--initial-old-space-size=128",
    join(import.meta.dirname, "peers", `serve-${name}.ts`),
    ...files,
  ];
  const peers: Peer[] = [
    await startPeer("handfast", node("handfast")),
    await startPeer("grpc-go", [workshop.goProgram, `-cert=${files[0]}`, `-key=${files[1]}`]),
    await startPeer("grpc-js", node("grpc-js")),
    await startPeer("node:http2", node("node-http2")),
  ];
  const goVersion = execFileSync("go", ["version", "-m", workshop.goProgram], { encoding: "utf8" });
  console.log(`\nServers over TLS, load by grpc-go ${/grpc\s+(v[\d.]+)/.exec(goVersion)?.[1]}`);
  console.log(`Medians of ${rounds} interleaved rounds of ${milliseconds} ms`);
  for (const load of loads.filter(({ name }) => name.includes(values.only))) {
    const figures = new Map(peers.map(({ name }) => [name, [] as Figure[]]));
    for (let round = -1; round < rounds; round += 1) {
      for (const peer of peers) {
        const figure = await underLoad(workshop, peer, { load, milliseconds });
        if (round >= 0) {
          figures.get(peer.name)!.push(figure);
        }
      }
    }
    printLoad(load, figures);
  }
  for (const peer of peers) {
    peer.process.kill();
  }
  workshop.close();
}

function printLoad(load: Load, figures: ReadonlyMap<string, readonly Figure[]>): void {
  console.log(`\n${load.name}`);
  const reference = (name: string): number =>
    median(figures.get(name)!.map(({ serverMicros }) => serverMicros));
  for (const [name, rows] of figures) {
    const micros = reference(name);
    const columns = [
      `${micros.toFixed(1)} µs`,
      `${(micros / reference("grpc-go")).toFixed(2)} × go`,
      `${(micros / reference("grpc-js")).toFixed(2)} × js`,
      `p50 ${(median(rows.map(({ p50Micros }) => p50Micros)) / 1_000).toFixed(2)} ms`,
      `p99 ${(median(rows.map(({ p99Micros }) => p99Micros)) / 1_000).toFixed(2)} ms`,
      `${Math.round(median(rows.map(({ callsPerSecond }) => callsPerSecond))).toLocaleString("en")}/s`,
    ];
    console.log(`  ${name.padEnd(12)}${columns.map((column) => column.padStart(14)).join("")}`);
  }
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[sorted.length >> 1]!;
}
