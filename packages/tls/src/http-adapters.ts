import type { Server as HttpServer } from "node:http";
import type { Http2Server } from "node:http2";
import type { Agent } from "node:https";

import { fastifyServerFactory } from "./fastify-server.ts";
import type { FastifyServerFactory } from "./fastify-server.ts";
import { httpsAgent, undiciConnect } from "./http-clients.ts";
import type { Dial, HttpsAgentOptions, UndiciConnect } from "./http-clients.ts";
import type { ListenAddress, Listener } from "./listener.ts";
import { serveHttp } from "./serve-http.ts";
import type { Listen, ServeHttpOptions } from "./serve-http.ts";

/**
 * HTTP over a mutual TLS runtime, for other people's servers and clients. Each of these owns its connections
 * from the first byte to the verdict: there is no option bag that needs a second step to be safe (S16).
 */
export interface HttpAdapters {
  /**
   * Serves a plain `http.Server` (Express: `http.createServer(app)`) or a plain HTTP/2 server
   * (`http2.createServer()`); {@link peerOf} tells its handlers who calls. A client that the verifier refuses
   * reaches no handler: it reads `CODE: why` in a 403 with the header `handfast-refusal: CODE`.
   *
   * @throws TypeError, TlsError LISTEN_FAILED, IDENTITY_INVALID, CLOSED
   */
  serveHttp(
    server: HttpServer | Http2Server,
    address: ListenAddress,
    options?: ServeHttpOptions,
  ): Promise<Listener>;
  /**
   * For undici, and Node's own fetch with such a dispatcher: `new Agent({ connect: mtls.undiciConnect })`.
   * `(target, callback) => mtls.undiciConnect({ ...target, expect: spiffeId(…) }, callback)` expects another
   * server than the URL's host.
   */
  readonly undiciConnect: UndiciConnect;
  /** For `https.request(url, { agent })` and everything built on it. */
  httpsAgent(options?: HttpsAgentOptions): Agent;
  /** `fastify({ serverFactory: mtls.fastifyServerFactory })`: `app.listen` then serves over mutual TLS. */
  readonly fastifyServerFactory: FastifyServerFactory;
}

/** The HTTP side of a runtime that can listen and dial. */
export function createHttpAdapters(runtime: {
  readonly listen: Listen;
  readonly dial: Dial;
}): HttpAdapters {
  const serve: HttpAdapters["serveHttp"] = (server, address, options = {}) =>
    serveHttp(runtime.listen, server, { ...options, address });
  return {
    serveHttp: serve,
    undiciConnect: undiciConnect(runtime.dial),
    httpsAgent: (options = {}) => httpsAgent(runtime.dial, options),
    fastifyServerFactory: fastifyServerFactory(serve),
  };
}
