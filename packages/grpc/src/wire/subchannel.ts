import { connect as connectNet } from "node:net";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { createConnection, errorCodes } from "@handfast/http2";
import type { ClientConnection, Http2Error } from "@handfast/http2";
import { TlsError, peerRefusal } from "@handfast/tls";
import type { Address } from "../client/target.ts";
import { createBackOff } from "./back-off.ts";
import type { ClientStream } from "./client-stream.ts";
import { drive } from "./drive.ts";
import type { Driver } from "./drive.ts";
import { describe } from "./resolve.ts";

/** Makes connected sockets into secured ones. One object stands for one identity, trust and expectation. */
export interface Connector {
  readonly scheme: "http" | "https";
  secure(socket: Socket, signal: AbortSignal): Promise<Duplex>;
}

/** How long silence may last on connections with calls; absent is for ever. */
export interface Keepalive {
  readonly intervalMs: number;
  readonly timeoutMs: number;
}

/** A connection that takes calls. */
export interface Link {
  readonly connection: ClientConnection<ClientStream>;
  readonly driver: Driver;
  /** Calls on it that nobody waits for: they keep no process alive. */
  backgroundCalls: number;
}

/**
 * One address: it has at most one connection that takes calls, however many channels use it, and waits
 * longer after each failure.
 * - `idle`: nothing is under way.
 * - `connecting`: TCP, TLS and the first bytes of the server's SETTINGS.
 * - `ready`: `link` takes calls.
 * - `failed`: the last attempt failed with `failure`; no other is made before its back-off is over.
 *
 * A connection that ended before it had answered a call or lived a second counts as failed: a server that
 * greets and says goodbye would otherwise be dialled again at once, for ever.
 */
export class Subchannel {
  state: "idle" | "connecting" | "ready" | "failed" = "idle";
  link: Link | undefined;
  failure: unknown;
  readonly address: Address;
  readonly #connector: Connector;
  readonly #keepalive: Keepalive | undefined;
  readonly #backOff = createBackOff();
  readonly #listeners = new Set<() => void>();
  readonly #forget: () => void;
  #attempt: AbortController | undefined;
  #timer: NodeJS.Timeout | undefined;
  #keepaliveFactor = 1;
  /** The last connection that took no more calls, and was of use as far as is known. */
  #draining: Link | undefined;

  constructor(options: SubchannelOptions) {
    this.address = options.address;
    this.#connector = options.connector;
    this.#keepalive = options.keepalive;
    this.#forget = options.forget;
  }

  /** Says who is told of changes. The last to leave closes the connection, once its calls have ended. */
  join(changed: () => void): () => void {
    this.#listeners.add(changed);
    return () => {
      if (!this.#listeners.delete(changed) || this.#listeners.size > 0) return;
      this.#forget();
      clearTimeout(this.#timer);
      this.#attempt?.abort();
      this.#shutDown();
    };
  }

  /** Connects, if nothing is under way and no back-off forbids it. */
  connect(): void {
    if (this.state !== "idle") return;
    this.state = "connecting";
    const attempt = new AbortController();
    this.#attempt = attempt;
    const timer = setTimeout(() => attempt.abort(tooLong(this.address)), connectTimeoutMs);
    const { signal } = attempt;
    this.#open(signal).then(
      (socket) => this.#speak(socket, attempt, timer),
      (cause: unknown) => {
        clearTimeout(timer);
        this.#failed(attempt, signal.aborted ? signal.reason : cause);
      },
    );
  }

  async #open(signal: AbortSignal): Promise<Duplex> {
    const socket = await connectSocket(this.address, signal);
    return this.#connector.secure(socket, signal);
  }

