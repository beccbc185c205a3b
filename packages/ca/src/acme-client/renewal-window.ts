import { CaError } from "../errors.ts";
import type { AcmeTransport } from "./transport.ts";

/** When an authority would have a certificate renewed (RFC 9773 4.2). */
export interface RenewalWindow {
  readonly start: Date;
  readonly end: Date;
  /** When to ask again. */
  readonly askAgainAt: Date;
}

/**
 * Asks for the window of one certificate; undefined if the authority does not know it.
 *
 * @throws CaError ACME_UNREACHABLE, ANSWER_INVALID
 */
export async function renewalWindow(
  url: string,
  { transport, now, signal }: { transport: AcmeTransport; now: Date; signal?: AbortSignal },
): Promise<RenewalWindow | undefined> {
  const { status, text, headers } = await transport({
    url,
    method: "GET",
    ...(signal !== undefined && { signal }),
  });
  if (status === 404) return undefined;
  const { start, end } = status === 200 ? windowOf(text) : {};
  if (start === undefined || end === undefined || !(start < end)) {
    throw new CaError(
      "ANSWER_INVALID",
      `the ACME server's renewal info (status ${status}) is none`,
    );
  }
  return { start, end, askAgainAt: new Date(now.getTime() + pauseOf(headers["retry-after"])) };
}

function windowOf(text: string): { start?: Date; end?: Date } {
  try {
    const { suggestedWindow } = JSON.parse(text) as {
      suggestedWindow?: { start?: unknown; end?: unknown };
    };
    const start = dateOf(suggestedWindow?.start);
    const end = dateOf(suggestedWindow?.end);
    return { ...(start && { start }), ...(end && { end }) };
  } catch {
    return {};
  }
}

function dateOf(value: unknown): Date | undefined {
  const time = typeof value === "string" ? Date.parse(value) : Number.NaN;
  return Number.isNaN(time) ? undefined : new Date(time);
}

/** RFC 9773 4.3.2: a minute at least and a day at most; six hours if the server does not say. */
function pauseOf(retryAfter: string | undefined): number {
  const seconds = /^\d{1,9}$/.test(retryAfter ?? "") ? Number(retryAfter) : 6 * 3_600;
  return Math.min(Math.max(seconds, 60), 86_400) * 1_000;
}
