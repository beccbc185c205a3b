import { existsSync } from "node:fs";
import { authorityHome } from "@handfast/ca";
import { readBounded } from "@handfast/files";
import {
  checkRevocation,
  identityOf,
  parsePrivateKey,
  parseSpiffeId,
  publicKeyMatches,
  verifyChain,
} from "@handfast/x509";
import type {
  Certificate,
  ChainPurpose,
  ChainReason,
  ChainVerdict,
  Crl,
  VerifyChainOptions,
} from "@handfast/x509";
import { Option } from "commander";
import type { Command } from "commander";
import { readCertificates } from "../certificate-file.ts";
import { collect, withHomeOptions } from "../common-options.ts";
import { homeOf } from "../context.ts";
import type { CommonOptions, Context } from "../context.ts";
import { readCrls } from "../crl-files.ts";
import { formatTime, parseTime } from "../duration.ts";
import { AnsweredNo } from "../failure.ts";
import { passphraseFromFile } from "../passphrase.ts";

interface VerifyOptions extends CommonOptions {
  readonly ca?: string;
  readonly crl?: readonly string[];
  readonly purpose?: "server" | "client";
  readonly name?: string;
  readonly spiffeId?: string;
  readonly key?: string;
  readonly passphraseFile?: string;
  readonly at?: Date;
}

interface Answer {
  readonly purpose: ChainPurpose;
  readonly verdict: ChainVerdict;
  /** Why revocation is not known; undefined if it is, or was not asked for. */
  readonly undetermined?: string;
}

/** `handfast verify FILE`: would a peer accept it, as what, and if not why. */
export function verifyCommand(program: Command, context: Context): void {
  const command = program
    .command("verify <file>")
    .description("say whether a peer would accept a certificate, as what, and if not why")
    .option("--ca <file>", "the bundle that the peer trusts (default: this authority's)")
    .option("--crl <path>", "revocation lists to look in, a file or a folder; repeatable", collect)
    .addOption(
      new Option(
        "--purpose <purpose>",
        "what it is presented for (default: what it is made for)",
      ).choices(["server", "client"]),
    )
    .option("--name <name>", "the DNS name or address that a client dials")
    .option("--spiffe-id <id>", "the SPIFFE id that is expected")
    .option("--key <file>", "a private key that must belong to it")
    .option("--passphrase-file <file>", "the passphrase of that key")
    .addOption(new Option("--at <time>", "judge at this time instead of now").argParser(parseTime))
    .action((file: string, options: VerifyOptions) => verify(file, { options, context }));
  withHomeOptions(command);
}

async function verify(
  file: string,
  { options, context }: { options: VerifyOptions; context: Context },
): Promise<void> {
  const { output } = context;
  const now = options.at ?? context.now();
  const [leaf, ...candidates] = await readCertificates(file);
  const anchors = await readCertificates(
    options.ca ?? authorityHome(homeOf(context, options)).bundle,
  );
  const crls = await readCrls(crlPlaces(options, context));
  const expected = {
    ...(options.name === undefined ? {} : { name: options.name }),
    ...(options.spiffeId === undefined ? {} : { spiffeId: parseSpiffeId(options.spiffeId) }),
  };
  const answers = purposesOf(leaf, options).map((purpose): Answer => ({
    purpose,
    ...judge({ leaf, candidates }, { anchors, now, purpose, crls, ...expected }),
  }));
  const keyBelongs = options.key === undefined ? undefined : await matches(leaf, options, context);
  const ok = answers.every(({ verdict }) => verdict.ok) && keyBelongs !== false;

  if (options.json === true) {
    output.json({
      file,
      ok,
      identity: identityOf(leaf) ?? null,
      at: formatTime(now),
      verdicts: await Promise.all(answers.map(answerJson)),
      ...(keyBelongs === undefined ? {} : { keyBelongs }),
    });
  } else {
    for (const answer of answers) if (answer.verdict.ok) output.line(accepted(file, leaf, answer));
    const unknown = answers.find(({ undetermined }) => undetermined !== undefined);
    if (unknown !== undefined) {
      output.note(`note: whether it is revoked is not known: ${unknown.undetermined}`);
    }
    if (keyBelongs === true) output.line(`${options.key}: the key belongs to the certificate`);
  }
  for (const { purpose, verdict } of answers) {
    if (verdict.ok) continue;
    output.note(
      `error: ${file}: refused ${asWhat(purpose)}: ${verdict.message} (${verdict.reason})`,
    );
    if (verdict.certificate !== leaf) {
      output.note(`error: the certificate it concerns is ${verdict.certificate.subject.text}`);
    }
    output.note(`hint: ${await hintFor(verdict.reason)}`);
  }
  if (keyBelongs === false) {
    output.note(`error: ${options.key}: the key does not belong to the certificate`);
    output.note("hint: certificate and key must be of one pair; issue them again together");
  }
  if (!ok) throw new AnsweredNo();
}

