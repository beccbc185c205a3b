import { once } from "node:events";
import { createServer } from "node:net";
import type { Socket } from "node:net";
import type { ListenAddress } from "@handfast/tls";

/** A bound plaintext listener. */
export interface PlaintextListener {
  readonly address: ListenAddress;
  /** Stops listening at once; resolves when the last connection has ended. */
  close(): Promise<void>;
}

/** Binds an address without TLS. */
export async function listenPlaintext(
  address: ListenAddress,
  onSocket: (socket: Socket) => void,
): Promise<PlaintextListener> {
  const server = createServer({ noDelay: true, keepAlive: true }, (socket) => {
    // What is wrong with a socket is told by its end.
    socket.on("error", () => socket.destroy());
    onSocket(socket);
  });
  await once(server.listen(address), "listening");
  const bound = server.address();
  const isPort = typeof bound === "object" && bound !== null;
  return {
    address: isPort ? { host: bound.address, port: bound.port } : address,
    close: () => new Promise((resolve) => server.close(() => resolve())),
  };
}

/** An address in words. */
export function describeAddress(address: ListenAddress): string {
  return "path" in address ? address.path : `${address.host}:${address.port}`;
}