  /** Begins HTTP/2; the link is ready when the server has said something. */
  #speak(socket: Duplex, attempt: AbortController, timer: NodeJS.Timeout): void {
    if (attempt.signal.aborted) {
      clearTimeout(timer);
      socket.destroy();
      this.#failed(attempt, attempt.signal.reason);
      return;
    }
    const keepalive = this.#keepalive;
    let readyAt = Infinity;
    let answered = false;
    const connection: ClientConnection<ClientStream> = createConnection<ClientStream>({
      role: "client",
      now: performance.now(),
      timing:
        keepalive === undefined
          ? {}
          : {
              keepaliveMs: keepalive.intervalMs * this.#keepaliveFactor,
              keepaliveTimeoutMs: keepalive.timeoutMs,
            },
      events: {
        onResponse: (stream, head, end) => {
          if (!answered) this.#backOff.reset();
          answered = true;
          stream.answered(head, end);
        },
        onData: (stream, bytes, end) => stream.receive(bytes, end),
        onTrailers: (stream, fields) => stream.ended(fields),
        onReset: (stream, reset) => {
          if (reset.unprocessed && !useful()) this.#tookNothing(link);
          stream.cut(reset);
        },
        onDrain: (stream) => stream.drained(),
        onAvailable: () => this.#changed(),
        // Calls on it may still be answered; if they come back instead, it was of no use.
        onDraining: () =>
          this.#lost(link, { cause: undefined, useful: useful() || connection.openStreams > 0 }),
        onClose: ({ error }) => {
          clearTimeout(timer);
          // The server wants fewer pings (gRFC A8).
          if (error?.wireCode === errorCodes.ENHANCE_YOUR_CALM) this.#keepaliveFactor *= 2;
          if (this.#attempt === attempt) this.#failed(attempt, this.#silentEnd(error));
          else this.#lost(link, { cause: error, useful: useful() });
        },
      },
    });
    attempt.signal.addEventListener("abort", () => {
      if (this.#attempt === attempt) socket.destroy();
    });
    const driver = drive(socket, connection, {
      unrefWhenIdle: true,
      backgroundStreams: () => link.backgroundCalls,
      received: () => {
        if (this.#attempt !== attempt || connection.phase === "closed") return;
        clearTimeout(timer);
        if (connection.phase !== "open") {
          this.#failed(attempt, endedEarly(this.address));
          return;
        }
        this.#attempt = undefined;
        readyAt = performance.now();
        this.failure = undefined;
        this.link = link;
        this.state = "ready";
        this.#changed();
      },
    });
    const link: Link = { connection, driver, backgroundCalls: 0 };
    const useful = (): boolean => answered || performance.now() - readyAt >= usefulAfterMs;
  }

  /**
   * Why a connection ended on which the server had said nothing. In HTTP/2 it speaks first: over TLS an end before
   * that is mostly its refusal of our certificate, by a server that sends no alert.
   */
  #silentEnd(error: Http2Error | undefined): Error {
    if (this.#connector.scheme !== "https" || error?.code !== "TRANSPORT_ENDED" || error.cause) {
      return error ?? endedEarly(this.address);
    }
    const closed = peerRefusal("PEER_CONNECTION_CLOSED");
    const { message } = endedEarly(this.address);
    return new TlsError("REFUSED", message, {
      cause: error,
      ...(closed && { refusal: closed, hint: closed.hint }),
    });
  }

  /** The link takes no more calls; those it has go on. */
  #lost(
    link: Link,
    { cause, useful }: { readonly cause: unknown; readonly useful: boolean },
  ): void {
    if (this.link !== link) return;
    this.link = undefined;
    if (!useful) {
      this.#wait(cause ?? endedEarly(this.address));
      return;
    }
    this.#draining = link;
    this.failure = cause;
    this.state = "idle";
    this.#changed();
  }

  /** A connection that was to end came back with its calls. */
  #tookNothing(link: Link): void {
    if (this.#draining !== link || this.state !== "idle") return;
    this.#draining = undefined;
    this.#wait(endedEarly(this.address));
  }

  #failed(attempt: AbortController, cause: unknown): void {
    if (this.#attempt !== attempt) return;
    this.#attempt = undefined;
    this.#wait(cause);
  }

  /** No other attempt for a while, longer each time. */
  #wait(cause: unknown): void {
    this.failure = cause;
    this.state = "failed";
    // Whoever waits for this connection has something of his own that keeps the process alive.
    this.#timer = setTimeout(() => {
      this.state = "idle";
      this.#changed();
    }, this.#backOff.next()).unref();
    this.#changed();
  }

  #shutDown(): void {
    const { link } = this;
    this.link = undefined;
    link?.connection.shutdown(performance.now());
    link?.driver.wake();
  }

  #changed(): void {
    for (const changed of this.#listeners) changed();
  }
}

/** What a subchannel is made of. */
export interface SubchannelOptions {
  readonly address: Address;
  readonly connector: Connector;
  readonly keepalive: Keepalive | undefined;
  /** Called when nobody uses it any more. */
  readonly forget: () => void;
}

/** The subchannel of an address: channels of one connector share it. */
export function shareSubchannel(
  connector: Connector,
  address: Address,
  keepalive: Keepalive | undefined,
): Subchannel {
  let known = subchannels.get(connector);
  if (known === undefined) {
    known = new Map();
    subchannels.set(connector, known);
  }
  const key = JSON.stringify([address, keepalive]);
  let subchannel = known.get(key);
  if (subchannel === undefined) {
    const all = known;
    subchannel = new Subchannel({ address, connector, keepalive, forget: () => all.delete(key) });
    known.set(key, subchannel);
  }
  return subchannel;
}

function connectSocket(address: Address, signal: AbortSignal): Promise<Socket> {
  const socket = connectNet({ ...address, noDelay: true, keepAlive: true });
  return new Promise((resolve, reject) => {
    const abort = (): void => {
      socket.destroy();
      reject(signal.reason as Error);
    };
    const settle = (): void => signal.removeEventListener("abort", abort);
    signal.addEventListener("abort", abort, { once: true });
    if (signal.aborted) abort();
    // It stays: an error of a socket that nobody listens to ends the process.
    socket.on("error", (error) => {
      settle();
      reject(error);
    });
    socket.once("connect", () => {
      settle();
      resolve(socket);
    });
  });
}

function tooLong(address: Address): Error {
  return new Error(`${describe(address)} did not answer within ${connectTimeoutMs} ms`);
}

function endedEarly(address: Address): Error {
  return new Error(`${describe(address)} ended the connection before it took a call`);
}

const subchannels = new WeakMap<Connector, Map<string, Subchannel>>();
const connectTimeoutMs = 20_000;
const usefulAfterMs = 1_000;
