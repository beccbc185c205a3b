import {
  ServerCredentials,
  ServerInterceptingCall,
  experimental,
  status as statuses,
} from "@grpc/grpc-js";
import type { Server, ServerInterceptingCallInterface } from "@grpc/grpc-js";
import type {
  ListenAddress,
  LiveProtocol,
  MutualTls,
  Protocol,
  Refusal,
  Session,
  VerifiedPeer,
} from "@handfast/tls";
import type { Duplex } from "node:stream";
import { createRefuser } from "../server/refuser.ts";
import { toJs } from "./metadata.ts";
import { Metadata } from "../metadata.ts";
import { authContextOf } from "./peer.ts";

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

interface Connection {
  readonly socket: Duplex;
  readonly peer: VerifiedPeer | undefined;
  readonly session: Session;
}

/** Hands a judged socket to the server, with an injector of its own so that its calls are known. */
function inject(server: Server, { socket, peer, session }: Connection): LiveProtocol {
  const calls = new Set<ServerInterceptingCallInterface>();
  const authContext = authContextOf(peer);
  let refused: Refusal | undefined;

  class PeerCall extends ServerInterceptingCall {
    readonly #call: ServerInterceptingCallInterface;

    constructor(call: ServerInterceptingCallInterface) {
      super(call, { start: (next) => next({ onCancel: () => calls.delete(call) }) });
      this.#call = call;
    }

    override start(listener: Parameters<ServerInterceptingCall["start"]>[0]): void {
      // After a change of trust or revocation this judges the peer again (S11).
      if (!session.admitted()) {
        endRefused(this.#call, refused);
        return;
      }
      calls.add(this.#call);
      super.start(listener);
    }

    override getAuthContext(): ReturnType<ServerInterceptingCall["getAuthContext"]> {
      return authContext;
    }
  }

  const credentials = experimental.createServerCredentialsWithInterceptors(
    ServerCredentials.createInsecure(),
    [(_method, call) => new PeerCall(call)],
  );
  const injector = server.createConnectionInjector(credentials);
  injector.injectConnection(socket);
  const drain = (): void => {
    socket.off("close", drain);
    injector.destroy();
  };
  socket.once("close", drain);

  return {
    activity: () => ({ callsInFlight: calls.size }),
    drain(reason) {
      if (reason.kind === "refused") {
        refused = reason.refusal;
        if (refused.code === "CERTIFICATE_REVOKED") {
          for (const call of calls) endRefused(call, refused);
        }
      }
      drain();
    },
  };
}

function endRefused(call: ServerInterceptingCallInterface, refusal: Refusal | undefined): void {
  call.sendStatus({
    code: statuses.UNAUTHENTICATED,
    details: refusal === undefined ? "not admitted" : `${refusal.code}: ${refusal.publicMessage}`,
    metadata: toJs(new Metadata(refusal && { "handfast-refusal": refusal.code })),
  });
}
