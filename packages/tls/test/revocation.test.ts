// Revocation by CRL: what counts, what changes nothing, and what happens to those who are connected.
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtemp, rename, rm, unlink, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import { certificatesToPem, encodePem, issueCertificate, issueCrl } from "@handfast/x509";
import { createTestAuthority } from "@handfast/x509/testing";
import type { TestAuthority, TestIdentity } from "@handfast/x509/testing";

import { crlFromDirectory, crlFromSource, trustFromMemory } from "../src/index.ts";
import type {
  MutualTls,
  MutualTlsOptions,
  RevocationSource,
  TlsError,
  TlsEvent,
} from "../src/index.ts";
import { addressOf, authority, read, recorder, runtime } from "./fixtures.ts";

const server = authority.issue({ name: "localhost" });
const alice = authority.issue({ name: "alice" });
const bob = authority.issue({ name: "bob" });
const hour = 3_600_000;

interface CrlShape {
  readonly revoked?: readonly TestIdentity[];
  readonly number?: number;
  readonly by?: TestAuthority;
  readonly thisUpdate?: Date;
  readonly nextUpdate?: Date;
}

function crl({ revoked = [], number = 1, by = authority, ...times }: CrlShape = {}): Uint8Array {
  return issueCrl({
    issuer: by,
    entries: revoked.map(({ certificate }) => ({
      serialNumber: certificate.serialNumber,
      revokedAt: new Date(Date.now() - hour),
    })),
    number,
    thisUpdate: times.thisUpdate ?? new Date(Date.now() - hour),
    nextUpdate: times.nextUpdate ?? new Date(Date.now() + hour),
  });
}

/** A source whose content the test changes, followed by `mtls.reload()`. */
function crls(
  first: readonly Uint8Array[],
  undetermined: "refuse" | "admit" = "refuse",
): { source: RevocationSource; put(lists: readonly Uint8Array[]): void } {
  let lists = first;
  return {
    source: crlFromSource(
      {
        description: "lists of the test",
        read: () => Promise.resolve(lists.map((bytes, index) => ({ name: `${index}.crl`, bytes }))),
      },
      { undetermined },
    ),
    put: (next) => (lists = next),
  };
}

/** What a server with this revocation says to a client. */
async function say(
  bank: MutualTls,
  client: TestIdentity,
  options: Partial<MutualTlsOptions> = {},
): Promise<string> {
  await using caller = await runtime(client, options);
  const listener = await bank.listen(
    { host: "localhost", port: 0 },
    { h2: recorder(), clientCertificates: "required" },
  );
  const { socket } = await caller.mtls.dial(addressOf(listener));
  const heard = await read(socket);
  socket.destroy();
  return heard;
}

const warnings = (events: readonly TlsEvent[]): string[] =>
  events.flatMap((event) => (event.type === "revocation-warning" ? [event.reason] : []));

test("a listed client is refused, another is not", async () => {
  await using bank = await runtime(server, {
    revocation: crls([crl({ revoked: [alice] })]).source,
  });
  assert.match(
    await say(bank.mtls, alice),
    /^no CERTIFICATE_REVOKED: the certificate has been revoked$/,
  );
  assert.match(await say(bank.mtls, bob), /^hello/);
});

test("PEM is read as well as DER", async () => {
  const pem = new TextEncoder().encode(encodePem("X509 CRL", crl({ revoked: [alice] })));
  await using bank = await runtime(server, { revocation: crls([pem]).source });
  assert.match(await say(bank.mtls, alice), /^no CERTIFICATE_REVOKED/);
});

test("a client judges its server by revocation too", async () => {
  await using bank = await runtime(server);
  await using caller = await runtime(alice, {
    revocation: crls([crl({ revoked: [server] })]).source,
  });
  const listener = await bank.mtls.listen(
    { host: "localhost", port: 0 },
    { h2: recorder(), clientCertificates: "required" },
  );
  await assert.rejects(
    caller.mtls.dial(addressOf(listener)),
    (error: TlsError) => error.refusal?.code === "CERTIFICATE_REVOKED" && error.refusal.by === "us",
  );
});

