import { existsSync } from "node:fs";
import { authorityHome } from "@handfast/ca";
import { examineFiles, examineServer } from "@handfast/tls/doctor";
import type { ExamineFilesOptions, FilesReport, Finding, ServerReport } from "@handfast/tls/doctor";
import { spiffeId } from "@handfast/tls";
import { Option } from "commander";
import type { Command } from "commander";
import { collect, withHomeOptions } from "../common-options.ts";
import { homeOf } from "../context.ts";
import type { CommonOptions, Context } from "../context.ts";
import { asUsage, namedFiles } from "../credential.ts";
import { parseCount, parseDuration } from "../duration.ts";
import {
  filesJson,
  findingsJson,
  reportFiles,
  reportServer,
  serverJson,
} from "../doctor-report.ts";
import { sayFindings } from "../doctor-report.ts";
import { AnsweredNo, UsageError } from "../failure.ts";
import { parseTarget } from "../target.ts";
import { listenAsServer } from "./doctor/listen.ts";

export interface DoctorOptions extends CommonOptions {
  readonly files?: true;
  readonly listen?: string;
  readonly count?: number;
  readonly as?: string;
  readonly cert?: string;
  readonly key?: string;
  readonly ca?: string;
  readonly crl?: string;
  readonly peerCa?: string;
  readonly name?: readonly string[];
  readonly spiffeId?: string;
  readonly purpose?: "server" | "client";
  readonly protocol?: "h2" | "http/1.1";
  readonly timeout?: number;
  readonly dangerouslySendCertificate?: true;
}

/** `handfast doctor`: what is wrong with mutual TLS, here or there, and what mends it. */
export function doctorCommand(program: Command, context: Context): void {
  const command = program
    .command("doctor [host:port]")
    .description(
      "handshake with a server as a client would, and say what is wrong and what mends it",
    )
    .option("--files", "look at the files of this side only")
    .option("--listen <host:port>", "be the server, and say of each client what is wrong")
    .addOption(
      new Option("--count <number>", "with --listen: end after so many connections").argParser(
        parseCount,
      ),
    )
    .option("--as <name>", "with the certificate of this name from the home")
    .option("--cert <file>", "certificate of this side, its intermediates after it ($CERT_FILE)")
    .option("--key <file>", "its key ($KEY_FILE)")
    .option("--ca <file>", "the bundle this side trusts ($CA_FILE; default: this authority's)")
    .option("--crl <dir>", "revocation lists ($CRL_DIR; default: this authority's)")
    .option("--peer-ca <file>", "the bundle the other side trusts: must lead to our certificate")
    .option("--name <name>", "the name that is dialled, if not the host; repeatable", collect)
    .option("--spiffe-id <id>", "the SPIFFE id the server must have, instead of a name")
    .addOption(
      new Option("--purpose <purpose>", "what the files are for").choices(["server", "client"]),
    )
    .addOption(
      new Option("--protocol <name>", "what the client has to speak").choices(["h2", "http/1.1"]),
    )
    .addOption(
      new Option("--timeout <duration>", "for each connection").argParser(parseDuration).default(5),
    )
    .option("--dangerously-send-certificate", "send it to a server that was not verified, too")
    .action((target: string | undefined, options: DoctorOptions) =>
      doctor(target, { options, context }),
    );
  withHomeOptions(command);
}

