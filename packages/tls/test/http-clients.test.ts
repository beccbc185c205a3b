// HTTP clients of others whose connections we dial: undici, Node's own fetch, https.request.
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer as createPlainServer } from "node:http";
import type { IncomingMessage } from "node:http";
import { createServer as createHttp2Server } from "node:http2";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { createServer as createTlsServer } from "node:tls";
import type { TLSSocket } from "node:tls";

import { createTestAuthority } from "@handfast/x509/testing";
import type { TestIdentity } from "@handfast/x509/testing";
import { Agent, request as undiciRequest } from "undici";
import type { Dispatcher } from "undici";

import { TlsError, memberOf, peerOf, serverName, spiffeId } from "../src/index.ts";
import type { RefusalCode } from "../src/index.ts";
import { authority, portOf, runtime } from "./fixtures.ts";
import {
  bareServer,
  get,
  http1Servers,
  httpClients,
  localhost,
  serverIdentity,
} from "./http-fixtures.ts";

const alice = authority.issue({ name: "alice" });
const ALICE = "spiffe://handfast.test/alice";
const SERVER = "spiffe://handfast.test/localhost";
const stranger = createTestAuthority({ commonName: "Stranger CA" });
const ago = (ms: number): Date => new Date(Date.now() - ms);

for (const [name, ask] of Object.entries(httpClients)) {
  test(`${name} is known to the server, and knows it`, async () => {
    await using bank = await runtime(serverIdentity);
    await using caller = await runtime(alice);
    const serve = http1Servers["Fastify 5"];
    assert.ok(serve !== undefined);
    await using server = await serve(bank.mtls, () => {});
    assert.equal(await ask(caller.mtls, `https://localhost:${server.port}/`), ALICE);
    const event = await caller.next(({ type }) => type === "handshake");
    assert.equal(event.type === "handshake" && event.peer?.identity, SERVER);
  });
}

const refusedServers: readonly [string, RefusalCode, TestIdentity][] = [
  [
    "a server of a CA that is not trusted",
    "CERTIFICATE_AUTHORITY_INVALID",
    stranger.issue({ name: "localhost" }),
  ],
  [
    "a server certificate that expired",
    "CERTIFICATE_EXPIRED",
    authority.issue({ name: "localhost", notBefore: ago(600_000), notAfter: ago(2000) }),
  ],
  [
    "a server with another name",
    "CERTIFICATE_HOSTNAME_MISMATCH",
    authority.issue({ name: "elsewhere" }),
  ],
];

for (const [name, ask] of Object.entries(httpClients)) {
  for (const [which, code, identity] of refusedServers) {
    test(`S16: ${name}, alone, refuses ${which}, and sends no request`, async () => {
      await using caller = await runtime(alice);
      await using server = await bareServer(identity);
      await assert.rejects(ask(caller.mtls, server.url), (error: Error) => {
        // Each fetch says "fetch failed", and why in the cause.
        const reason = error instanceof TlsError ? error : error.cause;
        assert.ok(reason instanceof TlsError);
        assert.equal(reason.refusal?.code, code);
        return true;
      });
      assert.equal(server.requests(), 0);
    });
  }
}

test("S16: TLS options of a request do not weaken the agent", async () => {
  await using caller = await runtime(alice);
  await using server = await bareServer(stranger.issue({ name: "localhost" }));
  const agent = caller.mtls.httpsAgent();
  const { port } = new URL(server.url);
  await assert.rejects(
    get(
      { port: Number(port), agent },
      { ca: [stranger.bundlePem], checkServerIdentity: () => undefined, servername: "localhost" },
    ),
    (error) => error instanceof TlsError && error.refusal?.code === "CERTIFICATE_AUTHORITY_INVALID",
  );
  assert.equal(server.requests(), 0);
});

