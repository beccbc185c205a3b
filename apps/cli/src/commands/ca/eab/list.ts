import { openAuthorityHome } from "@handfast/ca";
import type { Command } from "commander";
import { withHomeOptions } from "../../../common-options.ts";
import { homeOf } from "../../../context.ts";
import type { CommonOptions, Context } from "../../../context.ts";
import { formatTime } from "../../../duration.ts";

/** `handfast ca eab list`: the external account keys, without their secrets. */
export function eabListCommand(group: Command, context: Context): void {
  const command = group
    .command("list")
    .description("list the external account keys, newest first")
    .action((options: CommonOptions) => list(options, context));
  withHomeOptions(command);
}

async function list(options: CommonOptions, context: Context): Promise<void> {
  const { output } = context;
  const authority = await openAuthorityHome(homeOf(context, options), { clock: context.now });
  let found;
  try {
    found = await authority.externalAccounts();
  } finally {
    await authority.close();
  }
  if (options.json === true) {
    const externalAccounts = found.map(({ createdAt, usableUntil, ...rest }) => ({
      ...rest,
      createdAt: formatTime(createdAt),
      usableUntil: formatTime(usableUntil),
    }));
    output.json({ externalAccounts });
    return;
  }
  for (const { keyId, state, createdAt, label, names } of found) {
    const what = names.join(", ");
    const cells = [state.padEnd(9), formatTime(createdAt), keyId, label];
    output.line((label === what ? cells : [...cells, what]).join("  "));
  }
}
