import { createServer as createNetServer } from "node:net";
import type { Socket } from "node:net";
import { createServer as createTlsServer } from "node:tls";
import type { SecureContextOptions, TLSSocket } from "node:tls";

import { TlsError, reasonOf } from "./errors.ts";
import { refusalOfTlsError } from "./openssl-errors.ts";
import type { Protocol } from "./protocol.ts";
import { createReception } from "./reception.ts";
import type { Arrival, ReceptionContext, SessionLimits } from "./reception.ts";
import { refusal } from "./refusal.ts";
import { createSourceLimits } from "./source-limits.ts";
import type { HandshakeLimits } from "./source-limits.ts";
import type { Trust } from "./trust.ts";
import { verdictIsOurs } from "./verify-peer.ts";

/** Where to listen. `port: 0` takes a free one; a path is a Unix socket. */
export type ListenAddress =
  | { readonly host: string; readonly port: number }
  | { readonly path: string };

/**
 * What is served, by ALPN name; at least one. Of several that a client offers, the first one here is taken:
 * with HTTP/1.1 before h2, gRPC clients (which offer h2 alone) and plain HTTP clients can share a port.
 */
export interface ListenProtocols {
  readonly h2?: Protocol;
  readonly "http/1.1"?: Protocol;
  /** There is no "optional": a bad certificate is never treated as none (S17). */
  readonly clientCertificates: "required" | "none";
}

/** A bound listener. */
export interface Listener {
  readonly address: ListenAddress;
  /** Stops accepting; connections that are open stay open. */
  close(): Promise<void>;
}

/** What the listener needs of the runtime it belongs to. */
export interface ListenerContext extends ReceptionContext {
  contextOptions(): SecureContextOptions;
  trust(): Trust;
  /** Calls back when the context options have changed. Returns a function that stops it. */
  onSwap(swapped: () => void): () => void;
  readonly limits: ListenerLimits;
}

export interface ListenerLimits extends HandshakeLimits, SessionLimits {
  /** A handshake that takes longer is ended. Default 10,000. */
  readonly handshakeTimeoutMs?: number;
}

/**
 * Listens, does handshakes, has each judged, and hands the socket to its protocol in the same synchronous step.
 *
 * @throws TlsError LISTEN_FAILED
 */
export async function listen(
  address: ListenAddress,
  protocols: ListenProtocols,
  context: ListenerContext,
): Promise<Listener> {
  const { limits } = context;
  const served = protocolsByName(protocols);
  const sources = createSourceLimits(limits, () => performance.now());
  const reception = createReception(context);
  const begun = new WeakMap<Socket, Begun>();
  /** Connections that are no sessions: in a handshake, or refused and being told why. */
  const strangers = new Set<Socket>();

  const tlsOptions = {
    ...(protocols.clientCertificates === "required" ? verdictIsOurs : { requestCert: false }),
    ALPNProtocols: [...served.keys()],
    handshakeTimeout: limits.handshakeTimeoutMs ?? 10_000,
  };
  const tlsServer = createTlsServer({ ...tlsOptions, ...context.contextOptions() });
  tlsServer.on("secureConnection", (socket) => onSecure(socket));
  tlsServer.on("tlsClientError", (error, socket) => onHandshakeError(error, socket));
  const stopSwaps = context.onSwap(() => tlsServer.setSecureContext(context.contextOptions()));

  const netServer = createNetServer({ noDelay: true, keepAlive: true }, (socket) => {
    const remoteAddress = addressOf(socket);
    const leave = sources.enter(remoteAddress, () => socket.destroy());
    if (leave === undefined) {
      socket.destroy();
      reception.report(refusal("LIMIT_EXCEEDED"), { remoteAddress, at: performance.now() });
      return;
    }
    begun.set(socket, {
      remoteAddress,
      at: performance.now(),
      trust: context.trust(),
      leave,
    });
    strangers.add(socket);
    socket.once("close", () => {
      leave();
      strangers.delete(socket);
    });
    socket.on("error", ignore);
    tlsServer.emit("connection", socket);
  });

  function onSecure(socket: TLSSocket): void {
    socket.on("error", ignore);
    const start = beginningOf(socket);
    start.leave();
    const protocol = served.get(socket.alpnProtocol || "http/1.1");
    if (protocol === undefined) {
      reception.report(refusal("NO_APPLICATION_PROTOCOL"), start);
      socket.destroy();
      return;
    }
    const pressed = sources.pending > (limits.pendingHandshakes ?? 1024) / 2;
    const admitted =
      protocols.clientCertificates === "none"
        ? reception.receiveAnybody(socket, protocol, start)
        : reception.receive(socket, protocol, { arrival: start, pressed });
    const raw = parentOf(socket);
    if (admitted && raw !== undefined) strangers.delete(raw);
  }

  function onHandshakeError(error: Error, socket: TLSSocket): void {
    const start = beginningOf(socket);
    start.leave();
    socket.destroy();
    reception.report(refusalOfTlsError(error), start);
  }

  function beginningOf(socket: TLSSocket): Begun {
    const raw = parentOf(socket);
    return (
      (raw && begun.get(raw)) ?? {
        remoteAddress: addressOf(socket),
        at: performance.now(),
        trust: context.trust(),
        leave: ignore,
      }
    );
  }

  try {
    await new Promise<void>((resolve, reject) => {
      netServer.once("error", reject);
      netServer.listen(address, resolve);
    });
  } catch (cause) {
    stopSwaps();
    const where = "path" in address ? address.path : `${address.host}:${address.port}`;
    throw new TlsError("LISTEN_FAILED", `cannot listen on ${where}: ${reasonOf(cause)}`, { cause });
  }
  const bound = netServer.address();
  return {
    address:
      typeof bound === "object" && bound !== null
        ? { host: bound.address, port: bound.port }
        : address,
    close: () =>
      new Promise((resolve) => {
        stopSwaps();
        // Resolves when the last connection has ended; the listening socket is closed at once.
        netServer.close(() => resolve());
        for (const socket of strangers) socket.destroy();
      }),
  };
}

function protocolsByName(protocols: ListenProtocols): Map<string, Protocol> {
  const served = new Map<string, Protocol>();
  for (const name of Object.keys(protocols)) {
    const protocol = name === "h2" || name === "http/1.1" ? protocols[name] : undefined;
    if (protocol !== undefined) served.set(name, protocol);
  }
  if (served.size === 0)
    throw new TypeError("listen needs a protocol: expected h2, http/1.1 or both");
  return served;
}

/** The socket that was accepted, under its TLS socket: Node (26.10) keeps it as `_parent`. */
function parentOf(socket: TLSSocket): Socket | undefined {
  return "_parent" in socket ? (socket._parent as Socket | undefined) : undefined;
}

function addressOf(socket: Socket): string {
  return socket.remoteAddress ?? "";
}

/** Errors of a socket are told by its close; without a listener they would end the process. */
function ignore(): void {}

interface Begun extends Arrival {
  readonly leave: () => void;
}
