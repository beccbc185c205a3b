import { resolve } from "node:path";
import {
  authorityHome,
  createAcme,
  createAuthorityMetrics,
  createAuthorityService,
  openAuthorityParts,
  systemNetwork,
  writeCrls,
} from "@handfast/ca";
import type {
  AuditTrail,
  AuthorityParts,
  AuthorityService,
  AuthorityServiceOptions,
} from "@handfast/ca";
import { policyFromFile } from "@handfast/policy";
import { InvalidArgumentError, Option } from "commander";
import type { Command } from "commander";
import { collect, withHomeOptions, withPassphraseOption } from "../../common-options.ts";
import { homeOf } from "../../context.ts";
import type { CommonOptions, Context } from "../../context.ts";
import { revocationUrlOf, revocationUrlOption } from "../../revocation-url.ts";
import { passphraseForOpening } from "../../passphrase.ts";
import type { PassphraseOptions } from "../../passphrase.ts";
import { createServiceLog } from "../../service-log.ts";
import type { ServiceLog } from "../../service-log.ts";
import { openServiceAudit } from "../../service-audit.ts";
import type { ServiceAudit } from "../../service-audit.ts";
import { writeServedAt } from "../../service-file.ts";

interface ServeOptions extends CommonOptions, PassphraseOptions {
  readonly host: string;
  readonly name?: readonly string[];
  readonly enrolPort: number;
  readonly port: number;
  readonly publishPort?: number;
  readonly metricsPort?: number;
  readonly revocationUrl?: string;
  readonly adminPolicy?: string;
  readonly auditFile?: string;
  readonly auditKeyFile?: string;
  readonly acme?: true;
  readonly acmeNetwork?: readonly string[];
  readonly acmeResolver?: readonly string[];
  readonly allowClearKey?: true;
}

/** `handfast ca serve`: puts the authority online, until a signal. */
export function caServeCommand(group: Command, context: Context): void {
  const command = group
    .command("serve")
    .description("serve enrolment, renewal and revocation until SIGTERM or SIGINT")
    .option("--host <host>", "the address to bind, and the name clients dial", "localhost")
    .option("--name <name>", "the name clients dial, if not the host; repeatable", collect)
    .addOption(portOption("--enrol-port", "for whoever has no certificate yet", 8440))
    .addOption(portOption("--port", "over mutual TLS, for whoever has one", 8441))
    .addOption(
      portOption("--publish-port", "lists, OCSP and roots over plain HTTP (default: none)"),
    )
    .addOption(portOption("--metrics-port", "health and metrics on 127.0.0.1 (default: none)"))
    .addOption(revocationUrlOption())
    .option("--admin-policy <file>", "who may revoke and find certificates of others")
    .option("--audit-file <file>", "record every act and refusal there, chained and signed")
    .option("--audit-key-file <file>", "the key that signs them (default: the file's -key.pem)")
    .option("--acme", "serve ACME below /acme of the enrolment port")
    .option(
      "--acme-network <network>",
      "a private network, 10.1.0.0/16, that its challenges may be validated in; repeatable",
      collect,
    )
    .option(
      "--acme-resolver <address>",
      "the DNS server that its names are resolved by (default: the system's); repeatable",
      collect,
    )
    .option("--allow-clear-key", "serve though the issuing key is not encrypted")
    .action((options: ServeOptions) => serve(options, context));
  withPassphraseOption(withHomeOptions(command));
}

async function serve(options: ServeOptions, context: Context): Promise<void> {
  const home = homeOf(context, options);
  const log = createServiceLog(context.output, { json: options.json === true });
  const undo: (() => Promise<unknown> | void)[] = [];
  try {
    const audit = await openServiceAudit(options, log);
    undo.unshift(() => audit.close());
    const metrics = createAuthorityMetrics();
    const trail = metrics.counting(log.auditing(audit.trail));
    const parts = await openAuthorityParts(home, {
      passphrase: passphraseForOpening(context, options),
      clearKeys: options.allowClearKey === true ? "allow" : "refuse",
      clock: context.now,
      audit: trail,
      ...revocationUrlOf(context, options),
    });
    undo.unshift(() => parts.authority.close());
    const admins =
      options.adminPolicy === undefined
        ? undefined
        : await policyFromFile(resolve(options.adminPolicy), {
            trustDomains: [parts.authority.trustDomain],
            auditLoggers: "none",
            onEvent: log.policy,
          });
    undo.unshift(() => admins?.close());
    const service = await createAuthorityService({
      ...listeners(options),
      authority: parts.authority,
      audit: trail,
      counters: metrics.counters,
      clock: context.now,
      ...(admins && { admins }),
      ...(options.acme === true && {
        acme: acmeOn(parts, { options, log, context, audit: trail }),
      }),
      ...reports({ home, log, audit }),
    });
    undo.unshift(() => service.shutdown());
    await announce(service, { home, log });
    log.stopping(await context.stopped());
  } finally {
    for (const step of undo) await step();
  }
}

function listeners({
  host,
  name,
  enrolPort,
  port,
  publishPort,
  metricsPort,
}: ServeOptions): Pick<
  AuthorityServiceOptions,
  "names" | "enrolment" | "authorityListener" | "publication" | "operations"
> {
  const [first = host, ...others] = name ?? [];
  return {
    names: [first, ...others],
    enrolment: { host, port: enrolPort },
    authorityListener: { host, port },
    ...(publishPort !== undefined && { publication: { host, port: publishPort } }),
    ...(metricsPort !== undefined && { operations: { host: "127.0.0.1", port: metricsPort } }),
  };
}

function acmeOn(
  { authority, store, keys }: AuthorityParts,
  {
    options,
    log,
    context,
    audit,
  }: { options: ServeOptions; log: ServiceLog; context: Context; audit: AuditTrail },
): NonNullable<AuthorityServiceOptions["acme"]> {
  return (enrolmentUrl) =>
    createAcme({
      authority,
      store,
      keys,
      url: `${enrolmentUrl}/acme`,
      allowNetworks: options.acmeNetwork ?? [],
      network: systemNetwork({ resolvers: options.acmeResolver ?? [] }),
      audit,
      clock: context.now,
      onEvent: log.acme,
    });
}

/** Lists also go where services on this machine read them (CRL_DIR). */
function reports({
  home,
  log,
  audit,
}: {
  home: string;
  log: ServiceLog;
  audit: ServiceAudit;
}): Pick<AuthorityServiceOptions, "onCrls" | "onEvent"> {
  let writing: Promise<unknown> = Promise.resolve();
  return {
    onCrls(lists) {
      writing = writing
        .then(() => writeCrls(authorityHome(home), [...lists.values()]))
        .catch((error: unknown) => log.event({ type: "fault", during: "CRL files", error }));
    },
    onEvent(event) {
      log.event(event);
      audit.onEvent(event);
    },
  };
}

async function announce(
  { enrolmentUrl, authorityTarget, publicationPort, operationsPort }: AuthorityService,
  { home, log }: { home: string; log: ServiceLog },
): Promise<void> {
  await writeServedAt(home, { enrolmentUrl, authorityTarget });
  log.serving({ enrolmentUrl, authorityTarget, publicationPort, operationsPort });
}

function portOption(flag: string, description: string, port?: number): Option {
  const option = new Option(`${flag} <port>`, `${description}; 0 takes a free one`).argParser(
    (text) => {
      if (/^\d{1,5}$/.test(text) && Number(text) < 65_536) return Number(text);
      throw new InvalidArgumentError("It must be a port from 0 to 65535.");
    },
  );
  return port === undefined ? option : option.default(port);
}
