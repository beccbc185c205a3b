// The ways in which mutual TLS fails between two machines, each with a real server that fails that way.
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer as createHttp } from "node:http";
import { createSecureServer, createServer as createHttp2 } from "node:http2";
import type { ServerHttp2Stream } from "node:http2";
import { createServer as createHttps } from "node:https";
import { createServer as createNet } from "node:net";
import type { AddressInfo, Server } from "node:net";
import { test } from "node:test";
import type { TestContext } from "node:test";
import type { TlsOptions } from "node:tls";

import {
  certificatesToPem,
  createName,
  encodePem,
  encodePrivateKey,
  generateKeyPair,
  issueCertificate,
  issueCrl,
  parseCertificatesPem,
  parseCrl,
} from "@handfast/x509";
import type { Certificate, Crl } from "@handfast/x509";
import { createTestAuthority } from "@handfast/x509/testing";
import type { TestAuthority, TestIdentity } from "@handfast/x509/testing";

import { oneOf, spiffeId } from "../src/index.ts";
import type { MutualTlsOptions } from "../src/index.ts";
import { ailments, examineServer } from "../src/doctor/index.ts";
import { unreachableFinding } from "../src/doctor/server-findings.ts";
import type { AilmentCode, ExamineServerOptions, ServerReport } from "../src/doctor/index.ts";
import { authority, runtime } from "./fixtures.ts";

const server = authority.issue({ name: "localhost", ip: ["127.0.0.1"] });
const alice = authority.issue({ name: "alice" });
const stranger = createTestAuthority({ commonName: "Stranger CA" });
const day = 86_400_000;
const fromNow = (ms: number): Date => new Date(Date.now() + ms);

/** Undefined takes away what the tests have by default. */
type Examination = Omit<Partial<ExamineServerOptions>, "identity" | "trust"> & {
  readonly identity?: ExamineServerOptions["identity"] | undefined;
  readonly trust?: ExamineServerOptions["trust"] | undefined;
};
type Served = { readonly port: number };

/** A server of Node's, of one identity, that requires a certificate of the test authority. */
async function nodeServer(context: TestContext, options: TlsOptions = {}): Promise<Served> {
  return listening(
    context,
    createHttps(
      {
        cert: server.certificateChainPem,
        key: server.privateKeyPem,
        ca: [authority.bundlePem],
        requestCert: true,
        rejectUnauthorized: true,
        ...options,
      },
      (_request, response) => response.end("hello"),
    ),
  );
}

/** A server of Handfast, which tells whom it refuses why. */
async function ourServer(
  context: TestContext,
  options: Partial<MutualTlsOptions> = {},
): Promise<Served> {
  const { mtls } = await runtime(server, options);
  context.after(() => mtls.close());
  const made = createHttp2((_request, response) => response.end("hello"));
  const { address } = await mtls.serveHttp(made, { host: "localhost", port: 0 });
  assert.ok("port" in address);
  return address;
}

async function listening(context: TestContext, made: Server): Promise<Served> {
  const sockets = new Set<{ destroy(): void }>();
  made.on("connection", (socket) => sockets.add(socket));
  context.after(() => {
    made.close();
    for (const socket of sockets) socket.destroy();
  });
  made.listen(0, "localhost");
  await once(made, "listening");
  return made.address() as AddressInfo;
}

function identity(of: TestIdentity): NonNullable<ExamineServerOptions["identity"]> {
  const { certificateChainPem, privateKeyPem } = of;
  return { certificateChainPem, privateKeyPem, chain: parseCertificatesPem(certificateChainPem) };
}

function examine({ port }: Served, options: Examination = {}): Promise<ServerReport> {
  const given = {
    trust: [{ bundle: authority.bundlePem }],
    identity: identity(alice),
    ...options,
  };
  const { identity: own, trust, ...rest } = given;
  return examineServer({
    host: "localhost",
    port,
    timeoutMs: 10_000,
    ...rest,
    ...(own === undefined ? {} : { identity: own }),
    ...(trust === undefined ? {} : { trust }),
  });
}

