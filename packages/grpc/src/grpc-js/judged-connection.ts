import type { TLSSocket } from "node:tls";
import { ServerInterceptingCall, status as statuses } from "@grpc/grpc-js";
import type { ServerInterceptingCallInterface } from "@grpc/grpc-js";
import type { LiveProtocol, Refusal, Session, VerifiedPeer } from "@handfast/tls";
import { Metadata } from "../metadata.ts";
import { toJs } from "./metadata.ts";
import { authContextOf } from "./peer.ts";

/** A connection as its verdict leaves it. */
export interface JudgedSocket {
  readonly socket: TLSSocket;
  readonly peer: VerifiedPeer | undefined;
  readonly session: Session;
}

/** A judged connection of a server of grpc-js, and the calls on it. */
export interface JudgedConnection extends LiveProtocol {
  /** Stands between a call and the server's own interceptors. */
  intercept(call: ServerInterceptingCallInterface): ServerInterceptingCall;
}

/**
 * Knows the calls of one connection: their peer, whether they may start, and how to end them when that is no
 * longer so. `goodbye` has the connection take no new calls, where that can be said to its client.
 */
export function createJudgedConnection(
  { socket, peer, session }: JudgedSocket,
  goodbye: () => void,
): JudgedConnection {
  const calls = new Set<ServerInterceptingCallInterface>();
  const authContext = authContextOf(peer, socket);
  let refused: Refusal | undefined;
  let closing = false;

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
      } else if (closing) {
        endClosing(this.#call);
      } else {
        calls.add(this.#call);
        super.start(listener);
      }
    }

    override getAuthContext(): ReturnType<ServerInterceptingCall["getAuthContext"]> {
      return authContext;
    }
  }

  return {
    intercept: (call) => new PeerCall(call),
    activity: () => ({ callsInFlight: calls.size }),
    drain(reason) {
      if (reason.kind === "closing") closing = true;
      if (reason.kind === "refused") {
        refused = reason.refusal;
        if (refused.code === "CERTIFICATE_REVOKED") {
          for (const call of calls) endRefused(call, refused);
        }
      }
      goodbye();
    },
  };
}

/** A call of which nobody knows whose it is: it starts not. */
export function strangerCall(call: ServerInterceptingCallInterface): ServerInterceptingCall {
  class StrangerCall extends ServerInterceptingCall {
    override start(): void {
      endRefused(call, undefined);
    }
  }
  return new StrangerCall(call);
}

function endRefused(call: ServerInterceptingCallInterface, refusal: Refusal | undefined): void {
  call.sendStatus({
    code: statuses.UNAUTHENTICATED,
    details: refusal === undefined ? "not admitted" : `${refusal.code}: ${refusal.publicMessage}`,
    metadata: toJs(new Metadata(refusal && { "handfast-refusal": refusal.code })),
  });
}

function endClosing(call: ServerInterceptingCallInterface): void {
  call.sendStatus({ code: statuses.UNAVAILABLE, details: "the server is going away" });
}
