import type { RateLimitOptions } from "@handfast/grpc";
import { BankError } from "../errors.ts";

/** The part of a server's options that limits rates; empty if there is no limit. */
export interface RateLimitSetting {
  readonly rateLimit?: RateLimitOptions;
}

/**
 * How often one identity may call (S41), from RATE_LIMIT: calls a second in the long run, and twice that at
 * once after a rest. Health may always be asked.
 *
 * @throws BankError CONFIG_INVALID
 */
export function parseRateLimit(text: string | undefined): RateLimitSetting {
  if (text === undefined) return {};
  const perSecond = /^\d{1,7}(\.\d{1,3})?$/.test(text) ? Number(text) : 0;
  if (perSecond <= 0) {
    throw new BankError("CONFIG_INVALID", `RATE_LIMIT is "${text}": expected calls a second`, {
      hint: "use RATE_LIMIT=100, or unset it",
    });
  }
  const methods = ["/bank.v1.BankService/*", "/bank.v1.TellerService/*"];
  return { rateLimit: { rules: [{ methods, perSecond, burst: Math.max(1, 2 * perSecond) }] } };
}
