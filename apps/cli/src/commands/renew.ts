import { dirname, join } from "node:path";
import {
  authorityHome,
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
import { namedFiles, withLayoutOptions } from "../credential.ts";
import type { LayoutOptions, NamedFiles } from "../credential.ts";
import { parseCount, parseDuration } from "../duration.ts";
import { authorityTarget, withAuthorityOption } from "../online.ts";
import type { OnlineOptions } from "../online.ts";
import { passphraseForOpening } from "../passphrase.ts";
import type { PassphraseOptions } from "../passphrase.ts";
import { reportIssued } from "../report-issued.ts";
import type { Issued } from "../report-issued.ts";
import { localRequester } from "../requester.ts";
import { revocationUrlOf, revocationUrlOption } from "../revocation-url.ts";

interface RenewOptions extends CommonOptions, PassphraseOptions, LayoutOptions, OnlineOptions {
  readonly days?: number;
  readonly ttl?: number;
  readonly keyAlgorithm?: KeyAlgorithm;
  readonly revocationUrl?: string;
}

/** `handfast renew NAME…`: the next certificate, with a new key, in the place of the present one. */
export function renewCommand(program: Command, context: Context): void {
  const command = program
    .command("renew <name...>")
    .description("replace the certificate and key of each name by the next of its line")
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
  const plans = namedFiles(words, { home, options });
  const target = authorityTarget(context, options);
  if (target !== undefined) {
    await renewAllOnline(plans, { target, options, context });
    return;
  }
  const authority = await openAuthorityHome(home, {
    passphrase: passphraseForOpening(context, options),
    clock: context.now,
    ...revocationUrlOf(context, options),
  });
  try {
    const renewed: Issued[] = [];
    for (const plan of plans) {
      renewed.push({ ...plan, certificate: await renewOne(authority, { ...plan, options }) });
    }
    reportIssued(renewed, {
      output: context.output,
      json: options.json === true,
      now: context.now(),
      caFile: authorityHome(home).bundle,
    });
  } finally {
    await authority.close();
  }
}

/** Each over a connection of its own certificate. */
async function renewAllOnline(
  plans: readonly NamedFiles[],
  { target, options, context }: { target: string; options: RenewOptions; context: Context },
): Promise<void> {
  const { days, ttl, keyAlgorithm, caFile } = options;
  const validitySeconds = days === undefined ? ttl : days * 86_400;
  const renewed: Issued[] = [];
  for (const { name, paths } of plans) {
    const bundle = caFile ?? paths.bundle ?? join(dirname(paths.certificate), "ca.pem");
    const { certificate } = await renewCredentialOnline(paths, {
      target,
      bundle,
      ...(validitySeconds === undefined ? {} : { validitySeconds }),
      ...(keyAlgorithm === undefined ? {} : { keyAlgorithm }),
    });
    renewed.push({ name, paths: { ...paths, bundle }, certificate });
  }
  reportIssued(renewed, {
    output: context.output,
    json: options.json === true,
    now: context.now(),
    caFile: "",
  });
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
