import { openAuthorityHome, statusOf } from "@handfast/ca";
import type { AuthorityClient, CertificateStatus, RemoteQuery, RemoteRecord } from "@handfast/ca";
import { Option } from "commander";
import type { Command } from "commander";
import { withHomeOptions } from "../common-options.ts";
import { homeOf } from "../context.ts";
import type { CommonOptions, Context } from "../context.ts";
import { formatTime, parseCount, parseDuration } from "../duration.ts";
import { authorityTarget, withOnlineAuthority, withOnlineOptions } from "../online.ts";
import type { OnlineOptions } from "../online.ts";

interface ListOptions extends CommonOptions, OnlineOptions {
  readonly name?: string;
  readonly search?: string;
  readonly status?: CertificateStatus;
  readonly profile?: string;
  readonly expiresWithin?: number;
  readonly limit: number;
}

interface Query extends Pick<
  RemoteQuery,
  "name" | "text" | "profile" | "status" | "expiresBefore"
> {
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
  withHomeOptions(withOnlineOptions(command));
}

async function list(options: ListOptions, context: Context): Promise<void> {
  const { output } = context;
  const now = context.now();
  const { name, search: text, status, profile, expiresWithin, limit } = options;
  const query = {
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
  };
  const target = authorityTarget(context, options);
  const records =
    target === undefined
      ? await findInHome(query, { home: homeOf(context, options), now })
      : await withOnlineAuthority(target, { options, context }, (client) => findAll(client, query));
  if (options.json === true) {
    output.json({ certificates: records.map(recordJson) });
    return;
  }
  for (const record of records) {
    const cells = [
      record.status.padEnd(7),
      formatTime(record.notAfter),
      record.profile.padEnd(10),
      record.serialNumber,
      nameOf(record),
    ];
    output.line(cells.join("  "));
  }
  if (records.length === limit) output.note(`note: there may be more than these ${limit}`);
}

/** Certificates of ACME may have several names and no subject. */
function nameOf({ identity, subject, names }: RemoteRecord): string {
  return identity ?? (subject || names.map(({ value }) => value).join(","));
}

async function findInHome(
  query: Query,
  { home, now }: { home: string; now: Date },
): Promise<readonly RemoteRecord[]> {
  const authority = await openAuthorityHome(home, { clock: () => now });
  try {
    const records = await authority.find(query);
    return records.map((record) => ({ ...record, status: statusOf(record, now) }));
  } finally {
    await authority.close();
  }
}

/** Page by page. */
async function findAll(
  client: AuthorityClient,
  { limit, ...query }: Query,
): Promise<readonly RemoteRecord[]> {
  const found: RemoteRecord[] = [];
  let after: string | undefined;
  do {
    const page = await client.find({
      ...query,
      limit: Math.min(1_000, limit - found.length),
      ...(after === undefined ? {} : { after }),
    });
    found.push(...page.records);
    after = page.next;
  } while (after !== undefined && found.length < limit);
  return found;
}

function recordJson(record: RemoteRecord): object {
  return {
    serialNumber: record.serialNumber,
    fingerprint: record.fingerprint,
    status: record.status,
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