async function doctor(
  target: string | undefined,
  { options, context }: { options: DoctorOptions; context: Context },
): Promise<void> {
  const { output } = context;
  const asked = [target, options.files, options.listen].filter((word) => word !== undefined);
  if (asked.length !== 1) {
    throw new UsageError(
      asked.length === 0 ? "nothing to examine was named" : "more than one thing was named",
      "`handfast doctor HOST:PORT`, `handfast doctor --files` or `handfast doctor --listen HOST:PORT`",
    );
  }
  const side = sideOf(options, context);
  const json = options.json === true;
  const now = context.now();
  const purpose = options.purpose ?? (target === undefined ? undefined : "client");
  const files = await examineFiles({
    ...side,
    now,
    ...(target === undefined ? { names: options.name ?? [] } : {}),
    ...(purpose === undefined ? {} : { purposes: [purpose] }),
  });
  if (target === undefined) {
    if (!json) reportFiles(files, { side, now, output });
    const failed = files.findings.some(({ severity }) => severity === "error");
    if (options.listen !== undefined && !failed) {
      sayFindings(files.findings, output);
      return listenAsServer(options.listen, { side, options, context });
    }
    if (json) output.json({ ...filesJson(files), ...findingsJson(files.findings) });
    return answer(files.findings, { json, context });
  }

  const server = await examineServer({
    ...parseTarget(target),
    ...serverOptions(options, { files, now }),
  });
  // Where the files do not even fit together, that comes first.
  const findings = merged(files.findings, server.findings);
  if (json) output.json({ ...serverJson(server), ...findingsJson(findings) });
  else reportServer(server, { now, output });
  answer(findings, { json, context });
}

function serverOptions(
  { name, spiffeId: id, protocol, timeout, dangerouslySendCertificate }: DoctorOptions,
  { files, now }: { files: FilesReport; now: Date },
): Omit<Parameters<typeof examineServer>[0], "host" | "port"> {
  const [serverName] = name ?? [];
  return {
    now,
    timeoutMs: (timeout ?? 5) * 1_000,
    crls: files.crls,
    ...(files.bundle === undefined ? {} : { trust: [{ bundle: files.bundle }] }),
    ...(files.identity === undefined
      ? {}
      : { identity: { ...files.identity, chain: files.chain } }),
    ...(serverName === undefined ? {} : { name: serverName }),
    ...(id === undefined ? {} : { expect: asUsage(() => spiffeId(id)) }),
    ...(protocol === undefined ? {} : { protocol }),
    ...(dangerouslySendCertificate === undefined ? {} : { dangerouslySendCertificate }),
  };
}

function answer(
  findings: readonly Finding[],
  { json, context: { output } }: { json: boolean; context: Context },
): void {
  if (!json) sayFindings(findings, output);
  if (findings.some(({ severity }) => severity === "error")) throw new AnsweredNo();
  if (!json) output.line(findings.length === 0 ? "ok: nothing is wrong here" : "ok: it works");
}

/** Errors of the files, errors of the server, then the warnings of both. */
function merged(files: readonly Finding[], server: ServerReport["findings"]): readonly Finding[] {
  const all = [...files, ...server];
  return [
    ...all.filter(({ severity }) => severity === "error"),
    ...all.filter(({ severity }) => severity === "warning"),
  ];
}

/** The files of this side: options, else the environment that services read, else the home's. */
export type Side = Pick<
  ExamineFilesOptions,
  "certFile" | "keyFile" | "caFile" | "crlDirectory" | "peerCaFile"
>;

function sideOf(options: DoctorOptions, context: Context): Side {
  const { env } = context;
  const home = homeOf(context, options);
  const named =
    options.as === undefined
      ? undefined
      : namedFiles([options.as], { home, options: { layout: "tree" } })[0]?.paths;
  const { bundle, crls } = authorityHome(home);
  const caFile = options.ca ?? env["CA_FILE"] ?? existing(bundle);
  // Our own lists belong to our own bundle.
  const crlDirectory =
    options.crl ?? env["CRL_DIR"] ?? (caFile === bundle ? existing(crls) : undefined);
  const side = {
    certFile: options.cert ?? named?.certificate ?? env["CERT_FILE"],
    keyFile: options.key ?? named?.key ?? env["KEY_FILE"],
    caFile,
    crlDirectory,
    peerCaFile: options.peerCa,
  };
  return Object.fromEntries(Object.entries(side).filter(([, path]) => path !== undefined));
}

function existing(path: string): string | undefined {
  return existsSync(path) ? path : undefined;
}
