// The authorities and certificates of the interop tests, all made by the real `handfast` command.
import { X509Certificate } from "node:crypto";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { runProgram } from "./programs.ts";

/** A certificate's files. */
export interface Credential {
  readonly certFile: string;
  readonly keyFile: string;
}

/** What every peer of the interop tests is given. */
export interface Credentials {
  /** The root that both sides trust. */
  readonly caFile: string;
  /** The revocation lists of our authority, on which `revoked` and `revoked-server` stand. */
  readonly crlDirectory: string;
  /** A folder that goes with the rest, for what a test writes. */
  readonly directory: string;
  /** A moment at which `expired` and `expired-server` were still good, and all others already. */
  readonly beforeExpiry: Date;
  of(name: CredentialName): Credential;
  /** Runs the command on our authority. */
  handfast(args: readonly string[]): Promise<string>;
  remove(): Promise<void>;
}

/**
 * `client` and `server` are good; `other` and `late` are good, and nobody whom our servers admit; `elsewhere` is a server of
 * another name; `stranger` has the server's names, from an authority that nobody trusts.
 */
export type CredentialName =
  | "client"
  | "other"
  | "proxy"
  | "late"
  | "revoked"
  | "expired"
  | "server"
  | "elsewhere"
  | "revoked-server"
  | "expired-server"
  | "stranger";

/** Makes two authorities and all certificates; takes some seconds. */
export async function makeCredentials(): Promise<Credentials> {
  const directory = await mkdtemp(join(tmpdir(), "handfast-interop-"));
  const ours = join(directory, "ours");
  const strangers = join(directory, "strangers");
  await handfast(ours, ["init"]);
  await handfast(ours, [
    "issue",
    "client",
    "other",
    "proxy",
    "late",
    "revoked",
    "elsewhere",
    ...flat,
  ]);
  await handfast(ours, ["issue", "server", "revoked-server", "--local", ...flat]);
  await handfast(ours, ["issue", "expired", "expired-server", "--local", "--ttl", "1s", ...flat]);
  await handfast(ours, ["revoke", "revoked", "revoked-server", "--reason", "keyCompromise"]);
  await handfast(strangers, ["init"]);
  await handfast(strangers, ["issue", "stranger", "--local", ...flat]);
  const certs = { ours: join(ours, "certs"), strangers: join(strangers, "certs") };
  const expired = new X509Certificate(await readFile(join(certs.ours, "expired.crt")));
  return {
    caFile: join(ours, "ca", "handfast-ca.pem"),
    crlDirectory: join(ours, "ca", "crl"),
    directory,
    beforeExpiry: new Date(expired.validToDate.getTime() - 100),
    of(name) {
      const folder = name === "stranger" ? certs.strangers : certs.ours;
      return { certFile: join(folder, `${name}.crt`), keyFile: join(folder, `${name}.key`) };
    },
    handfast: (args) => handfast(ours, args),
    remove: () => rm(directory, { recursive: true, force: true }),
  };
}

/** Runs the command. @throws Error with what it wrote, if it fails */
async function handfast(home: string, args: readonly string[]): Promise<string> {
  const { exitCode, output } = await runProgram([process.execPath, command, ...args], {
    env: { HANDFAST_HOME: home },
  });
  if (exitCode !== 0) throw new Error(`handfast ${args.join(" ")} failed: ${output}`);
  return output;
}

const flat = ["--layout", "flat"];
const command = fileURLToPath(new URL("../../apps/cli/bin/handfast.js", import.meta.url));
