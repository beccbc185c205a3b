import { createServer } from "node:http";
import type {
  RequestListener,
  Server as HttpServer,
  ServerOptions as HttpServerOptions,
} from "node:http";
import type { AddressInfo } from "node:net";
import { callbackify } from "node:util";

import type { ListenAddress, Listener } from "./listener.ts";

/** What Fastify calls to get its server: `fastify({ serverFactory: mtls.fastifyServerFactory })`. */
export type FastifyServerFactory = (
  handler: RequestListener,
  options: Readonly<Record<string, unknown>>,
) => HttpServer;

/** Serves over mutual TLS: `serveHttp` of the runtime. */
export type Serve = (server: HttpServer, address: ListenAddress) => Promise<Listener>;

/**
 * Makes the servers of a Fastify application. They listen over mutual TLS and in no other way: `app.listen`
 * and `app.close` work as always, on one address (`localhost` is the one that it resolves to first).
 */
export function fastifyServerFactory(serve: Serve): FastifyServerFactory {
  return (handler, options) => {
    if (options["http2"] === true) {
      throw new TypeError("fastifyServerFactory serves HTTP/1.1: expected no `http2: true`");
    }
    const server = createServer((options["http"] ?? {}) as HttpServerOptions, handler);
    applySettings(server, options);
    return listeningBy(server, serve);
  };
}

/** What Fastify sets on a server that it makes itself; zero leaves Node's own bound in place. */
function applySettings(server: HttpServer, options: Readonly<Record<string, unknown>>): void {
  const settings = {
    keepAliveTimeout: options["keepAliveTimeout"],
    requestTimeout: options["requestTimeout"],
    timeout: options["connectionTimeout"],
    maxRequestsPerSocket: options["maxRequestsPerSocket"],
  };
  for (const [name, value] of Object.entries(settings)) {
    if (typeof value === "number" && value > 0) Object.assign(server, { [name]: value });
  }
}

/** The server, with everything about listening done by `serve`. */
function listeningBy(server: HttpServer, serve: Serve): HttpServer {
  const closeServer = server.close.bind(server);
  let listener: Listener | undefined;
  let closed = false;

  function listen(address: unknown): HttpServer {
    callbackify(serve)(server, addressFrom(address), (error, bound) => {
      if (error !== null) {
        server.emit("error", error);
        return;
      }
      if (closed) {
        void bound.close();
        return;
      }
      listener = bound;
      server.emit("listening");
    });
    return server;
  }

  function close(callback?: (error?: Error) => void): HttpServer {
    const bound = listener;
    closed = true;
    listener = undefined;
    if (bound === undefined) return closeServer(callback);
    callbackify(() => bound.close())(() => {
      closeServer();
      callback?.();
    });
    return server;
  }

  return Object.defineProperties(server, {
    listen: { value: listen },
    close: { value: close },
    address: { value: () => (listener === undefined ? null : addressInfo(listener.address)) },
    listening: { get: () => listener !== undefined },
  });
}

function addressFrom(given: unknown): ListenAddress {
  const { host, port, path } = (typeof given === "object" && given !== null ? given : {}) as {
    readonly host?: unknown;
    readonly port?: unknown;
    readonly path?: unknown;
  };
  if (typeof path === "string") return { path };
  const number = Number(port ?? 0);
  if (Number.isInteger(number)) {
    return { host: typeof host === "string" ? host : "localhost", port: number };
  }
  throw new TypeError("listen takes one object: expected { host, port } or { path }");
}

function addressInfo(address: ListenAddress): AddressInfo | string {
  if ("path" in address) return address.path;
  const family = address.host.includes(":") ? "IPv6" : "IPv4";
  return { address: address.host, family, port: address.port };
}
