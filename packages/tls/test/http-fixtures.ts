// What the HTTP tests share: servers of each kind, plain clients that know nothing of Handfast.
import { once } from "node:events";
import { createServer } from "node:http";
import type { IncomingHttpHeaders, IncomingMessage } from "node:http";
import { connect as connectHttp2, createServer as createHttp2Server } from "node:http2";
import type {
  ClientHttp2Session,
  IncomingHttpHeaders as Http2Headers,
  IncomingHttpStatusHeader,
  ServerHttp2Stream,
} from "node:http2";
import { createServer as createHttpsServer, request as httpsRequest } from "node:https";
import type { Agent } from "node:https";
import { connect as connectTls } from "node:tls";
import type { ConnectionOptions, TLSSocket } from "node:tls";

import express from "express";
import fastify from "fastify";
import type { TestIdentity } from "@handfast/x509/testing";
import { Agent as UndiciAgent, fetch as undiciFetch, request as undiciRequest } from "undici";

import { peerOf } from "../src/index.ts";
import type { MutualTls } from "../src/index.ts";
import { addressOf, authority } from "./fixtures.ts";

export const localhost = { host: "localhost", port: 0 } as const;
export const serverIdentity: TestIdentity = authority.issue({ name: "localhost" });

/** Where a server listens, and how to end it. */
export interface Served extends AsyncDisposable {
  readonly port: number;
}

/** Serves a handler that counts its requests and answers with the peer's identity. */
export type ServeKind = (mtls: MutualTls, onRequest: () => void) => Promise<Served>;

/** Each way to serve HTTP/1.1. */
export const http1Servers: Readonly<Record<string, ServeKind>> = {
  async "http.Server"(mtls, onRequest) {
    const server = createServer((request, response) => {
      onRequest();
      response.end(peerOf(request)?.identity);
    });
    return served(await mtls.serveHttp(server, localhost));
  },
  async "Express 5"(mtls, onRequest) {
    const app = express();
    app.get("/", (request, response) => {
      onRequest();
      response.send(peerOf(request)?.identity);
    });
    return served(await mtls.serveHttp(createServer(app), localhost));
  },
  async "Fastify 5"(mtls, onRequest) {
    const app = fastify({ serverFactory: mtls.fastifyServerFactory });
    app.get("/", (request) => {
      onRequest();
      return peerOf(request.raw)?.identity;
    });
    const url = new URL(await app.listen({ host: "localhost", port: 0 }));
    return { port: Number(url.port), [Symbol.asyncDispose]: () => app.close() };
  },
};

/** Each way to serve HTTP/2. */
export const http2Servers: Readonly<Record<string, ServeKind>> = {
  async "http2 with streams"(mtls, onRequest) {
    const server = createHttp2Server();
    server.on("stream", (stream: ServerHttp2Stream) => {
      onRequest();
      stream.respond({ ":status": 200 });
      stream.end(peerOf(stream)?.identity);
    });
    return served(await mtls.serveHttp(server, localhost));
  },
  async "http2 with requests"(mtls, onRequest) {
    const server = createHttp2Server((request, response) => {
      onRequest();
      response.end(peerOf(request)?.identity ?? "");
    });
    return served(await mtls.serveHttp(server, localhost));
  },
};

export function served(listener: Awaited<ReturnType<MutualTls["serveHttp"]>>): Served {
  return { port: addressOf(listener).port, [Symbol.asyncDispose]: () => listener.close() };
}

/** What a plain client of node:tls is given: no default is left to the environment. */
export function plainClient(identity: TestIdentity | undefined): ConnectionOptions {
  return {
    ca: [authority.bundlePem],
    minVersion: "TLSv1.3",
    ...(identity === undefined
      ? {}
      : { cert: identity.certificateChainPem, key: identity.privateKeyPem }),
  };
}

