import { dirname, join } from "node:path";
import {
  authorityHome,
  findCredentials,
  openAuthorityHome,
  renewCredential,
  renewCredentialOnline,
} from "@handfast/ca";
import type { Authority } from "@handfast/ca";
import type { Certificate, KeyAlgorithm } from "@handfast/x509";
import { Option } from "commander";
import type { Command } from "commander";
import { keyAlgorithmOption, withHomeOptions, withPassphraseOption } from "../common-options.ts";
import { homeOf } from "../context.ts";
import type { CommonOptions, Context } from "../context.ts";
import { readCertificates } from "../certificate-file.ts";
import { folderOf, namedFiles, withLayoutOptions } from "../credential.ts";
import type { LayoutOptions, NamedFiles } from "../credential.ts";
import { parseCount, parseDuration } from "../duration.ts";
import { AnsweredNo, describe, UsageError } from "../failure.ts";
import { authorityTarget, withAuthorityOption } from "../online.ts";
import type { OnlineOptions } from "../online.ts";
import { passphraseForOpening } from "../passphrase.ts";
import type { PassphraseOptions } from "../passphrase.ts";
import { reportIssued } from "../report-issued.ts";
import type { Issued } from "../report-issued.ts";
import { localRequester } from "../requester.ts";
import { revocationUrlOf, revocationUrlOption } from "../revocation-url.ts";

interface RenewOptions extends CommonOptions, PassphraseOptions, LayoutOptions, OnlineOptions {
  readonly all?: true;
  readonly expiresWithin?: number;
  readonly days?: number;
  readonly ttl?: number;
  readonly keyAlgorithm?: KeyAlgorithm;
  readonly revocationUrl?: string;
}

/** `handfast renew NAME…`: the next certificate, with a new key, in the place of the present one. */
export function renewCommand(program: Command, context: Context): void {
  const command = program
    .command("renew [name...]")
    .description("replace the certificate and key of each name by the next of its line")
    .option("--all", "every name in the folder of which a third of its life or less is left")
    .addOption(
      new Option(
        "--expires-within <duration>",
        "with --all: that end within 30d, 12h, …",
      ).argParser(parseDuration),
    )
    .addOption(
      new Option("--days <number>", "how long it is valid (default: as the present one)").argParser(
        parseCount,
      ),
    )
    .addOption(
      new Option("--ttl <duration>", "the same as 12h, 30m, …")
        .argParser(parseDuration)
        .conflicts("days"),
    )
    .addOption(keyAlgorithmOption("of the new key (default: ecdsa-p256)"))
    .addOption(revocationUrlOption())
    .action((names: string[], options: RenewOptions) => renew(names, { options, context }));
  withAuthorityOption(command).option(
    "--ca-file <file>",
    "with --authority: the roots it is verified by (default: beside the certificate)",
  );
  withPassphraseOption(withHomeOptions(withLayoutOptions(command)));
}

async function renew(
  words: readonly string[],
  { options, context }: { options: RenewOptions; context: Context },
): Promise<void> {
  const home = homeOf(context, options);
  if (words.length > 0 === (options.all === true)) {
    throw new UsageError(
      words.length > 0 ? "names and --all were given" : "no name was given",
      "`handfast renew NAME…`, or `handfast renew --all`",
    );
  }
  const { due, notDue } =
    options.all === true
      ? await findDue({ home, options, now: context.now() })
      : { due: namedFiles(words, { home, options }), notDue: [] };
  const target = authorityTarget(context, options);
  if (target !== undefined) {
    const renewed = await renewEach(due, { options, context, renewOne: onlineAt(target, options) });
    report(renewed, { notDue, options, context, caFile: "" });
    return;
  }
  const authority = await openAuthorityHome(home, {
    passphrase: passphraseForOpening(context, options),
    clock: context.now,
    ...revocationUrlOf(context, options),
  });
  try {
    const renewed = await renewEach(due, {
      options,
      context,
      renewOne: async (plan) => ({
        ...plan,
        certificate: await renewOne(authority, { ...plan, options }),
      }),
    });
    report(renewed, { notDue, options, context, caFile: authorityHome(home).bundle });
  } finally {
    await authority.close();
  }
}