/** A path that holds is looked up; nothing is said about one that does not (S10). */
function judge(
  chain: Parameters<typeof verifyChain>[0],
  { crls, ...options }: VerifyChainOptions & { readonly crls: readonly Crl[] },
): Pick<Answer, "verdict" | "undetermined"> {
  const verdict = verifyChain(chain, options);
  if (!verdict.ok || crls.length === 0) return { verdict };
  const found = checkRevocation(verdict.path, { crls, now: options.now });
  switch (found.status) {
    case "unrevoked":
      return { verdict };
    case "undetermined":
      return { verdict, undetermined: found.reason };
    case "revoked": {
      const { certificate, entry } = found;
      const message = `was revoked at ${formatTime(entry.revokedAt)}${entry.reason === undefined ? "" : ` (${entry.reason})`}`;
      return { verdict: { ok: false, reason: "CERTIFICATE_REVOKED", certificate, message } };
    }
  }
}

/** Our own lists belong to our own bundle; with another bundle the lists are named too. */
function crlPlaces(options: VerifyOptions, context: Context): readonly string[] {
  if (options.crl !== undefined) return options.crl;
  if (options.ca !== undefined) return [];
  const { crls } = authorityHome(homeOf(context, options));
  return existsSync(crls) ? [crls] : [];
}

/** A name is dialled at servers only; otherwise every purpose that the certificate claims. */
function purposesOf(
  { extendedKeyUsage }: Certificate,
  { purpose, name }: VerifyOptions,
): readonly ChainPurpose[] {
  if (purpose !== undefined) return [purpose];
  if (name !== undefined) return ["server"];
  const claimed = [
    ...(extendedKeyUsage?.includes("serverAuth") === true ? (["server"] as const) : []),
    ...(extendedKeyUsage?.includes("clientAuth") === true ? (["client"] as const) : []),
  ];
  return claimed.length === 0 ? ["any"] : claimed;
}

async function matches(
  leaf: Certificate,
  options: VerifyOptions,
  context: Context,
): Promise<boolean> {
  const pem = await readBounded(options.key ?? "", { maxBytes: 64 * 1_024 });
  const passphrase = await passphraseFromFile(context, options);
  return publicKeyMatches(
    leaf,
    parsePrivateKey(pem, passphrase === undefined ? {} : { passphrase }),
  );
}

function accepted(file: string, leaf: Certificate, { purpose }: Answer): string {
  const { dns, ip } = leaf.subjectAltNames;
  const names = [...dns, ...ip].join(", ");
  const details =
    purpose === "server"
      ? `reachable as ${names === "" ? "nothing: it has no DNS name or address" : names}`
      : `as ${identityOf(leaf) ?? "nobody: no single name says who it is"}`;
  return `${file}: accepted ${asWhat(purpose)}, ${details}`;
}

function asWhat(purpose: ChainPurpose): string {
  return purpose === "any" ? "for any purpose" : `as a ${purpose}`;
}

/** Loaded for a refusal alone: nothing else here needs the TLS runtime. */
async function hintFor(reason: ChainReason): Promise<string> {
  const { refusals } = await import("@handfast/tls");
  return refusals[reason].hint;
}

async function answerJson({ purpose, verdict, undetermined }: Answer): Promise<object> {
  if (verdict.ok) {
    const path = verdict.path.map(({ subject }) => subject.text);
    return { purpose, ok: true, path, ...(undetermined === undefined ? {} : { undetermined }) };
  }
  const { reason, message, certificate } = verdict;
  return {
    purpose,
    ok: false,
    reason,
    message,
    hint: await hintFor(reason),
    certificate: certificate.subject.text,
  };
}
