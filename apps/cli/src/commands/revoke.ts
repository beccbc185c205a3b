import { authorityHome, openAuthorityHome, writeCrls } from "@handfast/ca";
import type {
  Authority,
  AuthorityClient,
  CertificateRecord,
  RemoteRecord,
  RevocationReason,
} from "@handfast/ca";
import { parseFingerprint, parseSerialNumber, X509Error } from "@handfast/x509";
import type { Fingerprint, SerialNumber } from "@handfast/x509";
import { Option } from "commander";
import type { Command } from "commander";
import { withHomeOptions, withPassphraseOption } from "../common-options.ts";
import { homeOf } from "../context.ts";
import type { CommonOptions, Context } from "../context.ts";
import { UsageError } from "../failure.ts";
import { authorityTarget, withOnlineAuthority, withOnlineOptions } from "../online.ts";
import type { OnlineOptions } from "../online.ts";
import { passphraseForOpening } from "../passphrase.ts";
import type { PassphraseOptions } from "../passphrase.ts";
import { localRequester } from "../requester.ts";

interface RevokeOptions extends CommonOptions, PassphraseOptions, OnlineOptions {
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
  withPassphraseOption(withHomeOptions(withOnlineOptions(command)));
}

async function revoke(
  words: readonly string[],
  { options, context }: { options: RevokeOptions; context: Context },
): Promise<void> {
  const target = authorityTarget(context, options);
  if (target !== undefined) {
    await withOnlineAuthority(target, { options, context }, (client) =>
      revokeWords(words, { options, context, inventory: onlineInventory(client) }),
    );
    return;
  }
  const home = homeOf(context, options);
  const authority = await openAuthorityHome(home, {
    passphrase: passphraseForOpening(context, options),
    clock: context.now,
  });
  try {
    await revokeWords(words, { options, context, inventory: homeInventory(authority, home) });
  } finally {
    await authority.close();
  }
}

async function revokeWords(
  words: readonly string[],
  {
    options,
    context,
    inventory,
  }: { options: RevokeOptions; context: Context; inventory: Inventory },
): Promise<void> {
  const { output } = context;
  const { reason, onlyThis = false } = options;
  const named: Found[] = [];
  for (const word of words) named.push(...(await find(inventory, { word, options })));
  const revoked: Found[] = [];
  for (const { fingerprint } of named) {
    const certificate = parseFingerprint(fingerprint);
    revoked.push(...(await inventory.revoke({ certificate, reason, onlyThis })));
  }
  const lists = await inventory.publish(revoked);
  if (options.json === true) {
    output.json({ revoked: revoked.map(recordJson), crlFiles: lists });
    return;
  }
  for (const record of revoked) {
    output.line(`revoked  ${record.serialNumber}  ${record.identity ?? record.subject}`);
  }
  if (revoked.length === 0) output.line("all of that was revoked before");
  for (const list of lists) output.line(`list     ${list}`);
}

/** What is said of a certificate, wherever its inventory is. */
type Found = Pick<CertificateRecord, "serialNumber" | "identity" | "subject" | "profile"> & {
  readonly fingerprint: string;
  readonly enrolment: string;
};

/** An inventory in which certificates are revoked: that of the home, or one that is online. */
interface Inventory {
  find(query: {
    readonly name?: string;
    readonly status?: "valid";
    readonly fingerprint?: Fingerprint;
    readonly serialNumber?: SerialNumber;
  }): Promise<readonly Found[]>;
  revoke(request: {
    readonly certificate: Fingerprint;
    readonly reason: RevocationReason;
    readonly onlyThis: boolean;
  }): Promise<readonly Found[]>;
  /** Gives the files of the lists that were signed, where they are here. */
  publish(revoked: readonly Found[]): Promise<readonly string[]>;
}

function homeInventory(authority: Authority, home: string): Inventory {
  return {
    find: (query) => authority.find(query),
    revoke: (request) => authority.revoke({ ...request, requester: localRequester() }),
    publish: (revoked) => publish(authority, { revoked, home }),
  };
}

/** An authority that is online publishes by itself. */
function onlineInventory(client: AuthorityClient): Inventory {
  return {
    find: async (query) => (await client.find(query)).records.map(foundOf),
    revoke: async (request) => (await client.revoke(request)).map(foundOf),
    publish: () => Promise.resolve([]),
  };
}

function foundOf(record: RemoteRecord): Found {
  return { ...record, serialNumber: parseSerialNumber(record.serialNumber) };
}

/** Lists of the keys that issued what was revoked; signed again also when nothing was new. */
async function publish(
  authority: Authority,
  { revoked, home }: { revoked: readonly Found[]; home: string },
): Promise<readonly string[]> {
  const crls = [...(await authority.publishCrls({ role: "issuing" }))];
  if (revoked.some(({ profile }) => profile === "issuing")) {
    crls.push(...(await authority.publishCrls({ role: "root" })));
  }
  return writeCrls(authorityHome(home), crls);
}

async function find(
  authority: Inventory,
  { word, options }: { word: string; options: RevokeOptions },
): Promise<readonly Found[]> {
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
function eldestOfOneLine(found: readonly Found[]): Found | undefined {
  const lines = new Set(found.map(({ enrolment }) => enrolment));
  return lines.size === 1 ? found.at(-1) : undefined;
}

/** A word of digits may also be a name: what is not found by number is looked up by name. */
async function findByNumber(authority: Inventory, word: string): Promise<readonly Found[]> {
  try {
    if (word.length >= 64) return await authority.find({ fingerprint: parseFingerprint(word) });
    return await authority.find({ serialNumber: parseSerialNumber(word) });
  } catch (error) {
    if (error instanceof X509Error) return [];
    throw error;
  }
}

function recordJson({ serialNumber, fingerprint, identity, subject }: Found): object {
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
