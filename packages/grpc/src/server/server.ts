import type { Duplex } from "node:stream";
import type { DescMethod, DescService } from "@bufbuild/protobuf";
import type { Limits, Timing } from "@handfast/http2";
import type { ListenAddress, MutualTls, Protocol } from "@handfast/tls";
import { GrpcError } from "../errors.ts";
import { Health } from "../gen/grpc/health/v1/health_pb.ts";
import { ServerReflection } from "../gen/grpc/reflection/v1/reflection_pb.ts";
import { ServerReflection as ServerReflectionAlpha } from "../gen/grpc/reflection/v1alpha/reflection_pb.ts";
import { createServerEngine } from "../wire/server-engine.ts";
import { createHealth } from "../health.ts";
import type { HealthControl } from "../health.ts";
import { createAuthoriser } from "../interceptors/authorise.ts";
import type { DecisionEvent, ServerPolicy } from "../interceptors/authorise.ts";
import { createCallLimit } from "../interceptors/call-limit.ts";
import { createRateLimit } from "../interceptors/rate-limit.ts";
import type { RateLimitOptions } from "../interceptors/rate-limit.ts";
import { isLoopback } from "../loopback.ts";
import { connectionPrincipal } from "../principal.ts";
import { createReflection } from "../reflection.ts";
import { createServerTelemetry } from "../telemetry/server-telemetry.ts";
import type { TelemetryOptions } from "../telemetry/instruments.ts";
import { OpenCall } from "./call.ts";
import { goingAway, serveConnection } from "./connection.ts";
import type { ConnectionContext, ConnectionPeer, ServerConnection } from "./connection.ts";
import type { GrpcServerEventListener } from "./events.ts";
import { createForwardedBy } from "./forwarded-by.ts";
import type { ForwardedByOptions } from "./forwarded-by.ts";
import type { MethodHandler, ServiceHandlers } from "./handlers.ts";
import type { ServerInterceptor } from "./interceptor.ts";
import { listenHealthPort } from "./health-port.ts";
import type { HealthPortOptions } from "./health-port.ts";
import { describeAddress, listenPlaintext } from "./listen-plaintext.ts";
import type { PlaintextListener } from "./listen-plaintext.ts";
import { createRefuser } from "./refuser.ts";
import type { Route } from "./serve-call.ts";

/** How a server is made. `policy` is required: see allowEveryAdmittedPeer for the one that has to be written out. */
export type ServerOptions = ServerTransport & {
  /** Decides every call: what `compilePolicy` makes, one that is replaced at run time, or allowEveryAdmittedPeer(). */
  readonly policy: ServerPolicy;
  /**
   * What becomes of calls without a verified peer (in plaintext, or where no client certificate is
   * asked for): `refuse` (default) answers UNAUTHENTICATED, `ask-policy` lets the policy decide.
   */
  readonly unauthenticatedPeers?: "refuse" | "ask-policy";
  /** Proxies that end their clients' TLS and hand on their certificates; none if absent. */
  readonly forwardedBy?: ForwardedByOptions;
  /** Run around each call that the policy allows, in the order listed. */
  readonly interceptors?: readonly ServerInterceptor[];
  readonly limits?: ServerLimits;
  /** `gzip` compresses responses of 1 KiB and more for clients that accept it; `identity` if absent. */
  readonly compression?: "identity" | "gzip";
  /** How often each identity may call; not limited if absent. Asked before the policy. */
  readonly rateLimit?: RateLimitOptions;
  /** `exempt`: the health service answers every admitted peer, whatever the policy; default `apply`. */
  readonly healthPolicy?: "apply" | "exempt";
  /** Serves grpc.reflection v1 and v1alpha, which tell a caller of the services he may use; off if absent. */
  readonly reflection?: boolean;
  /** Metrics and traces by OpenTelemetry; none if absent, `{}` for its global providers. */
  readonly telemetry?: TelemetryOptions;
  /** Called with each decision; must not throw. */
  readonly onDecision?: (event: DecisionEvent) => void;
  /** Called synchronously; must not throw. */
  readonly onEvent?: GrpcServerEventListener;
};

