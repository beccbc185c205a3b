import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { createTestAuthority } from "@handfast/x509/testing";
import {
  parseCertificatesPem,
  parsePrivateKey,
  publicKeyMatches,
  verifyChain,
} from "@handfast/x509";

const hour = 3_600_000;

describe("the CA for tests", () => {
  const now = new Date("2026-01-01T00:00:00Z");
  const root = createTestAuthority({ now });

  test("issues a peer certificate with CN, DNS name and SPIFFE id, from an hour ago to tomorrow", () => {
    const { certificate } = root.issue({ name: "api" });
    assert.equal(certificate.subject.text, "CN=api");
    assert.deepEqual(certificate.subjectAltNames.dns, ["api"]);
    assert.deepEqual(certificate.subjectAltNames.uri, ["spiffe://handfast.test/api"]);
    assert.deepEqual(certificate.extendedKeyUsage, ["serverAuth", "clientAuth"]);
    assert.equal(certificate.notBefore.getTime(), now.getTime() - hour);
    assert.equal(certificate.notAfter.getTime(), now.getTime() + 24 * hour);
  });

  test("carries its trust domain as a URI name, unless it is told to name none (S15)", () => {
    assert.deepEqual(root.certificate.subjectAltNames.uri, ["spiffe://handfast.test"]);
    const nameless = createTestAuthority({ trustDomain: null });
    assert.deepEqual(nameless.certificate.subjectAltNames.uri, []);
    assert.deepEqual(nameless.issue({ name: "api" }).certificate.subjectAltNames.uri, []);
    const other = createTestAuthority({ trustDomain: "example.org" }).intermediate();
    assert.deepEqual(other.issue({ name: "api" }).certificate.subjectAltNames.uri, [
      "spiffe://example.org/api",
    ]);
  });

  test("gives key, chain and bundle as PEM: leaf and intermediates, and the root alone", () => {
    const issuing = root.intermediate();
    const leaf = issuing.issue({ name: "api" });
    assert.ok(publicKeyMatches(leaf.certificate, parsePrivateKey(leaf.privateKeyPem)));
    const fingerprints = (pem: string): string[] =>
      parseCertificatesPem(pem).map(({ fingerprint }) => fingerprint);
    assert.deepEqual(fingerprints(leaf.certificateChainPem), [
      leaf.certificate.fingerprint,
      issuing.certificate.fingerprint,
    ]);
    assert.deepEqual(fingerprints(issuing.bundlePem), [root.certificate.fingerprint]);
  });

  test("gives a name that is no DNS name no DNS name", () => {
    assert.deepEqual(
      root.issue({ name: "two words", uri: [] }).certificate.subjectAltNames.dns,
      [],
    );
  });

  test("makes chains whose validated path is given, never what was sent (S19)", () => {
    const issuing = root.intermediate();
    const stranger = createTestAuthority({ now });
    const leaf = issuing.issue({ name: "api" });
    const sent = [stranger.certificate, leaf.certificate, issuing.certificate, root.certificate];
    const verdict = verifyChain(
      { leaf: leaf.certificate, candidates: sent },
      { anchors: [root.certificate], now, purpose: "server", name: "api" },
    );
    assert.equal(verdict.ok, true);
    assert.deepEqual(
      verdict.path.map(({ subject }) => subject.text),
      ["CN=api", "CN=Test Issuing CA", "CN=Test Root CA"],
    );
    assert.equal(verdict.path[1], issuing.certificate);
    assert.equal(verdict.path[2], root.certificate);
  });
});
