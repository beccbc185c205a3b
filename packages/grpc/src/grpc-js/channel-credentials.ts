import type { Socket } from "node:net";
import { CallCredentials, ChannelCredentials } from "@grpc/grpc-js";
import type { ChannelOptions, experimental } from "@grpc/grpc-js";
import { serverName } from "@handfast/tls";
import type { Expectation, MutualTls } from "@handfast/tls";

/**
 * Secures a connected TCP or Unix socket: resolves with the socket to speak HTTP/2 on, or rejects.
 * `channel` is what the channel was made with.
 */
export type Securer = (
  socket: Socket,
  channel: { readonly path: string; readonly options: ChannelOptions },
) => Promise<Socket>;

/** Channel credentials whose connections are secured, and judged, by somebody else. */
class SecuringCredentials extends ChannelCredentials {
  readonly #secure: Securer;

  constructor(secure: Securer) {
    super();
    this.#secure = secure;
  }

  override _isSecure(): boolean {
    return true;
  }

  override _equals(other: ChannelCredentials): boolean {
    return this === other;
  }

  /** Internal to grpc-js: how a subchannel asks for its connection. */
  override _createSecureConnector(
    { path }: { readonly path: string },
    options: ChannelOptions,
    callCredentials?: CallCredentials,
  ): experimental.SecureConnector {
    return {
      connect: async (socket: Socket) => {
        const secured = await this.#secure(socket, { path, options });
        return { socket: secured, secure: true };
      },
      waitForReady: () => Promise.resolve(),
      getCallCredentials: () => callCredentials ?? CallCredentials.createEmpty(),
      destroy: () => undefined,
    };
  }
}

/**
 * Credentials for channels of grpc-js: each new connection shows the newest certificate of the runtime,
 * and its server is judged by it. Expected is, unless `expect` says otherwise, the host of the channel's
 * target, or the channel's own `grpc.ssl_target_name_override`.
 */
export function grpcChannelCredentials(
  tls: MutualTls,
  { expect }: { readonly expect?: Expectation } = {},
): ChannelCredentials {
  return new SecuringCredentials(async (socket, { path, options }) => {
    const override = options["grpc.ssl_target_name_override"];
    const expectation = expect ?? (override === undefined ? undefined : serverName(override));
    const host = hostOf(path);
    const address = host === undefined ? { socket } : { socket, host };
    const dialled = await tls.dial(
      address,
      expectation === undefined ? {} : { expect: expectation },
    );
    return dialled.socket;
  });
}

/** The host in the path of a target, "host:port" or "[::1]:port"; undefined for a Unix socket. */
function hostOf(path: string): string | undefined {
  const [, bracketed, plain] = hostPattern.exec(path) ?? [];
  return bracketed ?? plain;
}

const hostPattern = /^(?:\[([^\]]+)\]|([^[\]:/,]+))(?::\d+)?$/;
