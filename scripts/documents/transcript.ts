import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { once } from "node:events";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { Readable, Writable } from "node:stream";
import { run } from "../../apps/cli/src/main.ts";
import { createOutput } from "../../apps/cli/src/output.ts";
import type { Block, Document } from "./markdown.ts";

/** A `console` block that was run: what it says now, in the words of the document. */
export interface Told {
  readonly block: Block;
  readonly text: string;
}

/**
 * Runs a document: its `file=` blocks are written, its `console` blocks run, in order, in a fresh folder that is
 * the HOME too. `$ handfast …` runs in this process, all else in a shell; `$ … &` runs on until the
 * document has ended (or `$ kill %?SCRIPT`) and is waited for until it has said as many lines as the document shows. Commands of a block
 * marked `eventually` are repeated for a few seconds until they say what is shown. Ports 8440, 8441 and 8443 stand for some that are
 * free.
 */
export async function runDocument(document: Document): Promise<readonly Told[]> {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), "handfast-document-")));
  const place = { folder, home: join(folder, ".handfast"), ports: await freePorts() };
  const children: ChildProcess[] = [];
  const before = process.cwd();
  try {
    prepare(folder);
    process.chdir(folder);
    const told: Told[] = [];
    for (const block of document.blocks) {
      const { file } = block.attributes;
      if (file !== undefined) {
        mkdirSync(dirname(join(folder, file)), { recursive: true });
        writeFileSync(join(folder, file), outward(block.text, place));
      }
      if (block.language === "console") {
        told.push({ block, text: await runBlock(block, { place, children }) });
      }
    }
    return told;
  } finally {
    process.chdir(before);
    for (const child of children) endGroup(child);
    rmSync(folder, { recursive: true, force: true });
  }
}

/** What may differ between two runs: times, serial numbers, fingerprints, durations. */
export function steady(text: string): string {
  return text
    .replaceAll(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z/g, "TIME")
    .replaceAll(/\b[0-9a-f]{16,}\b/g, "HEX")
    .replaceAll(/\b\d{13}\b/g, "N")
    .replaceAll(/:\d{5}\b/g, ":PORT")
    .replaceAll(/\b\d+ ms\b/g, "N ms");
}

interface Place {
  readonly folder: string;
  readonly home: string;
  /** What stands for them, by the port as it is written. */
  readonly ports: ReadonlyMap<string, number>;
}

interface Running {
  readonly place: Place;
  readonly children: ChildProcess[];
}

async function runBlock({ text, line, attributes }: Block, running: Running): Promise<string> {
  const steps = text.split(/^(?=\$ )/m);
  const out: string[] = [];
  for (const step of steps) {
    const [command = "", ...shown] = step.replace(/\n$/, "").split("\n");
    if (!command.startsWith("$ ")) {
      throw new Error(`the console block of line ${line} does not begin with a command`);
    }
    const words = outward(command.slice(2), running.place);
    let said = words.endsWith(" &")
      ? await begin(words.slice(0, -2), { ...running, lines: shown.length })
      : await finish(words, running);
    // What takes effect elsewhere takes a moment.
    const until = attributes["eventually"] === undefined ? 0 : performance.now() + PATIENCE_MS;
    while (
      steady(inward(said, running.place)) !== steady(shownText(shown)) &&
      performance.now() < until
    ) {
      said = await finish(words, running);
    }
    out.push(`${command}\n${inward(said, running.place)}`);
  }
  return out.join("");
}

function shownText(lines: readonly string[]): string {
  return lines.map((line) => `${line}\n`).join("");
}

/** Runs a command to its end; stdout and stderr as they came. */
async function finish(words: string, running: Running): Promise<string> {
  const { place } = running;
  const [, job] = /^kill %\?(\S+)$/.exec(words) ?? [];
  if (job !== undefined) return endJob(job, running);
  const simple = /^handfast [\w ./:@=-]+$/.test(words);
  return simple ? callHandfast(words.split(" ").slice(1), place) : shell(words, place);
}

/** Ends what was begun by that script, and waits until it has. */
async function endJob(job: string, { children }: Running): Promise<string> {
  const child = children.find(({ spawnargs }) => spawnargs.join(" ").includes(job));
  if (child === undefined) throw new Error(`no job runs ${job}`);
  const ended = new Promise((done) => child.once("exit", done));
  endGroup(child);
  await ended;
  return "";
}

