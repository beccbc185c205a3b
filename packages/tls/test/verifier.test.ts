// What the verifier decides beyond signatures and dates: identities, trust domains, admission, limits.
import assert from "node:assert/strict";
import { test } from "node:test";
import { connect } from "node:tls";

import { certificatesToPem, createName, encodePrivateKey } from "@handfast/x509";
import { createTestAuthority } from "@handfast/x509/testing";
import type { TestIdentity } from "@handfast/x509/testing";

import {
  isVerifiedPeer,
  matching,
  memberOf,
  spiffeId,
  trustFromMemory,
  trustFromSeveral,
} from "../src/index.ts";
import type { MutualTlsOptions, TlsEvent, VerifiedPeer } from "../src/index.ts";
import { addressOf, authority, read, recorder, runtime } from "./fixtures.ts";

const server = authority.issue({ name: "localhost" });
const alice = authority.issue({ name: "alice" });

/** Lets a client connect, and returns what the server made of it. */
async function meet(
  client: TestIdentity,
  options: Partial<MutualTlsOptions> = {},
): Promise<{ heard: string; peer: VerifiedPeer | undefined; events: TlsEvent[] }> {
  await using bank = await runtime(server, options);
  await using caller = await runtime(client);
  const h2 = recorder();
  const listener = await bank.mtls.listen(
    { host: "localhost", port: 0 },
    { h2, clientCertificates: "required" },
  );
  const { socket } = await caller.mtls.dial(addressOf(listener));
  const heard = await read(socket);
  await bank.next(({ type }) => type === "handshake");
  return { heard, peer: h2.accepted[0], events: bank.events };
}

const wrongAnswers: readonly [string, () => unknown][] = [
  [
    "throws",
    () => {
      throw new Error("boom");
    },
  ],
  ["returns a promise of true", () => Promise.resolve(true)],
  ["returns a promise that rejects", () => Promise.reject(new Error("late"))],
  ["returns 1", () => 1],
  ["returns undefined", () => undefined],
  ["returns an object", () => ({ admitted: true })],
];

for (const [what, answer] of wrongAnswers) {
  test(`S11: an admission rule that ${what} admits nobody and is reported as a fault`, async () => {
    const { heard, peer, events } = await meet(alice, { admit: matching(answer as () => boolean) });
    assert.match(heard, /^no NOT_ADMITTED/);
    assert.equal(peer, undefined);
    assert.equal(events.filter(({ type }) => type === "admission-fault").length, 1);
  });
}

test("S11: an admission rule that returns false is no fault", async () => {
  const { heard, events } = await meet(alice, { admit: matching(() => false) });
  assert.match(heard, /^no NOT_ADMITTED/);
  assert.equal(events.filter(({ type }) => type === "admission-fault").length, 0);
});

const identities: readonly [string, Parameters<typeof authority.issue>[0], string | undefined][] = [
  [
    "one SPIFFE id, whatever DNS names",
    { name: "alice", dns: ["a", "b"] },
    "spiffe://handfast.test/alice",
  ],
  ["two SPIFFE ids", { uri: ["spiffe://handfast.test/a", "spiffe://handfast.test/b"] }, undefined],
  [
    "a SPIFFE id and another URI",
    { uri: ["spiffe://handfast.test/a", "https://a.test/"] },
    undefined,
  ],
  ["one other URI", { uri: ["https://a.test/"] }, "uri:https://a.test/"],
  ["one DNS name", { uri: [], dns: ["a.test"] }, "dns:a.test"],
  ["two DNS names", { uri: [], dns: ["a.test", "b.test"] }, undefined],
  [
    "a subject only",
    { uri: [], dns: [], subject: createName([{ type: "CN", value: "alice" }]) },
    "dn:CN=alice",
  ],
];

for (const [what, names, identity] of identities) {
  test(`S14: the identity of a certificate with ${what} is ${identity ?? "undefined"}`, async () => {
    const { peer } = await meet(authority.issue(names));
    assert.ok(isVerifiedPeer(peer));
    assert.equal(peer.identity, identity);
  });
}

test("S27: a certificate that names nobody is refused", async () => {
  const { heard } = await meet(
    authority.issue({ uri: [], dns: [], ip: ["127.0.0.1"], subject: createName([]) }),
  );
  assert.match(heard, /^no CERTIFICATE_MALFORMED/);
});

test("S15: a SPIFFE id under a CA that names no trust domain is not believed", async () => {
  const plain = createTestAuthority({ trustDomain: null });
  const { heard } = await meet(
    plain.issue({ name: "alice", uri: ["spiffe://handfast.test/admin"] }),
    {
      trust: trustFromMemory(plain.bundlePem),
    },
  );
  assert.match(heard, /^no NOT_ADMITTED/);
});

test("S15: a CA that names no trust domain speaks for the one its bundle was given", async () => {
  const plain = createTestAuthority({ trustDomain: null });
  const { peer } = await meet(plain.issue({ uri: ["spiffe://partner.test/alice"] }), {
    trust: trustFromMemory(plain.bundlePem, { trustDomain: "partner.test" }),
  });
  assert.equal(peer?.identity, "spiffe://partner.test/alice");
});

