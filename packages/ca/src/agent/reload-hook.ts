import { spawn } from "node:child_process";
import { once } from "node:events";
import { stat } from "node:fs/promises";
import { isAbsolute } from "node:path";
import { readBounded } from "@handfast/files";
import { CaError } from "../errors.ts";

/** How a service is told that its certificate has changed. */
export type ReloadHook =
  | {
      readonly kind: "signal";
      readonly signal: NodeJS.Signals;
      /** A process id, or a file that holds one. */
      readonly pid: number | string;
    }
  | {
      readonly kind: "command";
      /** A program by its absolute path, and its arguments. No shell ever sees them. */
      readonly command: readonly [string, ...string[]];
      /** 30 if not given; the program is killed then. */
      readonly timeoutSeconds?: number;
    };

/**
 * Runs a hook: sends the signal, or runs the program in a clean environment, without input and with
 * its output thrown away (security.md S25, S57).
 *
 * @throws CaError HOOK_FAILED
 */
export async function runHook(hook: ReloadHook): Promise<void> {
  try {
    if (hook.kind === "signal") await sendSignal(hook);
    else await runCommand(hook);
  } catch (cause) {
    if (cause instanceof CaError) throw cause;
    throw failed((cause as Error).message, cause);
  }
}

/** Checks a hook before it is needed. @throws TypeError */
export function checkHook(hook: ReloadHook): void {
  if (hook.kind === "command") {
    if (isAbsolute(hook.command[0])) return;
    throw new TypeError(
      `a hook's program must be an absolute path, not ${JSON.stringify(hook.command[0])}`,
    );
  }
  if (typeof hook.pid === "number" && !isPid(hook.pid)) {
    throw new TypeError(`a hook's process id must be 2 or more, not ${hook.pid}`);
  }
}

async function sendSignal({ signal, pid }: Extract<ReloadHook, { kind: "signal" }>): Promise<void> {
  const target = typeof pid === "number" ? pid : await readPid(pid);
  process.kill(target, signal);
}

async function readPid(path: string): Promise<number> {
  const text = Buffer.from(await readBounded(path, { maxBytes: 64 }))
    .toString("latin1")
    .trim();
  const pid = /^\d{1,10}$/.test(text) ? Number(text) : 0;
  if (!isPid(pid)) throw failed(`${path} holds no process id`);
  await refuseForeign(path, pid);
  return pid;
}

/** Root would signal whatever the file says: it must be a process of the user who wrote the file. */
async function refuseForeign(path: string, pid: number): Promise<void> {
  if (process.geteuid?.() !== 0) return;
  const { uid: writer } = await stat(path);
  if (writer === 0) return;
  const owner = await stat(`/proc/${pid}`).catch(() => undefined);
  if (owner !== undefined && owner.uid === writer) return;
  throw failed(`${path} of user ${writer} names process ${pid}, which is not that user's`);
}

async function runCommand({
  command: [program, ...words],
  timeoutSeconds = 30,
}: Extract<ReloadHook, { kind: "command" }>): Promise<void> {
  const child = spawn(program, words, {
    cwd: "/",
    env: { PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" },
    shell: false,
    stdio: "ignore",
    timeout: timeoutSeconds * 1_000,
    killSignal: "SIGKILL",
  });
  const [code, signal] = (await once(child, "exit")) as [number | null, NodeJS.Signals | null];
  if (code === 0) return;
  throw failed(`${program} ended with ${code === null ? `signal ${signal}` : `status ${code}`}`);
}

function isPid(value: number): boolean {
  return Number.isSafeInteger(value) && value > 1;
}

function failed(problem: string, cause?: unknown): CaError {
  return new CaError(
    "HOOK_FAILED",
    `reload hook: ${problem}`,
    cause === undefined ? {} : { cause },
  );
}