async function callHandfast(words: readonly string[], place: Place): Promise<string> {
  let said = "";
  const sink = (): Writable =>
    new Writable({
      write(chunk, _encoding, done): void {
        said += String(chunk);
        done();
      },
    });
  await run(words, {
    output: createOutput({ stdout: sink(), stderr: sink() }),
    env: { HANDFAST_HOME: place.home },
    stdin: Readable.from([]),
    terminal: undefined,
    now: () => new Date(),
    stopped: () => Promise.resolve("the document"),
    onHangup: () => undefined,
  });
  return said;
}

async function shell(words: string, place: Place): Promise<string> {
  const child = start(words, place);
  let said = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding("utf8").on("data", (text: string) => (said += text));
  }
  const timer = setTimeout(() => endGroup(child), TIMEOUT_MS);
  await new Promise((done) => child.once("close", done));
  clearTimeout(timer);
  return said;
}

/** Starts a command that serves, and waits for its first lines. */
async function begin(
  words: string,
  { place, children, lines }: Running & { lines: number },
): Promise<string> {
  const child = start(`exec ${words}`, place);
  children.push(child);
  let said = "";
  await new Promise<void>((done, fail) => {
    const timer = setTimeout(() => fail(new Error(`${words} said only: ${said}`)), TIMEOUT_MS);
    const look = (): void => {
      if (said.split("\n").length <= lines) return;
      clearTimeout(timer);
      done();
    };
    for (const stream of [child.stdout, child.stderr]) {
      stream?.setEncoding("utf8").on("data", (text: string) => {
        said += text;
        look();
      });
    }
    child.once("close", () => {
      clearTimeout(timer);
      fail(new Error(`${words} ended: ${said}`));
    });
    look();
  });
  return said
    .split("\n")
    .slice(0, lines)
    .map((line) => `${line}\n`)
    .join("");
}

/** Ends a command and what it started. */
function endGroup({ pid, exitCode }: ChildProcess): void {
  if (pid === undefined || exitCode !== null) return;
  try {
    process.kill(-pid, "SIGKILL");
  } catch (error) {
    // It has ended by itself meanwhile.
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

function start(words: string, { folder, home }: Place): ChildProcess {
  return spawn("/bin/sh", ["-c", words], {
    cwd: folder,
    // A group of its own: the command may hand over to another process.
    detached: true,
    stdio: ["ignore", "pipe", "pipe"],
    env: {
      PATH: `${join(folder, "bin")}:${dirname(process.execPath)}:${process.env["PATH"] ?? ""}`,
      HOME: folder,
      HANDFAST_HOME: home,
      NODE_OPTIONS: "--conditions=@handfast/source",
      // The sources are compiled once for all programs, not once for each.
      NODE_COMPILE_CACHE: resolve(import.meta.dirname, "../../node_modules/.cache/documents"),
    },
  });
}

/** The packages as a project that has installed them sees them, and the command. */
function prepare(folder: string): void {
  symlinkSync(resolve("node_modules"), join(folder, "node_modules"));
  symlinkSync(resolve("examples/greeter/src/gen"), join(folder, "gen"));
  writeFileSync(join(folder, "package.json"), '{ "type": "module" }\n');
  mkdirSync(join(folder, "bin"));
  const command = join(folder, "bin", "handfast");
  writeFileSync(command, `#!/bin/sh\nexec node ${resolve("apps/cli/bin/handfast.js")} "$@"\n`);
  chmodSync(command, 0o755);
}

function outward(text: string, { ports }: Place): string {
  return [...ports].reduce((told, [port, free]) => told.replaceAll(port, String(free)), text);
}

function inward(text: string, { folder, home, ports }: Place): string {
  const placed = text.replaceAll(home, "~/.handfast").replaceAll(folder, ".");
  return [...ports]
    .reduce((told, [port, free]) => told.replaceAll(String(free), port), placed)
    .replaceAll(/[ \t]+$/gm, "");
}

/** All are held at once, so that none is given twice. */
async function freePorts(): Promise<ReadonlyMap<string, number>> {
  const probes = ["8440", "8441", "8443"].map((port) => ({ port, server: createServer() }));
  const ports = new Map<string, number>();
  for (const { port, server } of probes) {
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    ports.set(port, (server.address() as AddressInfo).port);
  }
  for (const { server } of probes) {
    server.close();
    await once(server, "close");
  }
  return ports;
}

const PATIENCE_MS = 15_000;
const TIMEOUT_MS = 60_000;
