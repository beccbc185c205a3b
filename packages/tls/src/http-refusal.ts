import type { Duplex } from "node:stream";

import type { DrainReason } from "./protocol.ts";
import type { Refusal } from "./refusal.ts";

/** What a refused HTTP client reads: fixed text, none of its own bytes. */
export interface HttpRefusal {
  /** 403; 503 where trying again later may help. */
  readonly status: 403 | 503;
  /** The value of the header `handfast-refusal`; undefined if it is only the connection that ends. */
  readonly code: string | undefined;
  readonly text: string;
}

/** A refusal in the words of HTTP. */
function httpRefusal(refusal: Refusal): HttpRefusal {
  return {
    status: refusal.status === 16 ? 403 : 503,
    code: refusal.code,
    text: `${refusal.code}: ${refusal.publicMessage}`,
  };
}

/** What a request reads that arrives on a connection which takes no more of them. */
export function requestRefusal(reason: DrainReason): HttpRefusal {
  if (reason.kind === "refused") return httpRefusal(reason.refusal);
  return {
    status: 503,
    code: undefined,
    text: "this connection takes no more requests: send it again on a new one",
  };
}

/** The header fields of a refusal, in lower case. */
export function refusalHeaders({ code, text }: HttpRefusal): Record<string, string> {
  return {
    ...(code === undefined ? {} : { "handfast-refusal": code }),
    "content-type": "text/plain; charset=utf-8",
    "content-length": String(Buffer.byteLength(text) + 1),
    "cache-control": "no-store",
  };
}

/** Waits for one request of a refused HTTP/1.1 client and answers it: bytes in, bytes out, no I/O. */
export interface Http1Responder {
  /** Takes what the peer sent, however it is cut. @returns the answer, once the request's head has ended. */
  receive(bytes: Uint8Array): Uint8Array | undefined;
  /** The answer that is still due when nobody waits any longer: none if no request has begun. */
  close(): Uint8Array | undefined;
  /** Whether the bound on what is read has been reached (S21). */
  readonly exhausted: boolean;
}

/**
 * Makes the responder for one refused connection. An answer before the question would be taken for the answer
 * to something else, or for noise; so it looks for the empty line that ends the head (RFC 9112, 2.1), and for
 * nothing else but whether the method is HEAD, which allows no content. At 16 KiB it answers without waiting
 * for the end of the head.
 */
export function createHttp1Responder(refusal: Refusal): Http1Responder {
  let bytesIn = 0;
  let method = "";
  let lineFeeds = 0;
  let answered = false;

  function answer(): Uint8Array | undefined {
    if (answered) return undefined;
    answered = true;
    return http1Answer(httpRefusal(refusal), method !== "HEAD ");
  }

  /** @returns whether this byte ends the head. */
  function take(byte: number): boolean {
    if (byte === LINE_FEED) return method !== "" && ++lineFeeds === 2;
    if (byte === CARRIAGE_RETURN) return false;
    lineFeeds = 0;
    if (method.length < "HEAD ".length) method += String.fromCharCode(byte);
    return false;
  }

  return {
    receive(bytes) {
      const looked = bytes.subarray(0, MAX_BYTES_IN - bytesIn);
      bytesIn += looked.length;
      const ended = !answered && looked.some((byte) => take(byte));
      return ended || bytesIn >= MAX_BYTES_IN ? answer() : undefined;
    },
    close: () => (method === "" ? undefined : answer()),
    get exhausted() {
      return bytesIn >= MAX_BYTES_IN;
    },
  };
}

/**
 * Tells a refused HTTP/1.1 client why, as the answer to its request, and ends the connection: within 5 s, and
 * having read no more than the bound (S21).
 */
export function refuseHttp1(socket: Duplex, refusal: Refusal): void {
  const responder = createHttp1Responder(refusal);
  const timer = setTimeout(() => finish(responder.close()), WAIT_MS).unref();
  let finished = false;
  socket.once("close", () => clearTimeout(timer));
  socket.on("data", (bytes: Buffer) => {
    const answer = responder.receive(bytes);
    // The answer has to arrive, and a socket that is destroyed with unread bytes resets it away: hence the
    // reading goes on for a while, up to the bound.
    if (responder.exhausted) socket.pause();
    if (answer !== undefined) finish(answer);
  });

  function finish(answer: Uint8Array | undefined): void {
    if (finished) return;
    finished = true;
    clearTimeout(timer);
    socket.end(answer ?? Buffer.alloc(0));
    linger(socket);
  }
}

/**
 * Tells a refused HTTP/2 client why, as the debug data of a GOAWAY (RFC 9113, 6.8) behind empty SETTINGS, and
 * ends the connection. Nothing the client sends is parsed.
 */
export function refuseHttp2(socket: Duplex, refusal: Refusal): void {
  const text = Buffer.from(httpRefusal(refusal).text);
  const goaway = Buffer.alloc(FRAME_HEADER_BYTES + 8);
  goaway.writeUIntBE(8 + text.length, 0, 3);
  goaway.writeUInt8(GOAWAY, 3);
  goaway.writeUInt32BE(INADEQUATE_SECURITY, FRAME_HEADER_BYTES + 4);
  let bytesIn = 0;
  socket.on("data", (bytes: Buffer) => {
    bytesIn += bytes.length;
    if (bytesIn >= MAX_BYTES_IN) socket.pause();
  });
  socket.end(Buffer.concat([EMPTY_SETTINGS, goaway, text]));
  linger(socket);
}

/** Leaves a connection that was ended to its peer for a second, then cuts it. */
function linger(socket: Duplex): void {
  const timer = setTimeout(() => socket.destroy(), LINGER_MS).unref();
  socket.once("close", () => clearTimeout(timer));
}

function http1Answer(refused: HttpRefusal, withContent: boolean): Uint8Array {
  const fields = Object.entries({ ...refusalHeaders(refused), connection: "close" });
  const head = [
    `HTTP/1.1 ${refused.status} ${refused.status === 403 ? "Forbidden" : "Service Unavailable"}`,
    ...fields.map(([name, value]) => `${name}: ${value}`),
    "\r\n",
  ].join("\r\n");
  return Buffer.from(withContent ? `${head}${refused.text}\n` : head);
}

const MAX_BYTES_IN = 16 * 1024;
/** Together with the lingering within the 5 s that a refused connection may last. */
const WAIT_MS = 4000;
const LINGER_MS = 1000;
const LINE_FEED = 10;
const CARRIAGE_RETURN = 13;
const FRAME_HEADER_BYTES = 9;
const GOAWAY = 7;
const INADEQUATE_SECURITY = 0xc;
const EMPTY_SETTINGS = Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]);
