import { dirname, join } from "node:path";
import {
  authorityHome,
  checkKubernetesName,
  openAuthorityHome,
  parseAlternativeName,
  refuseExistingCredential,
  serviceNames,
  writeCredential,
  writeKubernetesSecret,
} from "@handfast/ca";
import type { AlternativeNames, Authority, ServiceName } from "@handfast/ca";
import { generateKeyPair, parseSpiffeId } from "@handfast/x509";
import type { Certificate, KeyAlgorithm } from "@handfast/x509";
import { Option } from "commander";
import type { Command } from "commander";
import {
  collect,
  keyAlgorithmOption,
  withHomeOptions,
  withPassphraseOption,
} from "../common-options.ts";
import { homeOf } from "../context.ts";
import type { CommonOptions, Context } from "../context.ts";
import { asUsage, namedFiles, withLayoutOptions } from "../credential.ts";
import type { LayoutOptions, NamedFiles } from "../credential.ts";
import { parseCount, parseDuration } from "../duration.ts";
import { UsageError } from "../failure.ts";
import { passphraseForOpening } from "../passphrase.ts";
import type { PassphraseOptions } from "../passphrase.ts";
import { reportIssued } from "../report-issued.ts";
import type { Issued } from "../report-issued.ts";
import { localRequester } from "../requester.ts";

interface IssueOptions extends CommonOptions, PassphraseOptions, LayoutOptions {
  readonly profile: string;
  readonly days?: number;
  readonly ttl?: number;
  readonly san?: readonly string[];
  readonly local?: true;
  /** False for `--no-spiffe-id`. */
  readonly spiffeId?: string | false;
  readonly organization?: readonly string[];
  readonly organizationalUnit?: readonly string[];
  readonly keyAlgorithm?: KeyAlgorithm;
  readonly force?: true;
  readonly format: "pem" | "k8s-secret";
  readonly namespace?: string;
}

/** `handfast issue NAME…`: a certificate and key per name. */
export function issueCommand(program: Command, context: Context): void {
  const command = program
    .command("issue <name...>")
    .description("make a key and a certificate for each name, for server and client use")
    .option("--profile <name>", "peer, server, client or svid", "peer")
    .addOption(
      new Option("--days <number>", "how long it is valid (default: 90, svid 1)").argParser(
        parseCount,
      ),
    )
    .addOption(
      new Option("--ttl <duration>", "the same as 12h, 30m, …")
        .argParser(parseDuration)
        .conflicts("days"),
    )
    .option("--san <name>", "one more DNS name, IP address or URI; repeatable", collect)
    .option("--local", "add localhost, 127.0.0.1 and ::1")
    .option("--spiffe-id <id>", "instead of spiffe://TRUST-DOMAIN/NAME")
    .option("--no-spiffe-id", "without a SPIFFE id")
    .option("--organization <name>", "O of the subject; repeatable", collect)
    .option("--organizational-unit <name>", "OU of the subject; repeatable", collect)
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
    .action((names: string[], options: IssueOptions) => issue(names, { options, context }));
  withPassphraseOption(withHomeOptions(withLayoutOptions(command)));
}

async function issue(
  words: readonly string[],
  { options, context }: { options: IssueOptions; context: Context },
): Promise<void> {
  const home = homeOf(context, options);
  asUsage(() => checkNameOptions(options));
  const plans = namedFiles(words, { home, options }).map((plan) => ({
    ...plan,
    paths: options.format === "pem" ? plan.paths : secretPaths(plan),
  }));
  const authority = await openAuthorityHome(home, {
    passphrase: passphraseForOpening(context, options),
    clock: context.now,
  });
  try {
    if (options.force !== true) {
      for (const { paths } of plans) await refuseExistingCredential(paths);
    }
    const issued: Issued[] = [];
    for (const plan of plans) {
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
  const validitySeconds = options.days === undefined ? options.ttl : options.days * 86_400;
  const { chain, certificate } = await authority.issue({
    profile: options.profile,
    publicKey,
    subject: {
      commonName: name,
      organizations: options.organization ?? [],
      organizationalUnits: options.organizationalUnit ?? [],
    },
    names: namesOf(name, { options, authority }),
    requester: localRequester(),
    ...(validitySeconds === undefined ? {} : { validitySeconds }),
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

function namesOf(
  name: ServiceName,
  { options, authority }: { options: IssueOptions; authority: Authority },
): AlternativeNames {
  const { profile, spiffeId, san = [], local = false } = options;
  const kinds = authority.profiles[profile]?.names;
  return serviceNames(name, {
    trustDomain: authority.trustDomain,
    additional: san,
    local,
    ...(kinds === undefined ? {} : { kinds }),
    ...(spiffeId === undefined ? {} : { spiffeId: spiffeId === false ? null : spiffeId }),
  });
}

function checkNameOptions({ san = [], spiffeId, format, namespace }: IssueOptions): void {
  if (namespace !== undefined) {
    if (format !== "k8s-secret")
      throw new UsageError("--namespace is of a Secret", "add --format k8s-secret");
    checkKubernetesName(namespace);
  }
  san.forEach(parseAlternativeName);
  if (typeof spiffeId === "string") parseSpiffeId(spiffeId);
}
