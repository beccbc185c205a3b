import type { GrpcServerEvent } from "@handfast/grpc";
import type { TlsEvent } from "@handfast/tls";

/** Where the bank logs: structured lines; a pino logger is one. */
export interface Log {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

/** Logs what happens below gRPC. Never key bytes; certificates by their identity alone. */
export function logTlsEvent(log: Log, event: TlsEvent): void {
  switch (event.type) {
    case "handshake": {
      const { refusal, peer, remoteAddress } = event;
      if (refusal === undefined) {
        log.debug({ identity: peer?.identity, remoteAddress }, "handshake");
      } else {
        const { code, by, message } = refusal;
        log.warn({ code, by, reason: message, remoteAddress }, "handshake refused");
      }
      return;
    }
    case "refused-late": {
      const { code, by, message } = event.refusal;
      const fields = { identity: event.peer.identity, remoteAddress: event.remoteAddress };
      log.warn({ code, by, reason: message, ...fields }, "refused by the server");
      return;
    }
    case "session-cut": {
      const { refusal, peer, remoteAddress } = event;
      const fields = { code: refusal.code, identity: peer?.identity, remoteAddress };
      log.warn({ ...fields, reason: refusal.message }, "session cut");
      return;
    }
    case "source-replaced":
      log.info({ source: event.source, description: event.description }, "source replaced");
      return;
    case "source-kept":
      log.error(
        { source: event.source, description: event.description, reason: event.reason },
        "source not usable, the last good one stays",
      );
      return;
    case "identity-expiring":
      log.warn({ expiresAt: event.expiresAt.toISOString() }, "our certificate expires soon");
      return;
    case "admission-fault":
      log.error({ rule: event.rule, reason: event.reason }, "admission rule failed");
      return;
    case "environment-warning":
      log.warn({ setting: event.setting, reason: event.reason }, "environment");
      return;
    case "revocation-warning":
      log.warn({ description: event.description, reason: event.reason }, "revocation");
  }
}

/** Logs what happens to calls: the level by their status, the caller by its identity, no payloads. */
export function logGrpcEvent(log: Log, event: GrpcServerEvent): void {
  switch (event.type) {
    case "call": {
      const { method, requestId, identity, remoteAddress, code } = event;
      const durationMs = Math.round(event.durationMs * 1000) / 1000;
      const fields = { method, requestId, identity, remoteAddress, code, durationMs };
      log[levelOf(code)](fields, "call");
      return;
    }
    case "handler-fault":
      log.error({ method: event.method, requestId: event.requestId, err: event.error }, "fault");
      return;
    case "forwarded-refused": {
      const { method, requestId, via, remoteAddress, code, reason } = event;
      log.warn({ method, requestId, via, remoteAddress, code, reason }, "forwarded caller refused");
      return;
    }
    case "plaintext-warning":
      log.warn(
        { address: event.address },
        "plaintext: nobody is verified, and everybody may listen",
      );
      return;
    case "readiness": {
      const { service, check, ready, error } = event;
      log[ready ? "info" : "error"]({ service, check, ready, err: error }, "readiness");
      return;
    }
    case "shared-limits": {
      const { available, error } = event;
      log[available ? "info" : "warn"]({ available, err: error }, "store of shared rate limits");
    }
  }
}

function levelOf(code: string): keyof Log {
  if (code === "OK") return "debug";
  if (code === "PERMISSION_DENIED" || code === "UNAUTHENTICATED") return "warn";
  return ourFaults.has(code) ? "error" : "info";
}

/** Statuses that say something is wrong on this side. */
const ourFaults: ReadonlySet<string> = new Set(["UNKNOWN", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"]);
