// One end of bench/bank.bench.ts, as a process of its own: the bank, or the same stack (mutual TLS, policy,
// audit, gRPC) with a method that does nothing. Argument: which; settings come from the environment.
import { createServer } from "@handfast/grpc";
import { interopHandlers, TestService } from "@handfast/grpc/testing";
import { anyTrustedPeer, mutualTlsFromEnv } from "@handfast/tls";
import { openAudit } from "../../apps/bank/src/server/audit.ts";
import { openPolicy } from "../../apps/bank/src/server/policy.ts";
import { startBank } from "../../apps/bank/src/server/start-bank.ts";
import { readSettings } from "../../apps/bank/src/settings.ts";

const silent = (): void => undefined;
const log = { debug: silent, info: silent, warn: silent, error: console.error };
const { settings, words } = readSettings(process.env, process.argv.slice(2));
const { port } = words[0] === "bank" ? await startBank({ settings, log }) : await startEmpty();
// Asked for it, what this process has used so far, in microseconds: its main thread, and the others.
process.on("message", () => {
  const all = process.cpuUsage();
  const main = process.threadCpuUsage();
  const mainMicros = main.user + main.system;
  process.send?.({ mainMicros, otherMicros: all.user + all.system - mainMicros });
});
process.send?.({ port });

async function startEmpty(): Promise<{ port: number }> {
  const audit = await openAudit(settings.AUDIT_FILE, { keyFile: undefined, log });
  const { policy } = await openPolicy(settings.POLICY_FILE, { audit, log });
  const transport = await mutualTlsFromEnv(settings, { admit: anyTrustedPeer() });
  if (transport.mode !== "mutual-tls") throw new Error("expected mutual TLS");
  const server = createServer({ tls: transport.mtls, policy });
  server.add(TestService, interopHandlers);
  const address = await server.listen({ host: "127.0.0.1", port: 0 });
  return { port: "port" in address ? address.port : 0 };
}
