import type { IncomingMessage } from "node:http";
import type { Http2ServerRequest, ServerHttp2Stream } from "node:http2";
import type { Duplex } from "node:stream";

import type { VerifiedPeer } from "./peer.ts";

/**
 * The peer behind a request that `serveHttp` delivered: an HTTP/1.1 or HTTP/2 request, an HTTP/2 stream, or the
 * socket of an upgrade. Express hands out such a request itself, Fastify as `request.raw`.
 *
 * Undefined means that nobody was verified: the listener asks for no certificates, or the request came some
 * other way. Such a caller has no identity and owns nothing.
 */
export function peerOf(
  request: IncomingMessage | Http2ServerRequest | ServerHttp2Stream | Duplex,
): VerifiedPeer | undefined {
  const own = peers.get(request);
  if (own !== undefined) return own;
  // HTTP/2 goes by the stream: its `socket` is a proxy, and gone once the stream has ended.
  if ("stream" in request) return peers.get(request.stream);
  return "socket" in request ? peers.get(request.socket) : undefined;
}

/** Remembers whose connection or stream this is, as long as it exists. */
export function rememberPeer(carrier: Duplex, peer: VerifiedPeer | undefined): void {
  if (peer !== undefined) peers.set(carrier, peer);
}

const peers = new WeakMap<object, VerifiedPeer>();
