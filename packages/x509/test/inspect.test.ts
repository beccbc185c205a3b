import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { createTestAuthority } from "@handfast/x509/testing";
import { createName, inspect, issueCertificate, trustDomainConstraints } from "@handfast/x509";
import { parseCertificate } from "@handfast/x509";
import { NULL } from "../src/der.ts";
import { forge, forgeExtension } from "./forge.ts";

const now = new Date("2026-01-01T00:00:00Z");

describe("the description of a certificate", () => {
  test("is plain data that survives JSON", () => {
    const root = createTestAuthority({ now });
    const { certificate } = root.issue({ name: "api", ip: ["::1"], email: ["a@b.example"] });
    const description = inspect(certificate);
    assert.deepEqual(JSON.parse(JSON.stringify(description)), description);
    const { authorityKeyIdentifier, fingerprint, serialNumber, subjectKeyIdentifier, ...rest } =
      description;
    assert.match(fingerprint, /^[0-9a-f]{64}$/);
    assert.match(serialNumber, /^[0-9a-f]{34}$/);
    assert.match(subjectKeyIdentifier ?? "", /^[0-9a-f]{40}$/);
    assert.equal(authorityKeyIdentifier, inspect(root.certificate).subjectKeyIdentifier);
    assert.deepEqual(rest, {
      subject: "CN=api",
      issuer: "CN=Test Root CA",
      notBefore: "2025-12-31T23:00:00Z",
      notAfter: "2026-01-02T00:00:00Z",
      selfIssued: false,
      publicKey: "ECDSA P-256",
      signatureAlgorithm: "ECDSA-SHA256",
      names: {
        dns: ["api"],
        ip: ["::1"],
        uri: ["spiffe://handfast.test/api"],
        email: ["a@b.example"],
        directory: [],
        other: [],
      },
      spiffeId: "spiffe://handfast.test/api",
      ca: false,
      keyUsage: ["digitalSignature"],
      extendedKeyUsage: ["serverAuth", "clientAuth"],
      policies: [],
      crlUrls: [],
      ocspUrls: [],
      issuerUrls: [],
      noRevocationAvailable: false,
      unknownExtensions: [],
      remarks: [],
      findings: [],
    });
  });

  test("shows the addresses, the policies and the size of an RSA key", () => {
    const root = createTestAuthority({ algorithm: "rsa-2048" });
    const description = inspect(
      issueCertificate({
        profile: "server",
        subject: createName([{ type: "CN", value: "api" }]),
        publicKey: root.certificate.subjectPublicKeyInfo,
        issuer: { certificate: root.certificate, privateKey: root.privateKey },
        notBefore: now,
        notAfter: now,
        crlUrls: ["http://ca.example/ca.crl"],
        ocspUrls: ["http://ca.example/ocsp"],
        issuerUrls: ["http://ca.example/ca.crt"],
        policies: ["1.2.3.4"],
      }),
    );
    assert.equal(description.publicKey, "RSA 2048 bits");
    assert.equal(description.signatureAlgorithm, "RSA-SHA256");
    assert.deepEqual(description.crlUrls, ["http://ca.example/ca.crl"]);
    assert.deepEqual(description.ocspUrls, ["http://ca.example/ocsp"]);
    assert.deepEqual(description.issuerUrls, ["http://ca.example/ca.crt"]);
    assert.deepEqual(description.policies, ["1.2.3.4"]);
  });

  test("says that a CA bound to a trust domain can name any path of it (S46)", () => {
    const root = createTestAuthority();
    const bound = root.intermediate({
      nameConstraints: trustDomainConstraints("handfast.test", { ip: ["10.0.0.0/8"] }),
    });
    const { nameConstraints, remarks } = inspect(bound.certificate);
    assert.deepEqual(remarks, ["this CA can name any path of spiffe://handfast.test"]);
    assert.deepEqual(nameConstraints, {
      permitted: ["ip:10.0.0.0/8", "uri:handfast.test", "email:invalid"],
      excluded: ["dns:(all)", "ip:::/0"],
    });
  });

  test("says that nothing binds a CA to the trust domain it names (S46)", () => {
    const { remarks } = inspect(createTestAuthority().certificate);
    assert.deepEqual(remarks, [
      "this CA speaks for spiffe://handfast.test, and no name constraint binds it to that domain",
    ]);
  });

  test("names unknown extensions and what lint finds", () => {
    const description = inspect(
      parseCertificate(forge({ extensions: [forgeExtension("1.2.3", NULL, true)] })),
    );
    assert.deepEqual(description.unknownExtensions, [{ oid: "1.2.3", critical: true }]);
    assert.equal(description.findings[0]?.rule, "unknown-critical-extension");
  });
});
