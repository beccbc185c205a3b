import type { DescMessage, DescMethod, DescService, MessageInitShape } from "@bufbuild/protobuf";
import type { Expectation, MutualTls } from "@handfast/tls";
import { GrpcError } from "../errors.ts";
import { Health, HealthCheckResponse_ServingStatus } from "../gen/grpc/health/v1/health_pb.ts";
import { createClientTelemetry } from "../telemetry/client-telemetry.ts";
import type { TelemetryOptions } from "../telemetry/instruments.ts";
import { createPlaintextChannel, createSecureChannel } from "./channel.ts";
import { createHealthWatch } from "./health-watch.ts";
import type { ClientInterceptor } from "./interceptor.ts";
import { callForMany, callForOne } from "./invoke.ts";
import type { ClientChannel, Invoker } from "./invoke.ts";
import type { CallOptions, ClientMethods, Outgoing } from "./method-types.ts";
import { createRetryRules } from "./retry.ts";
import type { RetryOptions } from "./retry.ts";
import { parseTarget } from "./target.ts";
import type { Keepalive } from "../wire/subchannel.ts";

/** How a client is made. */
export type ClientOptions = ClientTransport & {
  /**
   * "host:port", "dns:///host:port", "ipv4:192.0.2.1:port", "ipv6:[2001:db8::1]:port", several of these last
   * with commas between, or "unix:path".
   */
  readonly target: string;
  /** How long each call may take that does not say so itself; 30,000 ms if absent, `Infinity` for ever. */
  readonly deadlineMs?: number;
  /** How failed calls are tried again; the defaults of RetryOptions if absent. */
  readonly retry?: RetryOptions | "never";
  /** Run around each call, in the order listed. */
  readonly interceptors?: readonly ClientInterceptor[];
  /** How several addresses of one name are used: the first that answers (default), or all in turn. */
  readonly loadBalancing?: "pick_first" | "round_robin";
  /** Finds out that a silent connection is dead; without it that may take the system a quarter of an hour. Off if absent. */
  readonly keepalive?: KeepaliveOptions;
  /**
   * Uses a connection only while the server behind it says by grpc.health.v1 that it serves: asked before first
   * use, and told of changes. One without the health service, or that does not let us ask, is used. Off if absent.
   */
  readonly healthCheck?: HealthCheckOptions;
  readonly limits?: ClientLimits;
  /** Metrics and traces by OpenTelemetry; none if absent, `{}` for its global providers. */
  readonly telemetry?: TelemetryOptions;
};

/** Mutual TLS, or by its dangerous name plaintext, which dials loopback addresses and Unix sockets only. */
export type ClientTransport =
  | {
      readonly tls: MutualTls;
      /** Whom to expect; the host that is dialled if absent. A Unix socket and several addresses have no default. */
      readonly expect?: Expectation;
    }
  | {
      readonly dangerouslyPlaintext: true;
      /** Lets a plaintext client dial any host: everybody on the way can read and answer. */
      readonly dangerouslyPlaintextBeyondLoopback?: boolean;
    };

/** How a client finds out that a connection with calls under way is dead. */
export interface KeepaliveOptions {
  /**
   * Silence after which the server is pinged; at least 10,000 ms, as gRPC has it. It doubles when a server
   * says that it is pinged too much: servers of gRPC allow one in 300,000 ms unless told otherwise.
   */
  readonly intervalMs: number;
  /** How long the answer may take; 20,000 ms if absent. */
  readonly timeoutMs?: number;
}

/** How a client asks servers whether they serve. */
export interface HealthCheckOptions {
  /** The name to ask about, `""` for the server as a whole; the client's own service if absent. */
  readonly service?: string;
}

/** What a client bears. */
export interface ClientLimits {
  /** A longer response message, as sent or as inflated, is RESOURCE_EXHAUSTED; 4 MiB if absent. */
  readonly maxReceiveMessageBytes?: number;
  /** A longer request message is RESOURCE_EXHAUSTED; 4 MiB if absent. */
  readonly maxSendMessageBytes?: number;
}

/** A typed client of one service: a function per method, and these two. */
export type Client<Service extends DescService> = ClientMethods<Service> & {
  /**
   * Connects, and proves it with one health check: in TLS 1.3 a client is ready before the server has
   * judged it, so that only an answer says that it was admitted. Fails at once when it is refused.
   * Resolves with what the server says of its health, also if that is UNIMPLEMENTED or PERMISSION_DENIED.
   *
   * @throws {GrpcError} UNAUTHENTICATED or UNAVAILABLE, with `refusal` where the handshake or the
   *   certificate was refused; DEADLINE_EXCEEDED after `timeoutMs` (10,000 if absent).
   */
  connect(options?: ConnectOptions): Promise<ConnectResult>;
  /** Takes no more calls; those under way go on. Other clients of the same server keep their connection. */
  close(): void;
};

