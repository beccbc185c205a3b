import { Agent } from "node:https";
import type { AgentOptions } from "node:https";
import type { ClientRequestArgs } from "node:http";
import type { Duplex } from "node:stream";
import type { TLSSocket } from "node:tls";
import { callbackify } from "node:util";

import { serverName } from "./admission.ts";
import type { Expectation } from "./admission.ts";
import type { DialAddress, Dialled, DialOptions } from "./dialer.ts";

/** What dialling needs of the runtime. */
export type Dial = (address: DialAddress, options: DialOptions) => Promise<Dialled>;

/** Where undici wants to connect to, as it says it, and whom to expect there. */
export interface UndiciTarget {
  readonly hostname: string;
  readonly protocol: string;
  /** Empty for 443. */
  readonly port: string;
  readonly socketPath?: string | null;
  /** Offers HTTP/2 first. `new Agent({ allowH2: true, connect })` passes it on. */
  readonly allowH2?: boolean;
  /** By default the URL's host, as a server name: the Host header has no part in it. */
  readonly expect?: Expectation;
}

export type UndiciConnect = (
  target: UndiciTarget,
  callback: (...outcome: [null, TLSSocket] | [Error, null]) => void,
) => void;

/**
 * Connects for undici. Fails for `http:` URLs: an agent that has it never speaks plaintext. A server that knows no
 * ALPN is taken to speak HTTP/1.1.
 */
export function undiciConnect(dial: Dial): UndiciConnect {
  return (target, callback) => {
    if (target.protocol !== "https:") {
      const got = JSON.stringify(target.protocol);
      callback(new TypeError(`undiciConnect speaks TLS only: expected "https:", got ${got}`), null);
      return;
    }
    connectBy(dial)(
      {
        host: target.hostname,
        port: target.port === "" ? 443 : Number(target.port),
        socketPath: target.socketPath ?? undefined,
        expect: target.expect,
        alpn: target.allowH2 === true ? ["h2", "http/1.1"] : ["http/1.1"],
      },
      callback as Connected,
    );
  };
}

/** The pool's options, and whom to expect. There is nothing about TLS: that is the runtime's. */
export interface HttpsAgentOptions extends Pick<
  AgentOptions,
  | "keepAlive"
  | "keepAliveMsecs"
  | "maxFreeSockets"
  | "maxSockets"
  | "maxTotalSockets"
  | "scheduling"
  | "timeout"
> {
  /** By default the host of each request, as a server name: the Host header has no part in it. */
  readonly expect?: Expectation;
}

/**
 * An agent for `https.request` whose connections are dialled and judged by the runtime. TLS options of a
 * request (`ca`, `rejectUnauthorized`, `servername`, …) change nothing.
 */
export function httpsAgent(dial: Dial, { expect, ...pool }: HttpsAgentOptions): Agent {
  return new JudgingAgent(dial, expect, pool);
}

class JudgingAgent extends Agent {
  readonly #dial: Dial;
  readonly #expect: Expectation | undefined;

  constructor(dial: Dial, expect: Expectation | undefined, pool: AgentOptions) {
    super(pool);
    this.#dial = dial;
    this.#expect = expect;
  }

  override createConnection(
    options: ClientRequestArgs,
    callback?: (error: Error | null, stream: Duplex) => void,
  ): undefined {
    connectBy(this.#dial)(
      {
        host: options.host ?? "localhost",
        port: Number(options.port ?? 443),
        socketPath: options.socketPath ?? undefined,
        expect: this.#expect,
        alpn: ["http/1.1"],
      },
      callback as Connected,
    );
  }
}

interface Target {
  readonly host: string;
  readonly port: number;
  readonly socketPath: string | undefined;
  readonly expect: Expectation | undefined;
  readonly alpn: readonly string[];
}

type Connected = (error: Error | null, socket: TLSSocket) => void;

/** Dials, and calls back outside of any promise: what is thrown there is the caller's. */
function connectBy(dial: Dial): (target: Target, callback: Connected) => void {
  return callbackify(async (target: Target) => {
    const { host, port, socketPath, expect = serverName(host), alpn } = target;
    const address = socketPath === undefined ? { host, port } : { path: socketPath };
    const { socket } = await dial(address, { expect, alpn });
    return socket;
  });
}
