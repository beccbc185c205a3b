// Callers behind a proxy that ends their TLS and hands on their certificates (security.md S63).
import assert from "node:assert/strict";
import { test } from "node:test";
import { compilePolicy, parsePolicy } from "@handfast/policy";
import { crlFromSource } from "@handfast/tls";
import type { MutualTlsOptions } from "@handfast/tls";
import { issueCrl } from "@handfast/x509";
import type { TestIdentity } from "@handfast/x509/testing";
import {
  GrpcError,
  Metadata,
  allowEveryAdmittedPeer,
  createClient,
  createServer,
} from "../src/index.ts";
import type { GrpcServerEvent, ServerCall, ServerOptions } from "../src/index.ts";
import { TestService, interopHandlers } from "../src/testing/index.ts";
import { aliceIdentity, authority, dial, failure, recorder, serve } from "./fixtures.ts";
import type { Served } from "./fixtures.ts";

const header = "x-client-certificate";
const proxy = "spiffe://handfast.test/proxy";
const proxyIdentity = authority.issue({ name: "proxy" });
const bobIdentity = authority.issue({ name: "bob" });

/** As nginx writes `$ssl_client_escaped_cert`. */
function escaped({ certificateChainPem }: TestIdentity): string {
  const [leaf = ""] = certificateChainPem.split(/(?<=-----END CERTIFICATE-----\n)/);
  return encodeURIComponent(leaf);
}

function from(...identities: readonly TestIdentity[]): { headers: Metadata } {
  const headers = new Metadata();
  for (const identity of identities) headers.append(header, escaped(identity));
  return { headers };
}

async function serveBehind(
  options: Partial<ServerOptions> & { readonly tlsOptions?: Partial<MutualTlsOptions> } = {},
): Promise<Served & { readonly calls: ServerCall[] }> {
  const calls: ServerCall[] = [];
  const served = await serve({
    forwardedBy: { proxies: [proxy], header },
    interceptors: [
      (call, next) => {
        calls.push(call);
        return next();
      },
    ],
    ...options,
  });
  return Object.assign(served, { calls });
}

async function codeOf(call: Promise<unknown>): Promise<string> {
  const error = await failure(call);
  assert.ok(error instanceof GrpcError);
  return `${error.code} ${error.refusal?.code ?? error.message}`;
}

function refusedEvents(events: readonly GrpcServerEvent[]): readonly string[] {
  return events.flatMap((event) =>
    event.type === "forwarded-refused" ? [`${event.code} from ${event.via}`] : [],
  );
}

test("S63: many callers come over one connection of the proxy, each as himself", async () => {
  await using bank = await serveBehind();
  await using nginx = await dial(bank.target, { identity: proxyIdentity });
  await nginx.client.emptyCall({}, from(aliceIdentity));
  await nginx.client.emptyCall({}, from(bobIdentity));
  await nginx.client.emptyCall({}, from(aliceIdentity));
  assert.deepEqual(
    bank.calls.map(({ caller }) => caller?.identity),
    ["alice", "bob", "alice"].map((name) => `spiffe://handfast.test/${name}`),
  );
  for (const { peer, forwarded } of bank.calls) {
    assert.equal(peer, undefined);
    assert.equal(forwarded?.via.identity, proxy);
  }
  const [session, ...others] = bank.tls.mtls.sessions();
  assert.equal(session?.peer?.identity, proxy);
  assert.deepEqual(others, []);
  const ended = await bank.next((event) => event.type === "call");
  assert.equal(ended.type === "call" && ended.identity, "spiffe://handfast.test/alice");
});

