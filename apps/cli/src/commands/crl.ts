import { resolve } from "node:path";
import { authorityHome, openAuthorityHome, writeCrls } from "@handfast/ca";
import { Option } from "commander";
import type { Command } from "commander";
import { withHomeOptions, withPassphraseOption } from "../common-options.ts";
import { homeOf } from "../context.ts";
import type { CommonOptions, Context } from "../context.ts";
import { formatTime, parseCount } from "../duration.ts";
import { passphraseForOpening } from "../passphrase.ts";
import type { PassphraseOptions } from "../passphrase.ts";

interface CrlOptions extends CommonOptions, PassphraseOptions {
  readonly root?: true;
  readonly days?: number;
  readonly out?: string;
}

/** `handfast crl`: signs the revocation lists anew. */
export function crlCommand(program: Command, context: Context): void {
  const command = program
    .command("crl")
    .description("sign the revocation lists anew, before the last ones end")
    .option("--root", "those of the roots, whose keys it needs")
    .addOption(
      new Option("--days <number>", "until the next (default: 30; roots 365)").argParser(
        parseCount,
      ),
    )
    .option("--out <dir>", "where they go (default: ca/crl in the home)")
    .action((options: CrlOptions) => crl(options, context));
  withPassphraseOption(withHomeOptions(command));
}

async function crl(options: CrlOptions, context: Context): Promise<void> {
  const { output } = context;
  const home = homeOf(context, options);
  const authority = await openAuthorityHome(home, {
    passphrase: passphraseForOpening(context, options),
    clock: context.now,
  });
  try {
    const lists = await authority.publishCrls({
      role: options.root === true ? "root" : "issuing",
      ...(options.days === undefined ? {} : { validitySeconds: options.days * 86_400 }),
    });
    const crls = options.out === undefined ? authorityHome(home).crls : resolve(options.out);
    const paths = await writeCrls({ crls }, lists);
    const rows = lists.map(({ number, entries, nextUpdate, thisUpdate }, index) => ({
      file: paths[index] ?? "",
      number,
      entries,
      thisUpdate: formatTime(thisUpdate),
      nextUpdate: formatTime(nextUpdate),
    }));
    if (options.json === true) output.json({ lists: rows });
    for (const { file, number, entries, nextUpdate } of options.json === true ? [] : rows) {
      output.line(`${file}: number ${number}, ${entries} revoked, until ${nextUpdate}`);
    }
  } finally {
    await authority.close();
  }
}
