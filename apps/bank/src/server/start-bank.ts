import { createServer, observeMutualTls } from "@handfast/grpc";
import type { Server, ServerPolicy, ServerTransport, TelemetryOptions } from "@handfast/grpc";
import { anyTrustedPeer, mutualTlsFromEnv } from "@handfast/tls";
import type { ConfiguredTransport } from "@handfast/tls";
import { BankService, TellerService } from "../gen/bank/v1/bank_pb.ts";
import { createBank } from "../service/bank.ts";
import type { Bank } from "../service/bank.ts";
import { createBankService } from "../service/bank-service.ts";
import { reportBankErrors } from "../service/error-details.ts";
import { createTellerService } from "../service/teller-service.ts";
import { databasePlace } from "../settings.ts";
import type { DatabasePlace, Settings } from "../settings.ts";
import { createSqliteStore } from "../store/sqlite.ts";
import type { SqliteStoreOptions } from "../store/sqlite.ts";
import type { FailPoint } from "../store/sqlite-worker.ts";
import type { BankMode, BankStore } from "../store/store.ts";
import { workloadIdentity } from "../workload-identity.ts";
import { formatAddress, parseAddress } from "./address.ts";
import { openAudit } from "./audit.ts";
import type { OpenAudit } from "./audit.ts";
import { logGrpcEvent, logTlsEvent } from "./log.ts";
import type { Log } from "./log.ts";
import { openPolicy } from "./policy.ts";
import { parseRateLimit } from "./rate-limit.ts";
import type { RateLimitSetting } from "./rate-limit.ts";

/** A bank that serves. */
interface RunningBank {
  readonly host: string;
  readonly port: number;
  /** Lets calls in flight end (10 s at most), then closes everything. */
  stop(): Promise<void>;
}

/** How a bank is started. */
interface StartOptions {
  readonly settings: Settings;
  readonly log: Log;
  /** For tests of recovery: the process dies by SIGKILL there. */
  readonly failPoint?: FailPoint;
  /** For tests of overload and of a full disk, on SQLite. */
  readonly storeLimits?: Pick<SqliteStoreOptions, "maxWaiting" | "maxPageCount">;
}

/**
 * Starts a bank as its settings say: everything is validated before the first connection is accepted.
 *
 * @throws BankError, TlsError or PolicyError, each with a hint
 */
export async function startBank(options: StartOptions): Promise<RunningBank> {
  const { settings, log } = options;
  const place = databasePlace(settings);
  const rateLimit = parseRateLimit(settings.RATE_LIMIT);
  const healthAddress = parseAddress("HEALTH_ADDRESS", settings.HEALTH_ADDRESS);
  const metricsAddress = parseAddress("METRICS_ADDRESS", settings.METRICS_ADDRESS);
  // Here, so that a bank without metrics does not load what makes them.
  const metrics = metricsAddress && (await import("./metrics.ts")).createMetrics();
  const audit = await openAudit(settings.AUDIT_FILE, { keyFile: settings.AUDIT_KEY_FILE, log });
  const undo: (() => Promise<void> | void)[] = [() => audit.close()];
  try {
    const policy = await openPolicy(settings.POLICY_FILE, { audit, log });
    undo.unshift(() => policy.close());
    const transport = await mutualTlsFromEnv(settings, {
      admit: anyTrustedPeer(),
      ...workloadIdentity(settings),
      onEvent(event) {
        logTlsEvent(log, event);
        audit.onTlsEvent(event);
        metrics?.onTlsEvent(event);
      },
    });
    if (transport.mode === "mutual-tls") {
      undo.unshift(() => transport.mtls.close());
      if (metrics !== undefined) {
        undo.unshift(observeMutualTls(transport.mtls, metrics.telemetry));
      }
    }
    const mode: BankMode = transport.mode === "mutual-tls" ? "mtls" : "plaintext";
    const store = await openStore(place, { mode, options });
    undo.unshift(() => store.close());
    const stopping = new AbortController();
    const bank = createBank({ store, mode, stopping: stopping.signal });
    const server = createBankServer({
      transport,
      policy: policy.policy,
      bank,
      audit,
      rateLimit,
      telemetry: metrics?.telemetry,
      log,
    });
    undo.unshift(() => server.shutdown({ graceMs }));
    undo.unshift(() => stopping.abort());
    const address = await server.listen({ host: transport.host, port: transport.port });
    const { host, port } = "host" in address ? address : transport;
    const health =
      healthAddress && (await server.listenHealth({ ...healthAddress, services: probed }));
    const served = metricsAddress && (await metrics?.serve(metricsAddress, transport));
    if (served !== undefined) undo.unshift(() => served.close());
    log.info(
      {
        host,
        port,
        mode,
        database: nameOf(place),
        policy: policy.name,
        ...(health !== undefined && "host" in health && { health: formatAddress(health) }),
        ...(served !== undefined && { metrics: formatAddress(served.address) }),
      },
      "listening",
    );
    return { host, port, stop: () => inOrder(undo) };
  } catch (error) {
    await inOrder(undo);
    throw error;
  }
}

