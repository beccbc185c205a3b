import { isIP } from "node:net";
import { isLoopback } from "../loopback.ts";

/** An address to connect to. */
export type Address = HostAndPort | { readonly path: string };

interface HostAndPort {
  readonly host: string;
  readonly port: number;
}

/** A target as gRPC writes them, read. */
export interface Target {
  /** The addresses themselves, or what has them. */
  readonly where: { readonly addresses: readonly Address[] } | { readonly name: HostAndPort };
  /** What calls name as their `:authority`. */
  readonly authority: string;
  /** The host to verify by default; undefined for a Unix socket, and for several addresses. */
  readonly host: string | undefined;
  /** Whether every address of it is this machine's own. */
  readonly local: boolean;
}

/**
 * Reads a target: "host:port", "dns:///host:port", "ipv4:192.0.2.1:port", "ipv6:[2001:db8::1]:port", several of
 * these last separated by commas, "unix:path" or "unix:///path". A port is required: there is no default
 * that would be right.
 *
 * @throws {TypeError}
 */
export function parseTarget(text: string): Target {
  const [, scheme = "dns", rest = ""] = targetPattern.exec(text) ?? [];
  if (scheme === "unix" && rest !== "") {
    const path = rest.startsWith("///") ? rest.slice(2) : rest;
    return {
      where: { addresses: [{ path }] },
      authority: "localhost",
      host: undefined,
      local: true,
    };
  }
  const family = families[scheme];
  const parts = family === undefined ? [rest.replace(/^\/\/\//, "")] : rest.split(",");
  const found = parts.map(hostAndPort);
  const [first] = found;
  const isRight = found.every((each) => each !== undefined && isOf(family, each.host));
  if (first === undefined || !isRight) {
    throw new TypeError(
      `target ${JSON.stringify(text)}: expected host:port, dns:///host:port, ipv4:, ipv6: or unix:path`,
    );
  }
  const hosts = found.filter((each) => each !== undefined);
  return {
    where: isIP(first.host) === 0 ? { name: first } : { addresses: hosts },
    authority: parts[0] ?? "",
    host: hosts.length === 1 ? first.host : undefined,
    local: hosts.every(({ host }) => isLoopback(host)),
  };
}

function hostAndPort(text: string): HostAndPort | undefined {
  const [, bracketed, plain, digits] = hostPortPattern.exec(text) ?? [];
  const host = bracketed ?? plain;
  const port = Number(digits);
  return host === undefined || port > 65_535 ? undefined : { host, port };
}

/** Whether a host may stand in a target of this family of addresses; undefined is any, and names. */
function isOf(family: number | undefined, host: string): boolean {
  return family === undefined || isIP(host) === family;
}

const targetPattern = /^(?:(dns|ipv4|ipv6|unix):)?(.*)$/s;
const hostPortPattern = /^(?:\[([0-9A-Fa-f:.]+)\]|([^[\]:/,]+)):(\d{1,5})$/;
const families: Readonly<Record<string, number>> = { ipv4: 4, ipv6: 6 };