test("the Host header does not choose whom to expect", async () => {
  await using caller = await runtime(alice);
  await using server = await bareServer(authority.issue({ name: "elsewhere" }));
  const agent = caller.mtls.httpsAgent();
  const { port } = new URL(server.url);
  await assert.rejects(
    get({ port: Number(port), agent, headers: { host: "elsewhere" } }),
    (error) => error instanceof TlsError && error.refusal?.code === "CERTIFICATE_HOSTNAME_MISMATCH",
  );
  const dispatcher = new Agent({ connect: caller.mtls.undiciConnect });
  await assert.rejects(
    undiciRequest(server.url, { dispatcher, headers: { host: "elsewhere" } }),
    (error) => error instanceof TlsError && error.refusal?.code === "CERTIFICATE_HOSTNAME_MISMATCH",
  );
  await dispatcher.close();
  assert.equal(server.requests(), 0);
});

test("another server can be expected than the host's name says", async () => {
  await using caller = await runtime(alice);
  await using server = await bareServer(authority.issue({ name: "elsewhere" }));
  const port = Number(new URL(server.url).port);
  const agents = [
    caller.mtls.httpsAgent({ expect: serverName("elsewhere") }),
    caller.mtls.httpsAgent({ expect: spiffeId("spiffe://handfast.test/elsewhere") }),
    caller.mtls.httpsAgent({ expect: memberOf("handfast.test") }),
  ];
  for (const agent of agents) assert.equal((await get({ port, agent })).body, "served");
  const dispatcher = new Agent({
    connect: (target, callback) =>
      caller.mtls.undiciConnect({ ...target, expect: serverName("elsewhere") }, callback),
  });
  assert.equal(await (await undiciRequest(server.url, { dispatcher })).body.text(), "served");
  await dispatcher.close();
  await assert.rejects(
    get({ port, agent: caller.mtls.httpsAgent({ expect: memberOf("other.test") }) }),
    (error) => error instanceof TlsError && error.refusal?.code === "CERTIFICATE_HOSTNAME_MISMATCH",
  );
});

test("an agent keeps a judged connection, and dials each host for itself", async () => {
  await using bank = await runtime(serverIdentity);
  await using caller = await runtime(alice);
  const serve = http1Servers["http.Server"];
  assert.ok(serve !== undefined);
  await using server = await serve(bank.mtls, () => {});
  const agent = caller.mtls.httpsAgent({ keepAlive: true, maxSockets: 1 });
  for (const _ of [1, 2, 3]) assert.equal((await get({ port: server.port, agent })).body, ALICE);
  const handshakes = (): number => caller.events.filter(({ type }) => type === "handshake").length;
  assert.equal(handshakes(), 1);
  // Where `localhost` is ::1 only, nothing listens on 127.0.0.1; either way the kept connection is not used.
  await assert.rejects(
    get({ port: server.port, agent, host: "127.0.0.1" }),
    (error) => error instanceof TlsError,
  );
  agent.destroy();
});

test("undici speaks HTTP/2 where it is asked to", async () => {
  await using bank = await runtime(serverIdentity);
  await using caller = await runtime(alice);
  const server = createHttp2Server((request, response) =>
    response.end(`${request.httpVersion} ${peerOf(request)?.identity}`),
  );
  const listener = await bank.mtls.serveHttp(server, localhost);
  const url = `https://localhost:${portOf(listener)}/`;
  const dispatcher = new Agent({ connect: caller.mtls.undiciConnect, allowH2: true });
  assert.equal(await (await undiciRequest(url, { dispatcher })).body.text(), `2.0 ${ALICE}`);
  await dispatcher.close();
  await assert.rejects(
    httpClients["undici.request"]?.(caller.mtls, url) ?? Promise.resolve(),
    (error) => error instanceof TlsError && error.refusal?.code === "NO_APPLICATION_PROTOCOL",
  );
  await listener.close();
});

test("S16: no client speaks plaintext, whatever the URL says", async () => {
  await using caller = await runtime(alice);
  let requests = 0;
  const server = createPlainServer((_request, response) => {
    requests++;
    response.end();
  }).listen(0, "localhost");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  const dispatcher: Dispatcher = new Agent({ connect: caller.mtls.undiciConnect });
  await assert.rejects(
    undiciRequest(`http://localhost:${port}/`, { dispatcher }),
    (error) => error instanceof TypeError && /speaks TLS only/.test(error.message),
  );
  await assert.rejects(
    get({ port, agent: caller.mtls.httpsAgent() }),
    (error) => error instanceof TlsError && error.refusal?.code === "NOT_TLS",
  );
  assert.equal(requests, 0);
  await dispatcher.close();
  server.close();
});