/** Mutual TLS, or by its dangerous name plaintext, which binds only loopback addresses and Unix sockets. */
export type ServerTransport =
  | { readonly tls: MutualTls }
  | {
      readonly dangerouslyPlaintext: true;
      /** Lets a plaintext server bind any address: everybody on the network can then read and call. */
      readonly dangerouslyPlaintextBeyondLoopback?: boolean;
    };

/** What a server bears. */
export interface ServerLimits {
  /** A longer request message, as sent or as inflated, is RESOURCE_EXHAUSTED; 4 MiB if absent. */
  readonly maxReceiveMessageBytes?: number;
  /** A longer response message is RESOURCE_EXHAUSTED; 4 MiB if absent. */
  readonly maxSendMessageBytes?: number;
  /**
   * Longer request headers, names and values and 32 bytes for each, are RESOURCE_EXHAUSTED; 16 KiB if
   * absent. Beyond twice as much the answer is HTTP 431.
   */
  readonly maxHeaderBytes?: number;
  /** Calls at a time on one connection; 100 if absent. */
  readonly maxConcurrentStreams?: number;
  /**
   * Calls of one identity that are worked on at a time, over all its connections; more are
   * RESOURCE_EXHAUSTED. Callers without an identity count by address. 1,000 if absent.
   */
  readonly maxConcurrentCallsPerIdentity?: number;
  /**
   * After so long, give or take a tenth, a connection takes no new calls: its client makes another, and
   * perhaps to another instance. Those in flight go on. For ever if absent.
   */
  readonly maxConnectionAgeMs?: number;
  /** What a hostile peer may cost one connection before it is ended; defaults with each. */
  readonly http2?: Limits;
  /** How long a connection may be slow, silent or idle; keepalive pings every 120,000 ms if absent. */
  readonly timing?: Timing;
}

/** Where a server listens, and whether it asks for client certificates (default: required). */
export type ServerListenOptions = ListenAddress & {
  readonly clientCertificates?: "required" | "none";
  /**
   * Serves plain HTTP on the same port to clients that offer it; gRPC clients offer h2 alone. Over TLS
   * only. No policy, limit or interceptor of this server sees its requests.
   */
  readonly "http/1.1"?: Protocol;
};

/** How a server ends. */
export interface ShutdownOptions {
  /** How long calls in flight may go on after GOAWAY; 10,000 ms if absent. */
  readonly graceMs?: number;
  /** How long to be NOT_SERVING before GOAWAY, so that load balancers notice; 0 if absent. */
  readonly announceMs?: number;
}

/** A gRPC server. It has the health service built in. */
export interface Server {
  readonly health: HealthControl;
  /**
   * Serves a service; its health is SERVING from now on.
   * @throws {TypeError} if it is served already, or a method has no handler.
   */
  add<Service extends DescService>(service: Service, handlers: ServiceHandlers<Service>): void;
  /**
   * Binds an address; `port: 0` takes a free one. May be called for several.
   * @throws {TlsError} LISTEN_FAILED
   * @throws {TypeError} for a plaintext server beyond loopback.
   */
  listen(options: ServerListenOptions): Promise<ListenAddress>;
  /**
   * Binds a plaintext port, of any address, for probes that have no certificate: see the limits of
   * HealthPortOptions. Nothing but health is served on it.
   */
  listenHealth(options: HealthPortOptions): Promise<ListenAddress>;
  /** NOT_SERVING, a pause, GOAWAY, then calls in flight have their grace; ends in bounded time. */
  shutdown(options?: ShutdownOptions): Promise<void>;
}

