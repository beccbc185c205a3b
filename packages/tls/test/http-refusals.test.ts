// What refused HTTP clients are told, and that no handler ever hears of them.
import assert from "node:assert/strict";
import { once } from "node:events";
import { Agent } from "node:https";
import { test } from "node:test";

import { createTestAuthority } from "@handfast/x509/testing";
import type { TestIdentity } from "@handfast/x509/testing";
import fc from "fast-check";
import { Agent as UndiciAgent, request as undiciRequest } from "undici";

import { nobody, oneOf } from "../src/index.ts";
import type { MutualTlsOptions, RefusalCode } from "../src/index.ts";
import { createHttp1Responder } from "../src/http-refusal.ts";
import { refusal } from "../src/refusal.ts";
import { authority, runtime } from "./fixtures.ts";
import type { EventWaiter } from "./fixtures.ts";
import {
  get,
  getHttp2,
  http1Servers,
  http2Client,
  http2Servers,
  plainClient,
  rawConnection,
  readAll,
  serverIdentity,
} from "./http-fixtures.ts";
import type { ServeKind } from "./http-fixtures.ts";

const alice = authority.issue({ name: "alice" });
const stranger = createTestAuthority({ commonName: "Stranger CA" });
const ago = (ms: number): Date => new Date(Date.now() - ms);

const refusedClients: readonly [
  string,
  RefusalCode,
  TestIdentity | undefined,
  RegExp,
  Partial<MutualTlsOptions>?,
][] = [
  [
    "a client without a certificate",
    "NO_CLIENT_CERTIFICATE",
    undefined,
    /no client certificate was presented/,
  ],
  [
    "a client of a CA that is not trusted",
    "CERTIFICATE_AUTHORITY_INVALID",
    stranger.issue({ name: "alice" }),
    /not issued by a CA that is trusted here/,
  ],
  [
    "a client certificate that has expired",
    "CERTIFICATE_EXPIRED",
    authority.issue({ name: "alice", notBefore: ago(600_000), notAfter: ago(2000) }),
    /has expired: it was valid until \d{4}-/,
  ],
  [
    "a server certificate used by a client",
    "CERTIFICATE_WRONG_PURPOSE",
    authority.issue({ name: "alice", profile: "server" }),
    /not for this purpose/,
  ],
  [
    "a client that the rule does not admit",
    "NOT_ADMITTED",
    alice,
    /not admitted here/,
    { admit: oneOf(["spiffe://handfast.test/bob"]) },
  ],
];

for (const [name, serve] of Object.entries(http1Servers)) {
  for (const [who, code, client, sentence, options] of refusedClients) {
    test(`S16: ${name}, alone, refuses ${who} with a 403 that says why`, async () => {
      let requests = 0;
      await using bank = await runtime(serverIdentity, options);
      await using server = await serve(bank.mtls, () => requests++);
      const { status, headers, body } = await get({ port: server.port }, plainClient(client));
      assert.equal(status, 403);
      assert.equal(headers["handfast-refusal"], code);
      assert.equal(headers.connection, "close");
      assert.ok(body.startsWith(`${code}: `));
      assert.match(body, sentence);
      assert.equal(requests, 0);
      const event = await bank.next(({ type }) => type === "handshake");
      assert.equal(event.type === "handshake" && event.refusal?.code, code);
      assert.deepEqual(bank.mtls.sessions(), []);
    });
  }
}

for (const [name, serve] of Object.entries(http2Servers)) {
  for (const [who, code, client, sentence, options] of refusedClients) {
    test(`S16: ${name}, alone, refuses ${who} with a GOAWAY that says why`, async () => {
      let requests = 0;
      await using bank = await runtime(serverIdentity, options);
      await using server = await serve(bank.mtls, () => requests++);
      const session = http2Client(server.port, client);
      const goaway = once(session, "goaway") as Promise<[number, number, Buffer]>;
      await assert.rejects(getHttp2(session));
      const [errorCode, , text] = await goaway;
      assert.equal(errorCode, 0xc, "INADEQUATE_SECURITY");
      assert.ok(text.toString().startsWith(`${code}: `));
      assert.match(text.toString(), sentence);
      assert.equal(requests, 0);
      const event = await bank.next(({ type }) => type === "handshake");
      assert.equal(event.type === "handshake" && event.refusal?.code, code);
    });
  }
}

/** A bare `http.Server` that refuses whoever calls without a certificate. */
async function refusing(
  options: Partial<MutualTlsOptions> = {},
): Promise<{ port: number; requests: () => number; next: EventWaiter } & AsyncDisposable> {
  let requests = 0;
  const bank = await runtime(serverIdentity, options);
  const serve = http1Servers["http.Server"] as ServeKind;
  const server = await serve(bank.mtls, () => requests++);
  return {
    port: server.port,
    requests: () => requests,
    next: bank.next,
    async [Symbol.asyncDispose]() {
      await server[Symbol.asyncDispose]();
      await bank.mtls.close();
    },
  };
}

test("clients that keep connections are told each time, on a new connection", async () => {
  await using server = await refusing();
  const agent = new Agent({ keepAlive: true, ...plainClient(undefined) });
  for (const _ of [1, 2, 3]) {
    const { status, headers } = await get({ port: server.port, agent });
    assert.equal(status, 403);
    assert.equal(headers["handfast-refusal"], "NO_CLIENT_CERTIFICATE");
  }
  assert.equal(server.requests(), 0);
  agent.destroy();
});

