// Programs of other languages, started with nothing of our environment but what they need to start.
import { spawn } from "node:child_process";
import type { ChildProcessWithoutNullStreams } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";

/** How a program ended and all that it wrote. */
export interface Finished {
  readonly exitCode: number;
  readonly output: string;
}

/** A program that serves until it is ended. */
export interface ServerProgram {
  readonly port: number;
  /** What it has written so far, line by line. */
  readonly lines: readonly string[];
  /** Resolves with the first line from `since` on that matches; rejects after a while with what there was. */
  said(pattern: RegExp, since?: number): Promise<string>;
  /** Resolves when it has ended by itself. */
  readonly exited: Promise<void>;
  end(): Promise<void>;
}

/** How a program is started. */
export interface ProgramOptions {
  readonly env?: Readonly<Record<string, string>>;
  /** Written to its standard input, which is then closed. */
  readonly input?: string;
  /** When it is killed, in milliseconds; 30,000 if absent. */
  readonly timeoutMs?: number;
}

/** Runs a program to its end. */
export async function runProgram(
  argv: readonly string[],
  options: ProgramOptions = {},
): Promise<Finished> {
  const child = start(argv, options.env);
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text: string) => (output += text));
  }
  child.stdin.on("error", () => undefined).end(options.input ?? "");
  const timer = setTimeout(() => child.kill("SIGKILL"), options.timeoutMs ?? timeoutMs);
  const [code] = (await once(child, "close")) as [number | null];
  clearTimeout(timer);
  return { exitCode: code ?? -1, output: output.trim() };
}

/** Starts a server and waits until it writes where it listens: the first match of `listening` with a port in it. */
export async function startServer(
  argv: readonly string[],
  options: ProgramOptions & { readonly listening?: RegExp } = {},
): Promise<ServerProgram> {
  const child = start(argv, options.env);
  const exited = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  const lines: string[] = [];
  const waiting = new Set<() => void>();
  for (const input of [child.stdout, child.stderr]) {
    createInterface({ input }).on("line", (line) => {
      lines.push(line);
      for (const look of waiting) look();
    });
  }
  const said: ServerProgram["said"] = (pattern, since = 0) => {
    const { promise, resolve, reject } = Promise.withResolvers<string>();
    const done = (): void => {
      clearTimeout(timer);
      waiting.delete(look);
    };
    const fail = (): void => {
      done();
      reject(new Error(`expected ${pattern}, got: ${lines.slice(since).join("\n")}`));
    };
    const look = (): void => {
      const line = lines.slice(since).find((candidate) => pattern.test(candidate));
      if (line === undefined) return;
      done();
      resolve(line);
    };
    const timer = setTimeout(fail, timeoutMs);
    waiting.add(look);
    void exited.then(() => setImmediate(fail));
    look();
    return promise;
  };
  const listening = options.listening ?? /^listening: .*:(\d+)$/;
  const line = await said(listening);
  return {
    port: Number(listening.exec(line)?.[1]),
    lines,
    said,
    exited,
    async end() {
      child.kill("SIGKILL");
      await exited;
    },
  };
}

function start(
  [command = "", ...args]: readonly string[],
  env: Readonly<Record<string, string>> = {},
): ChildProcessWithoutNullStreams {
  const { PATH = "", HOME = "" } = process.env;
  return spawn(command, args, {
    env: { PATH, HOME, NO_COLOR: "1", PYTHONDONTWRITEBYTECODE: "1", ...env },
  });
}

const timeoutMs = 30_000;
