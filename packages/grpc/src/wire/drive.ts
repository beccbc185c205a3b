import type { Duplex } from "node:stream";
import type { Connection } from "@handfast/http2";

/** A connection of HTTP/2 bound to a socket. */
export interface Driver {
  /** Has what commands have put into the output written at the end of the turn. */
  wake(): void;
}

/** Extras of a driver. */
export interface DriveOptions {
  /** While no stream is open, the socket does not keep the process alive. Default false. */
  readonly unrefWhenIdle?: boolean;
  /** How many of the open streams do not count for that. */
  readonly backgroundStreams?: () => number;
  /** Called after bytes were received. */
  readonly received?: () => void;
}

/**
 * Binds a connection to a connected socket, for good: the socket's bytes go in, the output goes out in one
 * write per turn however many calls it serves, and one timer brings the time. The machine bounds what
 * waits; while the socket is full nothing more is taken of it.
 *
 * When the connection ends, what it still has to say is written, and only then is the socket ended. The
 * peer may take a while to read it, so the socket is destroyed only when the peer has shown no sign of
 * life for five seconds, or after thirty; what still arrives meanwhile is read and dropped. (A socket
 * destroyed with unread bytes resets, and a reset loses the last words.) Once the peer has ended its
 * side, nothing is written any more: Node would fail the socket with EPIPE.
 */
export function drive(socket: Duplex, connection: Connection, options: DriveOptions = {}): Driver {
  let writable = true;
  let scheduled = false;
  let peerEnded = false;
  let timer: NodeJS.Timeout | undefined;
  let timerAt = Infinity;
  let silence: NodeJS.Timeout | undefined;
  let longest: NodeJS.Timeout | undefined;
  let keepsAlive = true;

  socket.on("data", (chunk: Buffer) => {
    if (longest !== undefined) awaitLife();
    try {
      connection.receive(chunk, performance.now());
    } finally {
      wake();
    }
    options.received?.();
  });
  socket.on("error", (error) => ended(error));
  socket.on("end", () => {
    peerEnded = true;
    ended();
  });
  socket.on("close", () => {
    for (const pending of [timer, silence, longest]) clearTimeout(pending);
    ended();
  });
  wake();
  return { wake };

  function wake(): void {
    if (scheduled) return;
    scheduled = true;
    setImmediate(flush);
  }

  function ended(cause?: unknown): void {
    connection.transportEnded(performance.now(), cause);
    wake();
  }

  function flush(): void {
    scheduled = false;
    if (socket.destroyed) return;
    while (writable && !peerEnded) {
      const output = connection.takeOutput(performance.now());
      if (output === undefined) break;
      writable = socket.write(output, () => written(output));
    }
    if (connection.phase === "closed") {
      end();
      return;
    }
    arm();
    if (options.unrefWhenIdle === true) {
      keepAlive(connection.openStreams > (options.backgroundStreams?.() ?? 0));
    }
  }

  /**
   * The socket has taken a piece. Goes on here and not at the "drain" event, which comes before the piece
   * can be given back: so one slab serves for ever, where each large message would cost new ones.
   */
  function written(output: Uint8Array): void {
    connection.giveBack(output);
    if (longest !== undefined) awaitLife();
    if (writable || socket.writableNeedDrain) return;
    writable = true;
    flush();
  }

  /** The one timer. It is left alone while it is early enough, since deadlines mostly move away. */
  function arm(): void {
    const due = connection.nextTickAt;
    if (due >= timerAt) return;
    clearTimeout(timer);
    timerAt = due;
    timer = setTimeout(tick, Math.min(maxTimerMs, Math.max(0, due - performance.now()))).unref();
  }

  function tick(): void {
    timerAt = Infinity;
    connection.tick(performance.now());
    flush();
  }

  function end(): void {
    if (longest === undefined) {
      clearTimeout(timer);
      longest = setTimeout(() => socket.destroy(), longestLingerMs).unref();
      awaitLife();
    }
    if (options.unrefWhenIdle === true) keepAlive(false);
    // With the buffer full, the rest goes when it has drained.
    if (writable || peerEnded) socket.end();
  }

  function awaitLife(): void {
    clearTimeout(silence);
    silence = setTimeout(() => socket.destroy(), lingerMs).unref();
  }

  function keepAlive(wanted: boolean): void {
    if (wanted === keepsAlive) return;
    keepsAlive = wanted;
    const handle = socket as Partial<Record<"ref" | "unref", () => void>>;
    if (wanted) handle.ref?.();
    else handle.unref?.();
  }
}

const lingerMs = 5_000;
const longestLingerMs = 30_000;
const maxTimerMs = 2 ** 31 - 1;
