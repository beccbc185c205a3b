import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

/** How a program ended and what it wrote. */
export interface Finished {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** One line of the bank's log. */
export type LogLine = Readonly<Record<string, unknown>>;

/** The bank, running as a process of its own. */
export interface BankProcess {
  readonly pid: number;
  /** Where it listens. */
  readonly port: number;
  /** Resolves with the first log line, written since the process began, of which this is true. */
  logged(matches: (line: LogLine) => boolean): Promise<LogLine>;
  /** Ends the process; resolves when it is gone. */
  end(signal: "SIGTERM" | "SIGKILL"): Promise<void>;
}

/** Runs a program of this repository to its end. */
export async function runProgram(
  file: string,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
): Promise<Finished> {
  const child = start(file, args, env);
  const output = { stdout: "", stderr: "" };
  child.stdout?.setEncoding("utf8").on("data", (text: string) => (output.stdout += text));
  child.stderr?.setEncoding("utf8").on("data", (text: string) => (output.stderr += text));
  const timer = setTimeout(() => child.kill("SIGKILL"), timeoutMs);
  await once(child, "close");
  clearTimeout(timer);
  return { ...output, exitCode: child.exitCode ?? -1 };
}

/** Starts the bank and waits until it listens. @throws Error with what it wrote if it does not */
export async function startBankProcess(
  env: Readonly<Record<string, string>>,
): Promise<BankProcess> {
  const child = start(bankProgram, [], env);
  const log = readLog(child);
  const exited = once(child, "exit").then(() => undefined);
  const listening = await Promise.race([log.find((line) => line["msg"] === "listening"), exited]);
  if (listening === undefined) throw new Error(`the bank did not start: ${log.stderr()}`);
  return {
    pid: child.pid ?? 0,
    port: Number(listening["port"]),
    logged: log.find,
    async end(signal) {
      child.kill(signal);
      await exited;
    },
  };
}

/** The file of the bank's server program. */
const bankProgram = fileURLToPath(new URL("../main.ts", import.meta.url));

/** The file of the bank's client program. */
export const clientProgram: string = fileURLToPath(new URL("../client.ts", import.meta.url));

/** The file of the `handfast` command. */
export const handfastProgram: string = fileURLToPath(
  new URL("../../../cli/bin/handfast.js", import.meta.url),
);

function start(
  file: string,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
): ChildProcess {
  // Nothing of our own environment but what a program needs to start: settings come from `env` alone.
  const { PATH = "" } = process.env;
  return spawn(process.execPath, [...nodeOptions, file, ...args], {
    env: { PATH, NO_COLOR: "1", ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
}

function readLog(child: ChildProcess): {
  find: BankProcess["logged"];
  stderr(): string;
} {
  const lines: LogLine[] = [];
  const waiting = new Set<(line: LogLine) => void>();
  let stderr = "";
  child.stderr?.setEncoding("utf8").on("data", (text: string) => (stderr += text));
  if (child.stdout !== null) {
    createInterface({ input: child.stdout }).on("line", (text) => {
      const line = JSON.parse(text) as LogLine;
      lines.push(line);
      for (const tell of waiting) tell(line);
    });
  }
  return {
    stderr: () => stderr,
    find(matches) {
      const known = lines.find(matches);
      if (known !== undefined) return Promise.resolve(known);
      const { promise, resolve, reject } = Promise.withResolvers<LogLine>();
      const timer = setTimeout(() => {
        waiting.delete(tell);
        reject(new Error(`the bank did not log what was expected within ${timeoutMs} ms`));
      }, timeoutMs);
      const tell = (line: LogLine): void => {
        if (!matches(line)) return;
        waiting.delete(tell);
        clearTimeout(timer);
        resolve(line);
      };
      waiting.add(tell);
      return promise;
    },
  };
}

const nodeOptions = ["--conditions=@handfast/source", "--disable-warning=ExperimentalWarning"];
const timeoutMs = 15_000;
