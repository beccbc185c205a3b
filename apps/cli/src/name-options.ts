import { parseAlternativeName, serviceNames } from "@handfast/ca";
import type { AlternativeNames, Authority, ServiceName } from "@handfast/ca";
import { parseSpiffeId } from "@handfast/x509";
import { Option } from "commander";
import type { Command } from "commander";
import { collect } from "./common-options.ts";
import { parseCount, parseDuration } from "./duration.ts";

/** Options that say what a certificate is to carry. */
export interface NameOptions {
  readonly profile: string;
  readonly days?: number;
  readonly ttl?: number;
  readonly san?: readonly string[];
  readonly local?: true;
  /** False for `--no-spiffe-id`. */
  readonly spiffeId?: string | false;
  readonly organization?: readonly string[];
  readonly organizationalUnit?: readonly string[];
}

/** Adds the options that say what a certificate is to carry. */
export function withNameOptions(command: Command): Command {
  return command
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
    .option("--organizational-unit <name>", "OU of the subject; repeatable", collect);
}

/** Reads the names without using them. @throws CaError NAME_REFUSED; X509Error SPIFFE_ID_INVALID */
export function checkNameOptions({ san = [], spiffeId }: NameOptions): void {
  san.forEach(parseAlternativeName);
  if (typeof spiffeId === "string") parseSpiffeId(spiffeId);
}

/** What is asked for a service of a name: subject, names and validity. */
export function contentsOf(
  name: ServiceName,
  {
    options,
    authority,
  }: { options: NameOptions; authority: Pick<Authority, "profiles" | "trustDomain"> },
): {
  profile: string;
  subject: {
    commonName: string;
    organizations: readonly string[];
    organizationalUnits: readonly string[];
  };
  names: AlternativeNames;
  validitySeconds?: number;
} {
  const { profile, spiffeId, san = [], local = false, days, ttl } = options;
  const kinds = authority.profiles[profile]?.names;
  const validitySeconds = days === undefined ? ttl : days * 86_400;
  return {
    profile,
    subject: {
      commonName: name,
      organizations: options.organization ?? [],
      organizationalUnits: options.organizationalUnit ?? [],
    },
    names: serviceNames(name, {
      trustDomain: authority.trustDomain,
      additional: san,
      local,
      ...(kinds === undefined ? {} : { kinds }),
      ...(spiffeId === undefined ? {} : { spiffeId: spiffeId === false ? null : spiffeId }),
    }),
    ...(validitySeconds === undefined ? {} : { validitySeconds }),
  };
}
