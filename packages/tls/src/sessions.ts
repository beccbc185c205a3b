import type { TLSSocket } from "node:tls";

import { refusalError } from "./errors.ts";
import type { TlsEventListener } from "./events.ts";
import type { VerifiedPeer } from "./peer.ts";
import type { DrainReason, LiveProtocol, Session } from "./protocol.ts";
import type { Refusal } from "./refusal.ts";

/** What `sessions()` tells about a live connection. */
export interface SessionInfo {
  readonly id: number;
  readonly peer: VerifiedPeer | undefined;
  readonly remoteAddress: string;
  readonly since: Date;
  readonly callsInFlight: number;
  readonly bytesRead: number;
  readonly bytesWritten: number;
}

/** How the table judges a session again; undefined means still admitted. */
export type Rejudge = () => Refusal | undefined;

export interface Entrant {
  readonly socket: TLSSocket;
  readonly peer: VerifiedPeer | undefined;
  readonly remoteAddress: string;
  readonly rejudge: Rejudge;
  /** When the session must end at the latest: the earliest notAfter of its path. */
  readonly expiresAt: Date | undefined;
}

/**
 * The live sessions of a runtime. Each carries the generation of the grounds it was judged on; when these
 * change, a pass judges every session again in slices, and a session that is asked before its turn is judged
 * at once. One that would now be refused is drained, and destroyed after its grace.
 */
export interface SessionTable {
  /** Enters a session that was just judged, in the same synchronous step as its verdict. */
  enter(entrant: Entrant, accept: (session: Session) => LiveProtocol): void;
  list(): SessionInfo[];
  count(identity: string): number;
  readonly size: number;
  /** The grounds have changed: everything judged before this is to be judged again. */
  regrade(): void;
  /** Drains every session. */
  drain(reason: DrainReason): void;
  /** Destroys every session. */
  destroy(): void;
}

export interface SessionTableOptions {
  /** Whether the sessions were accepted, or dialled. */
  readonly side: "server" | "client";
  readonly onEvent: TlsEventListener;
  readonly now: () => Date;
  /** How long calls in flight may go on when a session is cut for another reason than revocation. */
  readonly graceMs: number;
}

interface Entry extends Entrant {
  readonly id: number;
  readonly since: Date;
  generation: number;
  live: LiveProtocol | undefined;
  /** Why it is cut, once it is. */
  cut: Refusal | undefined;
}

