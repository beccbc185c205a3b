import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { DescService } from "@bufbuild/protobuf";
import { createClient } from "@handfast/grpc";
import type { Client } from "@handfast/grpc";
import {
  createMutualTls,
  identityFromFiles,
  nobody,
  noIdentity,
  noRevocation,
  trustFromFile,
} from "@handfast/tls";
import type { MutualTls } from "@handfast/tls";
import type { Narrator } from "./narrator.ts";
import { handfastProgram, runProgram, startBankProcess } from "./programs.ts";
import type { BankProcess, Finished, LogLine } from "./programs.ts";

/** Everything the steps of the demo share. It lives in one temporary folder and leaves nothing behind. */
export interface World {
  readonly narrator: Narrator;
  /** The CAs that the bank and its clients trust. */
  readonly caFile: string;
  /** Runs the `handfast` command for an authority; shows what was typed and what came back. */
  handfast(authority: Authority, args: readonly string[]): Promise<Finished>;
  /** The settings with which a program shows the certificate of this name. */
  settingsOf(name: string, authority?: Authority): Readonly<Record<string, string>>;
  /** Starts the bank; it is `bank` from now on. */
  startBank(): Promise<BankProcess>;
  /** The running bank. @throws Error if there is none */
  readonly bank: BankProcess;
  /** A client of a service of the bank with the certificate of this name, or with none. */
  connect<Service extends DescService>(
    service: Service,
    name: string | undefined,
  ): Promise<Client<Service>>;
  /** Ends whatever still runs and removes the folder. */
  close(): Promise<void>;
}

/** Whose certificates: the bank's own authority, or one that nobody here trusts. */
type Authority = "ours" | "stranger";

/** A new world: an empty folder. */
export function createWorld(narrator: Narrator): World {
  const folder = mkdtempSync(join(tmpdir(), "handfast-demo-"));
  const opened: MutualTls[] = [];
  const clients: { close(): void }[] = [];
  let bank: BankProcess | undefined;
  const homeOf = (authority: Authority): string => join(folder, authority);
  const caFile = join(homeOf("ours"), "ca", "handfast-ca.pem");
  const filesOf = (name: string, authority: Authority): { certFile: string; keyFile: string } => {
    const certificates = join(homeOf(authority), "certs", name);
    return {
      certFile: join(certificates, `${name}.pem`),
      keyFile: join(certificates, `${name}-key.pem`),
    };
  };

  return {
    narrator,
    caFile,
    async handfast(authority, args) {
      narrator.show(`$ handfast ${args.join(" ")}`);
      const finished = await runProgram(handfastProgram, args, {
        HANDFAST_HOME: homeOf(authority),
      });
      narrator.show((finished.stdout + finished.stderr).replaceAll(`${folder}/`, ""));
      return finished;
    },
    settingsOf(name, authority = "ours") {
      const { certFile, keyFile } = filesOf(name, authority);
      return { HOST: host, CA_FILE: caFile, CERT_FILE: certFile, KEY_FILE: keyFile };
    },
    async startBank() {
      bank = await startBankProcess({
        ...this.settingsOf("bank"),
        PORT: "0",
        POLICY_FILE: policyFile,
        DATABASE_URL: `sqlite:${join(folder, "bank.db")}`,
      });
      return bank;
    },
    get bank() {
      if (bank === undefined) throw new Error("the bank does not run");
      return bank;
    },
    async connect(service, name) {
      const tls = await createMutualTls({
        identity: name === undefined ? noIdentity() : identityFromFiles(filesOf(name, "ours")),
        trust: trustFromFile(caFile),
        revocation: noRevocation(),
        admit: nobody(),
      });
      opened.push(tls);
      const client = createClient(service, { target: `${host}:${this.bank.port}`, tls });
      clients.push(client);
      return client;
    },
    async close() {
      for (const client of clients) client.close();
      for (const tls of opened) await tls.close();
      await bank?.end("SIGKILL");
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** A line of the bank's log, without what differs from run to run. */
export function shownLogLine(line: LogLine): string {
  return JSON.stringify(line, (key, value: unknown) => (unshown.has(key) ? undefined : value));
}

const unshown: ReadonlySet<string> = new Set([
  "level",
  "time",
  "requestId",
  "durationMs",
  "remoteAddress",
]);
const host = "127.0.0.1";
const policyFile = fileURLToPath(new URL("../../policies/bank.json", import.meta.url));
