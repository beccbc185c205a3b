import type { Socket } from "node:net";
import type { ListenAddress } from "@handfast/tls";
import { GrpcError } from "../errors.ts";
import { Health } from "../gen/grpc/health/v1/health_pb.ts";
import { createServerEngine } from "../wire/server-engine.ts";
import type { HealthState } from "../health.ts";
import { connectionPrincipal } from "../principal.ts";
import { serveConnection } from "./connection.ts";
import type { MethodHandler } from "./handlers.ts";
import { listenPlaintext } from "./listen-plaintext.ts";
import type { PlaintextListener } from "./listen-plaintext.ts";
import type { Route } from "./serve-call.ts";

/** Where probes ask, and about what. */
export type HealthPortOptions = ListenAddress & {
  /** The services that may be asked about beside the server as a whole; none if absent. */
  readonly services?: readonly string[];
};

/**
 * Binds a plaintext port for probes, which have no certificate: it answers unary Health/Check of the empty
 * name and of the names given, and nothing else. 64 connections of 5 s each, one call at a time,
 * heads of 4 KiB (security.md S42).
 */
export async function listenHealthPort(
  options: HealthPortOptions,
  health: HealthState,
): Promise<PlaintextListener> {
  const { services = [], ...address } = options;
  const named = new Set(["", ...services]);
  const check: MethodHandler<typeof Health.method.check> = (request, call) => {
    if (!named.has(request.service)) throw new GrpcError("NOT_FOUND", "unknown service");
    return health.handlers.check(request, call);
  };
  const route: Route = {
    path: `/${Health.typeName}/${Health.method.check.name}`,
    method: Health.method.check,
    handler: check as Route["handler"],
  };
  const engine = createServerEngine({
    maxConcurrentStreams: 1,
    maxReceiveMessageBytes: maxHeaderBytes,
    maxHeaderBytes,
  });
  engine.register(route.path);
  const sockets = new Set<Socket>();

  const listener = await listenPlaintext(address, (socket) => {
    if (sockets.size >= maxConnections) {
      socket.destroy();
      return;
    }
    sockets.add(socket);
    const timer = setTimeout(() => socket.destroy(), maxAgeMs).unref();
    socket.once("close", () => {
      clearTimeout(timer);
      sockets.delete(socket);
    });
    const who = {
      peer: undefined,
      session: undefined,
      principal: connectionPrincipal(undefined, "plaintext"),
      remoteAddress: socket.remoteAddress,
    };
    serveConnection(socket, who, {
      engine,
      maxHeaderBytes,
      maxSendMessageBytes: maxHeaderBytes,
      route: (path) => (path === route.path ? route : undefined),
      passage: { gates: [], interceptors: [], fault: () => undefined },
      started: () => undefined,
      ended: () => undefined,
      released: () => undefined,
    });
  });
  return {
    address: listener.address,
    close() {
      for (const socket of sockets) socket.destroy();
      return listener.close();
    },
  };
}

const maxConnections = 64;
const maxAgeMs = 5_000;
const maxHeaderBytes = 4 * 1024;