export function createSessionTable({
  side,
  onEvent,
  now,
  graceMs,
}: SessionTableOptions): SessionTable {
  const entries = new Set<Entry>();
  const perIdentity = new Map<string, number>();
  let generation = 0;
  let lastId = 0;
  let passing = false;
  const ending = new Set<Entry>();
  let expiryTimer: NodeJS.Timeout | undefined;

  function enter(entrant: Entrant, accept: (session: Session) => LiveProtocol): void {
    const entry: Entry = {
      ...entrant,
      id: ++lastId,
      since: now(),
      generation,
      live: undefined,
      cut: undefined,
    };
    entries.add(entry);
    const identity = entrant.peer?.identity;
    if (identity !== undefined) perIdentity.set(identity, (perIdentity.get(identity) ?? 0) + 1);
    entrant.socket.once("close", () => leave(entry));
    entry.live = accept({ id: entry.id, admitted: () => entry.cut === undefined && stands(entry) });
    armExpiry();
  }

  function leave(entry: Entry): void {
    if (!entries.delete(entry)) return;
    const identity = entry.peer?.identity;
    if (identity === undefined) return;
    const left = (perIdentity.get(identity) ?? 1) - 1;
    if (left === 0) perIdentity.delete(identity);
    else perIdentity.set(identity, left);
  }

  /** Whether a session is admitted on the grounds of now; cuts it if not. */
  function stands(entry: Entry): boolean {
    if (entry.generation === generation) return true;
    const refusal = entry.rejudge();
    entry.generation = generation;
    if (refusal === undefined) return true;
    cut(entry, refusal);
    return false;
  }

  function cut(entry: Entry, refusal: Refusal): void {
    if (entry.cut !== undefined) return;
    entry.cut = refusal;
    const { peer, remoteAddress } = entry;
    onEvent({ type: "session-cut", side, refusal, peer, remoteAddress });
    entry.live?.drain({ kind: "refused", refusal });
    const callsInFlight = entry.live?.activity().callsInFlight ?? 0;
    const delayMs =
      refusal.code === "CERTIFICATE_REVOKED" || callsInFlight === 0 ? CUT_DELAY_MS : graceMs;
    setTimeout(() => end(entry), delayMs).unref();
  }

  /** To free a TLS connection takes longer than to judge it: many at once are freed a few at a time. */
  function end(entry: Entry): void {
    ending.add(entry);
    if (ending.size === 1) setImmediate(endSome);
  }

  function endSome(): void {
    let left = ENDED_AT_ONCE;
    for (const entry of ending) {
      ending.delete(entry);
      // Whoever uses a dialled socket learns why it ends.
      entry.socket.destroy(side === "client" && entry.cut ? refusalError(entry.cut) : undefined);
      if (--left === 0) break;
    }
    if (ending.size > 0) setImmediate(endSome);
  }

  function regrade(): void {
    generation++;
    if (!passing) {
      passing = true;
      pass(entries.values(), generation);
    }
  }

  /** One slice of a pass, at most 10 ms; the rest goes on after other work of the event loop (S12). */
  function pass(rest: Iterator<Entry>, passGeneration: number): void {
    const until = performance.now() + SLICE_MS;
    for (let next = rest.next(); next.done !== true; next = rest.next()) {
      if (next.value.cut === undefined) stands(next.value);
      if (performance.now() > until) {
        setImmediate(pass, rest, passGeneration);
        return;
      }
    }
    if (passGeneration === generation) passing = false;
    else setImmediate(() => pass(entries.values(), generation));
  }

  /** A look each second: the wall clock may jump, and long delays fire at once (S12). */
  function armExpiry(): void {
    if (expiryTimer !== undefined) return;
    expiryTimer = setInterval(() => {
      const time = now();
      for (const entry of entries) {
        if (entry.cut !== undefined || !hasEnded(entry, time)) continue;
        entry.generation = -1;
        stands(entry);
      }
      if (entries.size === 0) {
        clearInterval(expiryTimer);
        expiryTimer = undefined;
      }
    }, CLOCK_LOOK_MS);
    expiryTimer.unref();
  }

  return {
    enter,
    list: () =>
      [...entries].filter(({ socket }) => !socket.destroyed).map((entry) => describe(entry)),
    count: (identity) => perIdentity.get(identity) ?? 0,
    get size() {
      return entries.size;
    },
    regrade,
    drain(reason) {
      for (const entry of entries) entry.live?.drain(reason);
    },
    destroy() {
      for (const entry of entries) entry.socket.destroy();
      clearInterval(expiryTimer);
      expiryTimer = undefined;
    },
  };
}

function hasEnded({ expiresAt }: Entry, now: Date): boolean {
  return expiresAt !== undefined && expiresAt < now;
}

function describe(entry: Entry): SessionInfo {
  return {
    id: entry.id,
    peer: entry.peer,
    remoteAddress: entry.remoteAddress,
    since: entry.since,
    callsInFlight: entry.live?.activity().callsInFlight ?? 0,
    bytesRead: entry.socket.bytesRead,
    bytesWritten: entry.socket.bytesWritten,
  };
}

const SLICE_MS = 10;
/** Most of the work, 0.1 to 0.2 ms each, comes after the call, when the handle closes. */
const ENDED_AT_ONCE = 32;
const CLOCK_LOOK_MS = 1000;
/** Long enough for the protocol's goodbye to leave, well within the promised second. */
const CUT_DELAY_MS = 100;
