// A server with TLS 1.3 refuses our certificate when our side of the handshake is done: its reason arrives all the same.
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect } from "node:http2";
import type { Socket } from "node:net";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { createServer } from "node:tls";
import type { TlsOptions, TLSSocket } from "node:tls";

import { TlsError, noIdentity } from "../src/index.ts";
import { authority, runtime } from "./fixtures.ts";
import { httpClients, serverIdentity } from "./http-fixtures.ts";

/** A bare server of node:tls that wants a certificate, and does not know of us. */
async function demanding(
  context: TestContext,
  onConnection: (socket: TLSSocket, raw: Socket) => void,
  options: TlsOptions = { requestCert: true, rejectUnauthorized: true },
): Promise<number> {
  let raw: Socket;
  const server = createServer(
    {
      cert: serverIdentity.certificateChainPem,
      key: serverIdentity.privateKeyPem,
      ca: [authority.bundlePem],
      minVersion: "TLSv1.3",
      ALPNProtocols: ["h2", "http/1.1"],
      ...options,
    },
    (socket) => onConnection(socket, raw),
  );
  server.on("connection", (accepted: Socket) => (raw = accepted));
  server.on("tlsClientError", (_error, socket) => void socket.destroy());
  server.listen(0, "localhost");
  await once(server, "listening");
  context.after(() => server.close());
  return (server.address() as { port: number }).port;
}

function nobody(): void {
  assert.fail("nobody was to be accepted");
}

function codeOf(error: unknown): string | undefined {
  return error instanceof TlsError ? error.refusal?.code : undefined;
}

test("an alert after our side of the handshake ends a dialled socket with the refusal, and nothing else", async (context) => {
  const port = await demanding(context, nobody);
  await using alice = await runtime(serverIdentity, { identity: noIdentity() });
  const { socket, peer } = await alice.mtls.dial({ host: "localhost", port });
  socket.resume();
  socket.on("end", assert.fail);
  const closed = new Promise((resolve) => socket.once("close", resolve));
  const [error] = (await once(socket, "error")) as [TlsError];
  assert.equal(codeOf(error), "NO_CLIENT_CERTIFICATE");
  assert.equal(error.refusal?.by, "peer");
  assert.match(error.message, /alert certificate required/);
  await closed;
  const event = await alice.next(({ type }) => type === "refused-late");
  assert.ok(event.type === "refused-late");
  assert.deepEqual([event.refusal, event.peer], [error.refusal, peer]);
});

for (const [name, fetch] of Object.entries(httpClients)) {
  test(`${name} says why a server refused its certificate after the handshake`, async (context) => {
    const port = await demanding(context, nobody);
    await using alice = await runtime(serverIdentity, { identity: noIdentity() });
    const error = await fetch(alice.mtls, `https://localhost:${port}/`).then(
      assert.fail,
      (thrown: Error) => thrown,
    );
    assert.equal(codeOf(error) ?? codeOf(error.cause), "NO_CLIENT_CERTIFICATE");
  });
}

test("what ends a connection after the server has spoken is no refusal", async (context) => {
  const port = await demanding(context, (socket, raw) => {
    socket.on("error", () => {});
    socket.write("hello");
    socket.once("data", () => raw.resetAndDestroy());
  });
  await using alice = await runtime(authority.issue({ name: "alice" }));
  const { socket } = await alice.mtls.dial({ host: "localhost", port });
  await once(socket, "data");
  socket.write("reset me");
  const [error] = (await once(socket, "error")) as [NodeJS.ErrnoException];
  assert.equal(error.code, "ECONNRESET");
  assert.equal(error instanceof TlsError, false);
});

test("a server that resets before it has spoken has closed the connection; one that ends, ends", async (context) => {
  await using alice = await runtime(authority.issue({ name: "alice" }));
  const resetting = await demanding(context, (_socket, raw) => {
    raw.resetAndDestroy();
  });
  const { socket } = await alice.mtls.dial({ host: "localhost", port: resetting });
  socket.resume();
  const [error] = (await once(socket, "error")) as [Error];
  assert.equal(codeOf(error), "PEER_CONNECTION_CLOSED");
  const ending = await demanding(context, (accepted) => {
    accepted.end();
  });
  const polite = await alice.mtls.dial({ host: "localhost", port: ending });
  polite.socket.resume();
  await once(polite.socket, "end");
});

test("node:http2, which reads below the stream, hears of an end that comes early", async (context) => {
  const port = await demanding(context, (socket) => {
    socket.once("data", () => socket.end());
  });
  await using alice = await runtime(authority.issue({ name: "alice" }));
  const { socket } = await alice.mtls.dial({ host: "localhost", port }, { alpn: ["h2"] });
  const session = connect("http://localhost", { createConnection: () => socket });
  session.on("error", () => undefined);
  await once(session, "close", { signal: AbortSignal.timeout(5_000) });
});
