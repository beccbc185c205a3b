// A bank that serves on real sockets, and clients of it with real certificates.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { fileURLToPath } from "node:url";
import type { DescService } from "@bufbuild/protobuf";
import { createClient } from "@handfast/grpc";
import type { Client } from "@handfast/grpc";
import {
  createMutualTls,
  identityFromMemory,
  nobody,
  noIdentity,
  noRevocation,
  trustFromMemory,
} from "@handfast/tls";
import { createTestAuthority } from "@handfast/x509/testing";
import type { TestAuthority, TestIdentity } from "@handfast/x509/testing";
import { startBank } from "../../src/server/start-bank.ts";
import type { Settings } from "../../src/settings.ts";
import { temporaryFolder } from "./temporary-folder.ts";

export const authority: TestAuthority = createTestAuthority({ trustDomain: "handfast.internal" });
export const policyFile: string = fileURLToPath(
  new URL("../../policies/bank.json", import.meta.url),
);

/** What the bank wrote to its log. */
export interface LogRecord {
  readonly level: string;
  readonly message: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

/** A log that is kept, and can be waited for. */
export interface KeptLog {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
  /** The first record that matches, past or to come. */
  next(matches: (record: LogRecord) => boolean): Promise<LogRecord>;
  readonly records: readonly LogRecord[];
}

export interface ServedBank {
  readonly bank: Awaited<ReturnType<typeof startBank>>;
  readonly log: KeptLog;
  readonly settings: Settings;
  /** A client with this certificate; `undefined` is none. Closed after the test. */
  client<Service extends DescService>(
    service: Service,
    identity: TestIdentity | undefined,
  ): Promise<Client<Service>>;
}

/** Starts a bank on a free port of 127.0.0.1 with files in a folder of the test's own. */
export async function serveBank(
  t: TestContext,
  settings: Settings = {},
  storeLimits: Parameters<typeof startBank>[0]["storeLimits"] = {},
): Promise<ServedBank> {
  const log = createKeptLog();
  const all = { ...bankFiles(t), ...settings };
  const bank = await startBank({ settings: all, log, storeLimits });
  t.after(() => bank.stop());
  return {
    bank,
    log,
    settings: all,
    client: (service, who) => clientOf(t, service, who, bank.port),
  };
}

/** The settings of a bank whose files are in a folder of the test's own. */
export function bankFiles(t: TestContext): Settings & { readonly DATABASE_URL: string } {
  const folder = temporaryFolder(t);
  const identity = authority.issue({ name: "bank", ip: ["127.0.0.1"] });
  const write = (name: string, text: string): string => {
    writeFileSync(join(folder, name), text, { mode: 0o600 });
    return join(folder, name);
  };
  return {
    HOST: "127.0.0.1",
    PORT: "0",
    CA_FILE: write("ca.pem", authority.bundlePem),
    CERT_FILE: write("bank.pem", identity.certificateChainPem),
    KEY_FILE: write("bank-key.pem", identity.privateKeyPem),
    DATABASE_URL: `sqlite:${join(folder, "bank.db")}`,
  };
}

/** A client of the bank on this port; closed after the test. */
export async function clientOf<Service extends DescService>(
  t: TestContext,
  service: Service,
  ...[identity, port]: [TestIdentity | undefined, number]
): Promise<Client<Service>> {
  const tls = await createMutualTls({
    identity:
      identity === undefined
        ? noIdentity()
        : identityFromMemory({
            certificateChain: identity.certificateChainPem,
            privateKey: identity.privateKeyPem,
          }),
    trust: trustFromMemory(authority.bundlePem),
    revocation: noRevocation(),
    admit: nobody(),
  });
  const client = createClient(service, { target: `127.0.0.1:${port}`, tls, deadlineMs: 10_000 });
  t.after(async () => {
    client.close();
    await tls.close();
  });
  return client;
}

export function createKeptLog(): KeptLog {
  const records: LogRecord[] = [];
  const waiting = new Set<(record: LogRecord) => void>();
  const keep =
    (level: string) =>
    (fields: object, message: string): void => {
      const record = { level, message, fields: fields as LogRecord["fields"] };
      records.push(record);
      for (const tell of waiting) tell(record);
    };
  return {
    records,
    debug: keep("debug"),
    info: keep("info"),
    warn: keep("warn"),
    error: keep("error"),
    next(matches) {
      const known = records.find(matches);
      if (known !== undefined) return Promise.resolve(known);
      const { promise, resolve, reject } = Promise.withResolvers<LogRecord>();
      const timer = setTimeout(() => reject(new Error("the record did not come within 5 s")), 5000);
      const tell = (record: LogRecord): void => {
        if (!matches(record)) return;
        waiting.delete(tell);
        clearTimeout(timer);
        resolve(record);
      };
      waiting.add(tell);
      return promise;
    },
  };
}
