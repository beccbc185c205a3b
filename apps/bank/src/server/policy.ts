import type { ServerPolicy } from "@handfast/grpc";
import { compilePolicy, parsePolicy, policyFromFile } from "@handfast/policy";
import type { PolicyFileEvent } from "@handfast/policy";
import { builtInAuditOptions } from "./audit.ts";
import type { OpenAudit } from "./audit.ts";
import type { Log } from "./log.ts";

/** The policy in force, and the end of watching its file. */
interface OpenPolicy {
  readonly policy: ServerPolicy;
  readonly name: string;
  close(): void;
}

/**
 * Who may call what: the document in POLICY_FILE, watched, so that a valid change takes force at once,
 * also for calls that are open (S13). Without a file the built-in policy, by which whoever is admitted
 * uses BankService on their own accounts, and nobody acts for others.
 *
 * @throws PolicyError POLICY_UNREADABLE, POLICY_INVALID
 */
export async function openPolicy(
  file: string | undefined,
  { audit, log }: { audit: OpenAudit; log: Log },
): Promise<OpenPolicy> {
  const auditLoggers = audit.loggers;
  if (file === undefined) {
    const policy = compilePolicy(parsePolicy(JSON.stringify(builtInPolicy)), { auditLoggers });
    return { policy, name: policy.name, close: () => undefined };
  }
  const policy = await policyFromFile(file, {
    auditLoggers,
    onEvent(event) {
      logPolicyEvent(log, event);
      if (event.type === "policy-replaced") audit.checkPolicy(event.next);
    },
  });
  audit.checkPolicy(policy.current);
  return { policy, name: policy.current.name, close: () => policy.close() };
}

function logPolicyEvent(log: Log, event: PolicyFileEvent): void {
  switch (event.type) {
    case "policy-replaced": {
      const { name, version } = event.next;
      log.info({ policy: name, version, previous: event.previous.version }, "policy replaced");
      return;
    }
    case "policy-refused": {
      const reason = event.error.message;
      log.error({ reason, kept: event.kept.version }, "policy not usable, the last good one stays");
      return;
    }
    case "policy-mended":
      log.info({ kept: event.kept.version }, "policy mended");
      return;
    case "listener-failed":
      log.error({ err: event.error }, "policy replaced, but a listener failed");
  }
}

const builtInPolicy = {
  name: "built-in",
  allow_rules: [
    {
      name: "whoever is admitted uses their own accounts",
      request: { paths: ["/grpc.health.v1.Health/*", "/bank.v1.BankService/*"] },
    },
  ],
  audit_logging_options: builtInAuditOptions,
};
