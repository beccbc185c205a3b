import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { describe, test } from "node:test";
import { createTestAuthority } from "@handfast/x509/testing";
import {
  certificatesToPem,
  createIssuer,
  createName,
  generateKeyPair,
  issueCertificate,
  parseCertificate,
  parseCertificatesPem,
  profiles,
  publicKeyMatches,
  validityFrom,
  type Certificate,
  type KeyAlgorithm,
  type Profile,
} from "@handfast/x509";
import { namedBits, sequence, TRUE } from "../src/der.ts";
import { forge, forgeExtension } from "./forge.ts";
import { openssl, withoutOpenssl } from "./openssl.ts";

const classic: readonly KeyAlgorithm[] = ["ecdsa-p256", "ecdsa-p384", "ed25519", "rsa-2048"];
const postQuantum: readonly KeyAlgorithm[] = ["ml-dsa-44", "ml-dsa-65", "ml-dsa-87"];

describe("what is issued", () => {
  for (const algorithm of classic) {
    test(
      `is accepted by openssl verify, for ${algorithm} and each profile`,
      { skip: withoutOpenssl },
      () => {
        const root = createTestAuthority({ algorithm });
        const issuing = root.intermediate();
        for (const [profile, purpose] of [
          ["server", "sslserver"],
          ["client", "sslclient"],
          ["peer", "sslserver"],
          ["peer", "sslclient"],
          ["svid", "sslserver"],
          ["svid", "sslclient"],
          ["ocspSigner", "ocsphelper"],
        ] as const) {
          const leaf = issuing.issue({ name: "api", profile });
          const printed = openssl(
            [
              "verify",
              "-x509_strict",
              "-purpose",
              purpose,
              "-CAfile",
              "ca.pem",
              "-untrusted",
              "i.pem",
              "leaf.pem",
            ],
            {
              "ca.pem": root.bundlePem,
              "i.pem": certificatesToPem([issuing.certificate]),
              "leaf.pem": certificatesToPem([leaf.certificate]),
            },
          );
          assert.match(printed, /leaf\.pem: OK/);
        }
      },
    );
  }

  for (const algorithm of [...classic, ...postQuantum]) {
    test(`is read by Node and verifies under its issuer, for ${algorithm}`, () => {
      const root = createTestAuthority({ algorithm });
      for (const profile of Object.keys(profiles) as Profile[]) {
        if (profile === "root" || profile === "issuing") continue;
        const leaf = root.issue({ name: "api", profile });
        const theirs = new X509Certificate(leaf.certificate.der);
        assert.equal(theirs.verify(root.certificate.publicKey), true);
        assert.equal(theirs.checkIssued(new X509Certificate(root.certificate.der)), true);
        assert.equal(theirs.checkPrivateKey(leaf.privateKey), true);
        assert.equal(theirs.subject, "CN=api");
        assert.equal(
          parseCertificate(leaf.certificate.der).fingerprint,
          leaf.certificate.fingerprint,
        );
        assert.equal(publicKeyMatches(leaf.certificate, leaf.privateKey), true);
        assert.equal(publicKeyMatches(leaf.certificate, root.privateKey), false);
      }
    });
  }

  test("starts one minute before now, so that clocks may differ", () => {
    const { notBefore, notAfter } = validityFrom(new Date("2026-01-01T00:00:00Z"), 60);
    assert.equal(notBefore.toISOString(), "2025-12-31T23:59:00.000Z");
    assert.equal(notAfter.toISOString(), "2026-01-01T00:01:00.000Z");
  });

  test("has dates as UTCTime to 2049 and GeneralizedTime from 2050", () => {
    const root = createTestAuthority({
      notBefore: new Date("2049-12-31T23:59:59Z"),
      notAfter: new Date("2050-01-01T00:00:00Z"),
    });
    const text = Buffer.from(root.certificate.der).toString("latin1");
    assert.ok(text.includes("\x17\x0d491231235959Z\x18\x0f20500101000000Z"));
    assert.equal(root.certificate.notAfter.toISOString(), "2050-01-01T00:00:00.000Z");
  });

  test("has a critical subject alternative name where the subject is empty", () => {
    const root = createTestAuthority();
    const leaf = root.issue({ name: "api", subject: createName([]) });
    const extension = leaf.certificate.extensions.find(({ oid }) => oid === "2.5.29.17");
    assert.equal(extension?.critical, true);
    assert.equal(leaf.certificate.subject.text, "");
  });

  test("keeps a chain of leaf and intermediates as PEM, which reads back", () => {
    const leaf = createTestAuthority().intermediate().issue({ name: "api" });
    const [first, second, ...rest] = parseCertificatesPem(leaf.certificateChainPem);
    assert.equal(first?.subject.text, "CN=api");
    assert.equal(second?.subject.text, "CN=Test Issuing CA");
    assert.equal(rest.length, 0);
  });
});

