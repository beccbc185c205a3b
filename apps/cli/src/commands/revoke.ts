import { authorityHome, openAuthorityHome, writeCrls } from "@handfast/ca";
import type { Authority, CertificateRecord, RevocationReason } from "@handfast/ca";
import { parseFingerprint, parseSerialNumber, X509Error } from "@handfast/x509";
import { Option } from "commander";
import type { Command } from "commander";
import { withHomeOptions, withPassphraseOption } from "../common-options.ts";
import { homeOf } from "../context.ts";
import type { CommonOptions, Context } from "../context.ts";
import { UsageError } from "../failure.ts";
import { passphraseForOpening } from "../passphrase.ts";
import type { PassphraseOptions } from "../passphrase.ts";
import { localRequester } from "../requester.ts";

interface RevokeOptions extends CommonOptions, PassphraseOptions {
  readonly reason: RevocationReason;
  readonly onlyThis?: true;
  readonly all?: true;
}

/** `handfast revoke`: ends certificates, and publishes that at once. */
export function revokeCommand(program: Command, context: Context): void {
  const command = program
    .command("revoke <certificate...>")
    .description("revoke by name, serial number or fingerprint, with all that was renewed from it")
    .addOption(new Option("--reason <reason>", "why").choices(reasons).default("unspecified"))
    .option("--only-this", "leave what was renewed from it, and its identity, alone")
    .option("--all", "every living certificate of a name that several lines have")
    .action((words: string[], options: RevokeOptions) => revoke(words, { options, context }));
  withPassphraseOption(withHomeOptions(command));
}

async function revoke(
  words: readonly string[],
  { options, context }: { options: RevokeOptions; context: Context },
): Promise<void> {
  const { output } = context;
  const { reason, onlyThis = false } = options;
  const home = homeOf(context, options);
  const authority = await openAuthorityHome(home, {
    passphrase: passphraseForOpening(context, options),
    clock: context.now,
  });
  try {
    const named: CertificateRecord[] = [];
    for (const word of words) named.push(...(await find(authority, { word, options })));
    const revoked: CertificateRecord[] = [];
    for (const { fingerprint: certificate } of named) {
      const requester = localRequester();
      revoked.push(...(await authority.revoke({ certificate, reason, requester, onlyThis })));
    }
    const lists = await publish(authority, { revoked, home });
    if (options.json === true) {
      output.json({ revoked: revoked.map(recordJson), crlFiles: lists });
      return;
    }
    for (const record of revoked) {
      output.line(`revoked  ${record.serialNumber}  ${record.identity ?? record.subject}`);
    }
    if (revoked.length === 0) output.line("all of that was revoked before");
    for (const list of lists) output.line(`list     ${list}`);
  } finally {
    await authority.close();
  }
}

/** Lists of the keys that issued what was revoked; signed again also when nothing was new. */
async function publish(
  authority: Authority,
  { revoked, home }: { revoked: readonly CertificateRecord[]; home: string },
): Promise<readonly string[]> {
  const crls = [...(await authority.publishCrls({ role: "issuing" }))];
  if (revoked.some(({ profile }) => profile === "issuing")) {
    crls.push(...(await authority.publishCrls({ role: "root" })));
  }
  return writeCrls(authorityHome(home), crls);
}

async function find(
  authority: Authority,
  { word, options }: { word: string; options: RevokeOptions },
): Promise<readonly CertificateRecord[]> {
  const byNumber = await findByNumber(authority, word);
  if (byNumber.length > 0) return byNumber;
  const found = await authority.find({ name: word, status: "valid" });
  if (found.length === 0) {
    throw new UsageError(
      `${word} is neither the name of a living certificate nor a serial number or fingerprint`,
      "see what there is with `handfast list`",
    );
  }
  if (found.length === 1 || options.all === true) return found;
  const eldest = eldestOfOneLine(found);
  if (eldest !== undefined && options.onlyThis !== true) return [eldest];
  throw new UsageError(
    `${word} names ${found.length} living certificates: ${found.map(({ serialNumber }) => serialNumber).join(", ")}`,
    "give a serial number, or --all for every one of them",
  );
}

/** Newest come first; what was renewed from the eldest goes with it. */
function eldestOfOneLine(found: readonly CertificateRecord[]): CertificateRecord | undefined {
  const lines = new Set(found.map(({ enrolment }) => enrolment));
  return lines.size === 1 ? found.at(-1) : undefined;
}

/** A word of digits may also be a name: what is not found by number is looked up by name. */
async function findByNumber(
  authority: Authority,
  word: string,
): Promise<readonly CertificateRecord[]> {
  try {
    if (word.length >= 64) return await authority.find({ fingerprint: parseFingerprint(word) });
    return await authority.find({ serialNumber: parseSerialNumber(word) });
  } catch (error) {
    if (error instanceof X509Error) return [];
    throw error;
  }
}

function recordJson({ serialNumber, fingerprint, identity, subject }: CertificateRecord): object {
  return { serialNumber, fingerprint, identity: identity ?? null, subject };
}

const reasons: readonly RevocationReason[] = [
  "unspecified",
  "keyCompromise",
  "cACompromise",
  "affiliationChanged",
  "superseded",
  "cessationOfOperation",
  "privilegeWithdrawn",
  "aACompromise",
];
