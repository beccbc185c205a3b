import { lookup } from "node:dns/promises";
import type { Address, Target } from "../client/target.ts";

/**
 * The addresses of a target, in the order to try them: as the resolver gives them, but the families
 * taking turns, so that one that does not work is left soon (RFC 8305 section 4).
 */
export async function resolveTarget(target: Target): Promise<readonly Address[]> {
  if ("addresses" in target.where) return target.where.addresses;
  const { host, port } = target.where.name;
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
