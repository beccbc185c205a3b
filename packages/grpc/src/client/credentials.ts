import type { Expectation, MutualTls } from "@handfast/tls";
import { SecuringCredentials } from "../grpc-js-engine.ts";

/** What a channel expects of the server, and whose certificate it shows. */
export interface ChannelIdentity {
  readonly tls: MutualTls;
  /** The host that is dialled; undefined for a Unix socket. */
  readonly host: string | undefined;
  readonly expect: Expectation | undefined;
}

/**
 * The credentials of a channel: our dialer secures and judges each connection. The same identity and
 * expectation give the same object, so that all clients of a process share one connection per address.
 */
export function channelCredentials({ tls, host, expect }: ChannelIdentity): SecuringCredentials {
  const known = cache.get(tls) ?? new Map<string, SecuringCredentials>();
  cache.set(tls, known);
  const key = JSON.stringify([host, expect]);
  const found = known.get(key);
  if (found !== undefined) return found;
  const credentials = new SecuringCredentials(async (socket) => {
    const address = host === undefined ? { socket } : { socket, host };
    const dialled = await tls.dial(address, expect === undefined ? {} : { expect });
    return dialled.socket;
  });
  known.set(key, credentials);
  return credentials;
}

const cache = new WeakMap<MutualTls, Map<string, SecuringCredentials>>();
