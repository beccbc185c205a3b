/** Everything a server's `onEvent` may be given. Nothing in this package logs by itself. */
export type GrpcServerEvent =
  /** A call has ended; `code` is the status the caller got. */
  | {
      readonly type: "call";
      readonly method: string;
      readonly requestId: string;
      readonly identity: string | undefined;
      readonly remoteAddress: string | undefined;
      readonly code: string;
      readonly durationMs: number;
    }
  /** A handler or interceptor threw something that is no GrpcError; the caller was told INTERNAL. */
  | {
      readonly type: "handler-fault";
      readonly method: string;
      readonly requestId: string;
      readonly error: unknown;
    }
  /** The server listens without TLS: anybody who reaches the address may read and call. */
  | { readonly type: "plaintext-warning"; readonly address: string }
  /** A readiness check of the health service changed its mind, or threw. */
  | {
      readonly type: "readiness";
      readonly service: string;
      readonly check: string;
      readonly ready: boolean;
      readonly error: unknown;
    };

export type GrpcServerEventListener = (event: GrpcServerEvent) => void;
