import { createServer } from "node:http";
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import { http1Protocol, peerOf } from "@handfast/tls";
import type { LiveProtocol, Protocol, VerifiedPeer } from "@handfast/tls";
import { sourceKey } from "../acme/rate-limit.ts";
import type { RateLimit } from "../acme/rate-limit.ts";

/** Something that answers some of the requests that arrive. */
export type HttpHandler = (
  request: IncomingMessage,
  response: ServerResponse,
  peer: VerifiedPeer | undefined,
) => boolean;

/** Plain HTTP on a listener, and its end. */
export interface HttpDoor {
  readonly server: Server;
  /** For a TLS listener; called once. */
  protocol(): Protocol;
  /** Ends idle connections, and the others after the answer under way. */
  drain(): void;
}

/**
 * An HTTP server with the patience of one that strangers reach: 5 s for a head, 15 s for a request,
 * and a rate for each source. The first handler that takes a request answers it.
 */
export function createHttpDoor(
  handlers: readonly HttpHandler[],
  { limiter }: { readonly limiter: RateLimit },
): HttpDoor {
  const server = createServer(
    {
      maxHeaderSize: 16 * 1_024,
      headersTimeout: 5_000,
      requestTimeout: 15_000,
      keepAliveTimeout: 5_000,
      connectionsCheckingInterval: 1_000,
    },
    (request, response) => {
      const waitMs = limiter.take(sourceKey(request.socket.remoteAddress));
      if (waitMs > 0) {
        end(response, 429, { "retry-after": String(Math.ceil(waitMs / 1_000)) });
        return;
      }
      const peer = peerOf(request);
      if (handlers.some((handle) => handle(request, response, peer))) return;
      end(response, 404, {});
    },
  );
  server.maxRequestsPerSocket = 10_000;
  const live = new Set<LiveProtocol>();
  return {
    server,
    protocol() {
      const inner = http1Protocol(server);
      return {
        accept(socket, peer, session) {
          const connection = inner.accept(socket, peer, session);
          live.add(connection);
          socket.once("close", () => live.delete(connection));
          return connection;
        },
        refuse: (socket, refusal) => inner.refuse(socket, refusal),
      };
    },
    drain() {
      for (const connection of live) connection.drain({ kind: "closing" });
    },
  };
}

function end(response: ServerResponse, status: number, headers: Record<string, string>): void {
  response.writeHead(status, { ...headers, "content-length": 0, "cache-control": "no-store" });
  response.end();
}
