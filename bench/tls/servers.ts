import { execFile, fork, spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { promisify } from "node:util";

/** A server under measurement, in a process of its own. */
export interface BenchServer {
  readonly child: ChildProcess;
  readonly port: number;
  /** CPU time of the process so far, in microseconds, as the operating system counts it (steps of 10 ms). */
  cpuMicros(): Promise<number>;
  stop(): void;
}

/** A Node server: `bare` node:tls or `handfast`, with the modes of server.ts. */
export async function startNode(
  kind: "bare" | "handfast",
  folder: string,
  modes: readonly ("resume" | "hold")[] = [],
): Promise<BenchServer> {
  const child = fork(join(import.meta.dirname, "server.ts"), [kind, folder, ...modes], {
    execArgv: ["--conditions=@handfast/source"],
  });
  const [{ port }] = (await once(child, "message")) as [{ port: number }];
  return serverOf(child, port);
}

/** Go's crypto/tls, built into the folder; undefined where Go is not installed. */
export async function startGo(folder: string): Promise<BenchServer | undefined> {
  const program = join(folder, "go-server");
  const source = join(import.meta.dirname, "go");
  try {
    await run("go", ["build", "-o", program, "."], { cwd: source, env: process.env });
  } catch {
    return undefined;
  }
  const child = spawn(program, [folder], { stdio: ["ignore", "pipe", "inherit"] });
  const [line] = (await once(child.stdout, "data")) as [Buffer];
  return serverOf(child, Number(line.toString()));
}

/** `openssl s_server`, echoing reversed lines; undefined where the command is missing. */
export async function startOpenssl(folder: string): Promise<BenchServer | undefined> {
  const port = await freePort();
  const file = (name: string): string => join(folder, name);
  const child = spawn(
    "openssl",
    [
      ["s_server", "-accept", String(port), "-rev", "-quiet", "-alpn", "h2", "-tls1_3"],
      ["-cert", file("server.crt"), "-key", file("server.key")],
      ["-cert_chain", file("server.crt"), "-CAfile", file("ca.crt")],
      ["-Verify", "4", "-verify_return_error", "-verify_quiet"],
    ].flat(),
    { stdio: "ignore" },
  );
  const started = await Promise.race([
    once(child, "spawn").then(() => true),
    once(child, "error").then(() => false),
  ]);
  return started ? serverOf(child, port) : undefined;
}

/** What `program version` says, in one line; undefined if there is no such program. */
export async function versionOf(program: "go" | "openssl"): Promise<string | undefined> {
  try {
    const { stdout } = await run(program, ["version"]);
    return stdout.trim();
  } catch {
    return undefined;
  }
}

function serverOf(child: ChildProcess, port: number): BenchServer {
  return {
    child,
    port,
    async cpuMicros() {
      const stat = await readFile(`/proc/${child.pid}/stat`, "utf8");
      // proc(5): utime and stime are fields 14 and 15, counted after the name, which may hold spaces.
      const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
      return (Number(fields[11]) + Number(fields[12])) * MICROS_PER_TICK;
    },
    stop() {
      if (child.connected) child.disconnect();
      else child.kill();
    },
  };
}

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, "127.0.0.1");
  await once(probe, "listening");
  const address = probe.address();
  probe.close();
  await once(probe, "close");
  return typeof address === "object" && address !== null ? address.port : 0;
}

const run = promisify(execFile);
/** USER_HZ is 100 on every Linux that Node runs on. */
const MICROS_PER_TICK = 10_000;