/** Creates a server. It serves nothing but health until something is added, and nobody until it listens. */
export function createServer(options: ServerOptions): Server {
  const onEvent = options.onEvent ?? (() => undefined);
  const limits = { ...defaultLimits, ...options.limits };
  const health = createHealth((change) => onEvent({ type: "readiness", ...change }));
  const { compression = "identity" } = options;
  const engine = createServerEngine({ ...limits, compression });
  const routes = new Map<string, Route>();
  const connections = new Set<ServerConnection>();
  const listeners = new Set<{ close(): Promise<void> }>();
  const healthPorts = new Set<{ close(): Promise<void> }>();
  const refuser = createRefuser();
  let shuttingDown: Promise<void> | undefined;
  let allGone: (() => void) | undefined;

  const telemetry = options.telemetry && createServerTelemetry(options.telemetry);
  const authoriser = createAuthoriser<OpenCall>({
    policy: options.policy,
    unauthenticatedPeers: options.unauthenticatedPeers ?? "refuse",
    applies: (call) => options.healthPolicy !== "exempt" || call.descriptor.parent !== Health,
    onDecision(event) {
      telemetry?.decided(event.allowed);
      options.onDecision?.(event);
    },
  });
  const forwardedBy =
    options.forwardedBy &&
    createForwardedBy(options.forwardedBy, {
      tls: "tls" in options ? options.tls : undefined,
      onEvent,
    });
  const callLimit = createCallLimit(limits.maxConcurrentCallsPerIdentity);
  const context: ConnectionContext = {
    engine,
    maxHeaderBytes: limits.maxHeaderBytes,
    maxSendMessageBytes: limits.maxSendMessageBytes,
    maxConnectionAgeMs: limits.maxConnectionAgeMs,
    route: (path) => routes.get(path),
    ...(forwardedBy && { callerOf: (headers, who) => forwardedBy.callerOf(headers, who) }),
    passage: {
      gates: [
        ...(forwardedBy === undefined ? [] : [(call: OpenCall) => forwardedBy.gate(call)]),
        (call) => callLimit.gate(call),
        ...(options.rateLimit === undefined
          ? []
          : [
              createRateLimit(options.rateLimit, (change) =>
                onEvent({ type: "shared-limits", ...change }),
              ),
            ]),
        (call) => authoriser.gate(call),
      ],
      interceptors: [
        ...(telemetry === undefined ? [] : [telemetry.interceptor]),
        ...(options.interceptors ?? []),
      ],
      fault: ({ method, requestId }, error) =>
        onEvent({ type: "handler-fault", method, requestId, error }),
    },
    unknown: telemetry && (() => telemetry.unknown()),
    started: (call) => telemetry?.started(call),
    ended(call, error) {
      forwardedBy?.ended(call);
      authoriser.ended(call);
      telemetry?.ended(call, error);
      reportCall(call, error);
    },
    released: (call) => callLimit.released(call),
  };
  const protocol: Protocol = {
    accept: (socket, peer, session) =>
      attach(socket, {
        peer,
        session,
        principal: connectionPrincipal(peer, "tls"),
        remoteAddress: socket.remoteAddress,
      }),
    refuse: (socket, refusal) => refuser.refuse(socket, refusal),
  };
  add(Health, health.handlers);
  if (options.reflection === true) {
    const handlers = createReflection({
      services: () => new Set([...routes.values()].map(({ method }) => method.parent)),
      mayCall: (call, method) =>
        call instanceof OpenCall && authoriser.mayCall(call, pathOf(method)),
    });
    add(ServerReflection, handlers);
    // The two differ in name alone.
    add(
      ServerReflectionAlpha,
      handlers as unknown as ServiceHandlers<typeof ServerReflectionAlpha>,
    );
  }

  return {
    health,
    add,
    async listen(listenOptions) {
      requireUp();
      const { clientCertificates = "required", "http/1.1": http1, ...address } = listenOptions;
      const protocols = { ...(http1 && { "http/1.1": http1 }), h2: protocol, clientCertificates };
      const listener =
        "tls" in options
          ? await options.tls.listen(address, protocols)
          : await listenWithoutTls(address, options.dangerouslyPlaintextBeyondLoopback ?? false);
      listeners.add(listener);
      return listener.address;
    },
    async listenHealth(healthOptions) {
      requireUp();
      const listener = await listenHealthPort(healthOptions, health);
      healthPorts.add(listener);
      return listener.address;
    },
    shutdown: (shutdownOptions = {}) => (shuttingDown ??= shutdown(shutdownOptions)),
  };

  function add<Service extends DescService>(
    service: Service,
    handlers: ServiceHandlers<Service>,
  ): void {
    const added = service.methods.map((method): Route => {
      const path = pathOf(method);
      const handler = (handlers as Record<string, unknown>)[method.localName];
      if (routes.has(path)) throw new TypeError(`${path} is served already`);
      if (typeof handler !== "function" || handler === inherited[method.localName]) {
        throw new TypeError(`${path} needs a handler: expected a function ${method.localName}`);
      }
      return { path, method, handler: handler.bind(handlers) as MethodHandler<typeof method> };
    });
    for (const route of added) {
      routes.set(route.path, route);
      engine.register(route.path);
    }
    health.setStatus(service, "SERVING");
  }

  function requireUp(): void {
    if (shuttingDown !== undefined) throw new TypeError("the server was shut down");
  }

  function attach(socket: Duplex, who: ConnectionPeer): ServerConnection {
    const connection = serveConnection(socket, who, context);
    connections.add(connection);
    socket.once("close", () => {
      connections.delete(connection);
      if (connections.size === 0) allGone?.();
    });
    if (shuttingDown !== undefined) connection.drain({ kind: "closing" });
    return connection;
  }

  async function listenWithoutTls(
    address: ListenAddress,
    beyondLoopback: boolean,
  ): Promise<PlaintextListener> {
    const where = describeAddress(address);
    if ("host" in address && !isLoopback(address.host) && !beyondLoopback) {
      throw new TypeError(
        `a plaintext server binds loopback addresses and Unix sockets only, not ${where}; ` +
          "dangerouslyPlaintextBeyondLoopback lifts this",
      );
    }
    const listener = await listenPlaintext(address, (socket) => {
      attach(socket, {
        peer: undefined,
        session: undefined,
        principal: connectionPrincipal(undefined, "plaintext"),
        remoteAddress: socket.remoteAddress,
      });
    });
    onEvent({ type: "plaintext-warning", address: where });
    return listener;
  }

  async function shutdown({ graceMs = 10_000, announceMs = 0 }: ShutdownOptions): Promise<void> {
    health.shutDown();
    if (announceMs > 0) await delay(announceMs);
    const closed = [...listeners].map((listener) => listener.close());
    for (const connection of connections) {
      connection.drain({ kind: "closing" });
      // Whoever watches our health has been told, and would otherwise use up the grace.
      for (const call of connection.calls) {
        if (call.descriptor === Health.method.watch) call.abort(goingAway());
      }
    }
    refuser.close();
    await gone(graceMs);
    for (const connection of connections) {
      for (const call of connection.calls) call.abort(goingAway());
    }
    await gone(farewellMs);
    for (const connection of connections) connection.destroy();
    authoriser.close();
    forwardedBy?.close();
    // Probes are answered to the end: NOT_SERVING.
    for (const port of healthPorts) closed.push(port.close());
    await Promise.all(closed);
  }

  /** Waits until every connection has ended, but not longer than it may take. */
  function gone(withinMs: number): Promise<void> {
    if (connections.size === 0) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, withinMs);
      allGone = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  function reportCall(call: OpenCall, error: GrpcError | undefined): void {
    if (options.onEvent === undefined) return;
    onEvent({
      type: "call",
      method: call.method,
      requestId: call.requestId,
      identity: call.caller?.identity,
      remoteAddress: call.remoteAddress,
      code: error?.code ?? "OK",
      durationMs: performance.now() - call.startedAt,
    });
  }
}

function pathOf({ parent, name }: DescMethod): string {
  return `/${parent.typeName}/${name}`;
}

function delay(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

/** What every object has without having been given it; no handler is called `toString`. */
const inherited = Object.prototype as unknown as Readonly<Record<string, unknown>>;
const defaultLimits: Required<Omit<ServerLimits, "http2" | "timing">> = {
  maxReceiveMessageBytes: 4 * 1024 * 1024,
  maxSendMessageBytes: 4 * 1024 * 1024,
  maxHeaderBytes: 16 * 1024,
  maxConcurrentStreams: 100,
  maxConcurrentCallsPerIdentity: 1_000,
  maxConnectionAgeMs: Infinity,
};
/** How long the last statuses of calls that were cut have to leave. */
const farewellMs = 250;
