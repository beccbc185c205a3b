import { createInterface } from "node:readline";
import { parseDecisionRequest, PolicyError } from "@handfast/policy";
import type { Command } from "commander";
import { withCommonOptions } from "../../common-options.ts";
import type { CommonOptions, Context } from "../../context.ts";
import { AnsweredNo } from "../../failure.ts";
import { readPolicy, withPolicyOptions } from "../../policy-file.ts";
import type { PolicyOptions } from "../../policy-file.ts";

interface DecideOptions extends CommonOptions, PolicyOptions {
  readonly policy: string;
}

/** `handfast policy decide`: one decision per line of JSON on stdin. */
export function policyDecideCommand(group: Command, context: Context): void {
  const command = group
    .command("decide")
    .description("read {principal, path, headers} as JSON lines, write {allowed, rule} lines")
    .requiredOption("--policy <file>", "the policy document")
    .action((options: DecideOptions) => decide(options, context));
  withPolicyOptions(withCommonOptions(command));
}

/** A line that is no request gets a line of its own, so that answers stay beside their questions. */
async function decide(options: DecideOptions, { output, stdin }: Context): Promise<void> {
  const policy = await readPolicy(options.policy, options);
  let wrong = 0;
  for await (const line of createInterface({ input: stdin, crlfDelay: Infinity })) {
    if (line.trim() === "") continue;
    try {
      const { allowed, rule } = policy.decide(parseDecisionRequest(line));
      output.jsonLine({ allowed, rule });
    } catch (error) {
      if (!(error instanceof PolicyError)) throw error;
      output.jsonLine({ error: { code: error.code, message: error.message } });
      wrong++;
    }
  }
  if (wrong === 0) return;
  output.note(`error: ${wrong} ${wrong === 1 ? "line was" : "lines were"} no request`);
  output.note('hint: a request is {"principal": {…}, "path": "/package.Service/Method"}');
  throw new AnsweredNo();
}