/** The first finding is what a person reads first: it must be the cause. */
function assertFirst(report: ServerReport, code: AilmentCode, message?: RegExp): void {
  const [first] = report.findings;
  assert.equal(first?.code, code, JSON.stringify(report.findings));
  if (message !== undefined) assert.match(first.message, message);
  assert.ok(first.seenAs.length > 0 && first.mend.length > 0);
  assert.doesNotMatch(first.mend, /\{/);
}

test("says nothing of a server that is well, and what it can do", async (context) => {
  const report = await examine(await ourServer(context));
  assert.deepEqual(report.findings, []);
  assert.equal(report.verified, true);
  assert.equal(report.identity, "spiffe://handfast.test/localhost");
  assert.deepEqual(report.versions, { "TLSv1.3": true, "TLSv1.2": false });
  assert.deepEqual(report.protocols, { h2: true, "http/1.1": false });
  assert.equal(report.postQuantum, true);
  assert.equal(report.clientCertificate, "required");
  assert.deepEqual(report.authorities, ["CN=Test Root CA"]);
  assert.equal(report.withoutCertificate?.outcome, "refused");
  assert.equal(report.withCertificate?.outcome, "served");
});

test("HOST_UNKNOWN, CONNECTION_REFUSED: nobody is there", async () => {
  assertFirst(await examine({ port: 1 }, { host: "name.invalid" }), "HOST_UNKNOWN");
  const gone = createNet().listen(0, "localhost");
  await once(gone, "listening");
  const { port } = gone.address() as AddressInfo;
  gone.close();
  await once(gone, "close");
  assertFirst(await examine({ port }), "CONNECTION_REFUSED", /ECONNREFUSED/);
});

test("CONNECTION_TIMED_OUT: packets are not answered", () => {
  for (const code of ["ETIMEDOUT", "EHOSTUNREACH", "ENETUNREACH"]) {
    const gone = { stage: "unreachable", code, reason: `connect ${code} 10.0.0.7:8443` } as const;
    const { code: found, mend } = unreachableFinding(gone, { host: "10.0.0.7", port: 8443 });
    assert.equal(found, "CONNECTION_TIMED_OUT");
    assert.match(mend, /`nc -vz 10\.0\.0\.7 8443`/);
  }
});

test("SERVER_SILENT: it accepts, and does not answer", async (context) => {
  const served = await listening(context, createNet());
  assertFirst(await examine(served, { timeoutMs: 700 }), "SERVER_SILENT");
});

test("CLOSED_AT_ONCE: it closes without a word", async (context) => {
  const served = await listening(
    context,
    createNet((socket) => socket.once("data", () => socket.end())),
  );
  assertFirst(await examine(served), "CLOSED_AT_ONCE");
});

test("PLAINTEXT_SERVER: it speaks HTTP, or gRPC with insecure credentials", async (context) => {
  const http = await listening(context, createHttp());
  assertFirst(await examine(http), "PLAINTEXT_SERVER", /plain HTTP/);
  const grpc = await listening(context, createHttp2());
  assertFirst(await examine(grpc), "PLAINTEXT_SERVER", /HTTP\/2 without TLS/);
});

test("TLS_VERSION: it speaks TLS 1.1 at most", async (context) => {
  const served = await nodeServer(context, {
    minVersion: "TLSv1",
    maxVersion: "TLSv1.1",
    ciphers: "DEFAULT@SECLEVEL=0",
  });
  assertFirst(await examine(served), "TLS_VERSION");
});

test("TLS12_ONLY: it speaks TLS 1.2, and the client certificate is looked at all the same", async (context) => {
  const served = await nodeServer(context, { maxVersion: "TLSv1.2" });
  const report = await examine(served);
  assertFirst(report, "TLS12_ONLY");
  assert.equal(report.findings[0]?.severity, "warning");
  assert.equal(report.withCertificate?.outcome, "served");
  assertFirst(await examine(served, { identity: undefined }), "CLIENT_CERTIFICATE_MISSING");
});

test("NO_SHARED_CIPHER, NO_SHARED_GROUP: the two share too little", async (context) => {
  const cbc = await nodeServer(context, {
    maxVersion: "TLSv1.2",
    ciphers: "ECDHE-ECDSA-AES128-SHA",
  });
  const { findings } = await examine(cbc);
  assert.deepEqual(findings.map(({ code }) => code).toSorted(), [
    "NO_SHARED_CIPHER",
    "NO_SHARED_GROUP",
  ]);
  const curve = await nodeServer(context, { ecdhCurve: "P-521" });
  assertFirst(await examine(curve), "NO_SHARED_GROUP", /handshake failure/);
});

test("NO_POST_QUANTUM: its groups are all classic", async (context) => {
  const report = await examine(await nodeServer(context, { ecdhCurve: "X25519" }));
  assertFirst(report, "NO_POST_QUANTUM");
  assert.equal(report.postQuantum, false);
});

test("ALPN_NO_H2, ALPN_NO_HTTP1: it does not speak what the client has to", async (context) => {
  const http1 = await nodeServer(context, { ALPNProtocols: ["http/1.1"] });
  assertFirst(await examine(http1, { protocol: "h2" }), "ALPN_NO_H2");
  assert.deepEqual((await examine(http1)).findings, []);
  const h2 = await nodeServer(context, { ALPNProtocols: ["h2"] });
  assertFirst(await examine(h2, { protocol: "http/1.1" }), "ALPN_NO_HTTP1");
});

const servers: readonly [AilmentCode, string, TestIdentity, RegExp?, Examination?][] = [
  [
    "SERVER_SELF_SIGNED",
    "a certificate that it signed itself",
    {
      ...stranger,
      certificateChainPem: stranger.bundlePem,
      privateKeyPem: encodePrivateKey(stranger.privateKey),
    },
  ],
  ["SERVER_CA_UNKNOWN", "a certificate of another CA", stranger.issue({ name: "localhost" })],
  [
    "SERVER_EXPIRED",
    "a certificate that expired yesterday",
    authority.issue({
      name: "localhost",
      notBefore: fromNow(-9 * day),
      notAfter: fromNow(-day),
    }),
    /localhost.*expired/,
  ],
  [
    "SERVER_NOT_YET_VALID",
    "a certificate of tomorrow",
    authority.issue({ name: "localhost", notBefore: fromNow(day), notAfter: fromNow(9 * day) }),
  ],
  [
    "SERVER_NO_SAN",
    "a certificate with a common name only",
    authority.issue({ name: "localhost", dns: [] }),
    /CN=localhost/,
  ],
  [
    "SERVER_NAME_MISMATCH",
    "a certificate of another name",
    authority.issue({ name: "api", dns: ["api", "api.internal"] }),
    /dialled localhost, it is for api, api\.internal/,
  ],
  [
    "SERVER_NAME_MISMATCH",
    "a certificate without the address that was dialled",
    authority.issue({ name: "localhost" }),
    /an address needs an IP name/,
    { name: "127.0.0.1" },
  ],
  [
    "SERVER_IDENTITY_MISMATCH",
    "a certificate of somebody else's identity",
    server,
    /expected spiffe:\/\/handfast\.test\/bank/,
    { expect: spiffeId("spiffe://handfast.test/bank") },
  ],
  [
    "SERVER_WRONG_PURPOSE",
    "a certificate for clients",
    authority.issue({ name: "localhost", profile: "client" }),
  ],
];

for (const [code, what, presented, message, options] of servers) {
  test(`${code}: the server has ${what}`, async (context) => {
    const served = await nodeServer(context, {
      cert: presented.certificateChainPem,
      key: presented.privateKeyPem,
    });
    const report = await examine(served, options);
    assertFirst(report, code, message);
    assert.equal(report.verified, false);
    assert.ok(report.sent.length > 0, "what was sent can be looked at");
  });
}

test("SERVER_CHAIN_INCOMPLETE, CLIENT_CHAIN_INCOMPLETE: an intermediate is forgotten", async (context) => {
  const acme = organization("Acme");
  const local = acme.leaf("localhost");
  const trust = [{ bundle: certificatesToPem([acme.root]) }];
  const caller = acme.leaf("alice");
  const ours = (certificateChainPem: string): Examination["identity"] => ({
    certificateChainPem,
    privateKeyPem: caller.key,
    chain: parseCertificatesPem(certificateChainPem),
  });
  const options = { key: local.key, ca: [certificatesToPem([acme.root])] };
  const forgetful = await nodeServer(context, { ...options, cert: local.alone });
  for (const identity of [ours(caller.whole), ours(caller.alone)]) {
    assertFirst(await examine(forgetful, { trust, identity }), "SERVER_CHAIN_INCOMPLETE");
  }
  const whole = await nodeServer(context, { ...options, cert: local.whole });
  assert.deepEqual((await examine(whole, { trust, identity: ours(caller.whole) })).findings, []);
  const report = await examine(whole, { trust, identity: ours(caller.alone) });
  assertFirst(report, "CLIENT_CHAIN_INCOMPLETE", /ours is of CN=Acme issuing,O=Acme/);
});

test("CLOCK_WRONG: the bundle is out of its time too", async (context) => {
  const report = await examine(await nodeServer(context), { now: fromNow(-3000 * day) });
  assertFirst(report, "CLOCK_WRONG", /not valid yet/);
});

test("SERVER_REVOKED, CRL_STALE: what revocation lists say", async (context) => {
  const served = await nodeServer(context);
  assertFirst(await examine(served, { crls: [list([server])] }), "SERVER_REVOKED", /at 20/);
  assertFirst(await examine(served, { crls: [list([], -day)] }), "CRL_STALE");
  assertFirst(await examine(served, { crls: [list([], day, stranger)] }), "CRL_MISSING");
});

test("NO_TRUST: nothing is verified without a bundle, and no certificate sent (S64)", async (context) => {
  const seen: boolean[] = [];
  const served = await tellingServer(context, seen);
  const report = await examine(served, { trust: undefined });
  assertFirst(report, "NO_TRUST");
  assert.equal(report.withCertificate, undefined);
  assert.deepEqual(new Set(seen), new Set([false]));
});

test("S64: a server that was not verified is sent no client certificate unless that was asked for", async (context) => {
  const foreign = stranger.issue({ name: "localhost" });
  const seen: boolean[] = [];
  const served = await tellingServer(context, seen, foreign);
  const report = await examine(served);
  assertFirst(report, "SERVER_CA_UNKNOWN");
  assert.equal(report.withCertificate, undefined);
  assert.deepEqual(new Set(seen), new Set([false]));
  seen.length = 0;
  await examine(served, { dangerouslySendCertificate: true });
  assert.ok(seen.includes(true));
});

test("CERTIFICATE_NOT_ASKED_FOR: a mutual server that never asks", async (context) => {
  const served = await nodeServer(context, { requestCert: false });
  const report = await examine(served);
  assertFirst(report, "CERTIFICATE_NOT_ASKED_FOR", /HTTP 200 hello/);
  assert.equal(report.clientCertificate, "not asked for");
});

test("CLIENT_CERTIFICATE_MISSING: a certificate is required, and none is there", async (context) => {
  for (const served of [await nodeServer(context), await ourServer(context)]) {
    const report = await examine(served, { identity: undefined });
    assertFirst(report, "CLIENT_CERTIFICATE_MISSING");
    assert.equal(report.clientCertificate, "required");
  }
});

const clients: readonly [AilmentCode, string, TestIdentity, Partial<MutualTlsOptions>?][] = [
  ["CLIENT_CA_UNKNOWN", "of a CA it does not trust", stranger.issue({ name: "alice" })],
  [
    "CLIENT_EXPIRED",
    "that has expired",
    authority.issue({ name: "alice", notBefore: fromNow(-9 * day), notAfter: fromNow(-day) }),
  ],
  [
    "CLIENT_NOT_YET_VALID",
    "of tomorrow",
    authority.issue({ name: "alice", notBefore: fromNow(day), notAfter: fromNow(9 * day) }),
  ],
  ["CLIENT_WRONG_PURPOSE", "for servers", authority.issue({ name: "alice", profile: "server" })],
  ["CLIENT_NOT_ADMITTED", "it does not admit", alice, { admit: oneOf(["dns:bob"]) }],
];

for (const [code, what, presented, options] of clients) {
  test(`${code}: a server of ours refuses a client certificate ${what}, and says so`, async (context) => {
    const report = await examine(await ourServer(context, options), {
      identity: identity(presented),
    });
    assertFirst(report, code);
    assert.equal(report.findings[0]?.certainty, "certain");
    assert.equal(report.withCertificate?.outcome, "refused");
  });
  if (code === "CLIENT_NOT_ADMITTED") continue;
  test(`${code}: Node refuses a client certificate ${what} without a word, and it is found out`, async (context) => {
    const report = await examine(await nodeServer(context), { identity: identity(presented) });
    assertFirst(report, code);
    assert.equal(report.findings[0]?.certainty, "likely");
    assert.equal(report.findings.at(-1)?.code, "CLIENT_REFUSED");
  });
}

test("CLIENT_REVOKED: Node refuses a revoked client without a word, and our own list says why", async (context) => {
  const crl = list([alice]);
  const served = await nodeServer(context, { crl: encodePem("X509 CRL", crl.der) });
  assertFirst(await examine(served, { crls: [crl] }), "CLIENT_REVOKED");
  assertFirst(await examine(served), "CLIENT_REFUSED", /closed without a word/);
});

test("CALL_DENIED, CLIENT_REFUSED, CLIENT_NOT_ADMITTED: what a server says beyond TLS", async (context) => {
  const answers: readonly [Record<string, string | number>, AilmentCode][] = [
    [{ ":status": 200, "grpc-status": "7", "grpc-message": "denied" }, "CALL_DENIED"],
    [{ ":status": 200, "grpc-status": "16" }, "CLIENT_REFUSED"],
    [{ ":status": 403 }, "CLIENT_NOT_ADMITTED"],
  ];
  for (const [headers, code] of answers) {
    const made = createSecureServer({
      cert: server.certificateChainPem,
      key: server.privateKeyPem,
      ca: [authority.bundlePem],
      requestCert: true,
      rejectUnauthorized: true,
    });
    made.on("stream", (stream) => {
      const answered = stream as ServerHttp2Stream;
      answered.on("error", () => {});
      answered.respond(headers, { endStream: true });
    });
    assertFirst(await examine(await listening(context, made)), code);
  }
});

test("a server's words reach no command that a person would paste", async (context) => {
  const name = "$(touch owned)";
  const hostile = authority.issue({ name: "x", dns: ["api"] });
  const served = await nodeServer(context, {
    cert: hostile.certificateChainPem,
    key: hostile.privateKeyPem,
  });
  const { findings } = await examine(served, { name });
  for (const { mend } of findings) assert.doesNotMatch(mend, /touch/);
});

test("every ailment says what it means, what others call it and what to do", () => {
  for (const [code, { means, seenAs, mend }] of Object.entries(ailments)) {
    assert.match(means, /^[A-Za-z].*[^.]$/s, code);
    assert.ok(seenAs.length > 0, code);
    assert.match(mend, /[^.]$/, code);
  }
});

/** Notes of each connection whether the client sent a certificate. */
async function tellingServer(
  context: TestContext,
  seen: boolean[],
  presented: TestIdentity = server,
): Promise<Served> {
  const made = createHttps(
    {
      cert: presented.certificateChainPem,
      key: presented.privateKeyPem,
      ca: [authority.bundlePem],
      requestCert: true,
      rejectUnauthorized: true,
    },
    (_request, response) => response.end("hello"),
  );
  made.on("secureConnection", (socket) => {
    seen.push(socket.getPeerX509Certificate() !== undefined);
  });
  made.on("tlsClientError", () => seen.push(false));
  return listening(context, made);
}

function list(
  revoked: readonly TestIdentity[],
  nextUpdateMs: number = day,
  issuer: Pick<TestAuthority, "certificate" | "privateKey"> = authority,
): Crl {
  return parseCrl(
    issueCrl({
      issuer,
      entries: revoked.map(({ certificate: { serialNumber } }) => ({
        serialNumber,
        revokedAt: fromNow(-day),
      })),
      number: 1,
      thisUpdate: fromNow(-9 * day),
      nextUpdate: fromNow(nextUpdateMs),
    }),
  );
}

/** A chain of an organisation's own: root, issuing CA, and a leaf for both uses. */
function organization(name: string): {
  readonly root: Certificate;
  leaf(name: string): { readonly whole: string; readonly alone: string; readonly key: string };
} {
  const subject = (what: string) =>
    createName([
      { type: "O", value: "Acme" },
      { type: "CN", value: what },
    ]);
  const times = { notBefore: fromNow(-day), notAfter: fromNow(day) };
  const rootKeys = generateKeyPair();
  const root = issueCertificate({
    ...rootKeys,
    ...times,
    profile: "root",
    subject: subject(`${name} root`),
    pathLength: 1,
    issuer: "self",
  });
  const keys = generateKeyPair();
  const issuing = issueCertificate({
    ...times,
    profile: "issuing",
    subject: subject(`${name} issuing`),
    publicKey: keys.publicKey,
    issuer: { certificate: root, privateKey: rootKeys.privateKey },
  });
  return {
    root,
    leaf(dns) {
      const own = generateKeyPair();
      const leaf = issueCertificate({
        ...times,
        profile: "peer",
        subject: subject(dns),
        publicKey: own.publicKey,
        subjectAltNames: { dns: [dns] },
        issuer: { certificate: issuing, privateKey: keys.privateKey },
      });
      return {
        whole: certificatesToPem([leaf, issuing]),
        alone: certificatesToPem([leaf]),
        key: encodePrivateKey(own.privateKey),
      };
    },
  };
}
