import { Server as HttpServer } from "node:http";
import { createServer as createHttp2Server } from "node:http2";
import type { Http2Server } from "node:http2";

import { createHttp1Protocol } from "./http1-protocol.ts";
import { createHttp2Protocol } from "./http2-protocol.ts";
import type { ListenAddress, ListenProtocols, Listener } from "./listener.ts";
import type { LiveProtocol, Protocol } from "./protocol.ts";

export interface ServeHttpOptions {
  /** Default "required". With "none" any client is served, and {@link peerOf} knows nobody. */
  readonly clientCertificates?: "required" | "none";
}

/** What serving needs of the runtime. */
export type Listen = (address: ListenAddress, protocols: ListenProtocols) => Promise<Listener>;

/**
 * Serves a plain HTTP server over mutual TLS: it listens itself, and hands the server judged connections only.
 * The server must not listen on its own.
 *
 * @returns the listener. Its `close` ends idle connections and says `Connection: close` (HTTP/2: GOAWAY) on
 * the rest; it resolves when the last request has ended. `server.close()` has no part in it.
 * @throws TypeError if the server is not a plain one, or listens already. TlsError as `listen` does.
 */
export async function serveHttp(
  listen: Listen,
  server: HttpServer | Http2Server,
  { address, clientCertificates = "required" }: ServeHttpOptions & { address: ListenAddress },
): Promise<Listener> {
  requirePlain(server);
  const live = new Set<LiveProtocol>();
  const listener = await listen(address, {
    ...(server instanceof HttpServer
      ? { "http/1.1": remembering(http1Protocol(server), live) }
      : { h2: remembering(createHttp2Protocol(server), live) }),
    clientCertificates,
  });
  return {
    address: listener.address,
    close() {
      const closed = listener.close();
      for (const connection of live) connection.drain({ kind: "closing" });
      return closed;
    },
  };
}

/**
 * HTTP/1.1 by a plain server, as one of several protocols of a listener. The server must not listen on its own.
 *
 * @throws TypeError if the server is not a plain one, or listens already.
 */
export function http1Protocol(server: HttpServer): Protocol {
  requirePlain(server);
  watchTimeouts(server);
  return createHttp1Protocol(server);
}

function requirePlain(server: HttpServer | Http2Server): void {
  if (!(server instanceof HttpServer) && !(server instanceof createHttp2Server().constructor)) {
    throw new TypeError(
      "serveHttp needs a server without TLS of its own: expected one of http.createServer() or http2.createServer()",
    );
  }
  if (server.listening) {
    throw new TypeError(
      "serveHttp needs a server that does not listen: this one serves plaintext already, to anybody",
    );
  }
}

/** The protocol, with its live connections kept in a set. */
function remembering(protocol: Protocol, live: Set<LiveProtocol>): Protocol {
  return {
    accept(socket, peer, session) {
      const connection = protocol.accept(socket, peer, session);
      live.add(connection);
      socket.once("close", () => live.delete(connection));
      return connection;
    },
    refuse: (socket, refusal) => protocol.refuse(socket, refusal),
  };
}

/**
 * Node looks after `headersTimeout` and `requestTimeout` from the moment a server listens, and this one never
 * will: without this a client could take for ever to send a request. Runs what a new server does when it
 * listens, and none of the user's own listeners.
 */
function watchTimeouts(server: HttpServer): void {
  for (const start of new HttpServer().listeners("listening")) Reflect.apply(start, server, []);
}
