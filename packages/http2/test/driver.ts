import type { Duplex } from "node:stream";
import type { Connection } from "@handfast/http2";

/** A connection bound to a socket; call `wake` after commands that were not given within an event. */
export interface Driver {
  wake(): void;
}

/** Binds a connection to a socket: the least that a driver has to do, for tests and benchmarks. */
export function drive(socket: Duplex, connection: Connection): Driver {
  let writable = true;
  let peerEnded = false;
  let scheduled = false;
  let timer: NodeJS.Timeout | undefined;
  let timerAt = Infinity;

  const flush = (): void => {
    scheduled = false;
    if (socket.destroyed) {
      return;
    }
    while (writable && !peerEnded) {
      const output = connection.takeOutput(performance.now());
      if (output === undefined) {
        break;
      }
      writable = socket.write(output, () => written(output));
    }
    if (connection.phase === "closed") {
      clearTimeout(timer);
      // With the buffer full there may be more to write: the end comes when it has drained.
      if (writable || peerEnded) {
        socket.end();
      }
      return;
    }
    const due = connection.nextTickAt;
    if (due < timerAt) {
      clearTimeout(timer);
      timerAt = due;
      timer = setTimeout(tick, Math.min(2 ** 31 - 1, Math.max(0, due - performance.now())));
      timer.unref();
    }
  };
  // Not the "drain" event, which comes before the octets can be given back: so one slab serves for ever.
  const written = (output: Uint8Array): void => {
    connection.giveBack(output);
    if (!writable && !socket.writableNeedDrain) {
      writable = true;
      flush();
    }
  };
  const tick = (): void => {
    timerAt = Infinity;
    connection.tick(performance.now());
    flush();
  };
  const wake = (): void => {
    if (!scheduled) {
      scheduled = true;
      setImmediate(flush);
    }
  };
  const ended = (cause?: unknown): void => {
    connection.transportEnded(performance.now(), cause);
    wake();
  };
  socket.on("data", (chunk: Buffer) => {
    connection.receive(chunk, performance.now());
    // Not at once: what handlers answer before the next turn of the event loop goes into the same write.
    wake();
  });
  socket.on("error", ended);
  socket.on("end", () => {
    // A write to a peer that has ended its side fails the socket.
    peerEnded = true;
    ended();
  });
  socket.on("close", () => {
    clearTimeout(timer);
    ended();
  });
  flush();
  return { wake };
}
