// Servers that listen by themselves: made with our options, they hear of judged connections only.
import assert from "node:assert/strict";
import { once } from "node:events";
import { createSecureServer } from "node:http2";
import type { Http2SecureServer, ServerHttp2Stream } from "node:http2";
import { connect as connectNet } from "node:net";
import { test } from "node:test";
import { connect as connectTls } from "node:tls";
import type { PeerCertificate } from "node:tls";

import { createTestAuthority } from "@handfast/x509/testing";
import type { TestIdentity } from "@handfast/x509/testing";

import { oneOf, peerOf } from "../src/index.ts";
import type { MutualTls, MutualTlsOptions, Protocol, Session, VerifiedPeer } from "../src/index.ts";
import { authority, recorder, runtime } from "./fixtures.ts";
import {
  getHttp2,
  http2Client,
  plainClient,
  rawConnection,
  readAll,
  readUntil,
  serverIdentity,
} from "./http-fixtures.ts";

const alice = authority.issue({ name: "alice" });

interface Foreign extends AsyncDisposable {
  readonly server: Http2SecureServer;
  readonly port: number;
  readonly protocol: ReturnType<typeof silent>;
  /** What the server was told of, event by event. */
  readonly heard: string[];
}

/** A server of node:http2 that listens itself, and does nothing for its safety but to take the options. */
async function foreign(mtls: MutualTls): Promise<Foreign> {
  const protocol = silent();
  const { serverOptions, contextOptions, onSwap } = mtls.foreignServer(protocol);
  const server = createSecureServer({
    ...serverOptions,
    ...contextOptions(),
    unknownProtocolTimeout: 100,
  });
  const stop = onSwap(() => server.setSecureContext(contextOptions()));
  const heard: string[] = [];
  for (const event of ["secureConnection", "session", "stream"]) {
    server.on(event, () => heard.push(event));
  }
  server.on("stream", (stream: ServerHttp2Stream) => {
    stream.respond({ ":status": 200 });
    stream.end("served");
  });
  server.listen(0, "localhost");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  return {
    server,
    port,
    protocol,
    heard,
    async [Symbol.asyncDispose]() {
      stop();
      server.close();
      await mtls.close();
      await once(server, "close");
    },
  };
}

/** Learns who is admitted, tells refused ones why. */
function silent(): Protocol & {
  readonly accepted: (VerifiedPeer | undefined)[];
  readonly sessions: Session[];
} {
  const accepted: (VerifiedPeer | undefined)[] = [];
  const sessions: Session[] = [];
  return {
    ...recorder(),
    accepted,
    sessions,
    accept(_socket, peer, session) {
      accepted.push(peer);
      sessions.push(session);
      return { drain() {}, activity: () => ({ callsInFlight: 0 }) };
    },
  };
}

test("S16: a server that listens by itself serves a judged peer, who is in the table", async () => {
  await using bank = await runtime(serverIdentity);
  await using served = await foreign(bank.mtls);
  const client = http2Client(served.port, alice);
  assert.equal((await getHttp2(client)).body, "served");
  assert.equal(served.protocol.accepted[0]?.identity, "spiffe://handfast.test/alice");
  const [session] = bank.mtls.sessions();
  assert.equal(session?.peer, served.protocol.accepted[0]);
  const event = await bank.next(({ type }) => type === "handshake");
  assert.equal(event.type === "handshake" && event.result, "SUCCESS");
  client.close();
  await once(client, "close");
});

test("S16: the peer of a foreign server's stream is known by peerOf", async () => {
  await using bank = await runtime(serverIdentity);
  await using served = await foreign(bank.mtls);
  const peers: (VerifiedPeer | undefined)[] = [];
  served.server.on("stream", (stream: ServerHttp2Stream) => peers.push(peerOf(stream)));
  const client = http2Client(served.port, alice);
  await getHttp2(client);
  assert.deepEqual(
    peers.map((peer) => peer?.identity),
    ["spiffe://handfast.test/alice"],
  );
  client.close();
  await once(client, "close");
});

const strangers = createTestAuthority({ commonName: "Stranger CA" });
const refusedClients: readonly [string, string, TestIdentity, Partial<MutualTlsOptions>?][] = [
  ["a stranger", "CERTIFICATE_AUTHORITY_INVALID", strangers.issue({ name: "alice" })],
  [
    "one whose certificate has expired",
    "CERTIFICATE_EXPIRED",
    authority.issue({
      name: "alice",
      notBefore: new Date(Date.now() - 540_000),
      notAfter: new Date(Date.now() - 60_000),
    }),
  ],
  [
    "a server's certificate",
    "CERTIFICATE_WRONG_PURPOSE",
    authority.issue({ name: "alice", profile: "server" }),
  ],
  [
    "one whom the rule does not admit",
    "NOT_ADMITTED",
    alice,
    { admit: oneOf(["spiffe://handfast.test/bob"]) },
  ],
];

for (const [who, code, identity, options] of refusedClients) {
  test(`S16: a foreign server hears nothing of ${who}, who is told ${code}`, async () => {
    await using bank = await runtime(serverIdentity, options);
    await using served = await foreign(bank.mtls);
    const socket = await rawConnection(served.port, identity, ["h2"]);
    assert.match(await readAll(socket), new RegExp(`^no ${code}: `));
    const event = await bank.next(({ type }) => type === "handshake");
    assert.equal(event.type === "handshake" && event.refusal?.code, code);
    assert.deepEqual(served.heard, []);
    assert.deepEqual(bank.mtls.sessions(), []);
  });
}

