// The server program, `npm run bank`, and what its operator does with the database.
import { pino } from "pino";
import { BankError } from "./errors.ts";
import { runAsProgram } from "./program.ts";
import { databasePlace, readSettings, UsageError } from "./settings.ts";
import type { Settings } from "./settings.ts";
import { backupSqlite, verifySqlite } from "./store/sqlite-maintenance.ts";
import type { Verification } from "./store/store.ts";

await runAsProgram(async () => {
  const { settings, words, help } = readSettings(process.env, process.argv.slice(2));
  if (help) {
    process.stdout.write(usage());
    return;
  }
  const [command = "serve", ...rest] = words;
  const [target, surplus] = command === "backup" ? rest : [undefined, rest[0]];
  if (surplus !== undefined) throw new UsageError(`unexpected word ${surplus}`);
  switch (command) {
    case "serve":
      return serve(settings);
    case "verify":
      return report(await verify(settings));
    case "backup":
      if (target === undefined) throw new UsageError("backup: expected a file to write");
      return report(backup(settings, target));
    default:
      throw new UsageError(`unknown command ${command}`);
  }
});

async function serve(settings: Settings): Promise<void> {
  const log = pino({ base: null, timestamp: pino.stdTimeFunctions.isoTime });
  // Here, so that verify and backup do not load what serves.
  const { startBank } = await import("./server/start-bank.ts");
  const bank = await startBank({ settings, log });
  const stop = (signal: NodeJS.Signals): void => {
    log.info({ signal }, "stopping");
    void runAsProgram(async () => {
      await bank.stop();
      log.info({}, "stopped");
    });
  };
  // Once: the second signal ends the process at once, as if nobody had asked for the first.
  process.once("SIGTERM", stop);
  process.once("SIGINT", stop);
}

async function verify(settings: Settings): Promise<Verification> {
  const place = databasePlace(settings);
  if (place.kind === "sqlite") return verifySqlite(place.path);
  const { verifyPostgres } = await import("./store/postgres.ts");
  return verifyPostgres(place.url);
}

function backup(settings: Settings, target: string): Verification {
  const place = databasePlace(settings);
  if (place.kind === "sqlite") return backupSqlite(place.path, target);
  const message = "DATABASE_URL is a PostgreSQL database, which its own tools back up";
  throw new BankError("CONFIG_INVALID", message, { hint: "use pg_dump, then bank verify" });
}

function report({ accounts, operations, entries, faults }: Verification): void {
  if (faults.length > 0) {
    throw new BankError("LEDGER_BROKEN", `${faults.length} faults: ${faults.join("; ")}`);
  }
  process.stdout.write(
    `${accounts} accounts, ${operations} operations, ${entries} entries: every invariant holds\n`,
  );
}

function usage(): string {
  return `usage: bank [serve] [FLAG…]
       bank verify [--database-url URL]
       bank backup FILE [--database-url URL]

serve (what happens without a command) serves bank.v1.BankService and bank.v1.TellerService over
mutual TLS. verify replays the ledger and checks every invariant, backup copies and verifies the
database; both also while a bank runs. Each flag is also an environment variable: --ca-file is CA_FILE.

  --host HOST          the address to bind (localhost)
  --port PORT          (8443); 0 takes a free one
  --ca-file FILE       the CAs whose clients are admitted
  --cert-file FILE     the bank's certificate and its intermediates
  --key-file FILE      its private key
  --policy-file FILE   who may call what (whoever is admitted, on their own accounts)
  --database-url URL   sqlite:PATH, or postgres://… for several banks at once (sqlite:bank.db)
  --crl-dir DIR        certificate revocation lists
  --spiffe-endpoint-socket URI  SPIRE's agent, unix:///…, in place of the three files
  --audit-file FILE    where decisions are recorded, chained and signed (nowhere)
  --audit-key-file FILE  the key that signs them, made if it is not there (the audit file's -key.pem)
  --rate-limit NUMBER  calls a second of one identity, twice as many at once (no limit)
  --health-address HOST:PORT   gRPC health for probes, in plaintext (nowhere)
  --metrics-address HOST:PORT  GET /metrics: plaintext on loopback, elsewhere mutual TLS (nowhere)
  --tls-enabled BOOL   false is plaintext, for local development only (true)
`;
}
