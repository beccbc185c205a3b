import { readFileSync } from "node:fs";
import { Command, CommanderError } from "commander";
import { agentCommand } from "./commands/agent.ts";
import { auditCommand } from "./commands/audit.ts";
import { caCommand } from "./commands/ca.ts";
import { completionCommand } from "./commands/completion.ts";
import { crlCommand } from "./commands/crl.ts";
import { doctorCommand } from "./commands/doctor.ts";
import { enrolCommand } from "./commands/enrol.ts";
import { exportCommand } from "./commands/export.ts";
import { initCommand } from "./commands/init.ts";
import { inspectCommand } from "./commands/inspect.ts";
import { issueCommand } from "./commands/issue.ts";
import { listCommand } from "./commands/list.ts";
import { policyCommand } from "./commands/policy.ts";
import { renewCommand } from "./commands/renew.ts";
import { revokeCommand } from "./commands/revoke.ts";
import { tokenCommand } from "./commands/token.ts";
import { verifyCommand } from "./commands/verify.ts";
import type { Context } from "./context.ts";
import { reportFailure, UsageError } from "./failure.ts";
import { createOutput } from "./output.ts";
import { terminalOf } from "./terminal.ts";

/** Runs the command that the process was started with and sets its exit code: 0, 1 or 2. */
export async function main(): Promise<void> {
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code !== "EPIPE") throw error; // whoever read our output has read enough
  });
  process.exitCode = await run(process.argv.slice(2), {
    output: createOutput(process),
    env: process.env,
    stdin: process.stdin,
    terminal: terminalOf(process),
    now: () => new Date(),
    stopped: untilSignal,
    onHangup: (listener) => void process.on("SIGHUP", listener),
  });
}

/** The second signal ends the process at once, as if nobody had asked for the first. */
function untilSignal(): Promise<string> {
  return new Promise((resolve) => {
    process.once("SIGTERM", resolve);
    process.once("SIGINT", resolve);
  });
}

/** Runs the words of a command line; the exit code to end with. */
export async function run(words: readonly string[], context: Context): Promise<number> {
  try {
    await createProgram(context).parseAsync(words, { from: "user" });
    return 0;
  } catch (error) {
    if (error instanceof CommanderError && error.exitCode === 0) return 0; // help was asked for
    return reportFailure(error instanceof CommanderError ? usageError(error, words) : error, {
      output: context.output,
      json: words.includes("--json"),
    });
  }
}

function createProgram(context: Context): Command {
  const { output } = context;
  const program = new Command("handfast")
    .description("Mutual TLS for services: an authority, certificates, and answers.")
    .version(version(), "--version", "say which release this is")
    .usage("COMMAND [options]")
    .exitOverride()
    .configureOutput({
      outputError: () => {}, // said in our own form, where all failures are
      writeOut: (text) => lines(text).forEach((line) => output.line(line)),
      writeErr: (text) => lines(text).forEach((line) => output.note(line)),
    })
    .helpCommand("help [command]", "what a command does and which options it has")
    .addHelpText("after", "\nExit codes: 0 it is done, 1 it failed, 2 it was used wrongly.");
  for (const add of commands) add(program, context);
  return program;
}

function lines(text: string): string[] {
  return text.replace(/\n$/, "").split("\n");
}

/** The same for the sources and for `dist`: both are one folder below the package. */
function version(): string {
  const manifest = new URL("../package.json", import.meta.url);
  return (JSON.parse(readFileSync(manifest, "utf8")) as { version: string }).version;
}

/** The parser's own complaints in the form of all others. */
function usageError({ code, message }: CommanderError, words: readonly string[]): UsageError {
  if (code === "commander.help") {
    return new UsageError("no command was given", "the commands are listed above");
  }
  const [problem = message] = message.replace(/^error: /, "").split("\n", 1);
  const named = words[0] !== undefined && /^[a-z]+$/.test(words[0]) ? ` ${words[0]}` : "";
  const hint =
    code === "commander.unknownCommand"
      ? "`handfast help` lists the commands"
      : `\`handfast help${named}\` shows what it takes`;
  return new UsageError(problem, hint);
}

const commands = [
  initCommand,
  issueCommand,
  renewCommand,
  revokeCommand,
  listCommand,
  crlCommand,
  caCommand,
  agentCommand,
  tokenCommand,
  enrolCommand,
  exportCommand,
  inspectCommand,
  verifyCommand,
  doctorCommand,
  policyCommand,
  auditCommand,
  completionCommand,
] as const;
