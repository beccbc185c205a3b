import { TlsError, peerRefusal } from "@handfast/tls";
import type { Refusal } from "@handfast/tls";
import { decodeStatusDetails } from "../details.ts";
import type { EngineOutcome } from "../engine.ts";
import { GrpcError } from "../errors.ts";
import { statusName } from "../status.ts";

/** The error a call ended with; undefined for OK. A refused connection is told with its refusal. */
export function errorOf(outcome: EngineOutcome, target: string): GrpcError | undefined {
  const code = statusName(outcome.status);
  if (code === "OK") return undefined;
  const { cause, trailers } = outcome;
  const tlsError = tlsErrorIn(cause);
  if (tlsError !== undefined) {
    const { refusal, hint } = tlsError;
    return new GrpcError(code, `cannot connect to ${target}: ${tlsError.message}`, {
      cause,
      hint,
      trailers,
      ...(refusal !== undefined && { refusal }),
    });
  }
  const refusal = refusalIn(outcome);
  return new GrpcError(code, outcome.message, {
    details: decodeStatusDetails(outcome.details),
    trailers,
    ...(cause !== undefined && { cause }),
    ...(refusal !== undefined && { refusal, hint: refusal.hint }),
  });
}

/** What TLS has to say: that no connection came about, or why the server ended it before it took a call. */
function tlsErrorIn(cause: unknown): TlsError | undefined {
  if (cause instanceof TlsError) return cause;
  return cause instanceof Error && cause.cause instanceof TlsError ? cause.cause : undefined;
}

/** The refusal behind a status that a server gave because of the connection: the `handfast-refusal` trailer. */
function refusalIn({ trailers, message }: EngineOutcome): Refusal | undefined {
  const code = trailers.get("handfast-refusal");
  if (code === undefined) return undefined;
  const sentence = message.startsWith(`${code}: `) ? message.slice(code.length + 2) : message;
  return peerRefusal(code, sentence);
}