test("our own clients read the 403 of a server that refuses them", async () => {
  await using server = await refusing({ admit: nobody() });
  await using caller = await runtime(alice);
  const agent = caller.mtls.httpsAgent({ keepAlive: true });
  const first = await get({ port: server.port, agent });
  assert.equal(first.headers["handfast-refusal"], "NOT_ADMITTED");
  agent.destroy();
  const dispatcher = new UndiciAgent({ connect: caller.mtls.undiciConnect });
  const url = `https://localhost:${server.port}/`;
  const second = await undiciRequest(url, { dispatcher, method: "POST", body: "x".repeat(5000) });
  assert.equal(second.statusCode, 403);
  assert.match(await second.body.text(), /^NOT_ADMITTED: /);
  await dispatcher.close();
});

test("a refused HEAD is answered without content", async () => {
  await using server = await refusing();
  const socket = await rawConnection(server.port, undefined);
  socket.write("HEAD / HTTP/1.1\r\nHost: localhost\r\n\r\n");
  const heard = await readAll(socket);
  assert.match(heard, /^HTTP\/1\.1 403 Forbidden\r\n/);
  assert.match(heard, /content-length: [1-9]/);
  assert.ok(heard.endsWith("\r\n\r\n"));
});

test("S21: a refused client that sends without end is answered at 16 KiB, and cut", async () => {
  await using server = await refusing();
  const socket = await rawConnection(server.port, undefined);
  socket.write(`GET / HTTP/1.1\r\nHost: localhost\r\nx: ${"x".repeat(20_000)}`);
  const heard = await readAll(socket);
  assert.match(heard, /^HTTP\/1\.1 403 Forbidden\r\n/);
  assert.ok(heard.length < 1024, "the answer is one, and short");
  assert.doesNotMatch(heard, /xx/);
});

test("S21: a refused client that says nothing hears nothing, and is let go", async (context) => {
  context.mock.timers.enable({ apis: ["setTimeout"] });
  await using server = await refusing();
  const socket = await rawConnection(server.port, undefined);
  const heard = readAll(socket);
  await server.next(({ type }) => type === "handshake");
  context.mock.timers.tick(4000);
  assert.equal(await heard, "");
});

test("S21: the second connection of a refused peer is closed while the first is held", async () => {
  await using server = await refusing({ admit: nobody() });
  const held = await rawConnection(server.port, alice);
  const second = await rawConnection(server.port, alice);
  second.write("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
  assert.equal(await readAll(second), "");
  held.write("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
  assert.match(await readAll(held), /^HTTP\/1\.1 403 /);
});

test("the notice can be switched off: a refused client is only closed", async () => {
  await using server = await refusing({ limits: { refusalNotice: false } });
  const socket = await rawConnection(server.port, undefined);
  socket.write("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
  assert.equal(await readAll(socket), "");
});

const aRefusal = refusal("CERTIFICATE_EXPIRED");

/** What the responder says to a request that arrives in pieces. */
function answerTo(pieces: readonly Uint8Array[]): string | undefined {
  const responder = createHttp1Responder(aRefusal);
  const answers = pieces.map((piece) => responder.receive(piece));
  const said = answers.filter((answer) => answer !== undefined);
  assert.ok(said.length <= 1, "at most one answer");
  return said[0] === undefined ? undefined : Buffer.from(said[0]).toString();
}

test("the answer does not depend on how a request is cut, and comes with the end of its head", () => {
  const head = Buffer.from("\r\nPOST /a HTTP/1.1\r\nHost: b\r\nContent-Length: 3\r\n\r\n");
  const whole = answerTo([head]);
  assert.match(
    whole ?? "",
    /^HTTP\/1\.1 403 Forbidden\r\nhandfast-refusal: CERTIFICATE_EXPIRED\r\n/,
  );
  assert.equal(answerTo([head.subarray(0, -1)]), undefined);
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: head.length })), (cuts) => {
      const at = [0, ...cuts.sort((a, b) => a - b), head.length];
      const pieces = at.slice(1).map((end, index) => head.subarray(at[index], end));
      assert.equal(answerTo(pieces), whole);
    }),
  );
});

test("S21: whatever arrives, one short answer of fixed text leaves at most", () => {
  const allowed = new Set([
    answerTo([Buffer.from("GET\n\n")]),
    answerTo([Buffer.from("HEAD \n\n")]),
  ]);
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 9000 }), { maxLength: 4 }), (pieces) => {
      const said = answerTo(pieces);
      assert.ok(said === undefined || allowed.has(said));
    }),
  );
});

test("a refusal for load is a 503: trying again later may help", () => {
  const responder = createHttp1Responder(refusal("LIMIT_EXCEEDED"));
  const answer = responder.receive(Buffer.from("GET / HTTP/1.1\r\n\r\n"));
  assert.match(
    Buffer.from(answer ?? []).toString(),
    /^HTTP\/1\.1 503 Service Unavailable\r\nhandfast-refusal: LIMIT_EXCEEDED\r\n/,
  );
});

test("a request that has begun is answered when the waiting ends, an empty one is not", () => {
  const begun = createHttp1Responder(aRefusal);
  assert.equal(begun.receive(Buffer.from("GET / HTTP/1.1\r\nHo")), undefined);
  assert.match(Buffer.from(begun.close() ?? []).toString(), /^HTTP\/1\.1 403 /);
  assert.equal(begun.close(), undefined);
  const empty = createHttp1Responder(aRefusal);
  assert.equal(empty.receive(Buffer.from("\r\n\r\n")), undefined);
  assert.equal(empty.close(), undefined);
});
