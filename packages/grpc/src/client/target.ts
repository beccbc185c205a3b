import { isLoopback } from "../loopback.ts";

/** A target as gRPC writes them, read. */
export interface Target {
  /** What the channel is given: "dns:///localhost:8443". */
  readonly uri: string;
  /** The host that is dialled, and by default verified; undefined for a Unix socket. */
  readonly host: string | undefined;
  /** Whether every address of it is this machine's own. */
  readonly local: boolean;
}

/**
 * Reads a target: "host:port", "dns:///host:port", "ipv4:127.0.0.1:port", "ipv6:[::1]:port",
 * "unix:path" or "unix:///path". A port is required: there is no default that would be right.
 *
 * @throws {TypeError}
 */
export function parseTarget(text: string): Target {
  const scheme = schemePattern.exec(text)?.[1];
  if (scheme === "unix") return { uri: text, host: undefined, local: true };
  const rest = scheme === undefined ? text : text.slice(scheme.length + 1).replace(/^\/\/\//, "");
  const [, bracketed, plain, port] = hostPortPattern.exec(rest) ?? [];
  const host = bracketed ?? plain;
  if (host === undefined || Number(port) > 65_535) {
    throw new TypeError(
      `target ${JSON.stringify(text)}: expected host:port, dns:///host:port, ipv4:, ipv6: or unix:path`,
    );
  }
  const uri = scheme === undefined ? `dns:///${rest}` : text;
  return { uri, host, local: isLoopback(host) };
}

const schemePattern = /^(dns|ipv4|ipv6|unix):/;
const hostPortPattern = /^(?:\[([0-9A-Fa-f:.]+)\]|([^[\]:/,]+)):(\d{1,5})$/;
