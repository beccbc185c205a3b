import { execFileSync, spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

// Servers as processes of their own, and the Go program that puts each under the same load. What a
// server costs is read from the operating system's accounts.

/** A load, as the Go program takes it. */
export interface Load {
  readonly name: string;
  readonly connections: number;
  readonly inFlight: number;
  readonly size: number;
  readonly metadata?: boolean;
  readonly streaming?: boolean;
}

/** What one server did under one load. */
export interface Figure {
  readonly calls: number;
  /** Processor time of the server per call, in microseconds, user and system. */
  readonly serverMicros: number;
  readonly p50Micros: number;
  readonly p99Micros: number;
  readonly callsPerSecond: number;
}

/** A server that runs. */
export interface Peer {
  readonly name: string;
  readonly port: number;
  readonly process: ChildProcess;
}

/** A folder with a certificate for localhost and, where Go is present, the Go program. */
export interface Workshop {
  readonly certFile: string;
  readonly keyFile: string;
  readonly goProgram: string | undefined;
  close(): void;
}

export function openWorkshop(): Workshop {
  const folder = mkdtempSync(join(tmpdir(), "handfast-bench-"));
  const certFile = join(folder, "cert.pem");
  const keyFile = join(folder, "key.pem");
  const options = `req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2
    -subj /CN=localhost -addext subjectAltName=DNS:localhost`;
  execFileSync("openssl", [...options.split(/\s+/), "-keyout", keyFile, "-out", certFile], {
    stdio: "ignore",
  });
  return {
    certFile,
    keyFile,
    goProgram: buildGo(folder),
    close: () => rmSync(folder, { recursive: true, force: true }),
  };
}

/** Starts a server and waits for the port that it prints. */
export async function startPeer(
  name: string,
  command: readonly [program: string, ...rest: string[]],
): Promise<Peer> {
  const [program, ...rest] = command;
  const child = spawn(program, rest, { stdio: ["ignore", "pipe", "inherit"] });
  const [line] = (await once(createInterface(child.stdout), "line")) as [string];
  return { name, port: Number(line), process: child };
}

/** Puts a server under load for so many milliseconds. */
export async function underLoad(
  workshop: Workshop,
  peer: Peer,
  { load, milliseconds }: { readonly load: Load; readonly milliseconds: number },
): Promise<Figure> {
  const child = spawn(
    workshop.goProgram!,
    [
      "-mode=load",
      "-wait",
      `-cert=${workshop.certFile}`,
      `-target=localhost:${peer.port}`,
      `-connections=${load.connections}`,
      `-in-flight=${load.inFlight}`,
      `-size=${load.size}`,
      `-milliseconds=${milliseconds}`,
      `-metadata=${load.metadata ?? false}`,
      `-streaming=${load.streaming ?? false}`,
    ],
    { stdio: ["pipe", "pipe", "inherit"] },
  );
  const lines = createInterface(child.stdout);
  // Its handshakes are over by then, and no part of what a call costs.
  await once(lines, "line");
  const before = processorSeconds(peer.process.pid!);
  child.stdin.end("begin\n");
  const [result] = (await once(lines, "line")) as [string];
  const used = processorSeconds(peer.process.pid!) - before;
  const { calls, seconds, p50Micros, p99Micros } = JSON.parse(result) as {
    calls: number;
    seconds: number;
    p50Micros: number;
    p99Micros: number;
  };
  return {
    calls,
    serverMicros: (used * 1e6) / calls,
    p50Micros,
    p99Micros,
    callsPerSecond: calls / seconds,
  };
}

/** Processor time of a process so far, from the kernel's accounts (in steps of a hundredth of a second). */
export function processorSeconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "latin1").split(") ")[1]!.split(" ");
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

/** Memory that a process holds, in octets. */
export function residentOctets(pid: number): number {
  const [, kilobytes] = /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "latin1")) ?? [];
  return Number(kilobytes) * 1_024;
}

/** Builds the Go program in a folder; undefined where Go is not installed. */
export function buildGo(folder: string): string | undefined {
  const go = ["/usr/local/go/bin/go", "go"].find((path) => path === "go" || existsSync(path))!;
  const sources = join(folder, "go");
  cpSync(join(import.meta.dirname, "peers", "go"), sources, { recursive: true });
  try {
    execFileSync(go, ["build", "-o", join(folder, "peer"), "."], { cwd: sources, stdio: "ignore" });
    return join(folder, "peer");
  } catch {
    return undefined;
  }
}
