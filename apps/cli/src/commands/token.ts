import { resolve } from "node:path";
import { openAuthorityHome, parseServiceName } from "@handfast/ca";
import { writeFileAtomic } from "@handfast/files";
import { InvalidArgumentError, Option } from "commander";
import type { Command } from "commander";
import { withHomeOptions, withPassphraseOption } from "../common-options.ts";
import { homeOf } from "../context.ts";
import type { CommonOptions, Context } from "../context.ts";
import { asUsage } from "../credential.ts";
import { formatTime, fromNow, parseDuration } from "../duration.ts";
import { UsageError } from "../failure.ts";
import { checkNameOptions, contentsOf, withNameOptions } from "../name-options.ts";
import type { NameOptions } from "../name-options.ts";
import { passphraseForOpening } from "../passphrase.ts";
import type { PassphraseOptions } from "../passphrase.ts";
import { localRequester } from "../requester.ts";
import { readServedAt } from "../service-file.ts";

interface TokenOptions extends CommonOptions, PassphraseOptions, NameOptions {
  readonly url?: string;
  readonly tokenTtl: number;
  readonly out?: string;
}

/** `handfast token NAME`: lets its bearer enrol one certificate of that name, once. */
export function tokenCommand(program: Command, context: Context): void {
  const command = program
    .command("token <name>")
    .description("make a one-time token with which one certificate can be enrolled")
    .addOption(
      new Option(
        "--url <url>",
        "where the authority is served: https://HOST:PORT (default: where `ca serve` served last)",
      ).argParser(parseUrl),
    )
    .addOption(
      new Option("--token-ttl <duration>", "how long the token itself is valid, up to 1d")
        .argParser(parseDuration)
        .default(300, "5m"),
    )
    .option("--out <file>", "write it to a new file, mode 0600, instead of printing it")
    .action((name: string, options: TokenOptions) => token(name, { options, context }));
  withPassphraseOption(withHomeOptions(withNameOptions(command)));
}

async function token(
  word: string,
  { options, context }: { options: TokenOptions; context: Context },
): Promise<void> {
  const { output } = context;
  const home = homeOf(context, options);
  const name = asUsage(() => parseServiceName(word));
  asUsage(() => checkNameOptions(options));
  const audience = options.url ?? (await readServedAt(home))?.enrolmentUrl;
  if (audience === undefined) {
    throw new UsageError(
      "it is not known where this authority is served",
      "start `handfast ca serve` once, or name the address with --url",
    );
  }
  const authority = await openAuthorityHome(home, {
    passphrase: passphraseForOpening(context, options),
    clock: context.now,
  });
  let text;
  try {
    text = await authority.createToken({
      audience,
      ...contentsOf(name, { options, authority }),
      tokenSeconds: options.tokenTtl,
      requester: localRequester(),
    });
  } finally {
    await authority.close();
  }
  const expiresAt = new Date(context.now().getTime() + options.tokenTtl * 1_000);
  const file = options.out === undefined ? undefined : resolve(options.out);
  if (file !== undefined) await writeFileAtomic(file, `${text}\n`, { mode: 0o600 });
  if (options.json === true) {
    const where = file === undefined ? { token: text } : { file };
    output.json({ ...where, name, url: audience, expiresAt: formatTime(expiresAt) });
    return;
  }
  output.line(file ?? text);
  output.note(
    `note: a secret, for one certificate of ${name}, ${fromNow(expiresAt, context.now())} no longer`,
  );
}

function parseUrl(text: string): string {
  const url = URL.parse(text);
  if (url?.protocol === "https:" && url.pathname === "/" && url.search === "") return url.origin;
  throw new InvalidArgumentError("It must be https://HOST:PORT.");
}
