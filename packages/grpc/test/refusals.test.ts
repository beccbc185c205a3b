// Who is refused, at the door, and what each end can know of it (spec/tls.md).
import assert from "node:assert/strict";
import net from "node:net";
import { once } from "node:events";
import { test } from "node:test";
import tls from "node:tls";
import { Client as JsClient, credentials, status } from "@grpc/grpc-js";
import type { ServiceError } from "@grpc/grpc-js";
import {
  matching,
  noIdentity,
  nobody,
  oneOf,
  serverName,
  spiffeId,
  trustFromMemory,
} from "@handfast/tls";
import type { Refusal, TlsEvent } from "@handfast/tls";
import { createTestAuthority } from "@handfast/x509/testing";
import type { TestIdentity } from "@handfast/x509/testing";
import { GrpcError, createClient } from "../src/index.ts";
import { TestService } from "../src/testing/index.ts";
import { aliceIdentity, authority, bankIdentity, dial, failure, serve } from "./fixtures.ts";
import type { Served } from "./fixtures.ts";

const hour = 3_600_000;
const stranger = createTestAuthority();

const refusedClients: readonly {
  readonly what: string;
  readonly identity: TestIdentity;
  readonly code: Refusal["code"];
  readonly serverOptions?: Parameters<typeof serve>[0];
}[] = [
  {
    what: "a client certificate of a CA that is not trusted",
    identity: stranger.issue({ name: "alice" }),
    code: "CERTIFICATE_AUTHORITY_INVALID",
  },
  {
    what: "a client certificate that expired half an hour ago",
    identity: authority.issue({
      name: "alice",
      notBefore: new Date(Date.now() - 2 * hour),
      notAfter: new Date(Date.now() - hour / 2),
    }),
    code: "CERTIFICATE_EXPIRED",
  },
  {
    what: "a client certificate that is not valid yet",
    identity: authority.issue({ name: "alice", notBefore: new Date(Date.now() + hour) }),
    code: "CERTIFICATE_NOT_YET_VALID",
  },
  {
    what: "a server's certificate used by a client",
    identity: authority.issue({ name: "alice", profile: "server" }),
    code: "CERTIFICATE_WRONG_PURPOSE",
  },
  {
    what: "an identity that is not admitted",
    identity: aliceIdentity,
    code: "NOT_ADMITTED",
    serverOptions: { tlsOptions: { admit: oneOf(["spiffe://handfast.test/bob"]) } },
  },
  {
    what: "everybody, when the admission rule returns a promise (S11)",
    identity: aliceIdentity,
    code: "NOT_ADMITTED",
    serverOptions: {
      tlsOptions: { admit: matching((() => Promise.resolve(true)) as unknown as () => boolean) },
    },
  },
];

for (const { what, identity, code, serverOptions } of refusedClients) {
  test(`refuses ${what}, and both ends know why`, async () => {
    let ran = false;
    await using bank = await serve({
      ...serverOptions,
      handlers: {
        emptyCall() {
          ran = true;
          return {};
        },
      },
    });
    await using alice = await dial(bank.target, {
      identity: { ...aliceIdentity, ...pemOf(identity) },
      // A client that would not use such a certificate itself is not what is tried here.
      tlsOptions: { now: () => clientClock(identity) },
    });
    const error = await failure(alice.client.connect({ timeoutMs: 5_000 }));
    assert.ok(error instanceof GrpcError, String(error));
    assert.equal(error.code, "UNAUTHENTICATED");
    assert.deepEqual([error.refusal?.code, error.refusal?.by], [code, "peer"]);
    assert.match(error.message, new RegExp(`^${code}: `));
    assert.equal(error.hint, error.refusal?.hint);
    const seen = await bank.tls.next((event) => event.type === "handshake");
    assert.equal(refusalOf(seen)?.code, code);
    assert.equal(refusalOf(seen)?.by, "us");
    const call = await failure(alice.client.emptyCall({}));
    assert.equal(call instanceof GrpcError && call.refusal?.code, code);
    assert.equal(ran, false);
  });
}

test("refuses a client without a certificate, and tells a plain grpc-js client in its own status", async () => {
  await using bank = await serve();
  const client = new JsClient(bank.target, credentials.createSsl(Buffer.from(authority.bundlePem)));
  const error = await jsCall(client);
  assert.equal(error.code, status.UNAUTHENTICATED);
  assert.match(error.details, /^NO_CLIENT_CERTIFICATE: /);
  assert.deepEqual(error.metadata.get("handfast-refusal"), ["NO_CLIENT_CERTIFICATE"]);
  assert.equal(refusalOf(await handshakeSeen(bank))?.code, "NO_CLIENT_CERTIFICATE");
  client.close();
});

