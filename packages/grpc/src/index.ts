// The public names of @handfast/grpc, grouped by reader.

// For whoever serves.
export { createServer } from "./server/server.ts";
export type {
  Server,
  ServerLimits,
  ServerListenOptions,
  ServerOptions,
  ServerTransport,
  ShutdownOptions,
} from "./server/server.ts";
export type { HealthPortOptions } from "./server/health-port.ts";
export type {
  BidiStreamingHandler,
  ClientStreamingHandler,
  MethodHandler,
  ServerStreamingHandler,
  ServiceHandlers,
  UnaryHandler,
} from "./server/handlers.ts";
export type { ForwardedByOptions } from "./server/forwarded-by.ts";
export type { ServerCall } from "./server/call.ts";
export type { ServerInterceptor } from "./server/interceptor.ts";
export type { AnyMessage, MessageTaps, Next } from "./intercept.ts";
export type { GrpcServerEvent, GrpcServerEventListener } from "./server/events.ts";
export type { HealthControl, ReadinessCheck, ServingStatus } from "./health.ts";

// Who may call what.
export { allowEveryAdmittedPeer } from "./interceptors/authorise.ts";
export type {
  DecidingPolicy,
  DecisionEvent,
  LivePolicy,
  ServerPolicy,
} from "./interceptors/authorise.ts";
export type { RateLimitOptions, RateLimitRule } from "./interceptors/rate-limit.ts";
export { sharedLimitsInPostgres } from "./interceptors/postgres-limit.ts";
export type { PostgresQueries } from "./interceptors/postgres-limit.ts";
export { sharedLimitsInValkey } from "./interceptors/valkey-limit.ts";
export type { EvaluateScript } from "./interceptors/valkey-limit.ts";
export type { SharedBucket, SharedBuckets } from "./interceptors/shared-limit.ts";
export { principalOf } from "./principal.ts";

// For whoever calls.
export { createClient } from "./client/client.ts";
export type {
  Client,
  ClientLimits,
  ClientOptions,
  ClientTransport,
  ConnectOptions,
  ConnectResult,
  HealthCheckOptions,
  KeepaliveOptions,
} from "./client/client.ts";
export type { RetryOptions } from "./client/retry.ts";
export type { ClientCall, ClientInterceptor } from "./client/interceptor.ts";
export type {
  BidiStreamingMethod,
  CallOptions,
  ClientMethod,
  ClientMethods,
  ClientStreamingMethod,
  Outgoing,
  ServerStreamingMethod,
  UnaryMethod,
} from "./client/method-types.ts";

// What is measured: OpenTelemetry.
export { handshakeTelemetry, observeMutualTls } from "./telemetry/tls-telemetry.ts";
export type { TelemetryOptions } from "./telemetry/instruments.ts";

// What both ends say: statuses, details, headers.
export { GrpcError, grpcErrors } from "./errors.ts";
export type { GrpcErrorEntry, GrpcErrorOptions } from "./errors.ts";
export { statusName, statusNumbers } from "./status.ts";
export type { GrpcErrorCode, StatusName } from "./status.ts";
export {
  badRequest,
  errorInfo,
  readBadRequest,
  readErrorInfo,
  readRetryInfo,
  retryInfo,
} from "./details.ts";
export type { ErrorInfo, FieldViolation, WithDetails } from "./details.ts";
export { Metadata } from "./metadata.ts";
export type { MetadataValue, ReadonlyMetadata } from "./metadata.ts";
