import type { RefusalCode } from "@handfast/tls";

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
  /**
   * A certificate that was handed on with a call did not count, at its start or while it was open (S63); the
   * caller was told UNAUTHENTICATED. `via` is the identity of whoever handed it on.
   */
  | {
      readonly type: "forwarded-refused";
      readonly method: string;
      readonly requestId: string;
      readonly via: string | undefined;
      readonly remoteAddress: string | undefined;
      readonly code: RefusalCode;
      readonly reason: string;
    }
  /** The server listens without TLS: anybody who reaches the address may read and call. */
  | { readonly type: "plaintext-warning"; readonly address: string }
  /** The store of shared rate limits went away, or came back; meanwhile each instance limits by itself. */
  | { readonly type: "shared-limits"; readonly available: boolean; readonly error: unknown }
  /** A readiness check of the health service changed its mind, or threw. */
  | {
      readonly type: "readiness";
      readonly service: string;
      readonly check: string;
      readonly ready: boolean;
      readonly error: unknown;
    };

export type GrpcServerEventListener = (event: GrpcServerEvent) => void;
