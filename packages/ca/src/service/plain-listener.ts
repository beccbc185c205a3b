import type { Server } from "node:http";
import { once } from "node:events";
import { CaError } from "../errors.ts";
import type { TcpAddress } from "./options.ts";

/** A plaintext listener, bound. */
export interface PlainListener {
  readonly port: number;
  close(graceMs: number): Promise<void>;
}

/**
 * Binds an HTTP server without TLS: for what is public by nature.
 *
 * @throws CaError LISTEN_FAILED
 */
export async function listenPlain(server: Server, address: TcpAddress): Promise<PlainListener> {
  try {
    server.listen(address);
    await once(server, "listening");
  } catch (cause) {
    const where = `${address.host}:${address.port}`;
    throw new CaError("LISTEN_FAILED", `cannot listen on ${where}: ${(cause as Error).message}`, {
      cause,
    });
  }
  const bound = server.address();
  return {
    port: typeof bound === "object" && bound !== null ? bound.port : address.port,
    close(graceMs) {
      const timer = setTimeout(() => server.closeAllConnections(), graceMs);
      return new Promise((resolve) => {
        server.close(() => {
          clearTimeout(timer);
          resolve();
        });
      });
    },
  };
}
