// What becomes of HTTP connections whose peer's standing changes, or whose server closes.
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import type { RequestListener, Server } from "node:http";
import { createServer as createHttp2Server } from "node:http2";
import type { Http2Server, ServerHttp2Stream } from "node:http2";
import { Agent } from "node:https";
import { test } from "node:test";
import { text } from "node:stream/consumers";
import { setImmediate as nextTurn } from "node:timers/promises";

import { createHttp1Protocol } from "../src/http1-protocol.ts";
import { createHttp2Protocol } from "../src/http2-protocol.ts";
import { refusal } from "../src/refusal.ts";
import { noRevocation } from "../src/index.ts";
import type {
  LiveProtocol,
  MutualTls,
  Protocol,
  Refusal,
  RefusalCode,
  RevocationHooks,
  RevocationSource,
} from "../src/index.ts";
import { authority, portOf, runtime } from "./fixtures.ts";
import {
  get,
  getHttp2,
  http2Client,
  localhost,
  plainClient,
  rawConnection,
  readAll,
  readUntil,
  serverIdentity,
} from "./http-fixtures.ts";

const alice = authority.issue({ name: "alice" });
const GET = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";

/**
 * The protocol on sessions whose peer stops being admitted when the test says so, noticed by nobody but who
 * asks: the moment between a change of grounds and the pass over the table.
 */
function unnoticed(protocol: Protocol): {
  protocol: Protocol;
  refuse(code: RefusalCode): void;
  live: LiveProtocol[];
} {
  let refused: Refusal | undefined;
  const live: LiveProtocol[] = [];
  return {
    live,
    refuse(code) {
      refused = refusal(code);
    },
    protocol: {
      accept(socket, peer, session) {
        const connection = protocol.accept(socket, peer, {
          id: session.id,
          admitted() {
            if (refused !== undefined) connection.drain({ kind: "refused", refusal: refused });
            return refused === undefined;
          },
        });
        live.push(connection);
        return connection;
      },
      refuse: (socket, refusal) => protocol.refuse(socket, refusal),
    },
  };
}

async function listenHttp1(
  mtls: MutualTls,
  server: Server,
): Promise<{ port: number } & Omit<ReturnType<typeof unnoticed>, "protocol">> {
  const { protocol, ...rest } = unnoticed(createHttp1Protocol(server));
  const listener = await mtls.listen(localhost, {
    "http/1.1": protocol,
    clientCertificates: "required",
  });
  return { port: portOf(listener), ...rest };
}

async function listenHttp2(
  mtls: MutualTls,
  server: Http2Server,
): Promise<{ port: number } & Omit<ReturnType<typeof unnoticed>, "protocol">> {
  const { protocol, ...rest } = unnoticed(createHttp2Protocol(server));
  const listener = await mtls.listen(localhost, { h2: protocol, clientCertificates: "required" });
  return { port: portOf(listener), ...rest };
}

test("S11: a kept connection starts no request once its peer is refused, and says why", async () => {
  await using bank = await runtime(serverIdentity);
  let requests = 0;
  const server = createServer((_request, response) => {
    requests++;
    response.end("served");
  });
  const { port, refuse } = await listenHttp1(bank.mtls, server);
  const socket = await rawConnection(port, alice);
  socket.write(GET);
  await readUntil(socket, "served");
  refuse("CERTIFICATE_REVOKED");
  socket.write(GET);
  const heard = await readAll(socket);
  assert.match(heard, /^HTTP\/1\.1 403 Forbidden\r\n[^]*handfast-refusal: CERTIFICATE_REVOKED\r\n/);
  assert.match(heard, /connection: close\r\n[^]*CERTIFICATE_REVOKED: the certificate has been/i);
  assert.equal(requests, 1);
});

const otherStarts: readonly [string, string][] = [
  [
    "checkContinue",
    "POST / HTTP/1.1\r\nHost: b\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n",
  ],
  ["checkExpectation", "POST / HTTP/1.1\r\nHost: b\r\nExpect: tea\r\nContent-Length: 1\r\n\r\n"],
  ["upgrade", "GET / HTTP/1.1\r\nHost: b\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"],
  ["connect", "CONNECT b:1 HTTP/1.1\r\nHost: b\r\n\r\n"],
  ["clientError", "noise that is no request\r\n\r\n"],
];

