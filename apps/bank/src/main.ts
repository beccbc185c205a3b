// The server program: `npm run bank`.
import { pino } from "pino";
import { runAsProgram } from "./program.ts";
import { startBank } from "./server/start-bank.ts";
import { readSettings } from "./settings.ts";

await runAsProgram(async () => {
  const { settings, help } = readSettings(process.env, process.argv.slice(2));
  if (help) {
    process.stdout.write(usage());
    return;
  }
  const log = pino({ base: null, timestamp: pino.stdTimeFunctions.isoTime });
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
});

function usage(): string {
  return `usage: bank [FLAG…]

Serves bank.v1.BankService and bank.v1.TellerService over mutual TLS. Each flag is also an
environment variable: --ca-file is CA_FILE.

  --host HOST          the address to bind (localhost)
  --port PORT          (8443); 0 takes a free one
  --ca-file FILE       the CAs whose clients are admitted
  --cert-file FILE     the bank's certificate and its intermediates
  --key-file FILE      its private key
  --policy-file FILE   who may call what (whoever is admitted, on their own accounts)
  --database-url URL   sqlite:PATH (sqlite:bank.db)
  --crl-dir DIR        certificate revocation lists
  --tls-enabled BOOL   false is plaintext, for local development only (true)
`;
}