test("S16: a foreign server ends the handshake of a client without a certificate, by an alert", async () => {
  await using bank = await runtime(serverIdentity);
  await using served = await foreign(bank.mtls);
  const socket = connectTls({
    host: "localhost",
    port: served.port,
    ...plainClient(undefined),
    ALPNProtocols: ["h2"],
  });
  const [error] = (await once(socket, "error")) as [NodeJS.ErrnoException];
  assert.equal(error.code, "ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED");
  const event = await bank.next(({ type }) => type === "handshake");
  assert.equal(event.type === "handshake" && event.refusal?.code, "NO_CLIENT_CERTIFICATE");
  assert.deepEqual(served.heard, []);
});

test("S16: a foreign server serves nobody who offers no h2, or offers nothing", async () => {
  await using bank = await runtime(serverIdentity);
  await using served = await foreign(bank.mtls);
  const other = connectTls({
    host: "localhost",
    port: served.port,
    ...plainClient(alice),
    ALPNProtocols: ["http/1.1"],
  });
  const [error] = (await once(other, "error")) as [NodeJS.ErrnoException];
  assert.equal(error.code, "ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL");
  const silentOne = await rawConnection(served.port, alice, []);
  silentOne.write("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
  assert.match(await readUntil(silentOne, "403"), /^HTTP\/1\.0 403/);
  silentOne.destroy();
  assert.ok(!served.heard.includes("session") && !served.heard.includes("stream"));
  assert.deepEqual(served.protocol.accepted, []);
});

test("S11: a foreign server's session is judged again when trust changes, starts no call, and is cut", async () => {
  const old = createTestAuthority({ commonName: "Old Root" });
  let bundle = authority.bundlePem + old.bundlePem;
  const trust = { description: "changing", read: () => Promise.resolve([{ bundle }]) };
  await using bank = await runtime(serverIdentity, { trust, graceMs: 0 });
  await using served = await foreign(bank.mtls);
  const client = http2Client(served.port, old.issue({ name: "bob" }));
  const closed = once(client, "close");
  await getHttp2(client);
  const [session] = served.protocol.sessions;
  assert.equal(session?.admitted(), true);
  bundle = authority.bundlePem;
  assert.equal((await bank.mtls.reload()).trust, "replaced");
  assert.equal(session.admitted(), false);
  await closed;
  assert.deepEqual(bank.mtls.sessions(), []);
  // And the new bundle is what the next handshake is done with.
  const again = await rawConnection(served.port, old.issue({ name: "bob" }), ["h2"]);
  assert.match(await readAll(again), /^no CERTIFICATE_AUTHORITY_INVALID: /);
});

test("a foreign server shows the newest certificate after a rotation", async () => {
  const first = authority.issue({ name: "localhost" });
  const second = authority.issue({ name: "localhost" });
  let now = first;
  const identity = {
    description: "changing",
    read: () =>
      Promise.resolve({ certificateChain: now.certificateChainPem, privateKey: now.privateKeyPem }),
  };
  await using bank = await runtime(first, { identity });
  await using served = await foreign(bank.mtls);
  const shown = async (): Promise<string> => {
    const socket = await rawConnection(served.port, alice, ["h2"]);
    const certificate: PeerCertificate = socket.getPeerCertificate();
    socket.destroy();
    return certificate.serialNumber.toLowerCase();
  };
  const serialOf = ({ certificate }: TestIdentity): string => certificate.serialNumber.toString();
  assert.equal(await shown(), serialOf(first));
  now = second;
  await bank.mtls.reload();
  assert.equal(await shown(), serialOf(second));
});

test("a handshake with a foreign server that its client gives up is reported", async () => {
  await using bank = await runtime(serverIdentity);
  await using served = await foreign(bank.mtls);
  const socket = connectTls({
    host: "localhost",
    port: served.port,
    ...plainClient(alice),
    ca: [strangers.bundlePem],
    ALPNProtocols: ["h2"],
  });
  const [error] = (await once(socket, "error")) as [NodeJS.ErrnoException];
  assert.equal(error.code, "SELF_SIGNED_CERT_IN_CHAIN");
  const event = await bank.next(({ type }) => type === "handshake");
  assert.equal(event.type === "handshake" && event.refusal?.by, "peer");
});

test("after the runtime is closed a foreign server made with it serves nobody", async () => {
  const bank = await runtime(serverIdentity);
  await using served = await foreign(bank.mtls);
  await bank.mtls.close();
  const socket = connectTls({
    host: "localhost",
    port: served.port,
    ...plainClient(alice),
    ALPNProtocols: ["h2"],
  });
  await once(socket, "error");
  assert.deepEqual(served.heard, []);
  assert.throws(() => bank.mtls.foreignServer(silent()), /closed/);
  // Bytes that are no TLS at all come to nothing either.
  const noise = connectNet(served.port, "localhost");
  noise.end("GET / HTTP/1.1\r\n\r\n");
  await once(noise.resume(), "close");
  assert.deepEqual(served.heard, []);
});
