import { auditPublicKey } from "@handfast/policy";
import type { Command } from "commander";
import { withCommonOptions } from "../../common-options.ts";
import type { CommonOptions, Context } from "../../context.ts";

/** `handfast audit key FILE`: the public key that `audit verify` needs. */
export function auditKeyCommand(group: Command, { output }: Context): void {
  withCommonOptions(
    group
      .command("key <file>")
      .description("print the public key of an audit log's key file")
      .action(async (file: string, options: CommonOptions) => {
        const pem = await auditPublicKey(file);
        if (options.json === true) output.json({ file, publicKey: pem });
        else for (const line of pem.trimEnd().split("\n")) output.line(line);
      }),
  );
}
