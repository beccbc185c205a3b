// Real HTTP servers over judged connections, with clients that know nothing of Handfast.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { createServer as createHttp2Server } from "node:http2";
import type { ServerHttp2Stream } from "node:http2";
import { createServer as createHttpsServer } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";

import fastify from "fastify";

import { TlsError, peerOf } from "../src/index.ts";
import { fastifyServerFactory } from "../src/fastify-server.ts";
import type { Listener, VerifiedPeer } from "../src/index.ts";
import { authority, portOf, recorder, runtime } from "./fixtures.ts";
import {
  get,
  getHttp2,
  http1Servers,
  http2Client,
  http2Servers,
  localhost,
  plainClient,
  rawConnection,
  readAll,
  readUntil,
  serverIdentity,
} from "./http-fixtures.ts";

const alice = authority.issue({ name: "alice" });
const ALICE = "spiffe://handfast.test/alice";

for (const [name, serve] of Object.entries(http1Servers)) {
  test(`${name} knows the peer of a request, and a client the server`, async () => {
    await using bank = await runtime(serverIdentity);
    await using server = await serve(bank.mtls, () => {});
    const answer = await get({ port: server.port }, plainClient(alice));
    assert.deepEqual([answer.status, answer.body], [200, ALICE]);
  });
}

for (const [name, serve] of Object.entries(http2Servers)) {
  test(`${name} knows the peer of a request`, async () => {
    await using bank = await runtime(serverIdentity);
    await using server = await serve(bank.mtls, () => {});
    const client = http2Client(server.port, alice);
    const answers = await Promise.all([getHttp2(client), getHttp2(client)]);
    client.close();
    assert.deepEqual(
      answers.map(({ status, body }) => [status, body]),
      [
        [200, ALICE],
        [200, ALICE],
      ],
    );
  });
}

test("fifty HTTP/2 connections at once are taken over without harm, and each has its own peer", async () => {
  await using bank = await runtime(serverIdentity);
  const serve = http2Servers["http2 with requests"];
  assert.ok(serve !== undefined);
  await using server = await serve(bank.mtls, () => {});
  const bob = authority.issue({ name: "bob" });
  const names = await Promise.all(
    Array.from({ length: 50 }, async (_, index) => {
      const client = http2Client(server.port, index % 2 === 0 ? alice : bob);
      const { body } = await getHttp2(client);
      client.close();
      return body;
    }),
  );
  const expected = names.map((_, index) =>
    index % 2 === 0 ? ALICE : "spiffe://handfast.test/bob",
  );
  assert.deepEqual(names, expected);
});

test("the peer of an HTTP/2 stream is known after the stream has ended", async () => {
  await using bank = await runtime(serverIdentity);
  const server = createHttp2Server();
  const ended = new Promise<VerifiedPeer | undefined>((resolve) => {
    server.on("stream", (stream: ServerHttp2Stream) => {
      stream.once("close", () => resolve(peerOf(stream)));
      stream.respond({ ":status": 204 }, { endStream: true });
    });
  });
  const listener = await bank.mtls.serveHttp(server, localhost);
  const client = http2Client(portOf(listener), alice);
  await getHttp2(client);
  assert.equal((await ended)?.identity, ALICE);
  client.close();
  await listener.close();
});

