import type { SecureContextOptions } from "node:tls";
import { TLSSocket } from "node:tls";

import { opensslVerdictToCome } from "./openssl-verdict.ts";
import { refusalOfTlsError } from "./openssl-errors.ts";
import { rememberPeer } from "./peer-of.ts";
import type { Protocol } from "./protocol.ts";
import { createReception } from "./reception.ts";
import type { Arrival, ReceptionContext } from "./reception.ts";
import { refusal } from "./refusal.ts";
import type { Trust } from "./trust.ts";

/**
 * Mutual TLS for an HTTP/2 server that listens by itself: `http2.createSecureServer`, and what is built on it.
 * The options are safe alone: no connection reaches h2 without the verdict, which comes before the server hears
 * of the connection, and no second step is needed for it (S16).
 */
export interface ForeignServer {
  /**
   * What the server is made with, beside {@link contextOptions}. Only h2 is offered: a server made with
   * `allowHTTP1`, or an HTTPS server, would serve clients that speak no ALPN on OpenSSL's verdict alone.
   */
  readonly serverOptions: ForeignServerOptions;
  /** Certificate, trust and protocol as they are now, whole: for the server's making and `setSecureContext`. */
  contextOptions(): SecureContextOptions;
  /** Calls back when the context options have changed. Returns a function that stops it. */
  onSwap(swapped: () => void): () => void;
}

/** Refuses by itself whoever OpenSSL cannot verify; the rest is judged in `ALPNCallback`'s wake. */
export interface ForeignServerOptions {
  readonly requestCert: true;
  readonly rejectUnauthorized: true;
  readonly allowHTTP1: false;
  readonly handshakeTimeout: number;
  /** Node calls it for a connection whose client has said hello, with its socket as `this`. */
  readonly ALPNCallback: (
    this: unknown,
    offer: { readonly protocols: readonly string[] },
  ) => string | undefined;
}

export interface ForeignServerContext extends ReceptionContext {
  contextOptions(): SecureContextOptions;
  trust(): Trust;
  onSwap(swapped: () => void): () => void;
  readonly closed: () => boolean;
  readonly handshakeTimeoutMs: number;
}

/**
 * Makes the options of a server that is not ours. `protocol.accept` only learns of a connection, just before the
 * server does: it must neither read nor write. `protocol.refuse` has a refused one for itself: the server never
 * hears of it.
 */
export function foreignServer(protocol: Protocol, context: ForeignServerContext): ForeignServer {
  const reception = createReception(context);
  const knowing: Protocol = {
    accept(socket, peer, session) {
      rememberPeer(socket, peer);
      return protocol.accept(socket, peer, session);
    },
    refuse: (socket, refused) => protocol.refuse(socket, refused),
  };

  /**
   * Puts the verdict between the handshake and the server. What Node does when it is over, which ends in
   * `secureConnection`, is taken from the socket and done for admitted peers only.
   */
  function hold(socket: TLSSocket): void {
    const arrival: Arrival = {
      remoteAddress: socket.remoteAddress ?? "",
      at: performance.now(),
      trust: context.trust(),
    };
    const goOn = socket.listeners("secure");
    socket.removeAllListeners("secure");
    const failed = (error?: Error): void => {
      socket.off("_tlsError", failed).off("close", closed);
      reception.report(
        error === undefined
          ? refusal("PEER_CONNECTION_CLOSED", { by: "peer" })
          : refusalOfTlsError(error),
        arrival,
      );
    };
    const closed = (): void => failed();
    socket.once("_tlsError", failed).once("close", closed);
    socket.once("secure", () => {
      socket.off("_tlsError", failed).off("close", closed);
      if (socket.destroyed) return;
      // Errors of a socket are told by its close; a refused one has no other listener.
      socket.on("error", ignore);
      const openssl = opensslVerdictToCome(socket);
      if (!reception.receive(socket, knowing, { arrival, pressed: false, openssl })) return;
      for (const listener of goOn) Reflect.apply(listener, socket, []);
    });
  }

  return {
    serverOptions: {
      requestCert: true,
      rejectUnauthorized: true,
      allowHTTP1: false,
      handshakeTimeout: context.handshakeTimeoutMs,
      ALPNCallback({ protocols }) {
        // Without a name that both speak, OpenSSL ends the handshake with an alert.
        if (context.closed() || !protocols.includes("h2")) return undefined;
        if (!(this instanceof TLSSocket)) return undefined;
        hold(this);
        return "h2";
      },
    },
    contextOptions: () => context.contextOptions(),
    onSwap: (swapped) => context.onSwap(swapped),
  };
}

function ignore(): void {}
