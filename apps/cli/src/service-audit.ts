import { resolve } from "node:path";
import type { AuditTrail, AuthorityServiceEvent } from "@handfast/ca";
import {
  createAuditQueue,
  createRefusalRecorder,
  openAuditChain,
  openAuditKey,
} from "@handfast/policy";
import type { ServiceLog } from "./service-log.ts";

/** Where a served authority records what it did and what it refused. */
export interface ServiceAudit {
  /** Undefined if nothing is recorded. */
  readonly trail: AuditTrail | undefined;
  /** Records refused handshakes: one per source, reason and second (S36). */
  onEvent(event: AuthorityServiceEvent): void;
  close(): Promise<void>;
}

/**
 * Opens the audit file: a chain of records, signed by a key of its own.
 *
 * @throws PolicyError AUDIT_CHAIN_LOCKED, AUDIT_CHAIN_BROKEN, AUDIT_FAILED, AUDIT_KEY_INVALID
 */
export async function openServiceAudit(
  { auditFile, auditKeyFile }: { readonly auditFile?: string; readonly auditKeyFile?: string },
  log: ServiceLog,
): Promise<ServiceAudit> {
  if (auditFile === undefined) return noAudit;
  const path = resolve(auditFile);
  const chain = await openAuditChain(path, {
    signer: await openAuditKey(resolve(auditKeyFile ?? `${path}-key.pem`)),
    onFailure: (error) => log.event({ type: "fault", during: "audit", error }),
  });
  const queue = createAuditQueue(chain);
  const refusals = createRefusalRecorder(queue);
  return {
    trail: chain,
    onEvent(event) {
      if (event.type !== "tls" || event.event.type !== "handshake") return;
      const { refusal, remoteAddress, peer } = event.event;
      if (refusal === undefined) return;
      const fields = { by: refusal.by, identity: peer?.identity, listener: event.listener };
      refusals.record({ source: remoteAddress, reason: refusal.code, fields });
    },
    async close() {
      await queue.flush();
      await chain.close();
    },
  };
}

const noAudit: ServiceAudit = {
  trail: undefined,
  onEvent: () => undefined,
  close: () => Promise.resolve(),
};
