import { createServer as createNetServer } from "node:net";
import type { Socket } from "node:net";
import { createServer as createTlsServer } from "node:tls";
import type { SecureContextOptions, TLSSocket } from "node:tls";

import { TlsError, reasonOf } from "./errors.ts";
import type { TlsEventListener } from "./events.ts";
import { refusalOfTlsError } from "./openssl-errors.ts";
import type { Protocol } from "./protocol.ts";
import { refusal } from "./refusal.ts";
import type { Refusal } from "./refusal.ts";
import type { SessionTable } from "./sessions.ts";
import { createSourceLimits } from "./source-limits.ts";
import type { HandshakeLimits } from "./source-limits.ts";
import type { Trust } from "./trust.ts";
import { judgeConnection, judgePresented, verdictIsOurs } from "./verify-peer.ts";
import type { Grounds, Verdict } from "./verify-peer.ts";

/** Where to listen. `port: 0` takes a free one; a path is a Unix socket. */
export type ListenAddress =
  | { readonly host: string; readonly port: number }
  | { readonly path: string };

/** What is served, by ALPN name. At least one. */
export interface ListenProtocols {
  readonly h2?: Protocol;
  readonly "http/1.1"?: Protocol;
  /** There is no "optional": a bad certificate is never treated as none (S17). */
  readonly clientCertificates: "required" | "none";
}

/** A bound listener. */
export interface Listener {
  readonly address: ListenAddress;
  /** Stops accepting; connections that are open stay open. */
  close(): Promise<void>;
}

/** What the listener needs of the runtime it belongs to. */
export interface ListenerContext {
  contextOptions(): SecureContextOptions;
  trust(): Trust;
  grounds(): Grounds;
  /** Calls back when the context options have changed. Returns a function that stops it. */
  onSwap(swapped: () => void): () => void;
  readonly sessions: SessionTable;
  readonly onEvent: TlsEventListener;
  readonly limits: ListenerLimits;
}

export interface ListenerLimits extends HandshakeLimits {
  /** A handshake that takes longer is ended. Default 10,000. */
  readonly handshakeTimeoutMs?: number;
  /** Live sessions in all. Default 100,000. */
  readonly sessions?: number;
  /** Live sessions of one identity. Default 10,000. */
  readonly sessionsPerIdentity?: number;
  /** Whether a refused peer is told why in the protocol's own words. Default true. */
  readonly refusalNotice?: boolean;
}

/**
 * Listens, does handshakes, has each judged, and hands the socket to its protocol in the same synchronous step.
 *
 * @throws TlsError LISTEN_FAILED
 */