for (const policy of ["pick_first", "round_robin"]) {
  test(`S21 a refused grpc-js client with ${policy} that calls 150 times shakes hands once`, async () => {
    await using bank = await serve();
    const client = new JsClient(
      bank.target.replace("localhost", "127.0.0.1"),
      credentials.createSsl(Buffer.from(authority.bundlePem)),
      {
        "grpc.ssl_target_name_override": "localhost",
        "grpc.service_config": JSON.stringify({ loadBalancingConfig: [{ [policy]: {} }] }),
      },
    );
    const errors: ServiceError[] = [];
    for (let call = 0; call < 150; call++) errors.push(await jsCall(client));
    assert.deepEqual(new Set(errors.map(({ code }) => code)), new Set([status.UNAUTHENTICATED]));
    assert.equal(bank.tls.events.filter(({ type }) => type === "handshake").length, 1);
    client.close();
  });
}

test("refuses a server whose certificate is of another CA; the server sees the connection closed", async () => {
  await using bank = await serve({ identity: bankIdentity });
  await using alice = await dial(bank.target, {
    tlsOptions: { trust: trustFromMemory(stranger.bundlePem) },
  });
  const error = await failure(alice.client.connect());
  assert.ok(error instanceof GrpcError);
  assert.equal(error.code, "UNAVAILABLE");
  assert.deepEqual(
    [error.refusal?.code, error.refusal?.by],
    ["CERTIFICATE_AUTHORITY_INVALID", "us"],
  );
});

test("refuses a server of another name than the one dialled, or expected", async () => {
  await using bank = await serve();
  for (const expect of [serverName("other.test"), spiffeId("spiffe://handfast.test/other")]) {
    await using alice = await dial(bank.target, { expect });
    const error = await failure(alice.client.connect());
    assert.ok(error instanceof GrpcError);
    assert.equal(error.refusal?.by, "us");
    assert.equal(error.refusal?.code, "CERTIFICATE_HOSTNAME_MISMATCH");
  }
  await using alice = await dial(bank.target, {
    expect: spiffeId("spiffe://handfast.test/localhost"),
  });
  assert.equal((await alice.client.connect()).health, "SERVING");
});

test("refuses a client's certificate used by a server", async () => {
  const kiosk = authority.issue({ name: "localhost", profile: "client" });
  const error = await failure(serve({ identity: kiosk }));
  assert.equal((error as { code?: string }).code, "IDENTITY_INVALID");
});

test("a TLS 1.2 client gets no further than its hello", async () => {
  await using bank = await serve();
  const socket = tls.connect({
    host: "127.0.0.1",
    port: bank.port,
    maxVersion: "TLSv1.2",
    ca: authority.bundlePem,
    ALPNProtocols: ["h2"],
  });
  const [error] = (await once(socket, "error")) as [NodeJS.ErrnoException];
  assert.equal(error.code, "ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION");
  assert.equal(refusalOf(await handshakeSeen(bank))?.code, "PROTOCOL_VERSION_UNSUPPORTED");
});

test("a plaintext client on the TLS port, and a TLS client on a plaintext port, fail plainly", async () => {
  await using bank = await serve();
  const plain = createClient(TestService, { target: bank.target, dangerouslyPlaintext: true });
  const refused = await failure(plain.connect({ timeoutMs: 5_000 }));
  assert.equal(refused instanceof GrpcError && refused.code, "UNAVAILABLE");
  assert.equal(refusalOf(await handshakeSeen(bank))?.code, "NOT_TLS");
  plain.close();

  const listener = net.createServer((socket) => socket.end("HTTP/1.1 400 Bad Request\r\n\r\n"));
  await once(listener.listen(0, "127.0.0.1"), "listening");
  const { port } = listener.address() as net.AddressInfo;
  await using alice = await dial(`localhost:${port}`);
  const error = await failure(alice.client.connect({ timeoutMs: 5_000 }));
  assert.ok(error instanceof GrpcError);
  assert.equal(error.code, "UNAVAILABLE");
  assert.ok(error.refusal !== undefined, error.message);
  listener.close();
});

/** A bare TLS 1.3 server that wants a certificate of the test authority. */
async function foreignServer(): Promise<{ readonly target: string; close(): void }> {
  const { certificateChainPem: cert, privateKeyPem: key } = bankIdentity;
  const ca = [authority.bundlePem];
  const demands = { requestCert: true, rejectUnauthorized: true, ALPNProtocols: ["h2"] };
  const server = tls.createServer({ cert, key, ca, minVersion: "TLSv1.3", ...demands });
  server.on("tlsClientError", (_error, socket) => void socket.destroy());
  await once(server.listen(0, "localhost"), "listening");
  const { port } = server.address() as net.AddressInfo;
  return { target: `localhost:${port}`, close: () => void server.close() };
}

