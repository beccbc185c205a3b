import { connect as connectHttp2, constants } from "node:http2";
import type { IncomingHttpHeaders } from "node:http2";
import type { TLSSocket } from "node:tls";

import { refusalOfTlsError } from "../openssl-errors.ts";
import { peerRefusal } from "../refusal.ts";
import type { Refusal } from "../refusal.ts";

/** What a server says to whoever got through the handshake; in TLS 1.3 its verdict on us comes only then. */
export type Answer =
  | { readonly kind: "refused"; readonly refusal: Refusal; readonly text: string }
  | { readonly kind: "http"; readonly status: number; readonly text: string }
  | { readonly kind: "grpc"; readonly status: number; readonly text: string }
  | { readonly kind: "closed" }
  | { readonly kind: "silent" };

/** Whom to ask for, and how long to wait. */
export interface AskOptions {
  readonly authority: string;
  readonly timeoutMs: number;
}

/** Asks for `/` in HTTP/1.1, and reads no more of the answer than its beginning. Never rejects. */
export function askHttp1(socket: TLSSocket, { authority, timeoutMs }: AskOptions): Promise<Answer> {
  return new Promise((resolve) => {
    let text = "";
    const timer = setTimeout(() => resolve(read() ?? { kind: "silent" }), timeoutMs);
    const end = (answer: Answer): void => {
      clearTimeout(timer);
      resolve(answer);
    };
    const read = (): Answer | undefined => {
      const status = /^HTTP\/1\.[01] (\d{3})/.exec(text)?.[1];
      if (status === undefined) return undefined;
      const code = /\r\nhandfast-refusal: ([A-Z0-9_]{1,60})\r\n/i.exec(text)?.[1];
      const body = text.slice(text.indexOf("\r\n\r\n") + 4);
      const told = code === undefined ? undefined : peerRefusal(code, body.trim());
      if (told !== undefined) return { kind: "refused", refusal: told, text: body };
      return { kind: "http", status: Number(status), text: bodyText(body) };
    };
    socket.on("data", (bytes: Buffer) => {
      text += bytes.toString("latin1");
      if (text.length > MAX_TEXT) end(read() ?? { kind: "silent" });
    });
    socket.on("error", (error) => end(read() ?? refused(error)));
    const closed = (): void => end(read() ?? { kind: "closed" });
    socket.once("end", closed);
    socket.once("close", closed);
    socket.write(`GET / HTTP/1.1\r\nhost: ${authority}\r\nconnection: close\r\n\r\n`);
  });
}

/** Asks for the gRPC health of the server (grpc.health.v1). Never rejects. */
export function askHttp2(socket: TLSSocket, { authority, timeoutMs }: AskOptions): Promise<Answer> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => end({ kind: "silent" }), timeoutMs);
    const session = connectHttp2(`https://${authority}`, { createConnection: () => socket });
    let debug = "";
    const end = (answer: Answer): void => {
      clearTimeout(timer);
      resolve(answer);
      session.destroy();
    };
    // Before the session's: its error says less.
    socket.prependListener("error", (error) => end(refused(error)));
    session.on("error", (error) => end(fromDebug(debug) ?? refused(error)));
    session.on("goaway", (_code, _last, data) => {
      debug = Buffer.from(data ?? []).toString("latin1");
      const told = fromDebug(debug);
      if (told !== undefined) end(told);
    });
    session.once("close", () => end(fromDebug(debug) ?? { kind: "closed" }));
    const stream = session.request({
      ":method": "POST",
      ":path": "/grpc.health.v1.Health/Check",
      "content-type": "application/grpc",
      te: "trailers",
    });
    let head: IncomingHttpHeaders = {};
    let body = "";
    stream.on("error", (error) => {
      if (stream.rstCode === constants.NGHTTP2_NO_ERROR) end(fromDebug(debug) ?? refused(error));
    });
    stream.on("response", (headers) => {
      head = headers;
      if (headers["grpc-status"] !== undefined) end(fromHeaders(headers, head));
    });
    stream.on("trailers", (trailers) => end(fromHeaders(trailers, head)));
    stream.on("data", (bytes: Buffer) => {
      if (body.length < MAX_TEXT) body += bytes.toString("latin1");
    });
    stream.once("end", () => {
      // Trailers, where there are any, come before this.
      setImmediate(() => end(fromHeaders({}, head, body)));
    });
    stream.end(Buffer.alloc(5));
  });
}

function fromHeaders(fields: IncomingHttpHeaders, head: IncomingHttpHeaders, body = ""): Answer {
  const code = fields["handfast-refusal"] ?? head["handfast-refusal"];
  const message = fields["grpc-message"] ?? head["grpc-message"];
  const text = typeof message === "string" ? message.slice(0, MAX_TEXT) : bodyText(body);
  const told = typeof code === "string" ? peerRefusal(code, text) : undefined;
  if (told !== undefined) return { kind: "refused", refusal: told, text };
  const status = fields["grpc-status"] ?? head["grpc-status"];
  if (status !== undefined) return { kind: "grpc", status: Number(status), text };
  return { kind: "http", status: Number(head[":status"] ?? 0), text };
}

/** Our refusals of HTTP/2 stand in the debug data of GOAWAY as `CODE: sentence`. */
function fromDebug(debug: string): Answer | undefined {
  const code = /^([A-Z0-9_]{1,60}): /.exec(debug)?.[1];
  const told = code === undefined ? undefined : peerRefusal(code, debug);
  return told === undefined ? undefined : { kind: "refused", refusal: told, text: debug };
}

function refused(error: Error): Answer {
  const found = refusalOfTlsError(error);
  return found.by === "peer" && found.code === "PEER_CONNECTION_CLOSED"
    ? { kind: "closed" }
    : { kind: "refused", refusal: found, text: error.message };
}

/** The words of a body that may be HTML, without its tags. */
function bodyText(body: string): string {
  return body
    .replaceAll(/<[^>]*>/g, " ")
    .replaceAll(/\s+/g, " ")
    .trim()
    .slice(0, 200);
}

const MAX_TEXT = 4096;