export async function listen(
  address: ListenAddress,
  protocols: ListenProtocols,
  context: ListenerContext,
): Promise<Listener> {
  const { onEvent, limits, sessions } = context;
  const served = protocolsByName(protocols);
  const sources = createSourceLimits(limits, () => performance.now());
  const notices = createNotices();
  const begun = new WeakMap<Socket, Begun>();
  /** Connections that are no sessions: in a handshake, or refused and being told why. */
  const strangers = new Set<Socket>();

  const tlsOptions = {
    ...(protocols.clientCertificates === "required" ? verdictIsOurs : { requestCert: false }),
    ALPNProtocols: [...served.keys()],
    handshakeTimeout: limits.handshakeTimeoutMs ?? 10_000,
  };
  const tlsServer = createTlsServer({ ...tlsOptions, ...context.contextOptions() });
  tlsServer.on("secureConnection", (socket) => onSecure(socket));
  tlsServer.on("tlsClientError", (error, socket) => onHandshakeError(error, socket));
  const stopSwaps = context.onSwap(() => tlsServer.setSecureContext(context.contextOptions()));

  const netServer = createNetServer({ noDelay: true, keepAlive: true }, (socket) => {
    const remoteAddress = addressOf(socket);
    const leave = sources.enter(remoteAddress, () => socket.destroy());
    if (leave === undefined) {
      socket.destroy();
      report(refusal("LIMIT_EXCEEDED"), { remoteAddress, at: performance.now() });
      return;
    }
    begun.set(socket, {
      remoteAddress,
      at: performance.now(),
      trust: context.trust(),
      leave,
    });
    strangers.add(socket);
    socket.once("close", () => {
      leave();
      strangers.delete(socket);
    });
    socket.on("error", ignore);
    tlsServer.emit("connection", socket);
  });

  function onSecure(socket: TLSSocket): void {
    socket.on("error", ignore);
    const start = beginningOf(socket);
    start.leave();
    const protocol = served.get(socket.alpnProtocol || "http/1.1");
    if (protocol === undefined) {
      report(refusal("NO_APPLICATION_PROTOCOL"), start);
      socket.destroy();
      return;
    }
    if (protocols.clientCertificates === "none") {
      admitted(socket, protocol, start, undefined);
      return;
    }
    const verdict = judgeConnection(socket, context.grounds(), { handshakeTrust: start.trust });
    const refused = verdict.ok ? overLimit(verdict) : verdict.refusal;
    if (refused !== undefined) {
      report(refused, start);
      tell(socket, protocol, refused, verdict.presented?.leaf.fingerprint ?? start.remoteAddress);
    } else if (verdict.ok) {
      admitted(socket, protocol, start, verdict);
    }
  }

  function admitted(
    socket: TLSSocket,
    protocol: Protocol,
    start: Begun,
    verdict: (Verdict & { ok: true }) | undefined,
  ): void {
    const raw = parentOf(socket);
    if (raw !== undefined) strangers.delete(raw);
    const peer = verdict?.peer;
    const rejudge = (): Refusal | undefined => {
      if (verdict === undefined) return undefined;
      const again = judgePresented(verdict.presented, verdict.peer, context.grounds());
      return again.ok ? undefined : again.refusal;
    };
    sessions.enter(
      {
        socket,
        peer,
        remoteAddress: start.remoteAddress,
        rejudge,
        expiresAt: peer === undefined ? undefined : expiryOf(peer.chain),
      },
      (session) => protocol.accept(socket, peer, session),
    );
    onEvent({
      type: "handshake",
      side: "server",
      result: "SUCCESS",
      refusal: undefined,
      peer,
      resumed: socket.isSessionReused(),
      remoteAddress: start.remoteAddress,
      durationMs: performance.now() - start.at,
    });
  }

  function overLimit({ peer }: Verdict & { ok: true }): Refusal | undefined {
    const perIdentity = limits.sessionsPerIdentity ?? 10_000;
    if (sessions.size >= (limits.sessions ?? 100_000)) return refusal("LIMIT_EXCEEDED");
    if (peer.identity !== undefined && sessions.count(peer.identity) >= perIdentity) {
      return refusal("LIMIT_EXCEEDED", {
        message: `${peer.identity} has ${perIdentity} sessions already`,
      });
    }
    return undefined;
  }

  function tell(socket: TLSSocket, protocol: Protocol, refused: Refusal, who: string): void {
    const pressed = sources.pending > (limits.pendingHandshakes ?? 1024) / 2;
    if (limits.refusalNotice === false || pressed || !notices.take(who, socket)) socket.destroy();
    else protocol.refuse(socket, refused);
  }

  function onHandshakeError(error: Error, socket: TLSSocket): void {
    const start = beginningOf(socket);
    start.leave();
    socket.destroy();
    report(refusalOfTlsError(error), start);
  }

  function beginningOf(socket: TLSSocket): Begun {
    const raw = parentOf(socket);
    return (
      (raw && begun.get(raw)) ?? {
        remoteAddress: addressOf(socket),
        at: performance.now(),
        trust: context.trust(),
        leave: ignore,
      }
    );
  }

  function report(
    refused: Refusal,
    { remoteAddress, at }: Pick<Begun, "remoteAddress" | "at">,
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

  try {
    await new Promise<void>((resolve, reject) => {
      netServer.once("error", reject);
      netServer.listen(address, resolve);
    });
  } catch (cause) {
    stopSwaps();
    const where = "path" in address ? address.path : `${address.host}:${address.port}`;
    throw new TlsError("LISTEN_FAILED", `cannot listen on ${where}: ${reasonOf(cause)}`, { cause });
  }
  const bound = netServer.address();
  return {
    address:
      typeof bound === "object" && bound !== null
        ? { host: bound.address, port: bound.port }
        : address,
    close: () =>
      new Promise((resolve) => {
        stopSwaps();
        // Resolves when the last connection has ended; the listening socket is closed at once.
        netServer.close(() => resolve());
        for (const socket of strangers) socket.destroy();
      }),
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

function protocolsByName(protocols: ListenProtocols): Map<string, Protocol> {
  const served = new Map<string, Protocol>();
  if (protocols.h2 !== undefined) served.set("h2", protocols.h2);
  if (protocols["http/1.1"] !== undefined) served.set("http/1.1", protocols["http/1.1"]);
  if (served.size === 0)
    throw new TypeError("listen needs a protocol: expected h2, http/1.1 or both");
  return served;
}

function expiryOf(chain: readonly { readonly notAfter: Date }[]): Date {
  return new Date(Math.min(...chain.map(({ notAfter }) => notAfter.getTime())));
}

/** The socket that was accepted, under its TLS socket: Node (26.10) keeps it as `_parent`. */
function parentOf(socket: TLSSocket): Socket | undefined {
  return "_parent" in socket ? (socket._parent as Socket | undefined) : undefined;
}

function addressOf(socket: Socket): string {
  return socket.remoteAddress ?? "";
}

/** Errors of a socket are told by its close; without a listener they would end the process. */
function ignore(): void {}

interface Begun {
  readonly remoteAddress: string;
  readonly at: number;
  /** What OpenSSL was given for this handshake. */
  readonly trust: Trust;
  readonly leave: () => void;
}

const MAX_HELD = 64;