test("S1: a CRL signed by another trusted CA of the same name neither revokes nor clears anybody", async () => {
  const twin = createTestAuthority();
  assert.equal(twin.certificate.subject.text, authority.certificate.subject.text);
  const lists = crls([crl({ revoked: [alice] })]);
  await using bank = await runtime(server, {
    revocation: lists.source,
    trust: trustFromMemory(authority.bundlePem + twin.bundlePem),
  });
  lists.put([
    crl({ revoked: [alice] }),
    crl({ revoked: [bob], by: twin, number: 9 }),
    crl({ by: twin, number: 8 }),
  ]);
  await bank.mtls.reload();
  assert.match(await say(bank.mtls, alice), /^no CERTIFICATE_REVOKED/);
  assert.match(await say(bank.mtls, bob), /^hello/);
});

test("S1: a newer list whose signature does not verify changes nothing", async () => {
  const lists = crls([crl({ revoked: [alice] })]);
  await using bank = await runtime(server, { revocation: lists.source });
  const forged = crl({ number: 99 });
  forged[forged.length - 1]! ^= 1;
  lists.put([forged]);
  await bank.mtls.reload();
  assert.match(await say(bank.mtls, alice), /^no CERTIFICATE_REVOKED/);
  const stranger = createTestAuthority({ commonName: "Stranger" });
  lists.put([crl({ by: stranger, number: 99 })]);
  await bank.mtls.reload();
  assert.match(await say(bank.mtls, alice), /^no CERTIFICATE_REVOKED/);
});

const useless: readonly [string, Uint8Array, RegExp][] = [
  ["older", crl({ number: 1 }), /has number 1, older than 5 in use/],
  [
    "of the same number and other content",
    crl({ number: 5, revoked: [bob] }),
    /the same number 5 and differ/,
  ],
  [
    "from the future",
    crl({
      number: 9,
      thisUpdate: new Date(Date.now() + hour / 2),
      nextUpdate: new Date(Date.now() + hour),
    }),
    /from the future/,
  ],
  ["truncated", crl({ number: 9 }).subarray(0, 100), /CRL/],
  ["a megabyte of noise", new Uint8Array(1024 * 1024).fill(0x30), /CRL/],
  ["two megabytes of noise", new Uint8Array(2 * 1024 * 1024).fill(0x30), /CRL/],
];

for (const [what, bytes, reason] of useless) {
  test(`S5: a list that is ${what} brings nobody back, and is told of once`, async () => {
    const lists = crls([crl({ revoked: [alice], number: 5 })]);
    await using bank = await runtime(server, { revocation: lists.source });
    lists.put([bytes]);
    const { revocation } = await bank.mtls.reload();
    assert.ok(typeof revocation === "object" && reason.test(revocation.kept));
    await bank.mtls.reload();
    assert.equal(warnings(bank.events).filter((text) => reason.test(text)).length, 1);
    assert.match(await say(bank.mtls, alice), /^no CERTIFICATE_REVOKED/);
    assert.match(await say(bank.mtls, bob), /^hello/);
  });
}

test("S5: a list that is gone still revokes, until that is taken back in words", async () => {
  const lists = crls([crl({ revoked: [alice] })], "admit");
  await using bank = await runtime(server, { revocation: lists.source });
  lists.put([]);
  await bank.mtls.reload();
  assert.match(await say(bank.mtls, alice), /^no CERTIFICATE_REVOKED/);
  assert.match(warnings(bank.events).join(), /is gone: what it revoked stays revoked/);
  await bank.mtls.reload({ forgetMissing: true });
  assert.match(await say(bank.mtls, alice), /^hello/);
});

test('S2: under "refuse" a source that covers no CA stops the start', async () => {
  await assert.rejects(
    runtime(server, { revocation: crls([]).source }),
    (error: TlsError) => error.code === "REVOCATION_INVALID",
  );
});

test('S2: under "admit" a source that covers no CA is warned about, and the gauge says how many', async () => {
  await using bank = await runtime(server, { revocation: crls([], "admit").source });
  assert.match(warnings(bank.events).join(), /revocation is off/);
  assert.equal(bank.mtls.uncoveredAuthorities, 1);
  assert.match(await say(bank.mtls, alice), /^hello/);
});

