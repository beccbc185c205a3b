// For programs that use @grpc/grpc-js themselves.
export { serveGrpcJs } from "./serve.ts";
export type { GrpcJsListener, ServeGrpcJsOptions } from "./serve.ts";
export { grpcServerCredentials } from "./server-credentials.ts";
export { peerOf } from "./peer.ts";
export type { AuthContext } from "./peer.ts";
export { grpcChannelCredentials } from "./channel-credentials.ts";
export { policyInterceptor } from "./policy-interceptor.ts";
export type { PolicyInterceptorOptions } from "./policy-interceptor.ts";