test("a client that offers no ALPN gets http/1.1", async () => {
  await using bank = await runtime(serverIdentity);
  const serve = http1Servers["http.Server"];
  assert.ok(serve !== undefined);
  await using server = await serve(bank.mtls, () => {});
  const socket = await rawConnection(server.port, alice, []);
  socket.write("GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
  assert.match(
    await readAll(socket),
    /^HTTP\/1\.1 200 OK\r\n[^]*spiffe:\/\/handfast\.test\/alice$/,
  );
  assert.equal(socket.alpnProtocol, false);
});

test("a client that offers no ALPN is refused where only HTTP/2 is served", async () => {
  await using bank = await runtime(serverIdentity);
  const serve = http2Servers["http2 with streams"];
  assert.ok(serve !== undefined);
  await using server = await serve(bank.mtls, () => {});
  const socket = await rawConnection(server.port, alice, []);
  assert.equal(await readAll(socket), "");
  const event = await bank.next(({ type }) => type === "handshake");
  assert.equal(event.type === "handshake" && event.refusal?.code, "NO_APPLICATION_PROTOCOL");
});

test("an upgrade to WebSocket keeps the peer, and its bytes pass", async () => {
  await using bank = await runtime(serverIdentity);
  const server = createServer();
  const peers: (VerifiedPeer | undefined)[] = [];
  server.on("upgrade", (request, socket) => {
    peers.push(peerOf(request), peerOf(socket));
    socket.write(
      "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n",
    );
    socket.pipe(socket);
  });
  const listener = await bank.mtls.serveHttp(server, localhost);
  const socket = await rawConnection(portOf(listener), alice);
  socket.write("GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n");
  await readUntil(socket, "\r\n\r\n");
  assert.equal(bank.mtls.sessions()[0]?.callsInFlight, 1);
  socket.write("there and back");
  assert.equal(await readUntil(socket, "back"), "there and back");
  assert.deepEqual(
    peers.map((peer) => peer?.identity),
    [ALICE, ALICE],
  );
  socket.end();
  await listener.close();
});

test("a listener without client certificates serves anybody, and knows nobody", async () => {
  await using bank = await runtime(serverIdentity);
  const server = createServer((request, response) =>
    response.end(peerOf(request)?.identity ?? "nobody"),
  );
  const listener = await bank.mtls.serveHttp(server, localhost, { clientCertificates: "none" });
  const answer = await get({ port: portOf(listener) }, plainClient(undefined));
  assert.deepEqual([answer.status, answer.body], [200, "nobody"]);
  await listener.close();
});

test("HTTP is served on a Unix socket too", async () => {
  const directory = await mkdtemp(join(tmpdir(), "handfast-http-"));
  try {
    await using bank = await runtime(serverIdentity);
    const path = join(directory, "http.sock");
    const server = createServer((request, response) => response.end(peerOf(request)?.identity));
    const listener = await bank.mtls.serveHttp(server, { path });
    const answer = await get({ port: 0 }, { ...plainClient(alice), socketPath: path });
    assert.equal(answer.body, ALICE);
    await listener.close();
  } finally {
    await rm(directory, { recursive: true });
  }
});

test("curl reads an answer with its certificate, and why not without one", async (context) => {
  const run = promisify(execFile);
  const version = await run("curl", ["--version"]).catch(() => undefined);
  if (version === undefined) return context.skip("there is no curl here");
  const directory = await mkdtemp(join(tmpdir(), "handfast-curl-"));
  try {
    const path = (name: string): string => join(directory, name);
    await writeFile(path("ca.pem"), authority.bundlePem);
    await writeFile(path("cert.pem"), alice.certificateChainPem);
    await writeFile(path("key.pem"), alice.privateKeyPem, { mode: 0o600 });
    await using bank = await runtime(serverIdentity);
    const serve = http1Servers["Express 5"];
    assert.ok(serve !== undefined);
    await using server = await serve(bank.mtls, () => {});
    const curl = async (...args: string[]): Promise<string> =>
      (await run("curl", ["-s", "--cacert", path("ca.pem"), ...args])).stdout;
    const url = `https://localhost:${server.port}/`;
    assert.equal(await curl("--cert", path("cert.pem"), "--key", path("key.pem"), url), ALICE);
    assert.equal(
      await curl("-w", "%{http_code}", url),
      "NO_CLIENT_CERTIFICATE: no client certificate was presented\n403",
    );
  } finally {
    await rm(directory, { recursive: true });
  }
});

test("a server with TLS of its own, and one that listens already, are not taken", async () => {
  await using bank = await runtime(serverIdentity);
  const own = createHttpsServer({});
  await assert.rejects(
    bank.mtls.serveHttp(own, localhost),
    (error) => error instanceof TypeError && /without TLS of its own/.test(error.message),
  );
  const plaintext = createServer().listen(0, "localhost");
  await once(plaintext, "listening");
  await assert.rejects(
    bank.mtls.serveHttp(plaintext, localhost),
    (error) => error instanceof TypeError && /serves plaintext already/.test(error.message),
  );
  plaintext.close();
});

test("a request head that never ends is answered 408: Node's timeouts hold without listening", async () => {
  await using bank = await runtime(serverIdentity);
  const server = createServer({ headersTimeout: 40, connectionsCheckingInterval: 20 });
  const listener = await bank.mtls.serveHttp(server, localhost);
  const socket = await rawConnection(portOf(listener), alice);
  socket.write("GET / HTTP/1.1\r\nHost: ");
  assert.match(await readAll(socket), /^HTTP\/1\.1 408 /);
  await listener.close();
  server.close();
});

test("Fastify listens and closes as always, and says where", async () => {
  await using bank = await runtime(serverIdentity);
  const app = fastify({ serverFactory: bank.mtls.fastifyServerFactory });
  assert.equal(app.server.address(), null);
  await app.listen({ host: "localhost", port: 0 });
  const address = app.server.address();
  assert.ok(typeof address === "object" && address !== null);
  assert.equal(app.server.listening, true);
  const answer = await get({ port: address.port }, plainClient(alice));
  assert.equal(answer.status, 404);
  await app.close();
  assert.equal(app.server.listening, false);
  await assert.rejects(get({ port: address.port }, plainClient(alice)), { code: "ECONNREFUSED" });
});

test("Fastify hears of a port that is taken", async () => {
  await using bank = await runtime(serverIdentity);
  const listener = await bank.mtls.listen(localhost, {
    h2: recorder(),
    clientCertificates: "required",
  });
  const app = fastify({ serverFactory: bank.mtls.fastifyServerFactory });
  await assert.rejects(
    app.listen({ host: "localhost", port: portOf(listener) }),
    (error) => error instanceof TlsError && error.code === "LISTEN_FAILED",
  );
  await app.close();
});

test("a Fastify server that is closed before it could listen does not listen after all", async () => {
  const closed = Promise.withResolvers<void>();
  const bound = Promise.withResolvers<Listener>();
  const server = fastifyServerFactory(() => bound.promise)(() => {}, {});
  server.listen({ host: "localhost", port: 0 });
  server.close();
  server.on("listening", () => assert.fail("it was closed"));
  bound.resolve({
    address: localhost,
    close() {
      closed.resolve();
      return closed.promise;
    },
  });
  await closed.promise;
  assert.equal(server.listening, false);
});