test("clients connect through a Unix socket, and expect the URL's host there", async () => {
  const directory = await mkdtemp(join(tmpdir(), "handfast-http-"));
  try {
    await using bank = await runtime(serverIdentity);
    await using caller = await runtime(alice);
    const path = join(directory, "http.sock");
    const answer = (request: IncomingMessage): string | undefined => peerOf(request)?.identity;
    const server = createPlainServer((request, response) => response.end(answer(request)));
    const listener = await bank.mtls.serveHttp(server, { path });
    const dispatcher = new Agent({ connect: caller.mtls.undiciConnect, socketPath: path });
    assert.equal(
      await (await undiciRequest("https://localhost/", { dispatcher })).body.text(),
      ALICE,
    );
    await assert.rejects(
      undiciRequest("https://elsewhere/", { dispatcher }),
      (error) =>
        error instanceof TlsError && error.refusal?.code === "CERTIFICATE_HOSTNAME_MISMATCH",
    );
    await dispatcher.close();
    const agent = caller.mtls.httpsAgent();
    assert.equal((await get({ port: 0, agent }, { socketPath: path })).body, ALICE);
    agent.destroy();
    await listener.close();
  } finally {
    await rm(directory, { recursive: true });
  }
});

test("a request that is given up while its connection is dialled leaves nothing behind", async () => {
  await using bank = await runtime(serverIdentity);
  await using caller = await runtime(alice);
  const serve = http1Servers["http.Server"];
  assert.ok(serve !== undefined);
  await using server = await serve(bank.mtls, () => {});
  const agent = caller.mtls.httpsAgent();
  const abort = new AbortController();
  const answer = get({ port: server.port, agent }, { signal: abort.signal });
  abort.abort();
  await assert.rejects(answer, { name: "AbortError" });
  await caller.next(({ type }) => type === "handshake");
  await bank.next(({ type }) => type === "handshake");
  // Closing waits for every connection: it would not end if this one were kept.
  await server[Symbol.asyncDispose]();
  assert.deepEqual(bank.mtls.sessions(), []);
});

test("the connection that a client got is the judged one", async () => {
  await using bank = await runtime(serverIdentity);
  await using caller = await runtime(alice);
  const serve = http1Servers["http.Server"];
  assert.ok(serve !== undefined);
  await using server = await serve(bank.mtls, () => {});
  const target = { hostname: "localhost", protocol: "https:", port: String(server.port) };
  const socket = await new Promise<TLSSocket>((resolve, reject) => {
    caller.mtls.undiciConnect(target, (error, connected) =>
      error === null ? resolve(connected) : reject(error),
    );
  });
  assert.equal(socket.encrypted, true);
  assert.equal(socket.getProtocol(), "TLSv1.3");
  socket.destroy();
});

for (const [name, fetch] of Object.entries(httpClients)) {
  test(`${name} takes a server that knows no ALPN to speak HTTP/1.1`, async (context) => {
    const port = await withoutAlpn(context);
    await using alice = await runtime(authority.issue({ name: "alice" }));
    assert.equal(await fetch(alice.mtls, `https://localhost:${port}/`), "served");
  });
}

test("a server that knows no ALPN is not taken to speak HTTP/2", async (context) => {
  const port = await withoutAlpn(context);
  await using alice = await runtime(authority.issue({ name: "alice" }));
  await assert.rejects(
    alice.mtls.dial({ host: "localhost", port }),
    (error) => error instanceof TlsError && error.refusal?.code === "NO_APPLICATION_PROTOCOL",
  );
});

/** A server on bare TLS, for which there is no ALPN, that answers HTTP/1.1. */
async function withoutAlpn(context: TestContext): Promise<number> {
  const { certificateChainPem: cert, privateKeyPem: key } = serverIdentity;
  const server = createTlsServer({ cert, key, minVersion: "TLSv1.3" }, (socket) => {
    socket.on("error", () => {});
    socket.once("data", () => {
      socket.end("HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\nserved");
    });
  });
  server.listen(0, "localhost");
  await once(server, "listening");
  context.after(() => server.close());
  return (server.address() as { port: number }).port;
}
