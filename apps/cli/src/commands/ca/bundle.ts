import { authorityHome, encodeSpiffeBundle, openAuthorityHome, writeBundle } from "@handfast/ca";
import { certificatesToPem } from "@handfast/x509";
import type { Command } from "commander";
import { withHomeOptions } from "../../common-options.ts";
import { homeOf } from "../../context.ts";
import type { CommonOptions, Context } from "../../context.ts";

interface BundleOptions extends CommonOptions {
  readonly jwks?: true;
  readonly write?: true;
}

/** `handfast ca bundle`: what peers trust. */
export function caBundleCommand(group: Command, context: Context): void {
  const command = group
    .command("bundle")
    .description("print the roots that peers trust, PEM")
    .option("--jwks", "as SPIFFE JWKS, for trust domains that federate with this one")
    .option("--write", "put it into the home's bundle file instead of printing it")
    .action((options: BundleOptions) => bundle(options, context));
  withHomeOptions(command);
}

async function bundle(options: BundleOptions, context: Context): Promise<void> {
  const { output } = context;
  const home = homeOf(context, options);
  const authority = await openAuthorityHome(home, { clock: context.now });
  try {
    const current = await authority.bundle();
    const { sequence, trustDomain, roots } = current;
    if (options.write === true) {
      await writeBundle(authorityHome(home), current);
      output.note(`bundle ${authorityHome(home).bundle}`);
    } else if (options.jwks === true) {
      output.json(JSON.parse(encodeSpiffeBundle(current)));
    } else if (options.json === true) {
      const fingerprints = roots.map(({ fingerprint }) => fingerprint);
      output.json({ sequence, trustDomain, fingerprints, pem: certificatesToPem(roots) });
    } else {
      for (const line of certificatesToPem(roots).trimEnd().split("\n")) output.line(line);
    }
  } finally {
    await authority.close();
  }
}
