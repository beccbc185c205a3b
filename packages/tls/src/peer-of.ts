import type { IncomingMessage } from "node:http";
import type { Http2ServerRequest, ServerHttp2Stream } from "node:http2";
import type { Duplex } from "node:stream";

import type { VerifiedPeer } from "./peer.ts";

/**
 * The peer behind a request that `serveHttp` or a foreign server delivered: an HTTP/1.1 or HTTP/2 request, an
 * HTTP/2 stream, or the socket of a connection or an upgrade. Express hands out such a request itself, Fastify as
 * `request.raw`.
 *
 * Undefined means that nobody was verified: the listener asks for no certificates, or the request came some
 * other way. Such a caller has no identity and owns nothing.
 */
export function peerOf(
  request: IncomingMessage | Http2ServerRequest | ServerHttp2Stream | Duplex,
): VerifiedPeer | undefined {
  const own = ofCarrier(request);
  if (own !== undefined) return own;
  // HTTP/2 goes by the stream: the `socket` of a request is gone once the stream has ended.
  if ("stream" in request) return peerOf(request.stream);
  if ("session" in request) return ofCarrier(request.session?.socket);
  return "socket" in request ? ofCarrier(request.socket) : undefined;
}

function ofCarrier(carrier: object | undefined): VerifiedPeer | undefined {
  if (carrier === undefined) return undefined;
  // What HTTP/2 calls the socket of a session is a proxy, which shows the properties of the real one.
  const real: unknown = Reflect.get(carrier, itself);
  return peers.get(typeof real === "object" && real !== null ? real : carrier);
}

/** Remembers whose connection or stream this is, as long as it exists. */
export function rememberPeer(carrier: Duplex, peer: VerifiedPeer | undefined): void {
  if (peer === undefined) return;
  peers.set(carrier, peer);
  Object.defineProperty(carrier, itself, { value: carrier });
}

const peers = new WeakMap<object, VerifiedPeer>();
const itself: unique symbol = Symbol("the carrier itself");