test("S63: the policy decides on the caller, and what the proxy may do is nobody's else", async () => {
  const rules = `{ "name": "bank", "allow_rules": [
    { "name": "alice", "source": { "principals": ["spiffe://handfast.test/alice"] },
      "request": { "paths": ["/grpc.testing.TestService/EmptyCall"] } },
    { "name": "proxy", "source": { "principals": ["${proxy}"] } } ] }`;
  await using bank = await serveBehind({ policy: compilePolicy(parsePolicy(rules)) });
  await using nginx = await dial(bank.target, { identity: proxyIdentity });
  await nginx.client.emptyCall({}, from(aliceIdentity));
  assert.match(await codeOf(nginx.client.emptyCall({}, from(bobIdentity))), /^PERMISSION_DENIED/);
  assert.match(await codeOf(nginx.client.unaryCall({}, from(aliceIdentity))), /^PERMISSION_DENIED/);
  assert.match(await codeOf(nginx.client.emptyCall({})), /^UNAUTHENTICATED no verified/);
  assert.equal(bank.calls.length, 1);
});

test("S63: a header that anybody else sends is UNAUTHENTICATED, recorded, and reaches no handler", async () => {
  await using bank = await serveBehind();
  await using mallory = await dial(bank.target, { identity: authority.issue({ name: "mallory" }) });
  assert.equal(
    await codeOf(mallory.client.emptyCall({}, from(aliceIdentity))),
    "UNAUTHENTICATED NOT_ADMITTED",
  );
  await mallory.client.emptyCall({});
  assert.deepEqual(
    bank.calls.map(({ peer }) => peer?.identity),
    ["spiffe://handfast.test/mallory"],
  );
  assert.deepEqual(refusedEvents(bank.events), [
    "NOT_ADMITTED from spiffe://handfast.test/mallory",
  ]);
  const call = await bank.next((event) => event.type === "call");
  assert.equal(call.type === "call" && call.code, "UNAUTHENTICATED");
  assert.equal(call.type === "call" && call.identity, undefined);
});

test("S63: the header twice is UNAUTHENTICATED, and recorded", async () => {
  await using bank = await serveBehind();
  await using nginx = await dial(bank.target, { identity: proxyIdentity });
  assert.equal(
    await codeOf(nginx.client.emptyCall({}, from(aliceIdentity, aliceIdentity))),
    "UNAUTHENTICATED CERTIFICATE_MALFORMED",
  );
  assert.deepEqual(refusedEvents(bank.events), [`CERTIFICATE_MALFORMED from ${proxy}`]);
  assert.deepEqual(bank.calls, []);
});

test("S63: a call of the proxy without the header has no peer", async () => {
  await using bank = await serveBehind({ unauthenticatedPeers: "ask-policy" });
  await using nginx = await dial(bank.target, { identity: proxyIdentity });
  await nginx.client.emptyCall({});
  const [call] = bank.calls;
  assert.ok(call !== undefined);
  assert.deepEqual([call.peer, call.forwarded, call.caller], [undefined, undefined, undefined]);
  await using strict = await serveBehind();
  await using again = await dial(strict.target, { identity: proxyIdentity });
  assert.match(await codeOf(again.client.emptyCall({})), /^UNAUTHENTICATED no verified/);
});

test("S63: the header in plaintext is UNAUTHENTICATED, and recorded", async () => {
  const { items: events, add } = recorder<GrpcServerEvent>();
  const server = createServer({
    dangerouslyPlaintext: true,
    policy: allowEveryAdmittedPeer(),
    unauthenticatedPeers: "ask-policy",
    forwardedBy: { proxies: [proxy], header },
    onEvent: add,
  });
  server.add(TestService, interopHandlers);
  const address = await server.listen({ host: "127.0.0.1", port: 0 });
  assert.ok("port" in address);
  const target = `127.0.0.1:${address.port}`;
  const client = createClient(TestService, { dangerouslyPlaintext: true, target });
  await client.emptyCall({});
  assert.equal(
    await codeOf(client.emptyCall({}, from(aliceIdentity))),
    "UNAUTHENTICATED NOT_ADMITTED",
  );
  assert.deepEqual(refusedEvents(events), ["NOT_ADMITTED from undefined"]);
  client.close();
  await server.shutdown({ graceMs: 0 });
});

