// What identity and trust may be made of, and what keeps a bad value out.
import assert from "node:assert/strict";
import { chmod, mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import { createTestAuthority } from "@handfast/x509/testing";

import {
  anyTrustedPeer,
  createMutualTls,
  identityFromFiles,
  identityFromMemory,
  noRevocation,
  trustFromFile,
  trustFromMemory,
} from "../src/index.ts";
import type { TlsError } from "../src/index.ts";
import { addressOf, authority, read, recorder, runtime } from "./fixtures.ts";

const alice = authority.issue({ name: "alice" });
const bob = authority.issue({ name: "bob" });

const badBundles: readonly [string, string | Uint8Array, RegExp][] = [
  ["empty", "", /trust bundle/],
  ["blank", " \n\n", /trust bundle/],
  ["truncated", authority.bundlePem.slice(0, -60), /trust bundle/],
  ["one with a private key", `${authority.bundlePem}${alice.privateKeyPem}`, /trust bundle/],
  ["one with a leaf", `${authority.bundlePem}${alice.certificateChainPem}`, /not a CA certificate/],
  ["noise", new Uint8Array(1000).fill(0xff), /trust bundle/],
];

for (const [what, bundle, message] of badBundles) {
  test(`S16, S22: a trust bundle that is ${what} stops the start`, async () => {
    await assert.rejects(
      runtime(alice, { trust: trustFromMemory(bundle) }),
      (error: TlsError) => error.code === "TRUST_INVALID" && message.test(error.message),
    );
  });
}

test("an identity whose key is another's stops the start, and no key is in the message", async () => {
  await assert.rejects(
    runtime({ ...alice, privateKeyPem: bob.privateKeyPem }),
    (error: TlsError) =>
      error.code === "IDENTITY_INVALID" &&
      /does not belong to the certificate/.test(error.message) &&
      !/PRIVATE KEY/.test(error.message),
  );
});

test("an identity that has expired stops the start", async () => {
  const expired = authority.issue({
    notBefore: new Date(Date.now() - 60_000),
    notAfter: new Date(Date.now() - 5000),
  });
  await assert.rejects(runtime(expired), /expired/);
});

test("a certificate for clients only does not listen", async () => {
  await using caller = await runtime(authority.issue({ name: "alice", profile: "client" }));
  await assert.rejects(
    caller.mtls.listen(
      { host: "localhost", port: 0 },
      { h2: recorder(), clientCertificates: "required" },
    ),
    /for server use is needed/,
  );
});

async function withFiles(run: (path: (name: string) => string) => Promise<void>): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), "handfast-tls-"));
  try {
    await run((name) => join(directory, name));
  } finally {
    await rm(directory, { recursive: true });
  }
}

test("reload puts new files to use, says what it did, and does nothing where nothing changed", async () => {
  await withFiles(async (path) => {
    const put = async (name: string, text: string): Promise<void> => {
      await writeFile(path(`${name}.new`), text);
      await chmod(path(`${name}.new`), 0o600);
      await rename(path(`${name}.new`), path(name));
    };
    await put("cert.pem", alice.certificateChainPem);
    await put("key.pem", alice.privateKeyPem);
    await put("ca.pem", authority.bundlePem);
    const mtls = await createMutualTls({
      identity: identityFromFiles({ certFile: path("cert.pem"), keyFile: path("key.pem") }),
      trust: trustFromFile(path("ca.pem")),
      revocation: noRevocation(),
      admit: anyTrustedPeer(),
    });
    assert.deepEqual(await mtls.reload(), {
      identity: "unchanged",
      trust: "unchanged",
      revocation: "unchanged",
    });

    await put("cert.pem", bob.certificateChainPem);
    const half = await mtls.reload();
    assert.ok(typeof half.identity === "object" && /does not belong/.test(half.identity.kept));
    assert.equal(mtls.identity?.chain[0]?.subject.text, "CN=alice");

    await put("key.pem", bob.privateKeyPem);
    await mtls.reload();
    assert.equal(mtls.identity?.chain[0]?.subject.text, "CN=bob");

    const { bundlePem } = createTestAuthority({ commonName: "Another CA" });
    await put("ca.pem", `${authority.bundlePem}${bundlePem}`);
    await mtls.reload();
    assert.equal(mtls.trust.anchors.length, 2);
    await put("ca.pem", "");
    const kept = await mtls.reload();
    assert.ok(typeof kept.trust === "object");
    assert.equal(mtls.trust.anchors.length, 2);
    await mtls.close();
  });
});

test("new connections use the new certificate after a reload, open ones stay", async () => {
  let material = { certificateChain: alice.certificateChainPem, privateKey: alice.privateKeyPem };
  await using bank = await runtime(authority.issue({ name: "localhost" }));
  await using caller = await runtime(alice, {
    identity: { description: "changing", read: () => Promise.resolve(material) },
  });
  const h2 = recorder();
  const listener = await bank.mtls.listen(
    { host: "localhost", port: 0 },
    { h2, clientCertificates: "required" },
  );
  const first = await caller.mtls.dial(addressOf(listener));
  await read(first.socket);
  material = { certificateChain: bob.certificateChainPem, privateKey: bob.privateKeyPem };
  assert.equal((await caller.mtls.reload()).identity, "replaced");
  const second = await caller.mtls.dial(addressOf(listener));
  assert.equal(await read(second.socket), "hello spiffe://handfast.test/bob");
  assert.equal(first.socket.destroyed, false);
  assert.equal(bank.mtls.sessions().length, 2);
});

test("a server's new certificate is used by new connections, and TLS 1.2 stays refused", async () => {
  const { connect } = await import("node:tls");
  const { once } = await import("node:events");
  const old = authority.issue({ name: "localhost" });
  const fresh = authority.issue({ name: "localhost" });
  let material = { certificateChain: old.certificateChainPem, privateKey: old.privateKeyPem };
  await using bank = await runtime(old, {
    identity: { description: "changing", read: () => Promise.resolve(material) },
  });
  await using caller = await runtime(alice);
  const listener = await bank.mtls.listen(
    { host: "localhost", port: 0 },
    { h2: recorder(), clientCertificates: "required" },
  );
  const before = await caller.mtls.dial(addressOf(listener));
  assert.equal(before.peer.fingerprint, old.certificate.fingerprint);
  material = { certificateChain: fresh.certificateChainPem, privateKey: fresh.privateKeyPem };
  await bank.mtls.reload();
  const after = await caller.mtls.dial(addressOf(listener));
  assert.equal(after.peer.fingerprint, fresh.certificate.fingerprint);
  const outdated = connect({
    ...addressOf(listener),
    ca: [authority.bundlePem],
    maxVersion: "TLSv1.2",
    ALPNProtocols: ["h2"],
  });
  const [error] = (await once(outdated, "error")) as [NodeJS.ErrnoException];
  assert.equal(error.code, "ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION");
});

test("memory sources never change", async () => {
  await using caller = await runtime(alice, {
    identity: identityFromMemory({
      certificateChain: alice.certificateChainPem,
      privateKey: alice.privateKeyPem,
    }),
  });
  assert.equal((await caller.mtls.reload()).identity, "unchanged");
});
