import { connect as connectNet, isIP } from "node:net";
import type { Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import type { SecureContext, TLSSocket } from "node:tls";

import { serverName } from "./admission.ts";
import type { Expectation } from "./admission.ts";
import { TlsError, reasonOf, refusalError } from "./errors.ts";
import type { TlsEventListener } from "./events.ts";
import { reportLateRefusal } from "./late-refusal.ts";
import { refusalOfTlsError } from "./openssl-errors.ts";
import { expiryOf } from "./peer.ts";
import type { VerifiedPeer } from "./peer.ts";
import type { LiveProtocol } from "./protocol.ts";
import type { Recent } from "./recent.ts";
import { refusal } from "./refusal.ts";
import type { Refusal } from "./refusal.ts";
import type { SessionTable } from "./sessions.ts";
import type { Trust } from "./trust.ts";
import { judgeConnection, judgePresented, verdictIsOurs } from "./verify-peer.ts";
import type { Grounds, Presented } from "./grounds.ts";

/** What to connect to. A socket that is connected already is used as it is. */
export type DialAddress =
  | { readonly host: string; readonly port: number }
  | { readonly path: string }
  | { readonly socket: Socket; readonly host?: string };

export interface DialOptions {
  /** Whom to expect; by default the host that was dialled, as a server name. A path has no default. */
  readonly expect?: Expectation;
  /**
   * ALPN names in order of preference. Default `["h2"]`; empty offers none. The server must choose one, unless
   * `http/1.1` is among them: that is what HTTP servers speak that know no ALPN, as our listener takes clients.
   */
  readonly alpn?: readonly string[];
  /** For the connection and the handshake together. Default 10,000. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

/** A connection to a server that was verified. */
export interface Dialled {
  readonly socket: TLSSocket;
  readonly peer: VerifiedPeer;
}

/** A TLS session that may be resumed, and what the server presented when it began. */
export interface TlsSession {
  readonly ticket: Buffer;
  readonly presented: Presented;
}

/** What the dialer needs of the runtime it belongs to. */
export interface DialerContext {
  secureContext(): SecureContext;
  trust(): Trust;
  /** TLS sessions to resume, by whom was expected where; undefined if none are. */
  readonly tlsSessions: Recent<TlsSession> | undefined;
  grounds(expect: Expectation): Grounds;
  /** The connections that were made; they are judged again like accepted ones. */
  readonly sessions: SessionTable;
  readonly onEvent: TlsEventListener;
}

/**
 * Connects, does the handshake and judges the server; no byte of ours is sent and none of its bytes is
 * delivered before that. A TLS 1.3 server judges the client after this has resolved: its refusal arrives in the
 * protocol's words as the first thing the protocol reads, or by an alert as the socket's error, a TlsError REFUSED.
 *
 * @throws TlsError DIAL_FAILED if no connection came about; REFUSED, with `refusal`, if the handshake failed.
 */
export async function dial(
  address: DialAddress,
  options: DialOptions,
  context: DialerContext,
): Promise<Dialled> {
  const expect = options.expect ?? defaultExpectation(address);
  const alpn = options.alpn ?? ["h2"];
  const start = performance.now();
  const deadline = AbortSignal.timeout(options.timeoutMs ?? 10_000);
  const signal =
    options.signal === undefined ? deadline : AbortSignal.any([deadline, options.signal]);

  const raw = await connectRaw(address, signal);
  const remoteAddress = raw.remoteAddress ?? "";
  const name =
    expect.kind === "serverName" ? expect.name : "host" in address ? address.host : undefined;
  const handshakeTrust = context.trust();
  const sessionKey = JSON.stringify([expect, remoteAddress, raw.remotePort, alpn]);
  const resumable = context.tlsSessions?.take(sessionKey);
  const socket = connectTls({
    ...verdictIsOurs,
    socket: raw,
    secureContext: context.secureContext(),
    ALPNProtocols: [...alpn],
    // The verifier checks names, by subject alternative names only.
    checkServerIdentity: () => undefined,
    ...(resumable === undefined ? {} : { session: resumable.ticket }),
    ...(name !== undefined && isIP(name) === 0 ? { servername: name } : {}),
  });
  socket.on("error", ignore);

  let refused = await handshake(socket, signal, deadline);
  const mustChoose = alpn.length > 0 && !alpn.includes("http/1.1");
  if (refused === undefined && mustChoose && socket.alpnProtocol === false) {
    refused = refusal("NO_APPLICATION_PROTOCOL", {
      message: `the server chose no application protocol: expected ${alpn.join(" or ")}`,
    });
  }
  // From here to the return is one synchronous step: nothing changes between the verdict and its use.
  const verdict =
    refused === undefined
      ? judgeConnection(socket, context.grounds(expect), {
          handshakeTrust,
          resumedFrom: resumable?.presented,
        })
      : undefined;
  if (verdict?.ok === false) refused = verdict.refusal;
  context.onEvent({
    type: "handshake",
    side: "client",
    result: refused?.result ?? "SUCCESS",
    refusal: refused,
    peer: verdict?.ok === true ? verdict.peer : undefined,
    resumed: refused === undefined && socket.isSessionReused(),
    remoteAddress,
    durationMs: performance.now() - start,
  });
  if (verdict?.ok !== true) {
    socket.destroy();
    throw refusalError(refused ?? refusal("UNKNOWN_FAILURE"));
  }
  const { peer, presented } = verdict;
  const rejudge = (): Refusal | undefined => {
    const again = judgePresented(presented, peer, context.grounds(expect));
    return again.ok ? undefined : again.refusal;
  };
  const expiresAt = expiryOf(peer.chain);
  context.sessions.enter({ socket, peer, remoteAddress, rejudge, expiresAt }, () => inUse);
  socket.on("session", (ticket: Buffer) => {
    context.tlsSessions?.put(sessionKey, { ticket, presented });
  });
  reportLateRefusal(socket, (late) => {
    context.onEvent({ type: "refused-late", refusal: late, peer, remoteAddress });
  });
  return { socket, peer };
}

function defaultExpectation(address: DialAddress): Expectation {
  if ("host" in address && address.host !== undefined) return serverName(address.host);
  throw new TypeError(
    "dial needs `expect` where no host is dialled: expected serverName(…), spiffeId(…) or memberOf(…)",
  );
}

async function connectRaw(address: DialAddress, signal: AbortSignal): Promise<Socket> {
  if ("socket" in address) return address.socket;
  const socket = connectNet({ ...address, noDelay: true, keepAlive: true });
  const where = "path" in address ? address.path : `${address.host}:${address.port}`;
  try {
    await new Promise<void>((resolve, reject) => {
      signal.throwIfAborted();
      signal.addEventListener("abort", () => reject(signal.reason as Error), { once: true });
      socket.once("connect", resolve);
      socket.once("error", reject);
    });
    return socket;
  } catch (cause) {
    socket.destroy();
    throw new TlsError("DIAL_FAILED", `cannot connect to ${where}: ${reasonOf(cause)}`, { cause });
  }
}

/** Waits for the end of the handshake. @returns why it failed, or undefined. */
function handshake(
  socket: TLSSocket,
  signal: AbortSignal,
  deadline: AbortSignal,
): Promise<Refusal | undefined> {
  return new Promise((resolve) => {
    const abort = (): void => {
      resolve(
        deadline.aborted
          ? refusal("HANDSHAKE_TIMEOUT")
          : refusal("UNKNOWN_FAILURE", { message: "the dial was cancelled" }),
      );
      socket.destroy();
    };
    const end = (refused: Refusal | undefined): void => {
      signal.removeEventListener("abort", abort);
      resolve(refused);
    };
    signal.addEventListener("abort", abort, { once: true });
    if (signal.aborted) abort();
    socket.once("secureConnect", () => end(undefined));
    socket.once("error", (error) => end(refusalOfTlsError(error)));
    socket.once("close", () => end(refusal("PEER_CONNECTION_CLOSED", { by: "peer" })));
  });
}

/** Whether calls are in flight is not known here: it is taken for granted, so that they have their grace. */
const inUse: LiveProtocol = { drain() {}, activity: () => ({ callsInFlight: 1 }) };

/** Errors of a socket are told by its close; without a listener they would end the process. */
function ignore(): void {}
