// Certificates for both sides, the Go program, and processes under load.
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { createTestAuthority } from "@handfast/x509/testing";
import { buildGo, processorSeconds } from "../http2-peers.ts";
import type { Figure, Load, Peer } from "../http2-peers.ts";

/** A folder with ca.pem, and NAME.pem and NAME-key.pem of a server and a client. */
export interface GrpcWorkshop {
  readonly folder: string;
  /** Undefined where Go is not installed. */
  readonly goProgram: string | undefined;
  close(): void;
}

export function openGrpcWorkshop(): GrpcWorkshop {
  const folder = mkdtempSync(join(tmpdir(), "handfast-bench-"));
  const authority = createTestAuthority();
  const put = (name: string, text: string): void =>
    writeFileSync(join(folder, name), text, { mode: 0o600 });
  put("ca.pem", authority.bundlePem);
  for (const [name, dns] of [
    ["server", "localhost"],
    ["client", "client"],
  ] as const) {
    const identity = authority.issue({ name, dns: [dns] });
    put(`${name}.pem`, identity.certificateChainPem);
    put(`${name}-key.pem`, identity.privateKeyPem);
  }
  return {
    folder,
    goProgram: buildGo(folder),
    close: () => rmSync(folder, { recursive: true, force: true }),
  };
}

/** Puts a server under load from the Go program, as everybody else's. */
export async function serverUnderLoad(
  { folder, goProgram }: GrpcWorkshop,
  peer: Peer,
  { load, milliseconds }: { readonly load: Load; readonly milliseconds: number },
): Promise<Figure> {
  const before = processorSeconds(peer.process.pid!);
  const said = await run(goProgram!, [
    ...goLoad(folder, peer.port, load),
    `-milliseconds=${milliseconds}`,
  ]);
  const used = processorSeconds(peer.process.pid!) - before;
  const figure = readFigure(said.stdout);
  return { ...figure, serverMicros: (used * 1e6) / figure.calls };
}

/** Puts load on a server by a client of Node, or by the Go program; the cost is the client's. */
export async function clientUnderLoad(
  { folder, goProgram }: GrpcWorkshop,
  library: string,
  {
    port,
    load,
    milliseconds,
  }: { readonly port: number; readonly load: Load; readonly milliseconds: number },
): Promise<Figure> {
  const [program, args]: [string, string[]] =
    library === "grpc-go"
      ? [goProgram!, [...goLoad(folder, port, load), `-milliseconds=${milliseconds}`, "-deadline"]]
      : [
          process.execPath,
          [
            ...nodeOptions,
            join(import.meta.dirname, "client.ts"),
            folder,
            library,
            String(port),
            JSON.stringify({ ...load, milliseconds }),
          ],
        ];
  const { stdout } = await run(program, args);
  const { cpuSeconds } = JSON.parse(stdout) as { cpuSeconds: number };
  const figure = readFigure(stdout);
  return { ...figure, serverMicros: (cpuSeconds * 1e6) / figure.calls };
}

function goLoad(folder: string, port: number, load: Load): string[] {
  return [
    "-mode=load",
    `-cert=${join(folder, "ca.pem")}`,
    `-client-cert=${join(folder, "client.pem")}`,
    `-client-key=${join(folder, "client-key.pem")}`,
    `-target=localhost:${port}`,
    `-connections=${load.connections}`,
    `-in-flight=${load.inFlight}`,
    `-size=${load.size}`,
    `-metadata=${load.metadata ?? false}`,
    `-streaming=${load.streaming ?? false}`,
  ];
}

function readFigure(text: string): Omit<Figure, "serverMicros"> {
  const { calls, seconds, p50Micros, p99Micros } = JSON.parse(text) as Omit<
    Figure,
    "callsPerSecond"
  > & { readonly seconds: number };
  return { calls, p50Micros, p99Micros, callsPerSecond: calls / seconds };
}

const run = promisify(execFile);
/** A service has a heap: see http2.bench.ts. */
export const nodeOptions: readonly string[] = [
  "--conditions=@handfast/source",
  "--initial-old-space-size=128",
];
