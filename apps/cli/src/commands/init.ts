import { authorityHome, initAuthorityHome } from "@handfast/ca";
import { readBounded } from "@handfast/files";
import type { KeyAlgorithm } from "@handfast/x509";
import type { Command } from "commander";
import {
  collect,
  keyAlgorithmOption,
  withHomeOptions,
  withPassphraseOption,
} from "../common-options.ts";
import { homeOf } from "../context.ts";
import type { CommonOptions, Context } from "../context.ts";
import { formatTime } from "../duration.ts";
import { UsageError } from "../failure.ts";
import { columns } from "../output.ts";
import { askForNewPassphrase, passphraseFromFile } from "../passphrase.ts";
import type { PassphraseOptions } from "../passphrase.ts";
import { localRequester } from "../requester.ts";

interface InitOptions extends CommonOptions, PassphraseOptions {
  readonly trustDomain: string;
  readonly keyAlgorithm?: KeyAlgorithm;
  readonly encrypt?: true;
  readonly databaseUrlFile?: string;
  readonly permitDns?: readonly string[];
  readonly permitIp?: readonly string[];
  readonly permitEmail?: readonly string[];
}

/** `handfast init`: creates the authority. */
export function initCommand(program: Command, context: Context): void {
  const command = program
    .command("init")
    .description("create the authority: a root and an issuing CA")
    .option("--trust-domain <name>", "the SPIFFE trust domain", "handfast.internal")
    .addOption(keyAlgorithmOption("of both CA keys (default: ecdsa-p256)"))
    .option("--encrypt", "ask for a passphrase and encrypt the keys with it")
    .option(
      "--database-url-file <file>",
      "keep the inventory in PostgreSQL, for several instances: a file with postgres://…",
    )
    .option(
      "--permit-dns <domain>",
      "name only this domain and those below it; repeatable",
      collect,
    )
    .option("--permit-ip <range>", "name only addresses of this range; repeatable", collect)
    .option("--permit-email <domain>", "name e-mail addresses of this domain; repeatable", collect)
    .action((options: InitOptions) => init(options, context));
  withPassphraseOption(withHomeOptions(command));
}

/** From a file, for arguments are seen by everybody on the machine. */
async function readDatabaseUrl(path: string): Promise<string> {
  const bytes = await readBounded(path, { maxBytes: 4_096 });
  return Buffer.from(bytes).toString("utf8").trim();
}

async function init(options: InitOptions, context: Context): Promise<void> {
  const { output, env } = context;
  const home = homeOf(context, options);
  const passphrase = await newPassphrase(options, context);
  const { root, issuing } = await initAuthorityHome(home, {
    trustDomain: options.trustDomain,
    requester: localRequester(),
    permitted: {
      dns: options.permitDns ?? [],
      ip: options.permitIp ?? [],
      email: options.permitEmail ?? [],
    },
    clock: context.now,
    ...(options.databaseUrlFile !== undefined && {
      databaseUrl: await readDatabaseUrl(options.databaseUrlFile),
    }),
    passphrase: async () => passphrase,
    ...(options.keyAlgorithm === undefined ? {} : { keyAlgorithm: options.keyAlgorithm }),
  });
  const { directory, bundle } = authorityHome(home);
  const encrypted = passphrase !== undefined;
  if (!encrypted) {
    output.note("note: the keys are not encrypted, only mode 0600; `init --encrypt` encrypts them");
  }
  if (options.json === true) {
    const described = [root, issuing].map(({ subject, fingerprint, notAfter }) => ({
      subject: subject.text,
      fingerprint,
      notAfter: formatTime(notAfter),
    }));
    const { trustDomain } = options;
    const [rootJson, issuingJson] = described;
    output.json({
      directory,
      trustDomain,
      caFile: bundle,
      encrypted,
      root: rootJson,
      issuing: issuingJson,
    });
    return;
  }
  const rows = columns([
    ["authority", directory],
    ["trust domain", options.trustDomain],
    ["root", `${root.subject.text}, until ${formatTime(root.notAfter)}`],
    ["issuing CA", `${issuing.subject.text}, until ${formatTime(issuing.notAfter)}`],
    ["peers trust", bundle],
  ]);
  for (const row of rows) output.line(row);
  if (env["HANDFAST_HOME"] === undefined && options.home !== undefined) {
    output.note(`note: other commands find it with --home or HANDFAST_HOME=${home}`);
  }
}

async function newPassphrase(options: InitOptions, context: Context): Promise<string | undefined> {
  const fromFile = await passphraseFromFile(context, options);
  if (options.encrypt !== true) return fromFile;
  if (fromFile === undefined) return askForNewPassphrase(context, "the authority's keys");
  throw new UsageError(
    "--encrypt asks for a passphrase, and one is given by a file",
    "use one of the two",
  );
}