for (const [what, code, tlsOptions, identity] of [
  ["by an alert", "NO_CLIENT_CERTIFICATE", { identity: noIdentity() }, aliceIdentity],
  ["without a word", "PEER_CONNECTION_CLOSED", {}, stranger.issue({ name: "alice" })],
] as const) {
  test(`a foreign server that refuses our certificate ${what} is told with its refusal`, async () => {
    const server = await foreignServer();
    await using alice = await dial(server.target, { identity, tlsOptions });
    const error = await failure(alice.client.connect({ timeoutMs: 5_000 }));
    assert.ok(error instanceof GrpcError);
    assert.equal(error.code, "UNAVAILABLE");
    assert.deepEqual([error.refusal?.code, error.refusal?.by], [code, "peer"]);
    assert.equal(error.hint, error.refusal?.hint);
    server.close();
  });
}

test("connecting to nobody, or to somebody silent, fails within its time", async () => {
  await using alice = await dial("localhost:1");
  const refused = await failure(alice.client.connect({ timeoutMs: 2_000 }));
  assert.equal(refused instanceof GrpcError && refused.code, "UNAVAILABLE");
  const accepted: net.Socket[] = [];
  const silent = net.createServer((socket) => accepted.push(socket));
  await once(silent.listen(0, "127.0.0.1"), "listening");
  const { port } = silent.address() as net.AddressInfo;
  const client = createClient(TestService, { target: `127.0.0.1:${port}`, tls: alice.tls.mtls });
  const late = await failure(client.connect({ timeoutMs: 100 }));
  assert.equal(late instanceof GrpcError && late.code, "DEADLINE_EXCEEDED");
  client.close();
  for (const socket of accepted) socket.destroy();
  silent.close();
});

test("a runtime that admits nobody still dials", async () => {
  await using bank = await serve();
  await using alice = await dial(bank.target, { tlsOptions: { admit: nobody() } });
  assert.equal((await alice.client.connect()).health, "SERVING");
});

for (const [bundle, broken] of [
  ["empty", ""],
  ["blank", " \n\t\n"],
  ["truncated", authority.bundlePem.slice(0, -40)],
] as const) {
  test(`S16: a bundle that turns ${bundle} lets neither server nor client take a stranger`, async () => {
    let text = authority.bundlePem;
    const trust = {
      description: "changing",
      read: () => Promise.resolve([{ bundle: text }]),
    };
    const foreigner = { identity: stranger.issue({ name: "localhost" }) };
    const trusting = { trust: trustFromMemory(authority.bundlePem + stranger.bundlePem) };
    await using bank = await serve({ tlsOptions: { trust } });
    await using elsewhere = await serve({ ...foreigner, tlsOptions: trusting });
    await using alice = await dial(elsewhere.target, { tlsOptions: { trust } });
    await using mallory = await dial(bank.target, { ...foreigner, tlsOptions: trusting });
    text = broken;
    for (const { mtls } of [bank.tls, alice.tls]) {
      assert.equal(typeof (await mtls.reload()).trust, "object", "the last good bundle is kept");
    }
    for (const [client, by] of [
      [mallory.client, "peer"],
      [alice.client, "us"],
    ] as const) {
      const error = await failure(client.connect({ timeoutMs: 5_000 }));
      assert.ok(error instanceof GrpcError);
      assert.deepEqual(
        [error.refusal?.code, error.refusal?.by],
        ["CERTIFICATE_AUTHORITY_INVALID", by],
      );
    }
    await using friend = await dial(bank.target);
    assert.equal((await friend.client.connect()).health, "SERVING");
  });
}

function pemOf(
  identity: TestIdentity,
): Pick<TestIdentity, "certificateChainPem" | "privateKeyPem"> {
  return {
    certificateChainPem: identity.certificateChainPem,
    privateKeyPem: identity.privateKeyPem,
  };
}

/** The moment nearest to now at which the certificate is valid. */
function clientClock({ certificate }: TestIdentity): Date {
  const margin = hour / 4;
  const earliest = certificate.notBefore.getTime() + margin;
  const latest = certificate.notAfter.getTime() - margin;
  return new Date(Math.min(Math.max(Date.now(), earliest), latest));
}

function handshakeSeen(bank: Served): Promise<TlsEvent> {
  return bank.tls.next((event) => event.type === "handshake");
}

function refusalOf(event: TlsEvent): Refusal | undefined {
  return event.type === "handshake" ? event.refusal : undefined;
}

function jsCall(client: JsClient): Promise<ServiceError> {
  const same = (bytes: Buffer): Buffer => bytes;
  return new Promise((resolve, reject) => {
    const deadline = { deadline: Date.now() + 5_000 };
    client.makeUnaryRequest(
      "/grpc.testing.TestService/EmptyCall",
      same,
      same,
      Buffer.alloc(0),
      deadline,
      (error) => (error === null ? reject(new Error("the call was answered")) : resolve(error)),
    );
  });
}
