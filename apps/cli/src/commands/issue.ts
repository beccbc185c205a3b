import { dirname, join } from "node:path";
import {
  authorityHome,
  checkKubernetesName,
  openAuthorityHome,
  refuseExistingCredential,
  writeCredential,
  writeKubernetesSecret,
} from "@handfast/ca";
import type { Authority, ServiceName } from "@handfast/ca";
import { generateKeyPair } from "@handfast/x509";
import type { Certificate, KeyAlgorithm } from "@handfast/x509";
import { Option } from "commander";
import type { Command } from "commander";
import { keyAlgorithmOption, withHomeOptions, withPassphraseOption } from "../common-options.ts";
import { homeOf } from "../context.ts";
import type { CommonOptions, Context } from "../context.ts";
import { asUsage, namedFiles, withLayoutOptions } from "../credential.ts";
import type { LayoutOptions, NamedFiles } from "../credential.ts";
import { UsageError } from "../failure.ts";
import { checkNameOptions, contentsOf, withNameOptions } from "../name-options.ts";
import type { NameOptions } from "../name-options.ts";
import { passphraseForOpening } from "../passphrase.ts";
import type { PassphraseOptions } from "../passphrase.ts";
import { reportIssued } from "../report-issued.ts";
import type { Issued } from "../report-issued.ts";
import { localRequester } from "../requester.ts";
import { revocationUrlOf, revocationUrlOption } from "../revocation-url.ts";

interface IssueOptions extends CommonOptions, PassphraseOptions, LayoutOptions, NameOptions {
  readonly keyAlgorithm?: KeyAlgorithm;
  readonly revocationUrl?: string;
  readonly force?: true;
  readonly format: "pem" | "k8s-secret";
  readonly namespace?: string;
}

/** `handfast issue NAME…`: a certificate and key per name. */
export function issueCommand(program: Command, context: Context): void {
  const command = program
    .command("issue <name...>")
    .description("make a key and a certificate for each name, for server and client use")
    .addOption(keyAlgorithmOption("of the new key (default: ecdsa-p256)"))
    .addOption(
      new Option(
        "--format <kind>",
        "k8s-secret: one manifest per name, NAME-tls.yaml, with the key in it",
      )
        .choices(["pem", "k8s-secret"])
        .default("pem"),
    )
    .option("--namespace <name>", "of the Secret; whoever applies it says if absent")
    .option("--force", "replace the files of that name that are there")
    .addOption(revocationUrlOption())
    .action((names: string[], options: IssueOptions) => issue(names, { options, context }));
  withPassphraseOption(withHomeOptions(withLayoutOptions(withNameOptions(command))));
}

async function issue(
  words: readonly string[],
  { options, context }: { options: IssueOptions; context: Context },
): Promise<void> {
  const home = homeOf(context, options);
  asUsage(() => checkNameOptions(options));
  asUsage(() => checkSecretOptions(options));
  const plans = namedFiles(words, { home, options }).map((plan) => ({
    ...plan,
    paths: options.format === "pem" ? plan.paths : secretPaths(plan),
  }));
  const authority = await openAuthorityHome(home, {
    passphrase: passphraseForOpening(context, options),
    clock: context.now,
    ...revocationUrlOf(context, options),
  });
  try {
    if (options.force !== true) {
      for (const { paths } of plans) await refuseExistingCredential(paths);
    }
    const issued: Issued[] = [];
    for (const [index, plan] of plans.entries()) {
      context.output.progress(`${plan.name}: ${index + 1} of ${plans.length}`);
      issued.push({ ...plan, certificate: await issueOne(authority, { ...plan, options }) });
    }
    reportIssued(issued, {
      output: context.output,
      json: options.json === true,
      now: context.now(),
      caFile: authorityHome(home).bundle,
    });
  } finally {
    await authority.close();
  }
}

async function issueOne(
  authority: Authority,
  { name, paths, options }: NamedFiles & { options: IssueOptions },
): Promise<Certificate> {
  const { publicKey, privateKey } = generateKeyPair(options.keyAlgorithm);
  const { chain, certificate } = await authority.issue({
    publicKey,
    ...contentsOf(name, { options, authority }),
    requester: localRequester(),
  });
  const contents = {
    chain,
    privateKey,
    roots: await authority.roots(),
    overwrite: options.force === true,
  };
  if (options.format === "pem") {
    await writeCredential(paths, contents);
  } else {
    const { namespace } = options;
    await writeKubernetesSecret(paths.key, {
      ...contents,
      name: secretName(name),
      ...(namespace === undefined ? {} : { namespace }),
    });
  }
  return certificate;
}

/** The manifest holds certificate, key and bundle, and lies where the certificate would. */
function secretPaths({ name, paths }: NamedFiles): NamedFiles["paths"] {
  asUsage(() => checkKubernetesName(secretName(name)));
  const manifest = join(dirname(paths.certificate), `${secretName(name)}.yaml`);
  return { certificate: manifest, key: manifest, bundle: manifest };
}

function secretName(name: ServiceName): string {
  return `${name}-tls`;
}

function checkSecretOptions({ format, namespace }: IssueOptions): void {
  if (namespace === undefined) return;
  if (format !== "k8s-secret") {
    throw new UsageError("--namespace is of a Secret", "add --format k8s-secret");
  }
  checkKubernetesName(namespace);
}
