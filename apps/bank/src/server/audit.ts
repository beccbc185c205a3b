import { chainLogger, createAuditQueue, createRefusalRecorder, lineLogger } from "@handfast/policy";
import { openAuditChain, openAuditKey } from "@handfast/policy";
import type { AuditLoggerFactories, CompiledPolicy } from "@handfast/policy";
import type { TlsEvent } from "@handfast/tls";
import type { Log } from "./log.ts";

/** The record of who was let do what, and who was not let in. */
export interface OpenAudit {
  /** What policy documents may name: `handfast_chain`, and the `stdout_logger` of gRFC A59. */
  readonly loggers: AuditLoggerFactories;
  /** Records refused handshakes: one per source, reason and second (S36). */
  onTlsEvent(event: TlsEvent): void;
  /** Says so if a policy would record nothing, although there is a file to record in. */
  checkPolicy(policy: CompiledPolicy): void;
  /** Whether it can record; calls that it should record are refused while it cannot. */
  works(): boolean;
  /** Writes what waits, signs it and closes the file. */
  close(): Promise<void>;
}

/**
 * Opens the audit file: a chain of records signed by a key of its own (`keyFile`, made if it is not there).
 * Signed checkpoints also go to the log, where whoever cuts the file does not reach them (S35). Without a
 * file nothing is recorded.
 *
 * @throws PolicyError AUDIT_CHAIN_LOCKED, AUDIT_CHAIN_BROKEN, AUDIT_FAILED, AUDIT_KEY_INVALID
 */
export async function openAudit(
  file: string | undefined,
  { keyFile, log }: { keyFile: string | undefined; log: Log },
): Promise<OpenAudit> {
  if (file === undefined) return noAudit;
  const chain = await openAuditChain(file, {
    signer: await openAuditKey(keyFile ?? `${file}-key.pem`),
    onHead: (head) => log.debug({ head }, "audit checkpoint"),
    onFailure: (error) => log.error({ err: error }, "audit failed, calls are refused"),
  });
  const queue = createAuditQueue(chain);
  const refusals = createRefusalRecorder(queue);
  return {
    loggers: { ...lineLoggers, [loggerName]: chainLogger(queue) },
    onTlsEvent(event) {
      if (event.type !== "handshake" || event.refusal === undefined) return;
      const { refusal, peer, remoteAddress } = event;
      const fields = { by: refusal.by, identity: peer?.identity };
      refusals.record({ source: remoteAddress ?? "", reason: refusal.code, fields });
    },
    checkPolicy({ name, document }) {
      const { condition, loggers } = document.auditLogging;
      if (condition !== "NONE" && loggers.some((logger) => logger.name === loggerName)) return;
      const reason = `expected audit_logging_options with the logger ${loggerName}`;
      log.warn({ policy: name, reason }, "the policy has no decision recorded");
    },
    works: () => chain.failure === undefined,
    async close() {
      await queue.flush();
      await chain.close();
    },
  };
}

/**
 * What a policy without a file of its own has recorded: everything, if there is where to. Replies wait
 * for their record: whoever was told that money moved can be held to it, also after a crash.
 */
export const builtInAuditOptions = {
  audit_condition: "ON_DENY_AND_ALLOW",
  audit_loggers: [{ name: "handfast_chain", config: { mode: "beforeReply" }, is_optional: true }],
} as const;

const loggerName = "handfast_chain";

const lineLoggers: AuditLoggerFactories = {
  stdout_logger: lineLogger({ write: (line) => process.stdout.write(line) }),
};

const noAudit: OpenAudit = {
  loggers: lineLoggers,
  onTlsEvent: () => undefined,
  checkPolicy: () => undefined,
  works: () => true,
  close: () => Promise.resolve(),
};
