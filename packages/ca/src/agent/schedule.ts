import type { Certificate } from "@handfast/x509";

/** The times of a certificate that a schedule is made of. */
export type Validity = Pick<Certificate, "notBefore" | "notAfter">;

/**
 * When to renew: after two thirds of the life, and up to a fifteenth of it before, so that what was
 * issued together is not renewed together.
 *
 * @param random from 0 to 1
 */
export function renewalTime({ notBefore, notAfter }: Validity, random: number): Date {
  const whole = notAfter.getTime() - notBefore.getTime();
  // Authorities date certificates back a little; of a life of minutes that is much.
  const start = notBefore.getTime() + (whole > 2 * backdatingMs - 1 ? backdatingMs : 0);
  const life = notAfter.getTime() - start;
  return new Date(start + life * (2 / 3 - random / 15));
}

/** A moment in the window that an authority suggests (ARI, RFC 9773 4.2); the past means now. */
export function timeInWindow(
  { start, end }: { readonly start: Date; readonly end: Date },
  random: number,
): Date {
  return new Date(start.getTime() + (end.getTime() - start.getTime()) * random);
}

/**
 * How long to wait after so many failures in a row: doubled each time, from a hundredth of the life
 * (at most 30 s) to a tenth of it (at most an hour), and between half and all of that.
 *
 * @param failures 1 or more
 */
export function backoffMs(
  failures: number,
  { lifeMs, random }: { readonly lifeMs: number; readonly random: number },
): number {
  const first = Math.min(lifeMs / 100, 30_000);
  const longest = Math.min(lifeMs / 10, 3_600_000);
  const wait = Math.min(first * 2 ** Math.min(failures - 1, 30), longest);
  return Math.max(100, wait * (0.5 + random / 2));
}

const backdatingMs = 60_000;
