import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable, Writable } from "node:stream";
import { text } from "node:stream/consumers";
import type { TestContext } from "node:test";
import { fileURLToPath } from "node:url";
import { run } from "../../src/main.ts";
import { createOutput } from "../../src/output.ts";

/** What a run of the command said, and its exit code. */
export interface Transcript {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A home of its own, and the command run in it as a child process. */
export interface Shell {
  readonly folder: string;
  readonly home: string;
  run(words: readonly string[], options?: RunOptions): Promise<Transcript>;
  /** The same within this process, for long tables of cases. */
  call(words: readonly string[], options?: RunOptions): Promise<Transcript>;
  /** Calls the command with --json; the one document it prints. */
  json(words: readonly string[], options?: RunOptions): Promise<unknown>;
}

export interface RunOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly input?: string;
}

/** A shell in a temporary folder, where HANDFAST_HOME is the folder `home`. */
export function createShell(context: TestContext): Shell {
  const folder = mkdtempSync(join(tmpdir(), "handfast-cli-"));
  context.after(() => rmSync(folder, { recursive: true, force: true }));
  const home = join(folder, "home");
  const spawned: Shell["run"] = (words, options = {}) =>
    runProgram([process.execPath, "--conditions=@handfast/source", program, ...words], {
      cwd: folder,
      env: {
        PATH: process.env["PATH"] ?? "",
        ...compileCache(),
        HANDFAST_HOME: home,
        ...options.env,
      },
      input: options.input ?? "",
    });
  const inHome = (options: RunOptions = {}): RunOptions => ({
    ...options,
    env: { HANDFAST_HOME: home, ...options.env },
  });
  return {
    folder,
    home,
    run: spawned,
    call: (words, options) => call(words, inHome(options)),
    async json(words, options): Promise<unknown> {
      const { stdout } = await call([...words, "--json"], inHome(options));
      return JSON.parse(stdout);
    },
  };
}

/** What a test run has compiled already, its programs need not compile again. */
function compileCache(): Record<string, string> {
  const folder = process.env["NODE_COMPILE_CACHE"];
  return folder === undefined ? {} : { NODE_COMPILE_CACHE: folder };
}

async function call(
  words: readonly string[],
  { env = {}, input = "" }: RunOptions,
): Promise<Transcript> {
  const said = { stdout: "", stderr: "" };
  const streamTo = (name: keyof typeof said) =>
    new Writable({
      write(chunk, _encoding, done): void {
        said[name] += String(chunk);
        done();
      },
    });
  const code = await run(words, {
    output: createOutput({ stdout: streamTo("stdout"), stderr: streamTo("stderr") }),
    env: { ...env },
    stdin: Readable.from([input]),
    terminal: undefined,
    now: () => new Date(),
    stopped: () => Promise.resolve("the test"),
    onHangup: () => undefined,
  });
  return { code, ...said };
}

/** Runs a program to its end. */
export async function runProgram(
  words: readonly [string, ...string[]],
  options: { readonly cwd: string; readonly env: NodeJS.ProcessEnv; readonly input?: string },
): Promise<Transcript> {
  const [file, ...rest] = words;
  const child = spawn(file, rest, { cwd: options.cwd, env: options.env });
  child.stdin.end(options.input ?? "");
  const [stdout, stderr] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    child.exitCode === null && child.signalCode === null ? once(child, "close") : undefined,
  ]);
  return { code: child.exitCode, stdout, stderr };
}

/** The command itself, as it is installed. */
export const program: string = fileURLToPath(new URL("../../bin/handfast.js", import.meta.url));
