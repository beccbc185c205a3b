import type { AdmissionRule } from "./admission.ts";
import { TlsError } from "./errors.ts";
import { identityFromFiles } from "./identity.ts";
import { createMutualTls } from "./mutual-tls.ts";
import type { MutualTls, MutualTlsOptions } from "./mutual-tls.ts";
import { crlFromDirectory } from "./crl-sources.ts";
import { noRevocation } from "./revocation.ts";
import { trustFromFile } from "./trust.ts";

/** The settings that every server and client of Handfast reads, by name. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** Where to serve or dial, and how. Plaintext is only ever asked for: `TLS_ENABLED=false`. */
export type ServiceAddress = { readonly host: string; readonly port: number };
export type ConfiguredTransport = ServiceAddress &
  ({ readonly mode: "mutual-tls"; readonly mtls: MutualTls } | { readonly mode: "plaintext" });

/** What the environment does not say. */
export interface EnvironmentOptions extends Omit<
  MutualTlsOptions,
  "identity" | "trust" | "revocation"
> {
  readonly admit: AdmissionRule;
  /** Identity and trust from elsewhere, such as SPIRE; CA_FILE, CERT_FILE and KEY_FILE must then be unset. */
  readonly sources?: Pick<MutualTlsOptions, "identity" | "trust">;
}

/**
 * Mutual TLS from the configuration surface shared by every service: `HOST` (default `localhost`), `PORT`
 * (default 8443), `TLS_ENABLED` (`true` or `false`, default `true`), `CA_FILE`, `CERT_FILE`, `KEY_FILE`, and
 * `CRL_DIR`: with it, whatever its CRLs say nothing about is refused; without it nothing is looked up.
 *
 * A variable that is set but empty stops the start: a template that filled in nothing must not switch a
 * protection off (S22).
 *
 * @throws TlsError ENVIRONMENT_INVALID, and what createMutualTls throws
 */
export async function mutualTlsFromEnv(
  env: Environment,
  options: EnvironmentOptions,
): Promise<ConfiguredTransport> {
  const host = setting(env, "HOST") ?? "localhost";
  const port = parsePort(setting(env, "PORT"));
  if (!parseEnabled(setting(env, "TLS_ENABLED"))) {
    options.onEvent?.({
      type: "environment-warning",
      setting: "TLS_ENABLED=false",
      reason:
        "plaintext: nobody is verified, and everybody on the way can read and change everything",
    });
    return { mode: "plaintext", host, port };
  }
  const crlDirectory = setting(env, "CRL_DIR");
  const { sources = sourcesFromFiles(env), ...rules } = options;
  if (options.sources !== undefined) forbidSettings(env, fileSettings);
  const mtls = await createMutualTls({
    ...rules,
    identity: sources.identity,
    trust: sources.trust,
    revocation:
      crlDirectory === undefined
        ? noRevocation()
        : crlFromDirectory(crlDirectory, { undetermined: "refuse" }),
  });
  return { mode: "mutual-tls", mtls, host, port };
}

function sourcesFromFiles(env: Environment): Pick<MutualTlsOptions, "identity" | "trust"> {
  const { CA_FILE, CERT_FILE, KEY_FILE } = requireSettings(env, fileSettings);
  return {
    identity: identityFromFiles({ certFile: CERT_FILE, keyFile: KEY_FILE }),
    trust: trustFromFile(CA_FILE),
  };
}

/** Two answers to one question: neither is taken. */
function forbidSettings(env: Environment, names: readonly string[]): void {
  const given = names.filter((name) => env[name] !== undefined);
  if (given.length === 0) return;
  throw new TlsError(
    "ENVIRONMENT_INVALID",
    `${given.join(", ")} set, though certificate and trust come from elsewhere`,
    { hint: `unset ${given.join(", ")}, or the other place they come from` },
  );
}

function setting(env: Environment, name: string): string | undefined {
  const value = env[name];
  if (value === undefined) return undefined;
  if (value.trim() === "") {
    throw new TlsError("ENVIRONMENT_INVALID", `${name} is set but empty: expected a value`, {
      hint: `give ${name} a value, or unset it`,
    });
  }
  return value;
}

function requireSettings<const Name extends string>(
  env: Environment,
  names: readonly Name[],
): Record<Name, string> {
  const found = Object.fromEntries(names.map((name) => [name, setting(env, name)]));
  const missing = names.filter((name) => found[name] === undefined);
  if (missing.length > 0) {
    throw new TlsError(
      "ENVIRONMENT_INVALID",
      `${missing.join(", ")} not set: expected a path for each`,
      {
        hint: "`handfast issue NAME --layout flat --out certs` makes the three files; TLS_ENABLED=false is for local development only",
      },
    );
  }
  return found as Record<Name, string>;
}

function parsePort(text: string | undefined): number {
  if (text === undefined) return 8443;
  const port = /^\d{1,5}$/.test(text) ? Number(text) : Number.NaN;
  if (port <= 65_535) return port;
  throw new TlsError("ENVIRONMENT_INVALID", `PORT is ${JSON.stringify(text)}: expected 0 to 65535`);
}

function parseEnabled(text: string | undefined): boolean {
  if (text === undefined || text === "true") return true;
  if (text === "false") return false;
  throw new TlsError(
    "ENVIRONMENT_INVALID",
    `TLS_ENABLED is ${JSON.stringify(text)}: expected "true" or "false"`,
  );
}

const fileSettings = ["CA_FILE", "CERT_FILE", "KEY_FILE"] as const;
