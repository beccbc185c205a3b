import type { SubjectAltNames } from "./general-name.ts";
import { formatIp, parseIp } from "./ip-address.ts";

/**
 * Whether a certificate carries the name that was dialled (RFC 9525 6): an IP literal needs an IP
 * name, anything else a DNS name. A wildcard stands for exactly one whole left label; the common name
 * is never looked at (S24).
 */
export function carriesName(names: SubjectAltNames, expected: string): boolean {
  const address = parseIp(expected);
  if (address) return names.ip.includes(formatIp(address));
  const name = (expected.endsWith(".") ? expected.slice(0, -1) : expected).toLowerCase();
  if (name.includes("*")) return false;
  const dot = name.indexOf(".");
  const wildcard = dot > 0 ? `*${name.slice(dot)}` : undefined;
  return names.dns.some((presented) => presented === name || presented === wildcard);
}
