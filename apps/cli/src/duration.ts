import { InvalidArgumentError } from "commander";

/** Reads `90d`, `12h`, `30m` or `45s` as seconds. */
export function parseDuration(text: string): number {
  const match = /^(\d{1,9})([dhms])$/.exec(text);
  const seconds = Number(match?.[1]) * (unitSeconds[match?.[2] ?? ""] ?? Number.NaN);
  if (seconds >= 1) return seconds;
  throw new InvalidArgumentError("It must be a duration such as 90d, 12h, 30m or 45s.");
}

/** Reads a whole number of 1 or more. */
export function parseCount(text: string): number {
  if (/^[1-9]\d{0,8}$/.test(text)) return Number(text);
  throw new InvalidArgumentError("It must be a whole number of 1 or more.");
}

/** Reads a point in time in RFC 3339 form; a date alone is its first second, UTC. */
export function parseTime(text: string): Date {
  const form = /^\d{4}-\d\d-\d\d(?:T\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d))?$/;
  const time = new Date(text);
  if (form.test(text) && !Number.isNaN(time.getTime())) return time;
  throw new InvalidArgumentError("It must be a time such as 2026-03-01 or 2026-03-01T12:00:00Z.");
}

/** A point in time to the second, as RFC 3339 writes it. */
export function formatTime(time: Date): string {
  return time.toISOString().replace(/\.\d{3}Z$/, "Z");
}

/** How far a time is from now, in words: `in 90 days`, `3 hours ago`. */
export function fromNow(time: Date, now: Date): string {
  const seconds = Math.round((time.getTime() - now.getTime()) / 1_000);
  const [unit, size] = units.find(([, unitSize]) => Math.abs(seconds) >= 2 * unitSize) ?? smallest;
  const count = Math.round(Math.abs(seconds) / size);
  const words = `${count} ${unit}${count === 1 ? "" : "s"}`;
  return seconds < 0 ? `${words} ago` : `in ${words}`;
}

const unitSeconds: Readonly<Record<string, number>> = { d: 86_400, h: 3_600, m: 60, s: 1 };
const smallest = ["second", 1] as const;
const units = [["day", 86_400], ["hour", 3_600], ["minute", 60], smallest] as const;