test('S2: under "refuse" a client of a CA that no list covers is refused', async () => {
  const other = createTestAuthority({ commonName: "Other" });
  await using bank = await runtime(server, {
    revocation: crls([crl()]).source,
    trust: trustFromMemory(authority.bundlePem + other.bundlePem),
  });
  assert.match(
    await say(bank.mtls, other.issue({ name: "carol" })),
    /^no CERTIFICATE_VERIFICATION_FAILED/,
  );
});

for (const undetermined of ["refuse", "admit"] as const) {
  test(`S3: after nextUpdate a listed client stays refused under "${undetermined}", an unlisted one is ${undetermined === "refuse" ? "refused" : "admitted"}`, async () => {
    const lists = crls(
      [crl({ revoked: [alice], nextUpdate: new Date(Date.now() + 1000) })],
      undetermined,
    );
    let time = new Date();
    await using bank = await runtime(server, { revocation: lists.source, now: () => time });
    assert.match(await say(bank.mtls, bob), /^hello/);
    time = new Date(Date.now() + 2000);
    assert.match(await say(bank.mtls, alice), /^no CERTIFICATE_REVOKED/);
    assert.match(
      await say(bank.mtls, bob),
      undetermined === "refuse" ? /^no CERTIFICATE_VERIFICATION_FAILED/ : /^hello/,
    );
  });
}

test("S6: revoking an issuing CA refuses all its clients; the root is not looked up", async () => {
  const issuing = authority.intermediate({ commonName: "Issuing" });
  const carol = issuing.issue({ name: "carol" });
  const list = issueCrl({
    issuer: authority,
    entries: [
      { serialNumber: issuing.certificate.serialNumber, revokedAt: new Date(Date.now() - hour) },
    ],
    number: 2,
    thisUpdate: new Date(Date.now() - hour),
    nextUpdate: new Date(Date.now() + hour),
  });
  const lists = crls([crl(), crl({ by: issuing })]);
  await using bank = await runtime(server, { revocation: lists.source });
  assert.match(await say(bank.mtls, carol), /^hello/);
  lists.put([list]);
  await bank.mtls.reload();
  assert.match(await say(bank.mtls, carol), /^no CERTIFICATE_REVOKED/);
  assert.match(await say(bank.mtls, alice), /^hello/);
});

test("S8: a CA revoked under one root is refused through its cross-signed twin", async () => {
  const other = createTestAuthority({ commonName: "Other Root" });
  const issuing = authority.intermediate({ commonName: "Issuing" });
  const carol = issuing.issue({ name: "carol" });
  const twin = issueCertificate({
    profile: "issuing",
    subject: issuing.certificate.subject,
    publicKey: issuing.certificate.publicKey,
    issuer: other,
    subjectAltNames: { uri: ["spiffe://handfast.test"] },
    notBefore: new Date(Date.now() - hour),
    notAfter: new Date(Date.now() + hour),
  });
  const throughTwin = {
    ...carol,
    certificateChainPem: certificatesToPem([carol.certificate, twin]),
  };
  const lists = crls([crl(), crl({ by: other }), crl({ by: issuing })]);
  await using bank = await runtime(server, {
    revocation: lists.source,
    trust: trustFromMemory(authority.bundlePem + other.bundlePem),
  });
  assert.match(await say(bank.mtls, carol), /^hello/);
  assert.match(await say(bank.mtls, throughTwin), /^hello/);
  const list = issueCrl({
    issuer: authority,
    entries: [
      {
        serialNumber: issuing.certificate.serialNumber,
        revokedAt: new Date(0),
        reason: "keyCompromise",
      },
    ],
    number: 2,
    thisUpdate: new Date(Date.now() - hour),
    nextUpdate: new Date(Date.now() + hour),
  });
  lists.put([list]);
  await bank.mtls.reload();
  assert.match(await say(bank.mtls, carol), /^no CERTIFICATE_REVOKED/);
  assert.match(await say(bank.mtls, throughTwin), /^no CERTIFICATE_REVOKED/);
});

