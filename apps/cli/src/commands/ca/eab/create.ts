import { resolve } from "node:path";
import { openAuthorityHome } from "@handfast/ca";
import { writeFileAtomic } from "@handfast/files";
import { Option } from "commander";
import type { Command } from "commander";
import { withHomeOptions, withPassphraseOption } from "../../../common-options.ts";
import { homeOf } from "../../../context.ts";
import type { CommonOptions, Context } from "../../../context.ts";
import { formatTime, fromNow, parseDuration } from "../../../duration.ts";
import { columns } from "../../../output.ts";
import { passphraseForOpening } from "../../../passphrase.ts";
import type { PassphraseOptions } from "../../../passphrase.ts";
import { localRequester } from "../../../requester.ts";

interface CreateOptions extends CommonOptions, PassphraseOptions {
  readonly label?: string;
  readonly usableFor: number;
  readonly out?: string;
}

/** `handfast ca eab create NAME…`: lets one ACME account be made, for these names. */
export function eabCreateCommand(group: Command, context: Context): void {
  const command = group
    .command("create <name...>")
    .description(
      "make a key with which one ACME account can be made: for api.example alone, *.example one label below, .example all below, 10.1.0.0/16",
    )
    .option("--label <text>", "whom it is for (default: the first name)")
    .addOption(
      new Option("--usable-for <duration>", "how long an account can be made with it")
        .argParser(parseDuration)
        .default(7 * 86_400, "7d"),
    )
    .option("--out <file>", "write it to a new file, mode 0600, as certbot reads it with --config")
    .action((names: readonly string[], options: CreateOptions) =>
      create(names, { options, context }),
    );
  withPassphraseOption(withHomeOptions(command));
}

async function create(
  words: readonly string[],
  { options, context }: { options: CreateOptions; context: Context },
): Promise<void> {
  const { output } = context;
  const authority = await openAuthorityHome(homeOf(context, options), {
    passphrase: passphraseForOpening(context, options),
    clock: context.now,
  });
  let made;
  try {
    made = await authority.createExternalAccount({
      names: words,
      usableSeconds: options.usableFor,
      requester: localRequester(),
      ...(options.label !== undefined && { label: options.label }),
    });
  } finally {
    await authority.close();
  }
  const { keyId, macKey, names, usableUntil } = made;
  const file = options.out === undefined ? undefined : resolve(options.out);
  if (file !== undefined) {
    await writeFileAtomic(file, `eab-kid = ${keyId}\neab-hmac-key = ${macKey}\n`, { mode: 0o600 });
  }
  if (options.json === true) {
    const secret = file === undefined ? { macKey } : { file };
    output.json({ keyId, ...secret, names, usableUntil: formatTime(usableUntil) });
    return;
  }
  const rows = [["key id", keyId] as const, ["MAC key", macKey] as const];
  for (const line of file === undefined ? columns(rows) : [file]) output.line(line);
  output.note(
    `note: a secret, for one ACME account with ${names.join(", ")}, ${fromNow(usableUntil, context.now())} no longer`,
  );
}
