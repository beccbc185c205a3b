import { ServerCredentials } from "@grpc/grpc-js";
import type { ServerInterceptingCallInterface, ServerInterceptor } from "@grpc/grpc-js";
import type { ForeignServer, MutualTls, Protocol } from "@handfast/tls";
import { createRefuser } from "../server/refuser.ts";
import { createJudgedConnection, strangerCall } from "./judged-connection.ts";
import type { JudgedConnection } from "./judged-connection.ts";

/** The ends of a TCP connection, which tell it from every other there is. */
type Ends = Pick<
  ReturnType<ServerInterceptingCallInterface["getConnectionInfo"]>,
  "localAddress" | "localPort" | "remoteAddress" | "remotePort"
>;

/** Server credentials whose TLS, and the verdict over its clients, is somebody else's. */
class JudgingCredentials extends ServerCredentials {
  readonly #interceptor: ServerInterceptor;

  constructor(foreign: ForeignServer, interceptor: ServerInterceptor) {
    super(foreign.serverOptions, foreign.contextOptions());
    this.#interceptor = interceptor;
    foreign.onSwap(() => this.updateSecureContextOptions(foreign.contextOptions()));
  }

  override _equals(other: ServerCredentials): boolean {
    return this === other;
  }

  /** Internal to grpc-js: what stands before the server's own interceptors. */
  override _getInterceptors(): ServerInterceptor[] {
    return [this.#interceptor];
  }
}

/**
 * Credentials for `server.bindAsync` of grpc-js, for frameworks that call it themselves: handshake, verdict,
 * rotation, revocation, refusal notices and live sessions are those of the runtime; peerOf(call) gives the peer.
 * For TCP only: on a Unix socket nobody is known and no call starts. serveGrpcJs serves there too, limits
 * handshakes per source, and says GOAWAY to clients before they are cut.
 *
 * Calls are matched with connections by their addresses and ports. Where grpc-js or Node should cease to
 * work as this needs, handshakes fail or calls are refused; none is served unjudged.
 *
 * @throws {TlsError} IDENTITY_INVALID if the certificate is not for servers, CLOSED
 * @throws {Error} for a grpc-js that does not have what this stands on
 */
export function grpcServerCredentials(tls: MutualTls): ServerCredentials {
  requireHooks();
  const connections = new Map<string, JudgedConnection>();
  const refuser = createRefuser();
  const protocol: Protocol = {
    accept(socket, peer, session) {
      const key = keyOf(socket);
      const connection = createJudgedConnection({ socket, peer, session }, () => undefined);
      if (key !== undefined) {
        connections.set(key, connection);
        socket.once("close", () => {
          if (connections.get(key) === connection) connections.delete(key);
        });
      }
      return connection;
    },
    refuse: (socket, refusal) => refuser.refuse(socket, refusal),
  };
  return new JudgingCredentials(tls.foreignServer(protocol), (_method, call) => {
    const key = keyOf(call.getConnectionInfo());
    const connection = key === undefined ? undefined : connections.get(key);
    return connection?.intercept(call) ?? strangerCall(call);
  });
}

/** A grpc-js that never asks for these would serve without rotation, and without knowing whose a call is. */
function requireHooks(): void {
  const prototype: object = ServerCredentials.prototype;
  const missing = hooks.filter((name) => typeof Reflect.get(prototype, name) !== "function");
  if (missing.length === 0) return;
  throw new Error(
    `@grpc/grpc-js: its ServerCredentials have no ${missing.join(", ")}; use serveGrpcJs, or version 1.14.7`,
  );
}

function keyOf({ localAddress, localPort, remoteAddress, remotePort }: Ends): string | undefined {
  if (remoteAddress === undefined || remotePort === undefined) return undefined;
  return `${localAddress} ${localPort} ${remoteAddress} ${remotePort}`;
}

const hooks = [
  "_addWatcher",
  "_getConstructorOptions",
  "_getInterceptors",
  "_getSecureContextOptions",
  "updateSecureContextOptions",
] as const;
