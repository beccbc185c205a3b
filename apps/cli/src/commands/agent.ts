import { dirname, resolve } from "node:path";
import { agentFromConfig, createAgent, parseAgentConfig, serveAgentStatus } from "@handfast/ca";
import type { Agent, AgentEvent } from "@handfast/ca";
import { readBounded } from "@handfast/files";
import { InvalidArgumentError, Option } from "commander";
import type { Command } from "commander";
import { withCommonOptions } from "../common-options.ts";
import type { CommonOptions, Context } from "../context.ts";
import { formatTime } from "../duration.ts";
import { AnsweredNo } from "../failure.ts";

interface AgentCommandOptions extends CommonOptions {
  readonly config: string;
  readonly once?: true;
  readonly statusPort?: number;
}

/** `handfast agent`: keeps certificates fresh, until a signal. */
export function agentCommand(program: Command, context: Context): void {
  const command = program
    .command("agent")
    .description("keep certificates fresh, until SIGTERM or SIGINT; SIGHUP renews them all now")
    .requiredOption("--config <file>", "what to keep, where, and whom to tell: JSON")
    .option("--once", "get what is missing or due, and end")
    .addOption(
      new Option(
        "--status-port <port>",
        "serve /healthz, /readyz and /metrics on 127.0.0.1",
      ).argParser(parsePort),
    )
    .action((options: AgentCommandOptions) => agent(options, context));
  withCommonOptions(command);
}

async function agent(options: AgentCommandOptions, context: Context): Promise<void> {
  const { output, now } = context;
  const path = resolve(options.config);
  const text = Buffer.from(await readBounded(path, { maxBytes: maxConfigBytes })).toString("utf8");
  const kept = await agentFromConfig(parseAgentConfig(text), { directory: dirname(path) });
  const running = await createAgent({
    ...kept,
    clock: now,
    onEvent: (event) => say(event, { output, json: options.json === true }),
  });
  try {
    if (options.once === true) {
      refuseUnready(running);
      return;
    }
    const { statusPort } = options;
    const status =
      statusPort === undefined
        ? undefined
        : await serveAgentStatus(running, { port: statusPort, clock: now });
    if (status !== undefined) output.note(`status on http://127.0.0.1:${status.port}`);
    context.onHangup(() => void running.renewNow());
    output.note(`keeping ${kept.certificates.length} certificates`);
    output.note(`stopping: ${await context.stopped()}`);
    await status?.close();
  } finally {
    await running.close();
  }
}

/** What is wrong was said when it happened. */
function refuseUnready(running: Agent): void {
  const failed = running.certificates().filter(({ lastFailure }) => lastFailure !== undefined);
  if (failed.length > 0 || !running.ready) throw new AnsweredNo();
}

/** A line per event: on stdout as JSON, else on stderr. */
function say(
  event: AgentEvent,
  { output, json }: { output: Context["output"]; json: boolean },
): void {
  if (json) {
    output.jsonLine({ time: new Date().toISOString(), ...event });
    return;
  }
  switch (event.type) {
    case "renewed":
      output.note(
        `renewed ${event.name}, valid until ${formatTime(event.notAfter)}, next ${formatTime(event.renewAt)}`,
      );
      return;
    case "renewal-failed": {
      const end = event.notAfter ? `, valid until ${formatTime(event.notAfter)}` : "";
      output.note(
        `warning: ${event.name} was not renewed (attempt ${event.attempt}): ${event.reason}${end}, next ${formatTime(event.nextAttemptAt)}`,
      );
      if (event.hint !== undefined && event.attempt === 1) output.note(`hint: ${event.hint}`);
      return;
    }
    case "expired":
      output.note(
        `error: ${event.name} ended at ${formatTime(event.notAfter)}: nobody accepts it any more`,
      );
      return;
    case "bundle-changed":
      output.note(`bundle changed, sequence ${event.sequence}`);
      return;
    case "bundle-failed":
      output.note(`warning: the bundle stays as it is: ${event.reason}`);
      return;
    case "hook-done":
      output.note(`told the service of ${event.name}`);
      return;
    case "hook-failed":
      output.note(`warning: the service of ${event.name} was not told: ${event.reason}`);
  }
}

function parsePort(text: string): number {
  if (/^\d{1,5}$/.test(text) && Number(text) < 65_536) return Number(text);
  throw new InvalidArgumentError("It must be a port from 0 to 65535.");
}

const maxConfigBytes = 4 * 1_024 * 1_024;
