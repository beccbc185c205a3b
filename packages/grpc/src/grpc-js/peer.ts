import type { ServerUnaryCall } from "@grpc/grpc-js";
import type { VerifiedPeer } from "@handfast/tls";

/** What grpc-js calls the auth context of a call; ours says nothing, and is known by what it is. */
export type AuthContext = ReturnType<ServerUnaryCall<unknown, unknown>["getAuthContext"]>;

/**
 * The verified peer of a call that serveGrpcJs delivered: of the call a handler is given, or of the one an
 * interceptor wraps. Undefined means that nobody was verified: such a caller has no identity.
 */
export function peerOf(call: { getAuthContext(): AuthContext }): VerifiedPeer | undefined {
  return peers.get(call.getAuthContext());
}

/** Makes the auth context of a connection, by which its peer is found again through any interceptor. */
export function authContextOf(peer: VerifiedPeer | undefined): AuthContext {
  const context: AuthContext = {};
  if (peer !== undefined) peers.set(context, peer);
  return context;
}

const peers = new WeakMap<AuthContext, VerifiedPeer>();