export interface Answer {
  readonly status: number | undefined;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

export interface Request {
  readonly port: number;
  readonly method?: string;
  readonly headers?: Record<string, string>;
  readonly body?: string;
  readonly agent?: Agent;
  readonly host?: string;
}

/** A request of node:https, with whatever TLS options are given. */
export async function get(
  { port, body, host = "localhost", ...rest }: Request,
  tls: object = {},
): Promise<Answer> {
  const request = httpsRequest({ host, port, agent: false, ...rest, ...tls });
  request.end(body);
  const [response] = (await once(request, "response")) as [IncomingMessage];
  const { statusCode: status, headers } = response;
  return { status, headers, body: Buffer.concat(await response.toArray()).toString() };
}

/** An HTTP/2 connection of node:http2 over a plain TLS socket. */
export function http2Client(port: number, identity: TestIdentity | undefined): ClientHttp2Session {
  const session = connectHttp2(`https://localhost:${port}`, plainClient(identity));
  session.on("error", () => {});
  return session;
}

/** A request on an HTTP/2 connection. */
export async function getHttp2(session: ClientHttp2Session): Promise<Answer> {
  const stream = session.request({ ":path": "/" });
  const [headers] = (await once(stream, "response")) as [Http2Headers & IncomingHttpStatusHeader];
  const { ":status": status } = headers;
  return { status, headers, body: Buffer.concat(await stream.toArray()).toString() };
}

/** A plain TLS connection on which a test speaks HTTP/1.1 by hand. */
export async function rawConnection(
  port: number,
  identity: TestIdentity | undefined,
  alpn: readonly string[] = ["http/1.1"],
): Promise<TLSSocket> {
  const socket = connectTls({
    host: "localhost",
    port,
    ...plainClient(identity),
    ...(alpn.length === 0 ? {} : { ALPNProtocols: [...alpn] }),
  });
  socket.on("error", () => {});
  await once(socket, "secureConnect");
  return socket;
}

/** Everything the other end says until it ends the connection. */
export async function readAll(socket: TLSSocket): Promise<string> {
  const chunks: Buffer[] = [];
  socket.on("data", (chunk: Buffer) => chunks.push(chunk));
  await once(socket, "close");
  return Buffer.concat(chunks).toString("latin1");
}

/** Reads until the text has arrived. */
export async function readUntil(socket: TLSSocket, text: string): Promise<string> {
  let heard = "";
  while (!heard.includes(text)) {
    const [chunk] = (await once(socket, "data")) as [Buffer];
    heard += chunk.toString("latin1");
  }
  return heard;
}

export type Fetch = (mtls: MutualTls, url: string) => Promise<string>;

/** Each way to make a request, alone: the answer's text. */
export const httpClients: Readonly<Record<string, Fetch>> = {
  async "undici.request"(mtls, url) {
    const dispatcher = new UndiciAgent({ connect: mtls.undiciConnect });
    try {
      return await (await undiciRequest(url, { dispatcher })).body.text();
    } finally {
      await dispatcher.close();
    }
  },
  async "undici.fetch"(mtls, url) {
    const dispatcher = new UndiciAgent({ connect: mtls.undiciConnect });
    try {
      return await (await undiciFetch(url, { dispatcher })).text();
    } finally {
      await dispatcher.close();
    }
  },
  async "Node's own fetch"(mtls, url) {
    const dispatcher = new UndiciAgent({ connect: mtls.undiciConnect });
    try {
      // Node's types know the dispatcher of the undici that it brings along.
      return await (await fetch(url, { dispatcher } as unknown as RequestInit)).text();
    } finally {
      await dispatcher.close();
    }
  },
  async "https.request"(mtls, url) {
    const agent = mtls.httpsAgent();
    const { hostname: host, port } = new URL(url);
    try {
      return (await get({ host, port: Number(port), agent })).body;
    } finally {
      agent.destroy();
    }
  },
};

/** A server of node:https, and how many requests have reached it. */
export async function bareServer(
  identity: TestIdentity,
): Promise<{ url: string; requests: () => number } & AsyncDisposable> {
  let requests = 0;
  const server = createHttpsServer(
    {
      cert: identity.certificateChainPem,
      key: identity.privateKeyPem,
      minVersion: "TLSv1.3",
    },
    (_request, response) => {
      requests++;
      response.end("served");
    },
  );
  server.listen(0, "localhost");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  return {
    url: `https://localhost:${port}/`,
    requests: () => requests,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}
