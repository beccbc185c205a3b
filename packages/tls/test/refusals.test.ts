// Each way in which a handshake is refused, seen from both ends with what each end can know.
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect as connectNet } from "node:net";
import { test } from "node:test";
import { connect as connectTls, createServer as createTlsServer } from "node:tls";

import { createTestAuthority } from "@handfast/x509/testing";
import type { TestIdentity } from "@handfast/x509/testing";

import { TlsError, noIdentity, nobody, oneOf, serverName, trustFromMemory } from "../src/index.ts";
import type { MutualTlsOptions, RefusalCode, TlsEvent } from "../src/index.ts";
import { addressOf, authority, portOf, read, recorder, runtime } from "./fixtures.ts";

const server = authority.issue({ name: "localhost" });
const alice = authority.issue({ name: "alice" });
const stranger = createTestAuthority({ commonName: "Stranger CA" });
const minute = 60_000;
const ago = (ms: number): Date => new Date(Date.now() - ms);

function middleOf({ certificate }: TestIdentity): Date {
  return new Date((certificate.notBefore.getTime() + certificate.notAfter.getTime()) / 2);
}

/** Connects with a client that the server must refuse, and returns what each end learnt. */
async function refusedClient(
  client: TestIdentity | undefined,
  options: Partial<MutualTlsOptions> = {},
): Promise<{ heard: string; event: TlsEvent & { type: "handshake" }; accepted: number }> {
  await using bank = await runtime(server, options);
  // The client's clock agrees with its certificate: an identity out of its dates is refused at the start.
  await using caller = await runtime(client ?? alice, {
    admit: nobody(),
    now: () => middleOf(client ?? alice),
    ...(client === undefined ? { identity: noIdentity() } : {}),
  });
  const h2 = recorder();
  const listener = await bank.mtls.listen(
    { host: "localhost", port: 0 },
    { h2, clientCertificates: "required" },
  );
  const { socket } = await caller.mtls.dial(addressOf(listener));
  const heard = await read(socket);
  const event = await bank.next(({ type }) => type === "handshake");
  assert.equal(event.type, "handshake");
  return { heard, event, accepted: h2.accepted.length };
}

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
    /not issued by a CA that is trusted/,
  ],
  [
    "a stranger's expired certificate, as a stranger's",
    "CERTIFICATE_AUTHORITY_INVALID",
    stranger.issue({ name: "alice", notBefore: ago(9 * minute), notAfter: ago(5 * minute) }),
    /not issued by a CA that is trusted/,
  ],
  [
    "a client certificate that expired two seconds ago",
    "CERTIFICATE_EXPIRED",
    authority.issue({ name: "alice", notBefore: ago(9 * minute), notAfter: ago(2000) }),
    /has expired: it was valid until \d{4}-/,
  ],
  [
    "a client certificate that becomes valid in an hour",
    "CERTIFICATE_NOT_YET_VALID",
    authority.issue({ name: "alice", notBefore: ago(-60 * minute), notAfter: ago(-90 * minute) }),
    /not valid yet: it is valid from \d{4}-/,
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

for (const [who, code, client, sentence, options] of refusedClients) {
  test(`refuses ${who}, and both ends know why`, async () => {
    const { heard, event, accepted } = await refusedClient(client, options);
    assert.equal(accepted, 0, "no protocol code may see a refused peer");
    assert.equal(event.refusal?.code, code);
    assert.equal(event.refusal?.by, "us");
    assert.notEqual(event.result, "SUCCESS");
    assert.match(heard, new RegExp(`^no ${code}: `));
    assert.match(heard, sentence);
  });
}

test("a refused peer is told nothing that it sent, nor whom the server admits", async () => {
  const { heard } = await refusedClient(alice, {
    admit: oneOf(["spiffe://handfast.test/secret-partner"]),
  });
  assert.doesNotMatch(heard, /alice|secret-partner/);
});

/** Dials a server that the client must refuse. */
async function refusedServer(
  certificate: TestIdentity,
  dial: { expect?: ReturnType<typeof serverName>; options?: Partial<MutualTlsOptions> } = {},
): Promise<{ error: TlsError; clientEvent: TlsEvent; served: number }> {
  let served = 0;
  const bare = createTlsServer({
    cert: certificate.certificateChainPem,
    key: certificate.privateKeyPem,
    ca: [authority.bundlePem],
    ALPNProtocols: ["h2"],
    minVersion: "TLSv1.3",
    requestCert: true,
    rejectUnauthorized: true,
  });
  bare.on("secureConnection", (socket) => {
    socket.on("error", () => {});
    socket.on("data", () => served++);
  });
  bare.listen(0, "localhost");
  await once(bare, "listening");
  await using caller = await runtime(alice, dial.options);
  const { port } = bare.address() as { port: number };
  try {
    const error: unknown = await caller.mtls
      .dial({ host: "localhost", port }, dial.expect === undefined ? {} : { expect: dial.expect })
      .then(
        () => undefined,
        (thrown: unknown) => thrown,
      );
    assert.ok(error instanceof TlsError);
    const clientEvent = await caller.next(({ type }) => type === "handshake");
    return { error, clientEvent, served };
  } finally {
    bare.close();
  }
}

const refusedServers: readonly [string, RefusalCode, TestIdentity, string?][] = [
  [
    "a server of a CA that is not trusted",
    "CERTIFICATE_AUTHORITY_INVALID",
    stranger.issue({ name: "localhost" }),
  ],
  [
    "a server certificate that expired two seconds ago",
    "CERTIFICATE_EXPIRED",
    authority.issue({ name: "localhost", notBefore: ago(9 * minute), notAfter: ago(2000) }),
  ],
  [
    "a client certificate used by a server",
    "CERTIFICATE_WRONG_PURPOSE",
    authority.issue({ name: "localhost", profile: "client" }),
  ],
  [
    "a server with another name",
    "CERTIFICATE_HOSTNAME_MISMATCH",
    authority.issue({ name: "elsewhere" }),
  ],
  [
    "S24: a server whose name is only its CN, beside a URI SAN",
    "CERTIFICATE_HOSTNAME_MISMATCH",
    authority.issue({ name: "localhost", profile: "svid", dns: [] }),
  ],
  [
    "S24: a server dialled by address whose certificate has the address as a DNS name only",
    "CERTIFICATE_HOSTNAME_MISMATCH",
    server,
    "127.0.0.1",
  ],
];

for (const [which, code, certificate, expected] of refusedServers) {
  test(`refuses ${which}, before a byte is sent`, async () => {
    const { error, clientEvent, served } = await refusedServer(
      certificate,
      expected === undefined ? {} : { expect: serverName(expected) },
    );
    assert.equal(error.code, "REFUSED");
    assert.equal(error.refusal?.code, code);
    assert.equal(error.refusal?.by, "us");
    assert.equal(clientEvent.type === "handshake" && clientEvent.refusal?.code, code);
    assert.equal(served, 0);
  });
}

test("a server that refuses our certificate by an alert is named as the one who refused", async () => {
  await using bank = await runtime(server);
  const h2 = recorder();
  const listener = await bank.mtls.listen(
    { host: "localhost", port: 0 },
    { h2, clientCertificates: "required" },
  );
  // A client that rejects the server by an alert: OpenSSL's own check, with another CA.
  const socket = connectTls({
    ...addressOf(listener),
    ca: [stranger.bundlePem],
    minVersion: "TLSv1.3",
    ALPNProtocols: ["h2"],
  });
  await once(socket, "error");
  const event = await bank.next(({ type }) => type === "handshake");
  assert.equal(event.type === "handshake" && event.refusal?.by, "peer");
  assert.equal(h2.accepted.length, 0);
});

test("a plaintext client is told apart as not speaking TLS, and reaches no protocol", async () => {
  await using bank = await runtime(server);
  const h2 = recorder();
  const listener = await bank.mtls.listen(
    { host: "localhost", port: 0 },
    { h2, clientCertificates: "required" },
  );
  const socket = connectNet(portOf(listener), "localhost");
  socket.write("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
  socket.resume();
  socket.on("error", () => {});
  await once(socket, "close");
  const event = await bank.next(({ type }) => type === "handshake");
  assert.equal(event.type === "handshake" && event.refusal?.code, "NOT_TLS");
  assert.equal(h2.accepted.length + h2.refused.length, 0);
});

test("a client of TLS 1.2 is refused by default", async () => {
  await using bank = await runtime(server);
  const h2 = recorder();
  const listener = await bank.mtls.listen(
    { host: "localhost", port: 0 },
    { h2, clientCertificates: "required" },
  );
  const socket = connectTls({
    ...addressOf(listener),
    ca: [authority.bundlePem],
    cert: alice.certificateChainPem,
    key: alice.privateKeyPem,
    ALPNProtocols: ["h2"],
    maxVersion: "TLSv1.2",
  });
  const [error] = (await once(socket, "error")) as [NodeJS.ErrnoException];
  assert.equal(error.code, "ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION");
  const event = await bank.next(({ type }) => type === "handshake");
  assert.equal(event.type === "handshake" && event.refusal?.code, "PROTOCOL_VERSION_UNSUPPORTED");
  assert.equal(h2.accepted.length, 0);
});

test("a client without a common application protocol is refused on both ends", async () => {
  await using bank = await runtime(server);
  await using caller = await runtime(alice);
  const listener = await bank.mtls.listen(
    { host: "localhost", port: 0 },
    { h2: recorder(), clientCertificates: "required" },
  );
  await assert.rejects(
    caller.mtls.dial(addressOf(listener), { alpn: ["http/1.1"] }),
    (error: TlsError) => {
      assert.equal(error.refusal?.code, "NO_APPLICATION_PROTOCOL");
      assert.equal(error.refusal?.by, "peer");
      return true;
    },
  );
  const event = await bank.next(({ type }) => type === "handshake");
  assert.equal(event.type === "handshake" && event.refusal?.code, "NO_APPLICATION_PROTOCOL");
});

test("a session that a client kept is not resumed: each connection is judged in full", async () => {
  await using bank = await runtime(server);
  const h2 = recorder();
  const listener = await bank.mtls.listen(
    { host: "localhost", port: 0 },
    { h2, clientCertificates: "required" },
  );
  const client = {
    ...addressOf(listener),
    ca: [authority.bundlePem],
    cert: alice.certificateChainPem,
    key: alice.privateKeyPem,
    ALPNProtocols: ["h2"],
    minVersion: "TLSv1.3" as const,
  };
  const first = connectTls(client);
  await once(first, "data");
  const session = first.getSession();
  assert.ok(session !== undefined);
  first.destroy();
  const second = connectTls({ ...client, session });
  await once(second, "data");
  assert.equal(second.isSessionReused(), false);
  second.destroy();
  assert.deepEqual(
    h2.accepted.map((peer) => peer?.resumed),
    [false, false],
  );
});

test("silence ends in a timeout that both ends see", async () => {
  await using bank = await runtime(server, { limits: { handshakeTimeoutMs: 50 } });
  const listener = await bank.mtls.listen(
    { host: "localhost", port: 0 },
    { h2: recorder(), clientCertificates: "required" },
  );
  const socket = connectNet(portOf(listener), "localhost");
  socket.on("error", () => {});
  await once(socket, "close");
  const event = await bank.next(({ type }) => type === "handshake");
  assert.equal(event.type === "handshake" && event.refusal?.code, "HANDSHAKE_TIMEOUT");
});

test("a server that never answers the hello ends in a timeout of the dialer", async () => {
  const { createServer } = await import("node:net");
  const silent = createServer(() => {}).listen(0, "localhost");
  await once(silent, "listening");
  await using caller = await runtime(alice);
  const { port } = silent.address() as { port: number };
  await assert.rejects(
    caller.mtls.dial({ host: "localhost", port }, { timeoutMs: 50 }),
    (error: TlsError) => error.refusal?.code === "HANDSHAKE_TIMEOUT",
  );
  silent.close();
});

test("a TLS client on a plaintext port is told that the server does not speak TLS", async () => {
  const { createServer } = await import("node:net");
  const plaintext = createServer((socket) => socket.end("HTTP/1.1 400 Bad Request\r\n\r\n")).listen(
    0,
    "localhost",
  );
  await once(plaintext, "listening");
  await using caller = await runtime(alice);
  const { port } = plaintext.address() as { port: number };
  await assert.rejects(
    caller.mtls.dial({ host: "localhost", port }),
    (error: TlsError) => error.refusal?.code === "NOT_TLS",
  );
  plaintext.close();
});

test("nothing listens: the dial fails before TLS, and says where", async () => {
  await using caller = await runtime(alice, { trust: trustFromMemory(authority.bundlePem) });
  await assert.rejects(caller.mtls.dial({ host: "localhost", port: 1 }), (error: TlsError) => {
    assert.equal(error.code, "DIAL_FAILED");
    assert.match(error.message, /localhost:1/);
    return true;
  });
});
