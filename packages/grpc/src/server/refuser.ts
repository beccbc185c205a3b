import type { Duplex } from "node:stream";
import type { Refusal } from "@handfast/tls";
import { createRefusalResponder } from "./refusal-responder.ts";

/** How refused connections are treated. */
export interface RefuserOptions {
  /** How long a refused connection is held, answering calls; 5,000 ms if absent. */
  readonly holdMs?: number;
  /** How many are held at once; 64 if absent. Beyond it a socket is closed before SETTINGS. */
  readonly maxHeld?: number;
}

/** Holds refused connections while they are told why. */
export interface Refuser {
  /** Takes a refused socket over. `peer` says whose it is: one connection of each is held. */
  refuse(socket: Duplex, refusal: Refusal, peer: string): void;
  /** How many connections are held. */
  held(): number;
  /** Lets go of all at once. */
  close(): void;
}

/**
 * Creates the driver of refusal responders. Our SETTINGS make the client ready and reset its back-off;
 * a connection that is answered once and closed would therefore be dialled again at once, for ever. So
 * it is held for `holdMs`, then told GOAWAY and ended, and what still arrives is read and thrown away:
 * a socket destroyed with unread bytes resets, and a reset loses the message on its way.
 */
export function createRefuser(options: RefuserOptions = {}): Refuser {
  const holdMs = options.holdMs ?? 5_000;
  const maxHeld = options.maxHeld ?? 64;
  const held = new Map<string, Duplex>();
  const lingering = new Set<Duplex>();

  return { refuse, held: () => held.size, close };

  function refuse(socket: Duplex, refusal: Refusal, peer: string): void {
    socket.on("error", () => socket.destroy());
    if (held.size >= maxHeld || held.has(peer)) {
      socket.destroy();
      return;
    }
    held.set(peer, socket);
    const responder = createRefusalResponder(refusal);
    const timer = setTimeout(letGo, holdMs);
    timer.unref();
    socket.on("data", read);
    socket.once("end", letGo);
    socket.once("close", release);
    socket.write(responder.open());

    function read(bytes: Buffer): void {
      const out = responder.receive(bytes);
      if (out.length > 0) socket.write(out);
      if (responder.state === "exhausted") socket.pause();
      if (responder.state === "broken") letGo();
    }

    function letGo(): void {
      if (!release()) return;
      socket.off("data", read);
      linger(socket);
      socket.end(responder.close());
    }

    /** Gives the place up; false if it had been given up before. */
    function release(): boolean {
      clearTimeout(timer);
      return held.get(peer) === socket && held.delete(peer);
    }
  }

  function linger(socket: Duplex): void {
    const [oldest] = lingering;
    if (lingering.size >= maxHeld) oldest?.destroy();
    lingering.add(socket);
    const timer = setTimeout(() => socket.destroy(), lingerMs);
    timer.unref();
    socket.once("close", () => {
      clearTimeout(timer);
      lingering.delete(socket);
    });
    socket.resume();
  }

  function close(): void {
    for (const socket of [...held.values(), ...lingering]) socket.destroy();
  }
}

/** How long the rest of a connection that was told GOAWAY is read before it is cut. */
const lingerMs = 1_000;
