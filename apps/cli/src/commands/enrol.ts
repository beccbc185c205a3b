import { dirname, join } from "node:path";
import { enrolCredential, readTokenAddress } from "@handfast/ca";
import { readBounded } from "@handfast/files";
import type { KeyAlgorithm } from "@handfast/x509";
import type { Command } from "commander";
import { keyAlgorithmOption, withHomeOptions } from "../common-options.ts";
import { homeOf } from "../context.ts";
import type { CommonOptions, Context } from "../context.ts";
import { namedFiles, withLayoutOptions } from "../credential.ts";
import type { LayoutOptions } from "../credential.ts";
import { UsageError } from "../failure.ts";
import { reportIssued } from "../report-issued.ts";

interface EnrolOptions extends CommonOptions, LayoutOptions {
  readonly token?: string;
  readonly tokenFile?: string;
  readonly keyAlgorithm?: KeyAlgorithm;
  readonly force?: true;
}

/** `handfast enrol`: a certificate from an authority that is elsewhere, by a one-time token. */
export function enrolCommand(program: Command, context: Context): void {
  const command = program
    .command("enrol [name]")
    .description("make a key here, and have it certified with a one-time token")
    .option("--token-file <file>", "the file with the token; - is the standard input (default)")
    .option("--token <token>", "the token itself, which other users of this machine can then see")
    .addOption(keyAlgorithmOption("of the new key (default: ecdsa-p256)"))
    .option("--force", "replace the files of that name that are there")
    .action((name: string | undefined, options: EnrolOptions) => enrol(name, { options, context }));
  withHomeOptions(withLayoutOptions(command));
}

async function enrol(
  word: string | undefined,
  { options, context }: { options: EnrolOptions; context: Context },
): Promise<void> {
  const { output } = context;
  const token = await readToken(options, context);
  const { subject } = readTokenAddress(token);
  // A name that a server has sent is checked like one that was typed (S56).
  const [files] = namedFiles([word ?? String(subject.commonName)], {
    home: homeOf(context, options),
    options,
  });
  if (files === undefined) throw new UsageError("no name was given", "name the service");
  const bundle = files.paths.bundle ?? join(dirname(files.paths.certificate), "ca.pem");
  const enrolled = await enrolCredential(
    { ...files.paths, bundle },
    {
      token,
      overwrite: options.force === true,
      ...(options.keyAlgorithm === undefined ? {} : { keyAlgorithm: options.keyAlgorithm }),
    },
  );
  const { certificate } = enrolled;
  reportIssued([{ ...files, certificate }], {
    output,
    json: options.json === true,
    now: context.now(),
    caFile: bundle,
  });
  const { authorityTarget } = enrolled.bundle;
  if (authorityTarget !== "") {
    output.note(
      `note: renew it with \`handfast renew ${files.name} --authority ${authorityTarget}\``,
    );
  }
}

async function readToken(
  { token, tokenFile = "-" }: EnrolOptions,
  { stdin }: Context,
): Promise<string> {
  if (token !== undefined) return token;
  if (tokenFile !== "-") {
    return Buffer.from(await readBounded(tokenFile, { maxBytes: maxTokenBytes })).toString("utf8");
  }
  let text = "";
  for await (const chunk of stdin) {
    text += String(chunk);
    if (text.length > maxTokenBytes) break;
  }
  if (text.trim() !== "") return text;
  throw new UsageError("there is no token on the standard input", "name its file: --token-file");
}

const maxTokenBytes = 16_384;
