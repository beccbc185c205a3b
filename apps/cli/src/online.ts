import { resolve } from "node:path";
import { createAuthorityClient } from "@handfast/ca";
import type { AuthorityClient } from "@handfast/ca";
import { identityFromFiles, trustFromFile } from "@handfast/tls";
import type { Command } from "commander";
import type { Context } from "./context.ts";
import { UsageError } from "./failure.ts";

/** Options of commands that may ask an authority that is online, in place of the one in the home. */
export interface OnlineOptions {
  readonly authority?: string;
  readonly caFile?: string;
  readonly certFile?: string;
  readonly keyFile?: string;
}

/** Adds the option that names an authority that is online. */
export function withAuthorityOption(command: Command): Command {
  return command.option(
    "--authority <host:port>",
    "ask the authority that is served there (default: $HANDFAST_AUTHORITY, else the one in the home)",
  );
}

/** Adds the options that say who asks it. */
export function withOnlineOptions(command: Command): Command {
  return withAuthorityOption(command)
    .option("--ca-file <file>", "with --authority: the roots it is verified by ($CA_FILE)")
    .option("--cert-file <file>", "with --authority: the certificate to ask with ($CERT_FILE)")
    .option("--key-file <file>", "with --authority: its key ($KEY_FILE)");
}

/** Where the authority is served that a command is to ask; undefined for the one in the home. */
export function authorityTarget(
  { env }: Context,
  { authority = env["HANDFAST_AUTHORITY"] }: OnlineOptions,
): string | undefined {
  if (authority === undefined || /^(?:\[[0-9A-Fa-f:.]+\]|[^\s[\]:/]+):\d{1,5}$/.test(authority)) {
    return authority;
  }
  throw new UsageError(
    `${JSON.stringify(authority)} is no address of an authority`,
    "name it as host:port; `handfast ca serve` says where it serves",
  );
}

/** Does something with an authority that is online, as whoever the options say. */
export async function withOnlineAuthority<Result>(
  target: string,
  { options, context }: { options: OnlineOptions; context: Context },
  work: (client: AuthorityClient) => Promise<Result>,
): Promise<Result> {
  const { env } = context;
  const file = (option: keyof OnlineOptions, flag: string, variable: string): string => {
    const given = options[option] ?? env[variable];
    if (given !== undefined && given !== "") return resolve(given);
    throw new UsageError(
      `--authority needs ${flag}`,
      `name a file with ${flag}, or in ${variable}`,
    );
  };
  const client = await createAuthorityClient({
    target,
    trust: trustFromFile(file("caFile", "--ca-file", "CA_FILE")),
    identity: identityFromFiles({
      certFile: file("certFile", "--cert-file", "CERT_FILE"),
      keyFile: file("keyFile", "--key-file", "KEY_FILE"),
    }),
  });
  try {
    return await work(client);
  } finally {
    await client.close();
  }
}
