import { createServer as createHttp1 } from "node:http";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer as createHttp2 } from "node:http2";
import type { Http2ServerRequest, Http2ServerResponse } from "node:http2";

import { createHttp1Protocol } from "../http1-protocol.ts";
import { createHttp2Protocol } from "../http2-protocol.ts";
import type { ListenAddress, Listener } from "../listener.ts";
import type { MutualTls } from "../mutual-tls.ts";
import { peerOf } from "../peer-of.ts";

/**
 * Listens as a server of mutual TLS would, to see how clients fare: who is admitted is greeted by name over
 * HTTP/1.1 or HTTP/2, who is not is told why. The runtime's `onEvent` hears of every handshake.
 *
 * @throws TlsError LISTEN_FAILED, IDENTITY_INVALID
 */
export function greetClients(mtls: MutualTls, address: ListenAddress): Promise<Listener> {
  return mtls.listen(address, {
    h2: createHttp2Protocol(createHttp2(greet)),
    "http/1.1": createHttp1Protocol(createHttp1(greet)),
    clientCertificates: "required",
  });
}

function greet(
  request: IncomingMessage | Http2ServerRequest,
  response: ServerResponse | Http2ServerResponse,
): void {
  const { identity } = peerOf(request) ?? {};
  response.setHeader("content-type", "text/plain; charset=utf-8");
  (response as ServerResponse).end(`hello ${identity ?? "whoever you are"}\n`);
}
