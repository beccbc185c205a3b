import type { ServerCall } from "@handfast/grpc";
import { anonymousOwner } from "../account-name.ts";
import { BankError } from "../errors.ts";
import type { BankMode } from "../store/store.ts";

/**
 * In whose name a call is made: the identity of the verified certificate (S14), or the one owner of a
 * bank in plaintext.
 *
 * @throws BankError NO_IDENTITY
 */
export function callerOf(call: Pick<ServerCall, "peer">, mode: BankMode): string {
  if (mode === "plaintext") return anonymousOwner;
  const identity = call.peer?.identity;
  if (identity !== undefined) return identity;
  throw new BankError("NO_IDENTITY", "the caller's certificate gives no single identity");
}
