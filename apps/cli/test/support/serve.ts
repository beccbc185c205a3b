import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import type { TestContext } from "node:test";
import { program } from "./handfast.ts";
import type { Shell } from "./handfast.ts";

/** An authority that is served by a process. */
export interface Served {
  readonly enrolmentUrl: string;
  readonly authorityTarget: string;
  /** Resolves with the exit code. */
  stop(): Promise<number | null>;
}

/** Serves the authority of a shell on free ports, until the test ends. */
export async function serve(
  t: TestContext,
  shell: Shell,
  words: readonly string[],
): Promise<Served> {
  const ports = ["--enrol-port", "0", "--port", "0", "--host", "localhost"];
  const command = ["ca", "serve", "--json", "--allow-clear-key", ...ports];
  const child = spawn(
    process.execPath,
    ["--conditions=@handfast/source", program, ...command, ...words],
    {
      cwd: shell.folder,
      env: { PATH: process.env["PATH"] ?? "", HANDFAST_HOME: shell.home },
      stdio: ["ignore", "pipe", "inherit"],
    },
  );
  const exited = once(child, "exit");
  t.after(async () => {
    child.kill("SIGKILL");
    await exited;
  });
  for await (const line of createInterface(child.stdout)) {
    const event = JSON.parse(line) as { event: string } & Omit<Served, "stop">;
    if (event.event !== "serving") continue;
    child.stdout.resume();
    return {
      enrolmentUrl: event.enrolmentUrl,
      authorityTarget: event.authorityTarget,
      async stop() {
        child.kill("SIGTERM");
        const [code] = (await exited) as [number | null];
        return code;
      },
    };
  }
  throw new Error("ca serve ended before it served");
}
