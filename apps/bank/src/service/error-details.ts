import { badRequest, errorInfo, GrpcError, retryInfo, statusName } from "@handfast/grpc";
import type { GrpcErrorCode, ServerInterceptor } from "@handfast/grpc";
import { BankError, bankErrors } from "../errors.ts";

/**
 * Turns the BankErrors of handlers into statuses with google.rpc details. Those that are the bank's own
 * fault are told to `onFault` first, for nothing of their cause reaches the caller.
 */
export function reportBankErrors(onFault: (error: BankError) => void): ServerInterceptor {
  return async (_call, next) => {
    try {
      await next();
    } catch (error) {
      if (!(error instanceof BankError)) throw error;
      if (ownFaults.has(error.status)) onFault(error);
      throw grpcErrorOf(error);
    }
  };
}

/**
 * The status that a caller gets for an error of the bank. Its text is the table's, so that nothing of
 * the inside leaks; what is not for peers becomes STORE_UNAVAILABLE.
 */
function grpcErrorOf(error: BankError): GrpcError {
  const code = bankErrors[error.code].public ? error.code : "STORE_UNAVAILABLE";
  const { message, status } = bankErrors[code];
  const details = [errorInfo({ reason: code, domain: errorDomain })];
  if (error.violations.length > 0) details.push(badRequest(error.violations));
  if (code === "OVERLOADED") details.push(retryInfo({ delayMs: retryDelayMs }));
  const faults = error.violations.map(({ field, description }) => `${field} ${description}`);
  const text = faults.length === 0 ? message : `${message}: ${faults.join(", ")}`;
  return new GrpcError(statusName(status) as GrpcErrorCode, text, { details, cause: error });
}

/** ErrorInfo.domain of every error of the bank. */
const errorDomain = "bank.handfast";
const retryDelayMs = 1000;
/** UNAVAILABLE and DATA_LOSS. */
const ownFaults: ReadonlySet<number> = new Set([14, 15]);
