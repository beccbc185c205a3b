import type { Duplex } from "node:stream";
import type { Connection } from "@handfast/http2";

/** A connection bound to a socket; call `wake` after commands that were not given within an event. */
export interface Driver {
  wake(): void;
}

/** Binds a connection to a socket: the driver of the README, for tests. */
export function drive(socket: Duplex, connection: Connection): Driver {
  let writable = true;
  let scheduled = false;
  let timer: NodeJS.Timeout | undefined;
  let timerAt = Infinity;

  const flush = (): void => {
    scheduled = false;
    while (writable && !socket.destroyed) {
      const output = connection.takeOutput(performance.now());
      if (output === undefined) {
        break;
      }
      writable = socket.write(output, () => connection.giveBack(output));
    }
    if (connection.phase === "closed") {
      clearTimeout(timer);
      socket.end();
      // A peer that does not close its side in turn is not waited for.
      setTimeout(() => socket.destroy(), 500).unref();
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
  const tick = (): void => {
    timerAt = Infinity;
    connection.tick(performance.now());
    flush();
  };
  socket.on("data", (chunk: Buffer) => {
    connection.receive(chunk, performance.now());
    flush();
  });
  socket.on("drain", () => {
    writable = true;
    flush();
  });
  socket.on("error", (error) => connection.transportEnded(performance.now(), error));
  socket.on("end", () => socket.end());
  socket.on("close", () => {
    clearTimeout(timer);
    connection.transportEnded(performance.now());
  });
  flush();
  return {
    wake: () => {
      if (!scheduled) {
        scheduled = true;
        setImmediate(flush);
      }
    },
  };
}
