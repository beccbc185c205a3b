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
  /**
   * Runs the `handfast` command for an authority. Shows what was typed, and of our own authority what came
   * back: the same of the others would only be longer.
   *
   * @throws Error if it fails
   */
  handfast(authority: Authority, args: readonly string[]): Promise<void>;
  /** Runs the `handfast` command and shows nothing of it. */
  quietly(args: readonly string[]): Promise<Finished>;
  /** The settings with which a client shows the certificate of this name to the bank of an authority. */
  settingsOf(name: string, options?: { from: Authority; to: Authority }): Settings;
  /** The directory where an authority publishes its revocation lists. */
  crlDirectory(authority?: Authority): string;
  /** Where our bank records decisions. */
  readonly auditFile: string;
  /** Starts the bank of an authority; it is `bank(authority)` from now on. */
  startBank(authority?: Authority): Promise<BankProcess>;
  /** The bank of an authority. @throws Error if it was not started */
  bank(authority?: Authority): BankProcess;
  /** A client of the bank with the certificate of this name, or with none. */
  connect<Service extends DescService>(
    service: Service,
    name: string | undefined,
  ): Promise<Client<Service>>;
  /** What somebody with this certificate sees of the bank's connection. */
  lookAt(name: string, authority?: Authority): Promise<SeenConnection>;
  /** Ends whatever still runs and removes the folder. */
  close(): Promise<void>;
}

/** Whose certificates: the bank's own authority, one that nobody here trusts, one with other keys. */
type Authority = "ours" | "stranger" | "quantum";

type Settings = Readonly<Record<string, string>>;

/** A connection as its client sees it. */
interface SeenConnection {
  readonly serialNumber: string;
  /** Of the server's key: "ec", "ml-dsa-65". */
  readonly keyType: string;
  /** Of the key exchange: "X25519MLKEM768". */
  readonly keyExchange: string;
}

/** A new world: an empty folder. */
export function createWorld(narrator: Narrator): World {
  const folder = mkdtempSync(join(tmpdir(), "handfast-demo-"));
  // What one process compiled the next need not.
  const shared = { NODE_COMPILE_CACHE: join(folder, "cache") };
  const opened: { close(): Promise<void> | void }[] = [];
  const banks = new Map<Authority, BankProcess>();
  const homeOf = (authority: Authority): string => join(folder, authority);
  const caFileOf = (authority: Authority): string =>
    join(homeOf(authority), "ca", "handfast-ca.pem");
  const auditFileOf = (authority: Authority): string => join(folder, `${authority}.audit`);
  const filesOf = (name: string, authority: Authority): { certFile: string; keyFile: string } => {
    const certificates = join(homeOf(authority), "certs", name);
    return {
      certFile: join(certificates, `${name}.pem`),
      keyFile: join(certificates, `${name}-key.pem`),
    };
  };
  const tlsFor = async (name: string | undefined, authority: Authority): Promise<MutualTls> => {
    const tls = await createMutualTls({
      identity: name === undefined ? noIdentity() : identityFromFiles(filesOf(name, authority)),
      trust: trustFromFile(caFileOf(authority)),
      revocation: noRevocation(),
      admit: nobody(),
    });
    opened.push(tls);
    return tls;
  };
  const world: World = {
    narrator,
    auditFile: auditFileOf("ours"),
    async handfast(authority, args) {
      narrator.show(`$ handfast ${args.join(" ")}`);
      const finished = await runProgram(handfastProgram, args, {
        ...shared,
        HANDFAST_HOME: homeOf(authority),
      });
      const written = (finished.stdout + finished.stderr).replaceAll(`${folder}/`, "");
      if (authority === "ours") narrator.show(written);
      if (finished.exitCode !== 0) throw new Error(`handfast ${args.join(" ")}: ${written}`);
    },
    quietly: (args) => runProgram(handfastProgram, args, shared),
    settingsOf(name, { from, to } = { from: "ours", to: "ours" }) {
      const { certFile, keyFile } = filesOf(name, from);
      const port = banks.get(to)?.port ?? 0;
      const files = { CA_FILE: caFileOf(to), CERT_FILE: certFile, KEY_FILE: keyFile };
      return { ...shared, HOST: host, PORT: String(port), ...files };
    },
    crlDirectory: (authority = "ours") => join(homeOf(authority), "ca", "crl"),
    async startBank(authority = "ours") {
      const bank = await startBankProcess({
        ...world.settingsOf("bank", { from: authority, to: authority }),
        PORT: "0",
        CRL_DIR: world.crlDirectory(authority),
        POLICY_FILE: policyFile,
        DATABASE_URL: `sqlite:${join(folder, `${authority}.db`)}`,
        AUDIT_FILE: auditFileOf(authority),
      });
      banks.set(authority, bank);
      return bank;
    },
    bank(authority = "ours") {
      const bank = banks.get(authority);
      if (bank === undefined) throw new Error("the bank does not run");
      return bank;
    },
    async connect(service, name) {
      const tls = await tlsFor(name, "ours");
      const client = createClient(service, { target: `${host}:${world.bank().port}`, tls });
      opened.unshift(client);
      return client;
    },
    async lookAt(name, authority = "ours") {
      const tls = await tlsFor(name, authority);
      const { socket, peer } = await tls.dial({ host, port: world.bank(authority).port });
      const { name: keyExchange = "" } = { name: "", ...socket.getEphemeralKeyInfo() };
      socket.destroy();
      return {
        serialNumber: peer.serialNumber,
        keyType: peer.certificate.publicKey.asymmetricKeyType ?? "",
        keyExchange,
      };
    },
    async close() {
      for (const one of opened) await one.close();
      for (const bank of banks.values()) await bank.end("SIGKILL");
      rmSync(folder, { recursive: true, force: true });
    },
  };
  return world;
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
