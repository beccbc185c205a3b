import type { Server as HttpServer } from "node:http";
import type { Http2Server } from "node:http2";
import type { Readable } from "node:stream";
import type { TLSSocket } from "node:tls";

import type { DrainReason, Session } from "./protocol.ts";

/** What a user's server is told about a connection. @returns what `emit` would: whether anybody listened. */
export type Tell = (event: string | symbol, args: readonly unknown[]) => boolean;

/**
 * Feeds a judged connection to a plain server, and puts `gate` between the two: every event that the server's
 * machinery emits for this connection passes through it, and reaches the server's listeners only by `tell`.
 *
 * A server announces a request by `server.emit`, where `server` is the object that was handed the connection.
 * So it is handed an object that has the server as its prototype and an `emit` of its own. The server itself is
 * not touched, which a wrapped `server.emit` would do for other connections too; a listener put before the
 * user's could not hold a request back at all; and the answer is decided where the request starts, after the
 * verdict, not when the connection was made (S11).
 */
export function feed(
  server: HttpServer | Http2Server,
  socket: TLSSocket,
  gate: (event: string | symbol, args: readonly unknown[], tell: Tell) => boolean,
): void {
  const tell: Tell = (event, args) => Reflect.apply(server.emit, server, [event, ...args]);
  const face = Object.create(server, {
    emit: { value: (event: string | symbol, ...args: unknown[]) => gate(event, args, tell) },
  }) as object;
  Reflect.apply(server.emit, face, ["connection", socket]);
}

/** What a connection may still do. */
export interface Standing {
  /** Why the connection takes no more calls; undefined while it does. */
  readonly ending: DrainReason | undefined;
  /** Whether a call may start: the peer would be admitted now, and the connection is not to end (S11). */
  readonly mayStart: () => boolean;
  /**
   * Whether bytes may reach the handlers of calls in flight: the peer would be admitted now, or has been given
   * a grace, which is every cause but revocation.
   */
  readonly mayGoOn: () => boolean;
  /** Takes note of a drain. A refusal stays the reason, whatever follows. */
  end(reason: DrainReason): void;
}

/** The standing of one session. */
export function createStanding(session: Session): Standing {
  let ending: DrainReason | undefined;
  const hasGrace = (reason: DrainReason | undefined): boolean =>
    reason?.kind === "refused" && reason.refusal.code !== "CERTIFICATE_REVOKED";
  return {
    get ending() {
      return ending;
    },
    mayStart: () => session.admitted() && ending === undefined,
    mayGoOn: () => session.admitted() || hasGrace(ending),
    end(reason) {
      if (ending?.kind !== "refused") ending = reason;
    },
  };
}

/**
 * Lets no byte, nor the end, of a request's content reach a handler on grounds that have changed since the peer
 * was judged: it is judged again first, and cut if that is the outcome (S11).
 */
export function gateBytes(stream: Readable, mayGoOn: () => boolean, cut: () => void): void {
  const push = stream.push.bind(stream);
  stream.push = (chunk: unknown, encoding?: BufferEncoding): boolean => {
    if (mayGoOn()) return push(chunk, encoding);
    cut();
    return false;
  };
}
