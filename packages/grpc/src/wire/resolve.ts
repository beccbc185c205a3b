import { lookup } from "node:dns/promises";
import { isIP } from "node:net";
import type { Target } from "../client/target.ts";

/** An address to connect to. */
export type Address = { readonly host: string; readonly port: number } | { readonly path: string };

/**
 * The addresses of a target, in the order to try them: as the resolver gives them, but the families
 * taking turns, so that one that does not work is left soon (RFC 8305 section 4).
 */
export async function resolveTarget(target: Target): Promise<readonly Address[]> {
  if (target.host === undefined) return [{ path: pathOf(target.uri) }];
  const { host } = target;
  const port = Number(target.uri.slice(target.uri.lastIndexOf(":") + 1));
  if (isIP(host) !== 0) return [{ host, port }];
  const found = await lookup(host, { all: true, order: "verbatim" });
  const first = found.filter(({ family }) => family === found[0]?.family);
  const other = found.filter(({ family }) => family !== found[0]?.family);
  const addresses: Address[] = [];
  for (let at = 0; at < Math.max(first.length, other.length); at++) {
    for (const entry of [first[at], other[at]]) {
      if (entry !== undefined) addresses.push({ host: entry.address, port });
    }
  }
  return addresses;
}

/** An address in words. */
export function describe(address: Address): string {
  return "path" in address ? address.path : `${address.host}:${address.port}`;
}

/** "unix:relative", "unix:/absolute" and "unix:///absolute". */
function pathOf(uri: string): string {
  const rest = uri.slice("unix:".length);
  return rest.startsWith("///") ? rest.slice(2) : rest;
}
