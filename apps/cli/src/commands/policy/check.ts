import type { Command } from "commander";
import { withCommonOptions } from "../../common-options.ts";
import type { CommonOptions, Context } from "../../context.ts";
import { readPolicy, withPolicyOptions } from "../../policy-file.ts";
import type { PolicyOptions } from "../../policy-file.ts";

/** `handfast policy check FILE`: is the policy valid. */
export function policyCheckCommand(group: Command, { output }: Context): void {
  const command = group
    .command("check <file>")
    .description("say whether a policy document is valid, and where it is not")
    .action(async (file: string, options: CommonOptions & PolicyOptions) => {
      const { name, version } = await readPolicy(file, options);
      if (options.json === true) output.json({ file, valid: true, name, version });
      else output.line(`${file}: policy ${name} is valid (SHA-256 ${version})`);
    });
  withPolicyOptions(withCommonOptions(command));
}