test("S15: the CA of one trust domain cannot speak for another", async () => {
  const partner = createTestAuthority({ trustDomain: "partner.test" });
  const { heard, peer } = await meet(partner.issue({ uri: ["spiffe://handfast.test/admin"] }), {
    trust: trustFromSeveral([
      trustFromMemory(authority.bundlePem),
      trustFromMemory(partner.bundlePem),
    ]),
  });
  assert.match(heard, /^no NOT_ADMITTED/);
  assert.equal(peer, undefined);
});

test("S15: one foreign SPIFFE id among several names is enough to be refused", async () => {
  const { heard } = await meet(
    authority.issue({ uri: ["spiffe://handfast.test/a", "spiffe://partner.test/b"] }),
  );
  assert.match(heard, /^no NOT_ADMITTED/);
});

test("a SPIFFE id without a path belongs to a CA, not to a peer", async () => {
  const { heard } = await meet(authority.issue({ uri: ["spiffe://handfast.test"] }));
  assert.match(heard, /^no SPIFFE_ID_INVALID/);
});

test("a CA certificate is no peer's certificate", async () => {
  await using bank = await runtime(server);
  const h2 = recorder();
  const listener = await bank.mtls.listen(
    { host: "localhost", port: 0 },
    { h2, clientCertificates: "required" },
  );
  const { certificate, privateKey } = authority.intermediate();
  const socket = connect({
    ...addressOf(listener),
    ca: [authority.bundlePem],
    cert: certificatesToPem([certificate]),
    key: encodePrivateKey(privateKey),
    ALPNProtocols: ["h2"],
  });
  assert.match(await read(socket), /^no CERTIFICATE_WRONG_PURPOSE/);
  assert.equal(h2.accepted.length, 0);
});

test("S19: the peer's chain is the validated path, and what was sent beside it is dropped", async () => {
  const issuing = authority.intermediate();
  const leaf = issuing.issue({ name: "alice" });
  const { peer } = await meet({ ...leaf, certificateChainPem: leaf.certificateChainPem });
  assert.deepEqual(
    peer?.chain.map(({ fingerprint }) => fingerprint),
    [leaf.certificate, issuing.certificate, authority.certificate].map(
      ({ fingerprint }) => fingerprint,
    ),
  );
  assert.ok(Object.isFrozen(peer));
});

test("S19: a chain of more than ten certificates is malformed, whatever they are", async () => {
  await using bank = await runtime(server);
  const h2 = recorder();
  const listener = await bank.mtls.listen(
    { host: "localhost", port: 0 },
    { h2, clientCertificates: "required" },
  );
  const authorities = [authority];
  while (authorities.length < 11) {
    const last = authorities.at(-1);
    if (last !== undefined) authorities.push(last.intermediate());
  }
  const leaf = authorities.at(-1)?.issue({ name: "alice" });
  assert.ok(leaf !== undefined);
  const sent = [
    leaf.certificate,
    ...authorities.map(({ certificate }) => certificate).toReversed(),
  ];
  for (const count of [10, 11]) {
    const socket = connect({
      ...addressOf(listener),
      ca: [authority.bundlePem],
      cert: certificatesToPem(sent.slice(0, count)),
      key: leaf.privateKeyPem,
      ALPNProtocols: ["h2"],
    });
    await read(socket);
    socket.destroy();
  }
  const [ten, eleven] = [h2.accepted.length, h2.refused.at(-1)];
  assert.equal(ten + h2.refused.length, 2);
  assert.notEqual(h2.refused.at(-2)?.code, "CERTIFICATE_MALFORMED");
  assert.equal(eleven?.code, "CERTIFICATE_MALFORMED");
  assert.match(eleven.message, /the chain is too long/);
});

test("an object that looks like a verified peer is none", async () => {
  const { peer } = await meet(alice);
  assert.ok(peer !== undefined);
  assert.equal(isVerifiedPeer(peer), true);
  assert.equal(isVerifiedPeer({ ...peer }), false);
});

test("members of the trust domain are admitted, others are not", async () => {
  const { peer } = await meet(alice, { admit: memberOf("handfast.test") });
  assert.equal(peer?.commonNames[0], "alice");
  const { heard } = await meet(alice, { admit: memberOf("partner.test") });
  assert.match(heard, /^no NOT_ADMITTED/);
});

test("a dialled server is judged by its SPIFFE id where that is expected, whatever its names", async () => {
  await using bank = await runtime(authority.issue({ name: "elsewhere" }));
  await using caller = await runtime(alice);
  const listener = await bank.mtls.listen(
    { host: "localhost", port: 0 },
    { h2: recorder(), clientCertificates: "required" },
  );
  const { peer } = await caller.mtls.dial(addressOf(listener), {
    expect: spiffeId("spiffe://handfast.test/elsewhere"),
  });
  assert.equal(peer.spiffeId?.path, "/elsewhere");
  await assert.rejects(
    caller.mtls.dial(addressOf(listener), { expect: spiffeId("spiffe://handfast.test/bank") }),
    /CERTIFICATE_HOSTNAME_MISMATCH: expected spiffe:\/\/handfast.test\/bank/,
  );
});
