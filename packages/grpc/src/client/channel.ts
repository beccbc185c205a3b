import type { Expectation, MutualTls } from "@handfast/tls";
import type { EngineChannel } from "../engine.ts";
import { GrpcError } from "../errors.ts";
import { createChannel } from "../wire/client-engine.ts";
import type { ChannelOptions } from "../wire/client-engine.ts";
import type { Connector } from "../wire/subchannel.ts";
import type { ClientChannel } from "./invoke.ts";

/** What a channel over mutual TLS is made of. */
export interface SecureChannelOptions extends Omit<ChannelOptions, "connector"> {
  readonly tls: MutualTls;
  /** Whom to expect; the host that is dialled if absent. */
  readonly expect: Expectation | undefined;
}

/** A channel without TLS. It never changes. */
export function createPlaintextChannel(
  options: Omit<SecureChannelOptions, "tls" | "expect">,
): ClientChannel {
  const channel = createChannel({ ...options, connector: plaintext });
  return { ...closedAfterCalls(channel), generation: 0 };
}

/**
 * A channel over mutual TLS. When our own certificate or our trust has changed, the next call goes over
 * a new connection, made and judged with the new ones; calls under way end on the old, which then closes.
 */
export function createSecureChannel(options: SecureChannelOptions): ClientChannel {
  const { tls, expect: _expect, ...common } = options;
  let seen = currentOf(tls);
  let generation = 0;
  let channel = create();

  return {
    get generation() {
      refresh();
      return generation;
    },
    start(request, listener) {
      refresh();
      return channel.start(request, listener);
    },
    close: () => channel.close(),
  };

  function create(): ClosableChannel {
    return closedAfterCalls(createChannel({ ...common, connector: connectorOf(options) }));
  }

  function refresh(): void {
    const now = currentOf(tls);
    if (channel.closed || (now.identity === seen.identity && now.trust === seen.trust)) return;
    seen = now;
    generation += 1;
    channel.close();
    channel = create();
  }
}

interface ClosableChannel extends EngineChannel {
  readonly closed: boolean;
}

/** Closes a channel when its last call has ended; an engine would end those that still wait for a connection. */
function closedAfterCalls(channel: EngineChannel): ClosableChannel {
  let calls = 0;
  let closed = false;
  return {
    get closed() {
      return closed;
    },
    start(request, listener) {
      if (closed) throw new GrpcError("UNAVAILABLE", "the client was closed");
      calls += 1;
      return channel.start(request, {
        ...listener,
        onStatus(outcome) {
          calls -= 1;
          if (closed && calls === 0) channel.close();
          listener.onStatus(outcome);
        },
      });
    },
    close() {
      if (!closed && calls === 0) channel.close();
      closed = true;
    },
  };
}

/** What new connections of a runtime are made with, at one moment. */
type Current = Pick<MutualTls, "identity" | "trust">;

function currentOf({ identity, trust }: MutualTls): Current {
  return { identity, trust };
}

/**
 * Secures and judges connections. For the same target, expectation, identity and trust it is the same
 * object, and so clients of a process share one connection.
 */
function connectorOf({ tls, target, expect }: SecureChannelOptions): Connector {
  const now = currentOf(tls);
  let known = cache.get(tls);
  if (known?.identity !== now.identity || known?.trust !== now.trust) {
    known = { ...now, connectors: new Map() };
    cache.set(tls, known);
  }
  const key = JSON.stringify([target.host, expect]);
  const found = known.connectors.get(key);
  if (found !== undefined) return found;
  const connector: Connector = {
    scheme: "https",
    async secure(socket, signal) {
      const address = target.host === undefined ? { socket } : { socket, host: target.host };
      const options = { signal, ...(expect !== undefined && { expect }) };
      return (await tls.dial(address, options)).socket;
    },
  };
  known.connectors.set(key, connector);
  return connector;
}

interface KnownConnectors extends Current {
  readonly connectors: Map<string, Connector>;
}

const cache = new WeakMap<MutualTls, KnownConnectors>();
const plaintext: Connector = { scheme: "http", secure: (socket) => Promise.resolve(socket) };