/** Bounds of connecting. */
export interface ConnectOptions {
  /** For name, TCP, TLS, SETTINGS and the health check together. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

/** What the server said once connected. */
export interface ConnectResult {
  readonly health: "SERVING" | "NOT_SERVING" | "UNIMPLEMENTED" | "PERMISSION_DENIED";
}

/**
 * Creates a client. It dials when it is first used; clients of one target, identity and expectation share
 * their connections.
 *
 * @throws {TypeError} for a target that is none, plaintext beyond loopback, or a service with a method
 *   named connect or close, a keepalive under 10 s.
 */
export function createClient<Service extends DescService>(
  service: Service,
  options: ClientOptions,
): Client<Service> {
  const target = parseTarget(options.target);
  const limits = { ...defaultLimits, ...options.limits };
  const loadBalancing = options.loadBalancing ?? "pick_first";
  const channel = channelOf(options, {
    target,
    limits,
    loadBalancing,
    keepalive: keepaliveOf(options),
    watchHealth:
      options.healthCheck && createHealthWatch(options.healthCheck.service ?? service.typeName),
  });
  const telemetry = options.telemetry && createClientTelemetry(options.telemetry);
  const invoker: Invoker = {
    channel,
    target: options.target,
    deadlineMs: options.deadlineMs ?? defaultDeadlineMs,
    maxSendMessageBytes: limits.maxSendMessageBytes,
    telemetry,
    interceptors: [
      ...(telemetry === undefined ? [] : [telemetry.interceptor]),
      ...(options.interceptors ?? []),
    ],
    retry: createRetryRules(options.retry),
  };
  const own = {
    connect: (connectOptions: ConnectOptions = {}) => connect(invoker, connectOptions),
    close: () => channel.close(),
  };
  const methods = service.methods.map((method) => {
    if (Object.hasOwn(own, method.localName)) {
      throw new TypeError(
        `${service.typeName} has a method ${method.localName}: the name is taken`,
      );
    }
    return [method.localName, methodOf(invoker, method)] as const;
  });
  // The functions were made from the same description that the type is.
  return { ...Object.fromEntries(methods), ...own } as unknown as Client<Service>;
}

function channelOf(
  options: ClientOptions,
  common: Parameters<typeof createPlaintextChannel>[0],
): ClientChannel {
  const { target } = common;
  if ("tls" in options) {
    if (target.host === undefined && options.expect === undefined) {
      throw new TypeError(
        `target ${options.target}: it has no single name to expect, give \`expect\``,
      );
    }
    return createSecureChannel({ ...common, tls: options.tls, expect: options.expect });
  }
  if (!target.local && options.dangerouslyPlaintextBeyondLoopback !== true) {
    throw new TypeError(
      `a plaintext client dials loopback addresses and Unix sockets only, not ${options.target}; ` +
        "dangerouslyPlaintextBeyondLoopback lifts this",
    );
  }
  return createPlaintextChannel(common);
}

function keepaliveOf({ keepalive }: ClientOptions): Keepalive | undefined {
  if (keepalive === undefined) return undefined;
  const { intervalMs, timeoutMs = defaultKeepaliveTimeoutMs } = keepalive;
  if (!(intervalMs >= leastKeepaliveMs && timeoutMs > 0)) {
    throw new TypeError(
      `keepalive: expected an interval of at least ${leastKeepaliveMs} ms and a timeout, not ${intervalMs} and ${timeoutMs}`,
    );
  }
  return { intervalMs, timeoutMs };
}

function methodOf(invoker: Invoker, method: DescMethod): unknown {
  const streams =
    method.methodKind === "client_streaming" || method.methodKind === "bidi_streaming";
  const many = method.methodKind === "server_streaming" || method.methodKind === "bidi_streaming";
  const call = many ? callForMany : callForOne;
  return streams
    ? (requests: Outgoing<DescMessage>, options?: CallOptions) =>
        call(invoker, method, { many: requests }, options)
    : (request: MessageInitShape<DescMessage>, options?: CallOptions) =>
        call(invoker, method, { one: request }, options);
}

async function connect(invoker: Invoker, options: ConnectOptions): Promise<ConnectResult> {
  const { timeoutMs = defaultConnectMs, signal } = options;
  try {
    const response = await callForOne(
      { ...invoker, interceptors: [], telemetry: undefined, whateverHealth: true },
      Health.method.check,
      { one: {} },
      {
        deadlineMs: timeoutMs,
        ...(signal !== undefined && { signal }),
      },
    );
    const { status } = response as unknown as { readonly status: number };
    const serving = status === HealthCheckResponse_ServingStatus.SERVING;
    return { health: serving ? "SERVING" : "NOT_SERVING" };
  } catch (thrown) {
    if (!(thrown instanceof GrpcError)) throw thrown;
    if (thrown.code === "UNIMPLEMENTED" || thrown.code === "PERMISSION_DENIED") {
      return { health: thrown.code };
    }
    throw thrown;
  }
}

const defaultLimits: Required<ClientLimits> = {
  maxReceiveMessageBytes: 4 * 1024 * 1024,
  maxSendMessageBytes: 4 * 1024 * 1024,
};
const defaultDeadlineMs = 30_000;
const defaultConnectMs = 10_000;
const defaultKeepaliveTimeoutMs = 20_000;
/** As gRPC's document on keepalive has it. */
const leastKeepaliveMs = 10_000;
