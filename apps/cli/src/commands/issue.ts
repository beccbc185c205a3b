import {
  authorityHome,
  CaError,
  credentialPaths,
  openAuthorityHome,
  parseAlternativeName,
  parseServiceName,
  refuseExistingCredential,
  serviceNames,
  writeCredential,
} from "@handfast/ca";
import type {
  AlternativeNames,
  Authority,
  CredentialLayout,
  CredentialPaths,
  ServiceName,
} from "@handfast/ca";
import { generateKeyPair, identityOf, parseSpiffeId, X509Error } from "@handfast/x509";
import type { Certificate, KeyAlgorithm } from "@handfast/x509";
import { Option } from "commander";
import type { Command } from "commander";
import { join, resolve } from "node:path";
import {
  collect,
  keyAlgorithmOption,
  withHomeOptions,
  withPassphraseOption,
} from "../common-options.ts";
import { homeOf } from "../context.ts";
import type { CommonOptions, Context } from "../context.ts";
import { formatTime, fromNow, parseCount, parseDuration } from "../duration.ts";
import { UsageError } from "../failure.ts";
import { columns } from "../output.ts";
import { passphraseForOpening } from "../passphrase.ts";
import type { PassphraseOptions } from "../passphrase.ts";
import { localRequester } from "../requester.ts";

interface IssueOptions extends CommonOptions, PassphraseOptions {
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
  readonly layout: CredentialLayout;
  readonly out?: string;
  readonly force?: true;
}

interface Issued {
  readonly name: ServiceName;
  readonly paths: CredentialPaths;
  readonly certificate: Certificate;
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
      new Option("--layout <kind>", "tree: NAME/NAME.pem; flat: NAME.crt, NAME.key, ca.crt")
        .choices(["tree", "flat"])
        .default("tree"),
    )
    .option("--out <dir>", "where the files go (default: certs in the home)")
    .option("--force", "replace the files of that name that are there")
    .action((names: string[], options: IssueOptions) => issue(names, { options, context }));
  withPassphraseOption(withHomeOptions(command));
}

async function issue(
  words: readonly string[],
  { options, context }: { options: IssueOptions; context: Context },
): Promise<void> {
  const names = usage(() => words.map(parseServiceName));
  usage(() => checkNameOptions(options));
  const twice = words.find((word, index) => words.indexOf(word) !== index);
  if (twice !== undefined)
    throw new UsageError(`${twice} is named twice`, "name each service once");

  const home = homeOf(context, options);
  const directory = options.out === undefined ? join(home, "certs") : resolve(options.out);
  const plans = names.map((name) => ({
    name,
    paths: credentialPaths(name, { directory, layout: options.layout }),
  }));
  const authority = await openAuthorityHome(home, {
    passphrase: passphraseForOpening(context, options),
    clock: () => context.now(),
  });
  try {
    if (options.force !== true) {
      for (const { paths } of plans) await refuseExistingCredential(paths);
    }
    const issued: Issued[] = [];
    for (const plan of plans) {
      issued.push({ ...plan, certificate: await issueOne(authority, { ...plan, options }) });
    }
    report(issued, { options, context, caFile: authorityHome(home).bundle });
  } finally {
    await authority.close();
  }
}

async function issueOne(
  authority: Authority,
  { name, paths, options }: { name: ServiceName; paths: CredentialPaths; options: IssueOptions },
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
  await writeCredential(paths, {
    chain,
    privateKey,
    roots: await authority.roots(),
    overwrite: options.force === true,
  });
  return certificate;
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

function checkNameOptions({ san = [], spiffeId }: IssueOptions): void {
  san.forEach(parseAlternativeName);
  if (typeof spiffeId === "string") parseSpiffeId(spiffeId);
}

/** What is wrong with the words of the command line is wrong use of the command. */
function usage<Value>(read: () => Value): Value {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof CaError) && !(error instanceof X509Error)) throw error;
    throw new UsageError(error.message, error.hint);
  }
}

function report(
  issued: readonly Issued[],
  { options, context, caFile }: { options: IssueOptions; context: Context; caFile: string },
): void {
  const { output } = context;
  if (options.json === true) {
    output.json({
      issued: issued.map(({ name, paths, certificate }) => ({
        name,
        certificateFile: paths.certificate,
        keyFile: paths.key,
        caFile: paths.bundle ?? caFile,
        identity: identityOf(certificate) ?? null,
        serialNumber: certificate.serialNumber,
        fingerprint: certificate.fingerprint,
        notBefore: formatTime(certificate.notBefore),
        notAfter: formatTime(certificate.notAfter),
      })),
    });
    return;
  }
  for (const { paths, certificate } of issued) {
    const { dns, ip, uri, email } = certificate.subjectAltNames;
    const until = formatTime(certificate.notAfter);
    const rows = columns([
      ["certificate", paths.certificate],
      ["key", paths.key],
      ["trust", paths.bundle ?? caFile],
      ["identity", identityOf(certificate) ?? "none: no single name says who it is"],
      ["names", [...dns, ...ip, ...uri, ...email].join(", ")],
      ["valid until", `${until} (${fromNow(certificate.notAfter, context.now())})`],
    ]);
    for (const row of rows) output.line(row);
    if (issued.at(-1)?.certificate !== certificate) output.line();
  }
}