interface Renewed {
  readonly issued: readonly Issued[];
  readonly failed: readonly { readonly name: string; readonly error: unknown }[];
}

/** With --all one that fails does not keep the others from theirs. */
async function renewEach(
  plans: readonly NamedFiles[],
  {
    options,
    context,
    renewOne,
  }: {
    options: RenewOptions;
    context: Context;
    renewOne: (plan: NamedFiles) => Promise<Issued>;
  },
): Promise<Renewed> {
  const issued: Issued[] = [];
  const failed: { name: string; error: unknown }[] = [];
  for (const [index, plan] of plans.entries()) {
    context.output.progress(`${plan.name}: ${index + 1} of ${plans.length}`);
    try {
      issued.push(await renewOne(plan));
    } catch (error) {
      if (options.all !== true) throw error;
      failed.push({ name: plan.name, error });
    }
  }
  return { issued, failed };
}

function report(
  { issued, failed }: Renewed,
  {
    notDue,
    options,
    context,
    caFile,
  }: { notDue: readonly string[]; options: RenewOptions; context: Context; caFile: string },
): void {
  const { output } = context;
  const failures = failed.map(({ name, error }) => ({ name, ...describe(error) }));
  reportIssued(issued, {
    output,
    json: options.json === true,
    now: context.now(),
    caFile,
    ...(options.all === true ? { more: { notDue, failed: failures } } : {}),
  });
  if (notDue.length > 0) output.note(`note: not due yet: ${notDue.join(", ")}`);
  for (const { name, message, hint } of failures) {
    output.note(`error: ${name}: ${message}`);
    if (hint !== undefined) output.note(`hint: ${hint}`);
  }
  if (failures.length > 0) throw new AnsweredNo();
}

/** The names in the folder, by whether it is time: the last third of a life, or what was asked for. */
async function findDue({
  home,
  options,
  now,
}: {
  home: string;
  options: RenewOptions;
  now: Date;
}): Promise<{ due: readonly NamedFiles[]; notDue: readonly string[] }> {
  const due: NamedFiles[] = [];
  const notDue: string[] = [];
  const { layout, expiresWithin } = options;
  for (const found of await findCredentials({ directory: folderOf(home, options), layout })) {
    // One that cannot be read is tried, and fails with its own reason.
    const [leaf] = await readCertificates(found.paths.certificate).catch(() => []);
    const end = leaf?.notAfter.getTime() ?? 0;
    const life = end - (leaf?.notBefore.getTime() ?? 0);
    const within = expiresWithin === undefined ? life / 3 : expiresWithin * 1_000;
    if (end - now.getTime() <= within) due.push(found);
    else notDue.push(found.name);
  }
  return { due, notDue };
}

/** Each over a connection of its own certificate. */
function onlineAt(
  target: string,
  { days, ttl, keyAlgorithm, caFile }: RenewOptions,
): (plan: NamedFiles) => Promise<Issued> {
  const validitySeconds = days === undefined ? ttl : days * 86_400;
  return async ({ name, paths }) => {
    const bundle = caFile ?? paths.bundle ?? join(dirname(paths.certificate), "ca.pem");
    const { certificate } = await renewCredentialOnline(paths, {
      target,
      bundle,
      ...(validitySeconds === undefined ? {} : { validitySeconds }),
      ...(keyAlgorithm === undefined ? {} : { keyAlgorithm }),
    });
    return { name, paths: { ...paths, bundle }, certificate };
  };
}

async function renewOne(
  authority: Authority,
  { paths, options }: NamedFiles & { options: RenewOptions },
): Promise<Certificate> {
  const { days, ttl, keyAlgorithm } = options;
  const validitySeconds = days === undefined ? ttl : days * 86_400;
  const { certificate } = await renewCredential(authority, paths, {
    requester: localRequester(),
    ...(validitySeconds === undefined ? {} : { validitySeconds }),
    ...(keyAlgorithm === undefined ? {} : { keyAlgorithm }),
  });
  return certificate;
}
