import { UsageError } from "./failure.ts";

/** A host and a port. */
export interface Target {
  readonly host: string;
  readonly port: number;
}

/** Whether the word has the form of HOST:PORT. */
export function isTarget(word: string): boolean {
  return form.test(word);
}

/** Reads `HOST:PORT`, `[::1]:PORT`. @throws UsageError */
export function parseTarget(word: string): Target {
  const [, bracketed, plain, digits] = form.exec(word) ?? [];
  const host = bracketed ?? plain;
  const port = Number(digits);
  if (host !== undefined && port <= 65_535) return { host, port };
  throw new UsageError(
    `${word} is not HOST:PORT`,
    "a name or an address, a colon, and a port up to 65535; IPv6 as [::1]:8443",
  );
}

const form = /^(?:\[([0-9A-Fa-f:.]+)\]|([^\s:/[\]]+)):(\d{1,5})$/;
