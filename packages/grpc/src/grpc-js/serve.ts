import { ServerCredentials, experimental } from "@grpc/grpc-js";
import type { Server } from "@grpc/grpc-js";
import type { ListenAddress, LiveProtocol, MutualTls, Protocol } from "@handfast/tls";
import { createRefuser } from "../server/refuser.ts";
import { createJudgedConnection } from "./judged-connection.ts";
import type { JudgedSocket } from "./judged-connection.ts";

/** Where a server of grpc-js listens, and whether it asks for client certificates (default: required). */
export type ServeGrpcJsOptions = ListenAddress & {
  readonly clientCertificates?: "required" | "none";
};

/** A server of grpc-js that serves. */
export interface GrpcJsListener {
  readonly address: ListenAddress;
  /** Stops listening at once; calls in flight go on. `server.tryShutdown` ends them. */
  close(): Promise<void>;
}

/**
 * Serves a server of grpc-js over mutual TLS, in place of its `bindAsync`: handshake, verdict, rotation,
 * revocation, refusal notices and live sessions are those of the runtime; peerOf(call) gives the peer.
 */
export async function serveGrpcJs(
  server: Server,
  tls: MutualTls,
  options: ServeGrpcJsOptions,
): Promise<GrpcJsListener> {
  const { clientCertificates = "required", ...address } = options;
  const refuser = createRefuser();
  const h2: Protocol = {
    accept: (socket, peer, session) => inject(server, { socket, peer, session }),
    refuse: (socket, refusal) => refuser.refuse(socket, refusal),
  };
  const listener = await tls.listen(address, { h2, clientCertificates });
  return {
    address: listener.address,
    close() {
      refuser.close();
      return listener.close();
    },
  };
}

/** Hands a judged socket to the server, with an injector of its own so that its calls are known. */
function inject(server: Server, judged: JudgedSocket): LiveProtocol {
  const { socket } = judged;
  const goodbye = (): void => {
    socket.off("close", goodbye);
    injector.destroy();
  };
  const connection = createJudgedConnection(judged, goodbye);
  const credentials = experimental.createServerCredentialsWithInterceptors(
    ServerCredentials.createInsecure(),
    [(_method, call) => connection.intercept(call)],
  );
  const injector = server.createConnectionInjector(credentials);
  injector.injectConnection(socket);
  socket.once("close", goodbye);
  return connection;
}
