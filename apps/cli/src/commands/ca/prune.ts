import { openAuthorityHome } from "@handfast/ca";
import { Option } from "commander";
import type { Command } from "commander";
import { withHomeOptions } from "../../common-options.ts";
import { homeOf } from "../../context.ts";
import type { CommonOptions, Context } from "../../context.ts";
import { parseDuration } from "../../duration.ts";

interface PruneOptions extends CommonOptions {
  readonly keep: number;
}

/** `handfast ca prune`: forgets certificates that ended long ago. */
export function caPruneCommand(group: Command, context: Context): void {
  const command = group
    .command("prune")
    .description("forget certificates that ended long ago")
    .addOption(
      new Option("--keep <duration>", "how long after their end they are kept")
        .argParser(parseDuration)
        .default(90 * 86_400, "90d"),
    )
    .action((options: PruneOptions) => prune(options, context));
  withHomeOptions(command);
}

async function prune(options: PruneOptions, context: Context): Promise<void> {
  const authority = await openAuthorityHome(homeOf(context, options), { clock: context.now });
  try {
    const forgotten = await authority.prune({ keepEndedSeconds: options.keep });
    if (options.json === true) context.output.json({ forgotten });
    else context.output.line(`${forgotten} forgotten`);
  } finally {
    await authority.close();
  }
}
