import { parseArgs } from "node:util";
import { BankError } from "./errors.ts";

/** The settings of every program of the bank: from the environment, or a flag of the same name. */
const settingNames = [
  "HOST",
  "PORT",
  "TLS_ENABLED",
  "CA_FILE",
  "CERT_FILE",
  "KEY_FILE",
  "CRL_DIR",
  "SPIFFE_ENDPOINT_SOCKET",
  "POLICY_FILE",
  "DATABASE_URL",
  "AUDIT_FILE",
  "AUDIT_KEY_FILE",
  "RATE_LIMIT",
  "HEALTH_ADDRESS",
  "METRICS_ADDRESS",
] as const;

/** The name of a setting: "CA_FILE", whose flag is `--ca-file`. */
type SettingName = (typeof settingNames)[number];

/** The settings that are given; what is not there takes its default. */
export type Settings = Readonly<Partial<Record<SettingName, string>>>;

/** What a command line came to. `extras` are the flags that only this program has. */
interface ParsedCommandLine<Extra extends string> {
  readonly settings: Settings;
  readonly extras: Readonly<Partial<Record<Extra, string>>>;
  /** The words that are no flags. */
  readonly words: readonly string[];
  readonly help: boolean;
}

/**
 * Reads the settings: a flag wins over the environment. A setting that is given but empty stops the
 * start, whichever it is: a template that filled in nothing must not switch anything off (S22).
 *
 * @throws BankError CONFIG_INVALID; UsageError for a flag that does not exist or has no value
 */
export function readSettings<const Extra extends string = never>(
  env: Readonly<Record<string, string | undefined>>,
  args: readonly string[],
  extraFlags: readonly Extra[] = [],
): ParsedCommandLine<Extra> {
  const { values: flags, positionals: words } = parseFlags(args, extraFlags);
  const settings: Partial<Record<SettingName, string>> = {};
  for (const name of settingNames) {
    const value = flags[flagOf(name)] ?? env[name];
    if (value === undefined) continue;
    if (typeof value !== "string" || value.trim() === "") {
      throw new BankError("CONFIG_INVALID", `${name} is set but empty: expected a value`, {
        hint: `give ${name} a value, or unset it`,
      });
    }
    settings[name] = value;
  }
  const extras: Partial<Record<Extra, string>> = {};
  for (const name of extraFlags) {
    const value = flags[name];
    if (typeof value === "string") extras[name] = value;
  }
  return { settings, extras, words, help: flags["help"] === true };
}

/** A command line that cannot be meant: exit 2. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

/** Where the accounts are. */
export type DatabasePlace =
  | { readonly kind: "sqlite"; readonly path: string }
  | { readonly kind: "postgres"; readonly url: string };

/**
 * What DATABASE_URL names: a SQLite file ("bank.db" by default) or a PostgreSQL database.
 *
 * @throws BankError CONFIG_INVALID if it names another kind of store
 */
export function databasePlace({ DATABASE_URL: url = "sqlite:bank.db" }: Settings): DatabasePlace {
  const path = url.startsWith("sqlite:") ? url.slice("sqlite:".length) : "";
  if (path !== "") return { kind: "sqlite", path };
  if (/^postgres(ql)?:\/\//.test(url) && URL.canParse(url)) return { kind: "postgres", url };
  // The URL may hold a password: it is never repeated.
  const scheme = /^[a-z]+(?=:)/.exec(url)?.[0] ?? "no scheme";
  const message = `DATABASE_URL has ${scheme}: expected sqlite:PATH or postgres://…`;
  throw new BankError("CONFIG_INVALID", message, { hint: "use DATABASE_URL=sqlite:bank.db" });
}

/** The flag of a setting, without the dashes. */
function flagOf(name: SettingName): string {
  return name.toLowerCase().replaceAll("_", "-");
}

function parseFlags(
  args: readonly string[],
  extraFlags: readonly string[],
): { values: Readonly<Record<string, string | boolean | undefined>>; positionals: string[] } {
  const names = [...settingNames.map(flagOf), ...extraFlags];
  const options = Object.fromEntries(names.map((name) => [name, { type: "string" as const }]));
  try {
    const help = { type: "boolean", short: "h" } as const;
    return parseArgs({
      args: [...args],
      options: { ...options, help },
      allowPositionals: true,
    });
  } catch (cause) {
    throw new UsageError(cause instanceof Error ? cause.message : String(cause), { cause });
  }
}