describe("issuing refuses", () => {
  const root = createTestAuthority();
  const { publicKey } = generateKeyPair();
  const base = {
    subject: createName([{ type: "CN", value: "api" }]),
    publicKey,
    issuer: createIssuer(root.certificate, root.privateKey),
    ...validityFrom(new Date(), 3600),
  };
  const cases: [string, string, () => unknown][] = [
    [
      "an SVID with two URI names",
      "ISSUE_REFUSED",
      () =>
        issueCertificate({
          ...base,
          profile: "svid",
          subjectAltNames: { uri: ["spiffe://a/b", "spiffe://a/c"] },
        }),
    ],
    [
      "an SVID without a path",
      "ISSUE_REFUSED",
      () =>
        issueCertificate({ ...base, profile: "svid", subjectAltNames: { uri: ["spiffe://a"] } }),
    ],
    [
      "a leaf without any name",
      "ISSUE_REFUSED",
      () => issueCertificate({ ...base, profile: "peer", subject: createName([]) }),
    ],
    [
      "noRevAvail beside a CRL address",
      "ISSUE_REFUSED",
      () =>
        issueCertificate({
          ...base,
          profile: "peer",
          noRevocationAvailable: true,
          crlUrls: ["http://ca.test/crl"],
        }),
    ],
    [
      "a path length on a leaf",
      "ISSUE_REFUSED",
      () => issueCertificate({ ...base, profile: "peer", pathLength: 1 }),
    ],
    [
      "a DNS name with a wildcard inside",
      "NAME_INVALID",
      () => issueCertificate({ ...base, profile: "peer", subjectAltNames: { dns: ["a.*.b"] } }),
    ],
    [
      "an IP address that is none",
      "NAME_INVALID",
      () => issueCertificate({ ...base, profile: "peer", subjectAltNames: { ip: ["10.0.0.256"] } }),
    ],
    [
      "a URI without authority",
      "NAME_INVALID",
      () => issueCertificate({ ...base, profile: "peer", subjectAltNames: { uri: ["urn:a"] } }),
    ],
    [
      "a public key that is none",
      "PUBLIC_KEY_MALFORMED",
      () => issueCertificate({ ...base, profile: "peer", publicKey: Uint8Array.of(0x30, 0) }),
    ],
    [
      "a validity that ends before it begins",
      "ISSUE_REFUSED",
      () =>
        issueCertificate({
          ...base,
          profile: "peer",
          notBefore: base.notAfter,
          notAfter: base.notBefore,
        }),
    ],
    [
      "a CA without a subject",
      "ISSUE_REFUSED",
      () => issueCertificate({ ...base, profile: "issuing", subject: createName([]) }),
    ],
    [
      "a CA that may sign lists but no certificates as issuer",
      "ISSUE_REFUSED",
      () => createIssuer(listSigner(), root.privateKey),
    ],
    [
      "a leaf as issuer",
      "ISSUE_REFUSED",
      () => createIssuer(parseCertificate(forge()), root.privateKey),
    ],
    [
      "a key that is not the issuer's",
      "KEY_MISMATCH",
      () => createIssuer(root.certificate, generateKeyPair().privateKey),
    ],
    [
      "an RSA key of 1,024 bits",
      "ALGORITHM_UNSUPPORTED",
      () => issueCertificate({ ...base, profile: "peer", publicKey: weakRsaKey() }),
    ],
  ];
  for (const [name, code, run] of cases) test(name, () => assert.throws(run, { code }));

  test("what is wrong use of the API, with a TypeError", () => {
    const issuing = { ...base, profile: "issuing" } as const;
    assert.throws(() => validityFrom(new Date(), 0), TypeError);
    assert.throws(() => issueCertificate({ ...issuing, pathLength: -1 }), TypeError);
    assert.throws(() => issueCertificate({ ...issuing, pathLength: 0.5 }), TypeError);
    assert.throws(() => issueCertificate({ ...issuing, policies: ["policy"] }), TypeError);
    assert.throws(() => issueCertificate({ ...issuing, policies: ["1.40"] }), TypeError);
    assert.throws(() => issueCertificate({ ...issuing, notAfter: new Date(Number.NaN) }), {
      code: "ISSUE_REFUSED",
    });
  });
});

/** A CA certificate whose key usage has cRLSign alone. */
function listSigner(): Certificate {
  return parseCertificate(
    forge({
      extensions: [
        forgeExtension("2.5.29.19", sequence([TRUE]), true),
        forgeExtension("2.5.29.15", namedBits([6]), true),
      ],
    }),
  );
}

function weakRsaKey(): Uint8Array {
  return Uint8Array.from(Buffer.from(WEAK_RSA_KEY, "base64"));
}

const WEAK_RSA_KEY =
  "MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDpTKTqpUxPz4td+Rz4vBUdq7SPpBrxbyOI1oxWaj2LyYpQqorq4sIdl6TD3n2I+hffZ+FHCQQZbeKwtf2lpUJwMXMQnnkyoSREiXkHbNiNe4u2Xv2xEAsMVYkvA5S8+3OhFsCcsqnMZpRSjhAQwUPcJXU9J6Ao7tsv8U6HjfSUpQIDAQAB";

test("RFC 8737: the certificate of an ACME challenge carries its digest, critical and in DER", () => {
  const { publicKey, privateKey } = generateKeyPair();
  const acmeIdentifier = new Uint8Array(32).fill(7);
  const contents = {
    profile: "server",
    subject: createName([]),
    subjectAltNames: { dns: ["api.bank.example"] },
    publicKey,
    issuer: "self",
    privateKey,
    notBefore: new Date("2026-01-01T00:00:00Z"),
    notAfter: new Date("2026-01-02T00:00:00Z"),
  } as const;
  const { extensions } = issueCertificate({ ...contents, acmeIdentifier });
  const own = extensions.find(({ oid }) => oid === "1.3.6.1.5.5.7.1.31");
  assert.equal(own?.critical, true);
  assert.deepEqual([...(own?.value ?? [])], [0x04, 0x20, ...acmeIdentifier]);
  const short = () => issueCertificate({ ...contents, acmeIdentifier: new Uint8Array(31) });
  assert.throws(short, TypeError);
});
