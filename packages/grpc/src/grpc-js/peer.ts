import type { PeerCertificate, TLSSocket } from "node:tls";
import type { ServerUnaryCall } from "@grpc/grpc-js";
import type { VerifiedPeer } from "@handfast/tls";

/** What grpc-js calls the auth context of a call. */
export type AuthContext = ReturnType<ServerUnaryCall<unknown, unknown>["getAuthContext"]>;

/**
 * The verified peer of a call that serveGrpcJs or grpcServerCredentials delivered: of the call a handler is
 * given, or of the one an interceptor wraps. Undefined means that nobody was verified: such a caller has no identity.
 */
export function peerOf(call: { getAuthContext(): AuthContext }): VerifiedPeer | undefined {
  return peers.get(call.getAuthContext());
}

/**
 * Makes the auth context of a connection, by which its peer is found again through any interceptor. It says what
 * that of grpc-js would, for programs that read the certificate themselves.
 */
export function authContextOf(peer: VerifiedPeer | undefined, socket: TLSSocket): AuthContext {
  if (peer === undefined) return {};
  let certificate: PeerCertificate | undefined;
  const context: AuthContext = {
    transportSecurityType: "ssl",
    get sslPeerCertificate() {
      return (certificate ??= socket.getPeerCertificate());
    },
  };
  peers.set(context, peer);
  return context;
}

const peers = new WeakMap<AuthContext, VerifiedPeer>();