/** A URL may hold a password: it is not written. */
function nameOf(place: DatabasePlace): string {
  return place.kind === "sqlite" ? place.path : place.kind;
}

async function openStore(
  place: DatabasePlace,
  { mode, options }: { mode: BankMode; options: StartOptions },
): Promise<BankStore> {
  if (place.kind === "sqlite") {
    const { failPoint, storeLimits } = options;
    const forTests = { ...storeLimits, ...(failPoint !== undefined && { failPoint }) };
    return createSqliteStore({ path: place.path, mode, ...forTests });
  }
  // Here, so that a bank on SQLite does not load the client of another database.
  const { createPostgresStore } = await import("../store/postgres.ts");
  return createPostgresStore({ url: place.url, mode });
}

function createBankServer(options: {
  transport: ConfiguredTransport;
  policy: ServerPolicy;
  bank: Bank;
  audit: OpenAudit;
  rateLimit: RateLimitSetting;
  telemetry: TelemetryOptions | undefined;
  log: Log;
}): Server {
  const { transport, policy, bank, audit, rateLimit, telemetry, log } = options;
  const { store, mode } = bank;
  const server = createServer({
    ...serverTransport(transport),
    policy,
    ...rateLimit,
    ...(telemetry !== undefined && { telemetry }),
    // In plaintext there is nobody to verify; what the policy grants to all is granted.
    unauthenticatedPeers: mode === "plaintext" ? "ask-policy" : "refuse",
    interceptors: [
      reportBankErrors(({ code, message, cause }) => log.error({ code, err: cause }, message)),
    ],
    onEvent: (event) => logGrpcEvent(log, event),
  });
  server.add(BankService, createBankService(bank));
  // In plaintext nobody has an identity, so nobody can be a teller.
  if (mode === "mtls") server.add(TellerService, createTellerService(bank));
  // For whoever would restart a bank that hangs: no check, for a restart mends no database.
  server.health.setStatus(live, "SERVING");
  const ready = (): boolean => store.fault === undefined;
  for (const service of ["", BankService, ...(mode === "mtls" ? [TellerService] : [])]) {
    server.health.addCheck(service, { name: "store", ready, intervalMs: 1000 });
    server.health.addCheck(service, {
      name: "audit",
      ready: () => audit.works(),
      intervalMs: 1000,
    });
  }
  return server;
}

function serverTransport(transport: ConfiguredTransport): ServerTransport {
  return transport.mode === "mutual-tls" ? { tls: transport.mtls } : { dangerouslyPlaintext: true };
}

async function inOrder(steps: readonly (() => Promise<void> | void)[]): Promise<void> {
  for (const step of steps) await step();
}

/** What may be asked about on the health port, beside the bank as a whole. */
const live = "live";
const probed = [live, BankService.typeName, TellerService.typeName];
const graceMs = 10_000;
