import type { TLSSocket } from "node:tls";

import { refusalError } from "./errors.ts";
import { refusalOfTlsError } from "./openssl-errors.ts";
import type { Refusal } from "./refusal.ts";

/**
 * Has a dialled socket say why its server refuses us. With TLS 1.3 our side of the handshake is done before the
 * server has looked at our certificate: its alert comes on a connection that is in use already, and Node (26.10)
 * tells of the connection's end before it tells of the alert.
 *
 * Until the server has said something, what its `error` listeners get for an alert or a reset is a TlsError REFUSED, and
 * the end waits for the alert that may come with it.
 */
export function reportLateRefusal(socket: TLSSocket, refused: (refusal: Refusal) => void): void {
  const push = socket.push.bind(socket);
  const emit = socket.emit.bind(socket) as (event: string | symbol, ...args: unknown[]) => boolean;
  const start = performance.now();
  let heard = false;
  // Who takes the bytes below the stream, as node:http2 does, is not seen to hear any: hence the time.
  const hasSpoken = (): boolean => heard || performance.now() - start > LATE_MS;

  socket.push = (chunk: unknown, encoding?: BufferEncoding) => {
    heard ||= chunk !== null;
    if (hasSpoken()) return push(chunk, encoding);
    // Node is in the middle of telling: the alert follows before anything else is done.
    setImmediate(() => {
      if (socket.destroyed) return;
      push(null);
      // As Node does: node:http2, which reads below the stream, hears of the end by this alone.
      socket.read(0);
    });
    return false;
  };
  socket.emit = (event: string | symbol, ...args: unknown[]): boolean => {
    const [error] = args;
    if (event !== "error" || hasSpoken() || !(error instanceof Error)) return emit(event, ...args);
    const refusal = refusalOfTlsError(error);
    if (refusal.by !== "peer") return emit(event, error);
    heard = true;
    refused(refusal);
    const heeded = emit(event, refusalError(refusal, { cause: error }));
    // An end after this would be told as a reason of its own.
    socket.destroy();
    return heeded;
  };
}

/** Longer than a handshake takes. */
const LATE_MS = 10_000;
