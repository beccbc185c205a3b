import type { Expectation, MutualTls } from "@handfast/tls";
import type { EngineChannel } from "../engine.ts";
import { GrpcError } from "../errors.ts";
import { createGrpcJsChannel } from "../grpc-js-engine.ts";
import { SecuringCredentials } from "../grpc-js/channel-credentials.ts";
import type { GrpcJsChannelOptions } from "../grpc-js-engine.ts";
import type { ClientChannel } from "./invoke.ts";
import type { Target } from "./target.ts";

/** What a channel over mutual TLS is made of. */
export interface SecureChannelOptions extends Omit<GrpcJsChannelOptions, "credentials" | "target"> {
  readonly tls: MutualTls;
  readonly target: Target;
  /** Whom to expect; the host that is dialled if absent. */
  readonly expect: Expectation | undefined;
}

/** A channel without TLS. It never changes. */
export function createPlaintextChannel(
  options: Omit<SecureChannelOptions, "tls" | "expect">,
): ClientChannel {
  const { target, limits, loadBalancing } = options;
  const credentials = "plaintext";
  const channel = createGrpcJsChannel({ target: target.uri, credentials, limits, loadBalancing });
  return { ...closedAfterCalls(channel), generation: 0 };
}

/**
 * A channel over mutual TLS. When our own certificate or our trust has changed, the next call goes over
 * a new connection, made and judged with the new ones; calls under way end on the old, which then closes.
 */
export function createSecureChannel(options: SecureChannelOptions): ClientChannel {
  const { tls, target, limits, loadBalancing } = options;
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
    const credentials = channelCredentials(options);
    return closedAfterCalls(
      createGrpcJsChannel({ target: target.uri, credentials, limits, loadBalancing }),
    );
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
 * Credentials whose connections our dialer secures and judges. For the same target, expectation,
 * identity and trust they are the same object, and so clients of a process share one connection.
 */
function channelCredentials({ tls, target, expect }: SecureChannelOptions): SecuringCredentials {
  const now = currentOf(tls);
  let known = cache.get(tls);
  if (known?.identity !== now.identity || known?.trust !== now.trust) {
    known = { ...now, credentials: new Map() };
    cache.set(tls, known);
  }
  const key = JSON.stringify([target.host, expect]);
  const found = known.credentials.get(key);
  if (found !== undefined) return found;
  const credentials = new SecuringCredentials(async (socket) => {
    const address = target.host === undefined ? { socket } : { socket, host: target.host };
    const dialled = await tls.dial(address, expect === undefined ? {} : { expect });
    return dialled.socket;
  });
  known.credentials.set(key, credentials);
  return credentials;
}

interface KnownCredentials extends Current {
  readonly credentials: Map<string, SecuringCredentials>;
}

const cache = new WeakMap<MutualTls, KnownCredentials>();
