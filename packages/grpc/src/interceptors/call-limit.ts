import { GrpcError } from "../errors.ts";
import type { OpenCall } from "../server/call.ts";
import type { GateOutcome } from "../server/interceptor.ts";

/** Whose calls are counted together. */
type CountedCall = Pick<OpenCall, "caller" | "remoteAddress" | "hasPlace">;

/** Counts the calls that are worked on, by who made them. */
export interface CallLimit {
  /** Gives the call a place, or says that there is none. */
  gate(call: CountedCall): GateOutcome;
  /** Nothing works on the call any more: its place is free. */
  released(call: CountedCall): void;
}

/**
 * Limits how many calls of one identity are worked on at a time, over all its connections (security.md S38).
 * Callers without an identity are counted by their address, so that one stranger takes no other's places.
 */
export function createCallLimit(maxPerIdentity: number): CallLimit {
  const counts = new Map<string, number>();
  return {
    gate(call) {
      const key = keyOf(call);
      const count = counts.get(key) ?? 0;
      if (count >= maxPerIdentity) {
        const text = `too many calls at a time, the limit for one caller is ${maxPerIdentity}`;
        return new GrpcError("RESOURCE_EXHAUSTED", text);
      }
      counts.set(key, count + 1);
      call.hasPlace = true;
      return undefined;
    },
    released(call) {
      if (!call.hasPlace) return;
      call.hasPlace = false;
      const key = keyOf(call);
      const left = (counts.get(key) ?? 1) - 1;
      if (left === 0) counts.delete(key);
      else counts.set(key, left);
    },
  };
}

/** An identity begins with its kind and a colon ("spiffe:", "dns:"), which no address does. */
function keyOf({ caller, remoteAddress }: CountedCall): string {
  return caller?.identity ?? remoteAddress ?? "";
}
