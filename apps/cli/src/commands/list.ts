import { openAuthorityHome, statusOf } from "@handfast/ca";
import type { CertificateRecord, CertificateStatus } from "@handfast/ca";
import { Option } from "commander";
import type { Command } from "commander";
import { withHomeOptions } from "../common-options.ts";
import { homeOf } from "../context.ts";
import type { CommonOptions, Context } from "../context.ts";
import { formatTime, parseCount, parseDuration } from "../duration.ts";

interface ListOptions extends CommonOptions {
  readonly name?: string;
  readonly search?: string;
  readonly status?: CertificateStatus;
  readonly profile?: string;
  readonly expiresWithin?: number;
  readonly limit: number;
}

/** `handfast list`: the inventory. */
export function listCommand(program: Command, context: Context): void {
  const command = program
    .command("list")
    .description("list the certificates of the authority, newest first")
    .option("--name <name>", "that carry exactly this DNS name, address, URI or common name")
    .option("--search <text>", "with this text in a name or the subject")
    .addOption(new Option("--status <status>").choices(["valid", "expired", "revoked"]))
    .option("--profile <name>", "of this profile")
    .addOption(
      new Option("--expires-within <duration>", "that end within 30d, 12h, …").argParser(
        parseDuration,
      ),
    )
    .addOption(
      new Option("--limit <number>", "at most so many (up to 10000)")
        .argParser(parseCount)
        .default(1_000),
    )
    .action((options: ListOptions) => list(options, context));
  withHomeOptions(command);
}

async function list(options: ListOptions, context: Context): Promise<void> {
  const { output } = context;
  const now = context.now();
  const { name, search: text, status, profile, expiresWithin, limit } = options;
  const authority = await openAuthorityHome(homeOf(context, options), { clock: () => now });
  let records;
  try {
    records = await authority.find({
      limit: Math.min(limit, 10_000),
      ...(name === undefined ? {} : { name }),
      ...(text === undefined ? {} : { text }),
      ...(profile === undefined ? {} : { profile }),
      ...(status === undefined ? {} : { status }),
      ...(expiresWithin === undefined
        ? {}
        : {
            status: "valid" as const,
            expiresBefore: new Date(now.getTime() + expiresWithin * 1_000),
          }),
    });
  } finally {
    await authority.close();
  }
  if (options.json === true) {
    output.json({ certificates: records.map((record) => recordJson(record, now)) });
    return;
  }
  for (const record of records) {
    const cells = [
      statusOf(record, now).padEnd(7),
      formatTime(record.notAfter),
      record.profile.padEnd(10),
      record.serialNumber,
      record.identity ?? record.subject,
    ];
    output.line(cells.join("  "));
  }
  if (records.length === limit) output.note(`note: there may be more than these ${limit}`);
}

function recordJson(record: CertificateRecord, now: Date): object {
  return {
    serialNumber: record.serialNumber,
    fingerprint: record.fingerprint,
    status: statusOf(record, now),
    profile: record.profile,
    identity: record.identity ?? null,
    subject: record.subject,
    names: record.names,
    issuer: record.issuer,
    requester: record.requester,
    parent: record.parent ?? null,
    notBefore: formatTime(record.notBefore),
    notAfter: formatTime(record.notAfter),
    issuedAt: formatTime(record.issuedAt),
    revocation:
      record.revocation === undefined
        ? null
        : {
            revokedAt: formatTime(record.revocation.revokedAt),
            reason: record.revocation.reason,
            cause: record.revocation.cause,
            requester: record.revocation.requester,
          },
  };
}
