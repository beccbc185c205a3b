import { openAuthorityHome } from "@handfast/ca";
import type { Command } from "commander";
import { withHomeOptions } from "../../../common-options.ts";
import { homeOf } from "../../../context.ts";
import type { CommonOptions, Context } from "../../../context.ts";
import { localRequester } from "../../../requester.ts";

/** `handfast ca eab withdraw KEYID`: the account that was made with it gets nothing more. */
export function eabWithdrawCommand(group: Command, context: Context): void {
  const command = group
    .command("withdraw <keyid>")
    .description("let a key make no account, and its account have no more certificates")
    .action((keyId: string, options: CommonOptions) => withdraw(keyId, { options, context }));
  withHomeOptions(command);
}

async function withdraw(
  keyId: string,
  { options, context }: { options: CommonOptions; context: Context },
): Promise<void> {
  const { output } = context;
  const authority = await openAuthorityHome(homeOf(context, options), { clock: context.now });
  let withdrawn;
  let certificates;
  try {
    withdrawn = await authority.withdrawExternalAccount({ keyId, requester: localRequester() });
    certificates = await authority.find({ profile: "acme", status: "valid" });
  } finally {
    await authority.close();
  }
  const { names, account } = withdrawn;
  const left = certificates.filter(({ requester }) => requester === `acme:${account}`);
  const serialNumbers = left.map(({ serialNumber }) => serialNumber);
  if (options.json === true) {
    output.json({ keyId, names, account: account ?? null, certificates: serialNumbers });
    return;
  }
  output.line(`${keyId} is withdrawn`);
  if (left.length === 0) return;
  output.note(
    `note: its account still has ${left.length} valid certificate${left.length === 1 ? "" : "s"}: ${serialNumbers.join(", ")}`,
  );
  output.note("hint: end them with `handfast revoke SERIAL`");
}
