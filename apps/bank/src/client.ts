// The client program: `npm run bank:client`.
import { createClient } from "@handfast/grpc";
import type { ClientTransport } from "@handfast/grpc";
import { mutualTlsFromEnv, nobody } from "@handfast/tls";
import type { ConfiguredTransport } from "@handfast/tls";
import { isAccountId } from "./account-name.ts";
import { runSession } from "./client/session.ts";
import { BankService } from "./gen/bank/v1/bank_pb.ts";
import { parseAmount } from "./money.ts";
import type { Money } from "./money.ts";
import { runAsProgram } from "./program.ts";
import { readSettings, UsageError } from "./settings.ts";
import { workloadIdentity } from "./workload-identity.ts";

await runAsProgram(async () => {
  const flags = ["account", "currency", "deposit", "withdraw"] as const;
  const { settings, extras, words, help } = readSettings(process.env, process.argv.slice(2), flags);
  if (help) {
    process.stdout.write(usage());
    return;
  }
  if (words[0] !== undefined) throw new UsageError(`unexpected word ${words[0]}`);
  const { account: accountId = "12345", currency = "USD" } = extras;
  if (!isAccountId(accountId)) throw new UsageError("--account: expected a-z, 0-9 and dashes");
  const plan = {
    accountId,
    deposit: amountOf("--deposit", extras.deposit ?? "1000", currency),
    withdrawal: amountOf("--withdraw", extras.withdraw ?? "250", currency),
  };
  // A client accepts no connections, so it admits nobody.
  const transport = await mutualTlsFromEnv(settings, {
    admit: nobody(),
    ...workloadIdentity(settings),
  });
  const client = createClient(BankService, {
    target: targetOf(transport),
    ...clientTransport(transport),
  });
  try {
    await runSession(client, plan, (text) => process.stdout.write(`${text}\n`));
  } finally {
    client.close();
    if (transport.mode === "mutual-tls") await transport.mtls.close();
  }
});

function amountOf(flag: string, text: string, currency: string): Money {
  const money = parseAmount(text, currency);
  if (money !== undefined && money.minorUnits > 0n) return money;
  throw new UsageError(`${flag}: expected an amount of ${currency} greater than zero`);
}

function targetOf({ host, port }: ConfiguredTransport): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

function clientTransport(transport: ConfiguredTransport): ClientTransport {
  return transport.mode === "mutual-tls" ? { tls: transport.mtls } : { dangerouslyPlaintext: true };
}

function usage(): string {
  return `usage: bank-client [FLAG…]

Opens an account with the bank, deposits, withdraws, and prints the statement. The flags of the
connection are also environment variables: --ca-file is CA_FILE.

  --host HOST          the name to dial, which the bank's certificate must carry (localhost)
  --port PORT          (8443)
  --ca-file FILE       the CAs whose bank is trusted
  --cert-file FILE     your certificate and its intermediates
  --key-file FILE      its private key
  --spiffe-endpoint-socket URI  SPIRE's agent, unix:///…, in place of the three files
  --tls-enabled BOOL   false is plaintext, for local development only (true)

  --account ID         (12345)
  --currency CODE      (USD)
  --deposit AMOUNT     (1000)
  --withdraw AMOUNT    (250)
`;
}