for (const [event, bytes] of otherStarts) {
  test(`S11: no listener of '${event}' hears of a peer that is refused`, async () => {
    await using bank = await runtime(serverIdentity);
    let heard = 0;
    const server = createServer((_request, response) => response.end("served"));
    server.on(event, () => heard++);
    const { port, refuse } = await listenHttp1(bank.mtls, server);
    const socket = await rawConnection(port, alice);
    socket.write(GET);
    await readUntil(socket, "served");
    refuse("CERTIFICATE_REVOKED");
    socket.write(bytes);
    assert.doesNotMatch(await readAll(socket), /200 OK|101 |100 Continue/);
    assert.equal(heard, 0);
  });

  test(`a listener of '${event}' hears of a peer that is admitted`, async () => {
    await using bank = await runtime(serverIdentity);
    const server = createServer();
    const told = once(server, event);
    const { port } = await listenHttp1(bank.mtls, server);
    const socket = await rawConnection(port, alice);
    socket.write(bytes);
    await told;
    socket.destroy();
  });
}

test("S11: no byte of a body reaches a handler once its peer is revoked, nor does its end", async () => {
  await using bank = await runtime(serverIdentity);
  const server = createServer();
  const { port, refuse } = await listenHttp1(bank.mtls, server);
  const socket = await rawConnection(port, alice);
  socket.write("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nfirst");
  const [request] = (await once(server, "request")) as Parameters<RequestListener>;
  const chunks: string[] = [];
  request.setEncoding("latin1").on("data", (chunk: string) => chunks.push(chunk));
  request.on("end", () => chunks.push("end"));
  await once(request, "data");
  refuse("CERTIFICATE_REVOKED");
  const failed = once(request, "error");
  socket.write("again");
  const [error] = (await failed) as [NodeJS.ErrnoException];
  assert.equal(error.code, "ECONNRESET");
  assert.deepEqual(chunks, ["first"]);
});

test("a body goes on through the grace of a peer that is refused, but not revoked", async () => {
  await using bank = await runtime(serverIdentity);
  const server = createServer(
    (request, response) => void text(request).then((body) => response.end(body)),
  );
  const { port, refuse } = await listenHttp1(bank.mtls, server);
  const socket = await rawConnection(port, alice);
  const started = once(server, "request");
  socket.write("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nfirst");
  await started;
  refuse("NOT_ADMITTED");
  socket.write("again");
  const heard = await readAll(socket);
  assert.match(heard, /^HTTP\/1\.1 200 OK\r\n[^]*Connection: close\r\n[^]*\r\n\r\nfirstagain$/);
});

test("S11: no byte reaches the handler of an upgraded connection once its peer is revoked", async () => {
  await using bank = await runtime(serverIdentity);
  const server = createServer();
  let bytes = "";
  server.on("upgrade", (_request, socket) => {
    socket.on("error", () => {});
    socket.on("data", (chunk: Buffer) => (bytes += chunk.toString()));
    socket.write(
      "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n",
    );
  });
  const { port, refuse } = await listenHttp1(bank.mtls, server);
  const socket = await rawConnection(port, alice);
  socket.write("GET / HTTP/1.1\r\nHost: b\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n");
  await readUntil(socket, "\r\n\r\n");
  refuse("CERTIFICATE_REVOKED");
  socket.write("too late");
  await readAll(socket);
  assert.equal(bytes, "");
});

test("S11: an HTTP/2 connection starts no stream once its peer is refused", async () => {
  await using bank = await runtime(serverIdentity);
  let requests = 0;
  const server = createHttp2Server((_request, response) => {
    requests++;
    response.end("served");
  });
  const { port, refuse } = await listenHttp2(bank.mtls, server);
  const client = http2Client(port, alice);
  const goaway = once(client, "goaway") as Promise<[number, number, Buffer]>;
  assert.equal((await getHttp2(client)).body, "served");
  refuse("NOT_ADMITTED");
  const { status, headers } = await getHttp2(client);
  assert.equal(status, 403);
  assert.equal(headers["handfast-refusal"], "NOT_ADMITTED");
  const [errorCode, , debug] = await goaway;
  assert.equal(errorCode, 0, "an error would make the client give up what has its grace");
  assert.match(debug.toString(), /^NOT_ADMITTED: /);
  assert.equal(requests, 1);
});

test("S11: no byte of an HTTP/2 body reaches a handler once its peer is revoked", async () => {
  await using bank = await runtime(serverIdentity);
  const server = createHttp2Server();
  const { port, refuse } = await listenHttp2(bank.mtls, server);
  const client = http2Client(port, alice);
  const upload = client.request({ ":path": "/", ":method": "POST" });
  upload.on("error", () => {});
  upload.write("first");
  const [stream] = (await once(server, "stream")) as [ServerHttp2Stream];
  stream.on("error", () => {});
  const chunks: string[] = [];
  stream.setEncoding("latin1").on("data", (chunk: string) => chunks.push(chunk));
  await once(stream, "data");
  refuse("CERTIFICATE_REVOKED");
  upload.end("again");
  await once(stream, "close");
  assert.deepEqual(chunks, ["first"]);
});