test("S63: without forwardedBy the header means nothing: the caller is the connection's peer", async () => {
  await using bank = await serve();
  await using nginx = await dial(bank.target, { identity: proxyIdentity });
  await nginx.client.emptyCall({}, from(aliceIdentity));
  const call = await bank.next((event) => event.type === "call");
  assert.equal(call.type === "call" && call.identity, proxy);
});

test("S63: who is revoked behind the proxy is refused at the next call, and his open stream ends", async () => {
  const list = (number: number, revoked: readonly TestIdentity[]): Uint8Array =>
    issueCrl({
      issuer: authority,
      entries: revoked.map(({ certificate: { serialNumber } }) => ({
        serialNumber,
        revokedAt: new Date(),
      })),
      number,
      thisUpdate: new Date(Date.now() - 60_000),
      nextUpdate: new Date(Date.now() + 3_600_000),
    });
  let bytes = list(1, []);
  const source = {
    description: "changing",
    read: () => Promise.resolve([{ name: "list", bytes }]),
  };
  await using bank = await serveBehind({
    tlsOptions: { revocation: crlFromSource(source, { undetermined: "refuse" }) },
  });
  await using nginx = await dial(bank.target, { identity: proxyIdentity });
  const ticking = { responseParameters: [{ size: 1 }, { size: 1, intervalUs: 60_000_000 }] };
  const alice = nginx.client.streamingOutputCall(ticking, from(aliceIdentity));
  const bob = nginx.client.streamingOutputCall(ticking, from(bobIdentity));
  await Promise.all([alice.next(), bob.next()]);
  bytes = list(2, [aliceIdentity]);
  await bank.tls.mtls.reload();
  assert.equal(await codeOf(alice.next()), "UNAUTHENTICATED CERTIFICATE_REVOKED");
  assert.equal(
    await codeOf(nginx.client.emptyCall({}, from(aliceIdentity))),
    "UNAUTHENTICATED CERTIFICATE_REVOKED",
  );
  await nginx.client.emptyCall({}, from(bobIdentity));
  assert.deepEqual(refusedEvents(bank.events), [
    `CERTIFICATE_REVOKED from ${proxy}`,
    `CERTIFICATE_REVOKED from ${proxy}`,
  ]);
  assert.equal(bank.tls.mtls.sessions().length, 1);
  await bob.return?.(undefined);
});

test("S63: an open stream of a caller behind the proxy ends when his certificate does", async () => {
  let time = new Date();
  await using bank = await serveBehind({ tlsOptions: { now: () => time } });
  await using nginx = await dial(bank.target, { identity: proxyIdentity });
  const brief = authority.issue({ name: "carol", notAfter: new Date(time.getTime() + 60_000) });
  const ticking = { responseParameters: [{ size: 1 }, { size: 1, intervalUs: 60_000_000 }] };
  const stream = nginx.client.streamingOutputCall(ticking, from(brief));
  await stream.next();
  time = new Date(time.getTime() + 61_000);
  assert.equal(await codeOf(stream.next()), "UNAUTHENTICATED CERTIFICATE_EXPIRED");
});

test("S63, S41: callers behind one proxy have a rate limit each", async () => {
  const rules = [{ methods: ["*"], perSecond: 0.001, burst: 1 }];
  await using bank = await serveBehind({ rateLimit: { rules } });
  await using nginx = await dial(bank.target, { identity: proxyIdentity });
  await nginx.client.emptyCall({}, from(aliceIdentity));
  await nginx.client.emptyCall({}, from(bobIdentity));
  assert.match(
    await codeOf(nginx.client.emptyCall({}, from(aliceIdentity))),
    /^RESOURCE_EXHAUSTED/,
  );
});

test("forwardedBy takes the name of a text header, and at least one proxy", async () => {
  for (const name of ["", "X-Client-Certificate", "x-cert-bin", ":path", "grpc-status", "a b"]) {
    await assert.rejects(
      serveBehind({ forwardedBy: { proxies: [proxy], header: name } }),
      TypeError,
    );
  }
  await assert.rejects(serveBehind({ forwardedBy: { proxies: [], header } }), TypeError);
});
