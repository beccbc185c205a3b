import { isIPv4 } from "node:net";
import { canonicalAddress, networkList, wordsOf } from "./ip-address.ts";

/** Which addresses may be connected to, beside those of the public internet. */
export interface AddressRules {
  /** Private networks (`10.1.0.0/16`, `fd00::/8`) that may be reached; none if empty. */
  readonly allowNetworks: readonly string[];
  /** The machine's own addresses, which are never connected to. */
  readonly own: readonly string[];
}

/**
 * Whether the validator may connect to an address (security.md S51): never to loopback, link-local,
 * multicast, unspecified or reserved addresses nor to our own, and to private ones only where that
 * is configured. An IPv6 address that stands for an IPv4 address is judged as that one.
 */
export function isReachable(address: string, { allowNetworks, own }: AddressRules): boolean {
  const canonical = canonicalAddress(address);
  if (canonical === undefined) return false;
  const embedded = embeddedAddress(canonical);
  if (embedded !== undefined) return isReachable(embedded, { allowNetworks, own });
  if (isNever(canonical)) return false;
  if (own.some((one) => canonicalAddress(one) === canonical)) return false;
  return !isInternal(canonical) || networkList(allowNetworks)(canonical);
}

/** The IPv4 address in an IPv4-mapped, NAT64 or 6to4 address. */
function embeddedAddress(address: string): string | undefined {
  if (isIPv4(address)) return undefined;
  const words = wordsOf(address);
  const [a, b, c, d, e, f, g = 0, h = 0] = words;
  if (a === 0x2002) return dotted(words[1] ?? 0, words[2] ?? 0);
  const mapped =
    [a, b, c, d, e].every((word) => word === 0) && (f === 0xffff || (f === 0 && g > 0));
  const nat64 = a === 0x64 && b === 0xff9b && [c, d, e, f].every((word) => word === 0);
  return mapped || nat64 ? dotted(g, h) : undefined;
}

function dotted(high: number, low: number): string {
  return [high >> 8, high & 0xff, low >> 8, low & 0xff].join(".");
}

/** Loopback, link-local, multicast, unspecified, reserved (IANA special-purpose registries). */
const isNever = networkList([
  "0.0.0.0/8",
  "127.0.0.0/8",
  "169.254.0.0/16",
  "192.0.0.0/24",
  "192.88.99.0/24",
  "224.0.0.0/4",
  "240.0.0.0/4",
  "::/96",
  "64:ff9b:1::/48",
  "100::/64",
  "2001::/23",
  "5f00::/16",
  "fe80::/10",
  "fec0::/10",
  "ff00::/8",
]);

/** RFC 1918, RFC 6598, RFC 2544, RFC 5737, RFC 4193, RFC 3849. */
const isInternal = networkList([
  "10.0.0.0/8",
  "100.64.0.0/10",
  "172.16.0.0/12",
  "192.0.2.0/24",
  "192.168.0.0/16",
  "198.18.0.0/15",
  "198.51.100.0/24",
  "203.0.113.0/24",
  "2001:db8::/32",
  "3fff::/20",
  "fc00::/7",
]);
