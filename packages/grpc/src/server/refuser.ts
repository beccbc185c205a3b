import type { Duplex } from "node:stream";
import type { Refusal } from "@handfast/tls";
import { createRefusalResponder } from "./refusal-responder.ts";

/** Holds refused connections while they are told why. */
export interface Refuser {
  /** Takes a refused socket over, nothing of which has been read yet. */
  refuse(socket: Duplex, refusal: Refusal): void;
  /** Lets go of all at once. */
  close(): void;
}

/**
 * Creates the driver of refusal responders. Our SETTINGS make the client ready and reset its back-off;
 * a connection that is answered once and closed would therefore be dialled again at once, for ever. So
 * it is held for `holdMs` (5,000 if absent), then told GOAWAY and ended, and what still arrives is read
 * and thrown away: a socket destroyed with unread bytes resets, and a reset loses the message on its way.
 *
 * How many are held, and how many of one peer, is the listener's to limit (security.md S21).
 */
export function createRefuser({ holdMs = 5_000 }: { readonly holdMs?: number } = {}): Refuser {
  const held = new Set<Duplex>();
  return {
    refuse(socket, refusal) {
      held.add(socket);
      socket.once("close", () => held.delete(socket));
      hold(socket, refusal, holdMs);
    },
    close() {
      for (const socket of held) socket.destroy();
    },
  };
}

function hold(socket: Duplex, refusal: Refusal, holdMs: number): void {
  const responder = createRefusalResponder(refusal);
  const timer = setTimeout(letGo, holdMs).unref();
  let gone = false;
  socket.on("error", () => socket.destroy());
  socket.once("close", () => clearTimeout(timer));
  socket.once("end", letGo);
  socket.on("data", read);
  socket.write(responder.open());

  function read(bytes: Buffer): void {
    const out = responder.receive(bytes);
    if (out.length > 0) socket.write(out);
    if (responder.state === "exhausted") socket.pause();
    if (responder.state === "broken") letGo();
  }

  function letGo(): void {
    if (gone) return;
    gone = true;
    clearTimeout(timer);
    socket.off("data", read);
    socket.resume();
    socket.end(responder.close());
    const linger = setTimeout(() => socket.destroy(), lingerMs).unref();
    socket.once("close", () => clearTimeout(linger));
  }
}

/** How long the rest of a connection that was told GOAWAY is read before it is cut. */
const lingerMs = 1_000;