test("S1: a list that came before its signer was known waits, and counts once the signer is met", async () => {
  const issuing = authority.intermediate({ commonName: "Issuing" });
  const carol = issuing.issue({ name: "carol" });
  const lists = crls([crl(), crl({ by: issuing, revoked: [carol] })]);
  await using bank = await runtime(server, { revocation: lists.source });
  assert.match(await say(bank.mtls, carol), /^no CERTIFICATE_REVOKED/);
});

test("S10: nothing is looked up about a certificate whose path does not verify", async () => {
  const forger = createTestAuthority();
  await using bank = await runtime(server, {
    revocation: crls([crl({ revoked: [alice] })]).source,
  });
  const forged = forger.issue({ name: "alice" });
  const heard = await say(bank.mtls, forged);
  assert.doesNotMatch(heard, /REVOKED/);
  assert.match(heard, /^no (CERTIFICATE_AUTHORITY_INVALID|SIGNATURE_VERIFICATION_FAILED)/);
});

test("S4: URLs in a presented certificate are never fetched", async () => {
  let connections = 0;
  const listener = createServer((socket) => {
    connections++;
    socket.destroy();
  }).listen(0, "127.0.0.1");
  await once(listener, "listening");
  const { port } = listener.address() as { port: number };
  const url = `http://127.0.0.1:${port}/`;
  const lured = authority.issue({ name: "lured", crlUrls: [url], ocspUrls: [url] });
  await using bank = await runtime(server, { revocation: crls([crl()], "admit").source });
  assert.match(await say(bank.mtls, lured), /^hello/);
  assert.equal(connections, 0);
  listener.close();
});

test("a revoked client's open session is cut within a second of the file's arrival, and nobody else's", async () => {
  const directory = await mkdtemp(join(tmpdir(), "handfast-crl-"));
  try {
    await writeFile(join(directory, "ca.crl"), crl());
    await using bank = await runtime(server, {
      revocation: crlFromDirectory(directory, { undetermined: "refuse" }),
    });
    await using first = await runtime(alice);
    await using second = await runtime(bob);
    const listener = await bank.mtls.listen(
      { host: "localhost", port: 0 },
      { h2: recorder(), clientCertificates: "required" },
    );
    const cut = await first.mtls.dial(addressOf(listener));
    const kept = await second.mtls.dial(addressOf(listener));
    await Promise.all([read(cut.socket), read(kept.socket)]);
    cut.socket.resume();

    await writeFile(join(directory, "new"), crl({ revoked: [alice], number: 2 }));
    const started = performance.now();
    await rename(join(directory, "new"), join(directory, "ca.crl"));
    await once(cut.socket, "close");
    assert.ok(performance.now() - started < 1000, `cut after ${performance.now() - started} ms`);
    assert.equal(kept.socket.destroyed, false);
    assert.match(await say(bank.mtls, alice), /^no CERTIFICATE_REVOKED/);

    await unlink(join(directory, "ca.crl"));
    await bank.mtls.reload();
    assert.match(await say(bank.mtls, alice), /^no CERTIFICATE_REVOKED/);
  } finally {
    await rm(directory, { recursive: true });
  }
});

test("a list of more than a megabyte is read in another thread and counts all the same", async () => {
  const entries = Array.from({ length: 60_000 }, (_, index) => ({
    serialNumber: (0x1000_0000 + index).toString(16) as TestIdentity["certificate"]["serialNumber"],
    revokedAt: new Date(Date.now() - hour),
  }));
  entries.push({
    serialNumber: alice.certificate.serialNumber,
    revokedAt: new Date(Date.now() - hour),
  });
  const large = issueCrl({
    issuer: authority,
    entries,
    number: 7,
    thisUpdate: new Date(Date.now() - hour),
    nextUpdate: new Date(Date.now() + hour),
  });
  assert.ok(large.length > 1024 * 1024);
  await using bank = await runtime(server, { revocation: crls([large]).source });
  assert.match(await say(bank.mtls, alice), /^no CERTIFICATE_REVOKED/);
  assert.match(await say(bank.mtls, bob), /^hello/);
});