test("S11: the change itself cuts idle connections, and the table counts calls in flight", async () => {
  let hooks: RevocationHooks | undefined;
  let revoked = false;
  const revocation: RevocationSource = {
    ...noRevocation(),
    async open(given) {
      hooks = given;
      return {
        ...(await noRevocation().open(given)),
        judge: (path) =>
          path.map((certificate) =>
            revoked ? { status: "revoked", certificate } : { status: "unrevoked" },
          ),
      };
    },
  };
  await using bank = await runtime(serverIdentity, { revocation });
  const server = createServer((_request, response) => response.end("served"));
  const listener = await bank.mtls.serveHttp(server, localhost);
  const socket = await rawConnection(portOf(listener), alice);
  socket.write("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\n");
  await readUntil(socket, "served");
  assert.deepEqual(
    bank.mtls.sessions().map(({ callsInFlight }) => callsInFlight),
    [0],
  );
  revoked = true;
  hooks?.changed();
  assert.equal(await readAll(socket), "");
  const event = await bank.next(({ type }) => type === "session-cut");
  assert.equal(event.type === "session-cut" && event.refusal.code, "CERTIFICATE_REVOKED");
  await listener.close();
});

test("closing ends idle connections, and lets the call in flight finish with Connection: close", async () => {
  await using bank = await runtime(serverIdentity);
  const server = createServer();
  const listener = await bank.mtls.serveHttp(server, localhost);
  const idle = new Agent({ keepAlive: true, ...plainClient(alice) });
  server.once("request", (_request, response) => response.end("kept"));
  await get({ port: portOf(listener), agent: idle });

  const busy = await rawConnection(portOf(listener), alice);
  busy.write(GET);
  const [, response] = (await once(server, "request")) as Parameters<RequestListener>;
  assert.deepEqual(
    bank.mtls.sessions().map(({ callsInFlight }) => callsInFlight),
    [0, 1],
  );
  const closed = listener.close();
  const [kept] = Object.values(idle.freeSockets).flatMap((sockets) => sockets ?? []);
  assert.ok(kept !== undefined);
  await once(kept, "close");
  response.end("finished");
  assert.match(await readAll(busy), /^HTTP\/1\.1 200 OK\r\n[^]*Connection: close\r\n[^]*finished$/);
  await closed;
  assert.deepEqual(bank.mtls.sessions(), []);
});

test("a response whose head has left before the close is finished, and its connection ended", async () => {
  await using bank = await runtime(serverIdentity);
  const server = createServer();
  const listener = await bank.mtls.serveHttp(server, localhost);
  const socket = await rawConnection(portOf(listener), alice);
  socket.write(GET);
  const [, response] = (await once(server, "request")) as Parameters<RequestListener>;
  response.write("half ");
  const head = await readUntil(socket, "half ");
  assert.match(head, /Connection: keep-alive/);
  const closed = listener.close();
  let started = 0;
  server.on("request", () => started++);
  socket.write(GET);
  // Another request on the same connection is taken note of, and not started.
  while (bank.mtls.sessions()[0]?.callsInFlight !== 2) await nextTurn();
  response.end("whole");
  const rest = await readAll(socket);
  assert.match(rest, /whole/);
  assert.doesNotMatch(rest, /200 OK/);
  assert.equal(started, 0);
  await closed;
});

test("closing tells HTTP/2 clients to go, after the stream in flight", async () => {
  await using bank = await runtime(serverIdentity);
  const server = createHttp2Server();
  const listener = await bank.mtls.serveHttp(server, localhost);
  const client = http2Client(portOf(listener), alice);
  const answer = getHttp2(client);
  const [stream] = (await once(server, "stream")) as [ServerHttp2Stream];
  assert.equal(bank.mtls.sessions()[0]?.callsInFlight, 1);
  const gone = once(client, "goaway");
  const closed = listener.close();
  await gone;
  stream.respond({ ":status": 200 });
  stream.end("finished");
  assert.equal((await answer).body, "finished");
  await closed;
});

test("the user's server is left as it was: its own emit, and nothing about it changed", async () => {
  await using bank = await runtime(serverIdentity);
  const server = createServer((_request, response) => response.end("served"));
  const before = Object.getOwnPropertyNames(server);
  const emitted: string[] = [];
  const receivers = new Set<unknown>();
  server.on("request", function (this: unknown) {
    receivers.add(this);
    emitted.push("request");
  });
  const listener = await bank.mtls.serveHttp(server, localhost);
  await get({ port: portOf(listener) }, plainClient(alice));
  assert.deepEqual(Object.getOwnPropertyNames(server), before);
  assert.deepEqual(emitted, ["request"]);
  assert.deepEqual([...receivers], [server]);
  await listener.close();
});
