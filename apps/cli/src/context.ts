import { homedir } from "node:os";
import { join, resolve } from "node:path";
import { UsageError } from "./failure.ts";
import type { Output } from "./output.ts";
import type { Terminal } from "./terminal.ts";

/** What a command may touch of the process it runs in. */
export interface Context {
  readonly output: Output;
  readonly env: NodeJS.ProcessEnv;
  readonly stdin: NodeJS.ReadableStream;
  /** Undefined if nobody sits at one. */
  readonly terminal: Terminal | undefined;
  readonly now: () => Date;
  /** For commands that run until they are told to stop: resolves with the name of the signal. */
  readonly stopped: () => Promise<string>;
  /** Calls back at each SIGHUP, which then does not end the process. */
  readonly onHangup: (listener: () => void) => void;
}

/** Options that every command has. */
export interface CommonOptions {
  readonly json?: true;
  readonly home?: string;
}

/** Where the authority lives: `--home`, else HANDFAST_HOME, else `~/.handfast`. */
export function homeOf({ env }: Context, { home }: CommonOptions): string {
  const given = home ?? env["HANDFAST_HOME"];
  if (given === undefined) return join(homedir(), ".handfast");
  if (given === "") {
    throw new UsageError(
      home === undefined ? "HANDFAST_HOME is set but empty" : "--home is empty",
      "name a folder, or leave it out for ~/.handfast",
    );
  }
  return resolve(given);
}
