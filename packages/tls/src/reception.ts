import type { TLSSocket } from "node:tls";

import type { TlsEventListener } from "./events.ts";
import type { Grounds } from "./grounds.ts";
import type { OpensslVerdict } from "./openssl-verdict.ts";
import { expiryOf } from "./peer.ts";
import type { Protocol } from "./protocol.ts";
import { refusal } from "./refusal.ts";
import type { Refusal } from "./refusal.ts";
import type { SessionTable } from "./sessions.ts";
import type { Trust } from "./trust.ts";
import { sourceOf } from "./source-limits.ts";
import { judgeConnection, judgePresented } from "./verify-peer.ts";
import type { Verdict } from "./verify-peer.ts";

/** How many sessions there may be, and whether who is refused is told why. */
export interface SessionLimits {
  /** Live sessions in all. Default 100,000. */
  readonly sessions?: number;
  /** Live sessions of one identity. Default 10,000. */
  readonly sessionsPerIdentity?: number;
  /**
   * Live sessions of one source, an IPv4 address or an IPv6 /64, on listeners that ask for no certificate:
   * who has no identity is counted by where he comes from. Default an eighth of `sessions`.
   */
  readonly sessionsPerSource?: number;
  /** Whether a refused peer is told why in the protocol's own words. Default true. */
  readonly refusalNotice?: boolean;
}

/** What a reception needs of the runtime it belongs to. */
export interface ReceptionContext {
  grounds(): Grounds;
  readonly sessions: SessionTable;
  readonly onEvent: TlsEventListener;
  readonly limits: SessionLimits;
}

/** A connection that has come in, before anything is known of its peer. */
export interface Arrival {
  readonly remoteAddress: string;
  /** When, by `performance.now()`. */
  readonly at: number;
  /** What OpenSSL was given for this handshake. */
  readonly trust: Trust;
}

export interface ReceiveOptions {
  readonly arrival: Arrival;
  /** Whether too much is going on to hold anybody only to tell why. */
  readonly pressed: boolean;
  /** What OpenSSL says, where Node has not told the socket yet. */
  readonly openssl?: OpensslVerdict;
}

/**
 * Where accepted connections go when their handshake is over: each is judged, and in the same synchronous step
 * either enters the table and its protocol takes the socket, or is refused, in the protocol's words or none.
 */
export interface Reception {
  /** @returns whether the peer was admitted. */
  receive(socket: TLSSocket, protocol: Protocol, options: ReceiveOptions): boolean;
  /**
   * Takes a connection whose peer is not asked for a certificate, while there is room.
   *
   * @returns whether there was.
   */
  receiveAnybody(socket: TLSSocket, protocol: Protocol, arrival: Arrival): boolean;
  /** Reports a handshake that did not end in a session. */
  report(refused: Refusal, arrival: Pick<Arrival, "remoteAddress" | "at">): void;
}

export function createReception(context: ReceptionContext): Reception {
  const { onEvent, limits, sessions } = context;
  const notices = createNotices();
  const total = limits.sessions ?? 100_000;
  const strangers = createPlaces(limits.sessionsPerSource ?? Math.max(1, Math.floor(total / 8)));

  function receive(
    socket: TLSSocket,
    protocol: Protocol,
    { arrival, pressed, openssl }: ReceiveOptions,
  ): boolean {
    const verdict = judgeConnection(socket, context.grounds(), {
      handshakeTrust: arrival.trust,
      openssl,
    });
    const refused = verdict.ok ? overLimit(verdict) : verdict.refusal;
    if (verdict.ok && refused === undefined) {
      admit(socket, protocol, arrival, verdict);
      return true;
    }
    const told = refused ?? refusal("UNKNOWN_FAILURE");
    report(told, arrival);
    const who = verdict.presented?.leaf.fingerprint ?? arrival.remoteAddress;
    if (limits.refusalNotice === false || pressed || !notices.take(who, socket)) socket.destroy();
    else protocol.refuse(socket, told);
    return false;
  }

  function admit(
    socket: TLSSocket,
    protocol: Protocol,
    { remoteAddress, at }: Arrival,
    verdict: (Verdict & { ok: true }) | undefined,
  ): void {
    const peer = verdict?.peer;
    const rejudge = (): Refusal | undefined => {
      if (verdict === undefined) return undefined;
      const again = judgePresented(verdict.presented, verdict.peer, context.grounds());
      return again.ok ? undefined : again.refusal;
    };
    const expiresAt = peer === undefined ? undefined : expiryOf(peer.chain);
    sessions.enter({ socket, peer, remoteAddress, rejudge, expiresAt }, (session) =>
      protocol.accept(socket, peer, session),
    );
    onEvent({
      type: "handshake",
      side: "server",
      result: "SUCCESS",
      refusal: undefined,
      peer,
      resumed: socket.isSessionReused(),
      remoteAddress,
      durationMs: performance.now() - at,
    });
  }

  function overLimit({ peer }: Verdict & { ok: true }): Refusal | undefined {
    const perIdentity = limits.sessionsPerIdentity ?? 10_000;
    if (sessions.size >= total) return refusal("LIMIT_EXCEEDED");
    if (peer.identity !== undefined && sessions.count(peer.identity) >= perIdentity) {
      return refusal("LIMIT_EXCEEDED", {
        message: `${peer.identity} has ${perIdentity} sessions already`,
      });
    }
    return undefined;
  }

  function report(
    refused: Refusal,
    { remoteAddress, at }: Pick<Arrival, "remoteAddress" | "at">,
  ): void {
    onEvent({
      type: "handshake",
      side: "server",
      result: refused.result,
      refusal: refused,
      peer: undefined,
      resumed: false,
      remoteAddress,
      durationMs: performance.now() - at,
    });
  }

  return {
    receive,
    receiveAnybody(socket, protocol, arrival) {
      if (sessions.size >= total || !strangers.take(sourceOf(arrival.remoteAddress), socket)) {
        socket.destroy();
        report(refusal("LIMIT_EXCEEDED"), arrival);
        return false;
      }
      admit(socket, protocol, arrival, undefined);
      return true;
    },
    report,
  };
}

/** At most so many connections of each source. */
function createPlaces(limit: number): { take(source: string, socket: TLSSocket): boolean } {
  const taken = new Map<string, number>();
  return {
    take(source, socket) {
      const before = taken.get(source) ?? 0;
      if (before >= limit) return false;
      taken.set(source, before + 1);
      socket.once("close", () => {
        const left = (taken.get(source) ?? 1) - 1;
        if (left > 0) taken.set(source, left);
        else taken.delete(source);
      });
      return true;
    },
  };
}

/** Refused connections that are held to be told why: 64 in all, and one per peer (S21). */
function createNotices(): { take(who: string, socket: TLSSocket): boolean } {
  const held = new Set<string>();
  return {
    take(who, socket) {
      if (held.size >= MAX_HELD || held.has(who)) return false;
      held.add(who);
      socket.once("close", () => held.delete(who));
      return true;
    },
  };
}

const MAX_HELD = 64;
