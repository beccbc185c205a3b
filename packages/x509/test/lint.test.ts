import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { describe, test } from "node:test";
import { createTestAuthority, type TestAuthority } from "@handfast/x509/testing";
import {
  certificatesToPem,
  createName,
  issueCertificate,
  lint,
  parseCertificate,
  profiles,
  type Certificate,
  type KeyAlgorithm,
  type Profile,
} from "@handfast/x509";
import {
  bitString,
  context,
  contextPrimitive,
  integer,
  namedBits,
  NULL,
  octetString,
  oid,
  primitive,
  sequence,
  setOf,
  TAG,
  TRUE,
  type DerValue,
} from "../src/der.ts";
import { commonName, forge, forgeExtension, utcTime, type Forgery } from "./forge.ts";
import { inFolder } from "./openssl.ts";

const algorithms: readonly KeyAlgorithm[] = [
  "ecdsa-p256",
  "ecdsa-p384",
  "ed25519",
  "rsa-2048",
  "ml-dsa-44",
  "ml-dsa-65",
  "ml-dsa-87",
];

describe("nothing is wrong with what is issued", () => {
  for (const algorithm of algorithms) {
    test(`for ${algorithm} and each profile`, () => {
      for (const certificate of everyProfile(createTestAuthority({ algorithm }))) {
        assert.deepEqual(lint(certificate), [], certificate.subject.text);
      }
    });
  }

  // Rules of the public web (CA/Browser Forum) are not ours; a SPIFFE id's host need not be a public name,
  // and a DNS name may be a single label (RFC 1034, 3.5): that is all that pkilint has against what we issue.
  for (const [name, tool, args, wrong] of [
    ["zlint", "zlint", ["-includeSources", "RFC5280"], /"result":"(error|fatal)"/],
    [
      "pkilint",
      "lint_pkix_cert",
      ["lint", "-s", "ERROR", "-f", "JSON"],
      /"message": "(?!Invalid (URI syntax: \\"spiffe:|domain name syntax: \\"[a-z-]+\\"))/,
    ],
  ] as const) {
    const missing = spawnSync(tool, ["--help"]).error ? `${name} is not installed` : false;
    test(`according to ${name}`, { skip: missing }, () => {
      for (const certificate of everyProfile(createTestAuthority())) {
        const { stdout } = inFolder({ "c.pem": certificatesToPem([certificate]) }, (cwd) =>
          spawnSync(tool, [...args, "c.pem"], { cwd, encoding: "utf8" }),
        );
        assert.match(stdout, /^\{/);
        assert.doesNotMatch(stdout, wrong, certificate.subject.text);
      }
    });
  }
});

describe("lint names", () => {
  const ca = forgeExtension("2.5.29.19", sequence([TRUE]), true);
  const usage = (...bits: number[]): DerValue => forgeExtension("2.5.29.15", namedBits(bits), true);
  const san = (critical: boolean, ...names: DerValue[]): DerValue =>
    forgeExtension("2.5.29.17", sequence(names), critical);
  const dns = contextPrimitive(2, Buffer.from("a.example"));
  const uri = (text: string): DerValue => contextPrimitive(6, Buffer.from(text));
  const constraints = (critical: boolean): DerValue =>
    forgeExtension(
      "2.5.29.30",
      sequence([context(0, [sequence([contextPrimitive(2, Buffer.from("a"))])])]),
      critical,
    );
  const sha1 = sequence([oid("1.2.840.10045.4.1")]);
  const keyOf = (dotted: string, octets: number): DerValue =>
    sequence([sequence([oid(dotted)]), bitString(new Uint8Array(octets))]);
  const longName = sequence([
    setOf([sequence([oid("2.5.4.3"), primitive(TAG.utf8String, new Uint8Array(65).fill(97))])]),
  ]);
  const cases: [string, Forgery][] = [
    ["issuer-empty", { issuer: sequence([]) }],
    ["ca-subject-empty", { subject: sequence([]), extensions: [ca] }],
    ["attribute-too-long", { subject: longName }],
    ["validity-reversed", { validity: sequence(["270101000000Z", "260101000000Z"].map(utcTime)) }],
    ["no-names", { subject: sequence([]) }],
    ["authority-key-identifier-missing", { issuer: commonName("another") }],
    [
      "authority-key-identifier-critical",
      { extensions: [forgeExtension("2.5.29.35", sequence([]), true)] },
    ],
    ["ca-subject-key-identifier-missing", { extensions: [ca] }],
    [
      "subject-key-identifier-critical",
      { extensions: [forgeExtension("2.5.29.14", octetString(new Uint8Array(20)), true)] },
    ],
    ["ca-without-key-usage", { extensions: [ca] }],
    ["ca-without-cert-sign", { extensions: [ca, usage(6)] }],
    ["leaf-with-cert-sign", { extensions: [usage(5)] }],
    ["key-usage-not-critical", { extensions: [forgeExtension("2.5.29.15", namedBits([0]))] }],
    [
      "policy-mapping-any",
      {
        extensions: [
          forgeExtension(
            "2.5.29.33",
            sequence([sequence([oid("2.5.29.32.0"), oid("1.2.3")])]),
            true,
          ),
        ],
      },
    ],
    ["names-not-critical", { subject: sequence([]), extensions: [san(false, dns)] }],
    ["names-critical", { extensions: [san(true, dns)] }],
    [
      "ca-basic-constraints-not-critical",
      { extensions: [forgeExtension("2.5.29.19", sequence([TRUE]))] },
    ],
    ["leaf-with-name-constraints", { extensions: [constraints(true)] }],
    ["name-constraints-not-critical", { extensions: [ca, constraints(false)] }],
    [
      "policy-constraints-not-critical",
      {
        extensions: [
          forgeExtension("2.5.29.36", sequence([contextPrimitive(0, Uint8Array.of(0))])),
        ],
      },
    ],
    [
      "any-usage-critical",
      { extensions: [forgeExtension("2.5.29.37", sequence([oid("2.5.29.37.0")]), true)] },
    ],
    ["freshest-crl-critical", { extensions: [forgeExtension("2.5.29.46", crlPoint(), true)] }],
    ["inhibit-any-policy-not-critical", { extensions: [forgeExtension("2.5.29.54", integer(0))] }],
    [
      "authority-information-critical",
      { extensions: [forgeExtension("1.3.6.1.5.5.7.1.1", ocspAddress(), true)] },
    ],
    ["unknown-critical-extension", { extensions: [forgeExtension("1.2.3", NULL, true)] }],
    ["ec-key-usage", { extensions: [usage(2)] }],
    ["eddsa-key-usage", { publicKey: keyOf("1.3.101.112", 32), extensions: [usage(4)] }],
    [
      "ml-dsa-key-usage",
      { publicKey: keyOf("2.16.840.1.101.3.4.3.17", 1312), extensions: [usage(2)] },
    ],
    [
      "no-revocation-beside-pointers",
      { extensions: [forgeExtension("2.5.29.56", NULL), forgeExtension("2.5.29.31", crlPoint())] },
    ],
    ["no-revocation-beside-pointers", { extensions: [forgeExtension("2.5.29.56", NULL), ca] }],
    ["weak-signature", { outerAlgorithm: sha1 }],
    ["svid-several-uris", { extensions: [san(false, uri("spiffe://a/b"), uri("https://a/b"))] }],
    ["svid-id-invalid", { extensions: [san(false, uri("spiffe://A/b"))] }],
    ["svid-leaf-without-path", { extensions: [san(false, uri("spiffe://a"))] }],
    ["svid-ca-with-path", { extensions: [ca, san(false, uri("spiffe://a/b"))] }],
    ["svid-without-key-usage", { extensions: [san(false, uri("spiffe://a/b"))] }],
    ["svid-leaf-key-usage", { extensions: [usage(0, 6), san(false, uri("spiffe://a/b"))] }],
  ];
  for (const [rule, parts] of cases) {
    test(rule, () => {
      const found = lint(parseCertificate(forge(parts)));
      assert.ok(
        found.some((finding) => finding.rule === rule),
        JSON.stringify(found),
      );
      assert.ok(found.every(({ message, section }) => message !== "" && section !== ""));
    });
  }
});

function everyProfile(root: TestAuthority): Certificate[] {
  const issuing = root.intermediate();
  const leaves = (Object.keys(profiles) as Profile[])
    .filter((profile) => !profiles[profile].ca)
    .map((profile) => issuing.issue({ name: "api", profile }).certificate);
  const bare = issueCertificate({
    profile: "peer",
    subject: createName([]),
    subjectAltNames: { dns: ["a.example"], email: ["a@example.org"], ip: ["::1"] },
    publicKey: root.certificate.publicKey,
    issuer: { certificate: issuing.certificate, privateKey: issuing.privateKey },
    notBefore: new Date("2026-01-01T00:00:00Z"),
    notAfter: new Date("2026-01-02T00:00:00Z"),
    noRevocationAvailable: true,
  });
  const pointed = issueCertificate({
    profile: "server",
    subject: createName([{ type: "CN", value: "api" }]),
    publicKey: root.certificate.publicKey,
    issuer: { certificate: issuing.certificate, privateKey: issuing.privateKey },
    notBefore: new Date("2026-01-01T00:00:00Z"),
    notAfter: new Date("2050-01-02T00:00:00Z"),
    crlUrls: ["http://ca.example/ca.crl"],
    ocspUrls: ["http://ca.example/ocsp"],
    issuerUrls: ["http://ca.example/ca.crt"],
    policies: ["1.2.3.4"],
  });
  return [root.certificate, issuing.certificate, ...leaves, bare, pointed];
}

function crlPoint(): DerValue {
  const url = contextPrimitive(6, Buffer.from("http://a.example/crl"));
  return sequence([sequence([context(0, [context(0, [url])])])]);
}

function ocspAddress(): DerValue {
  const url = contextPrimitive(6, Buffer.from("http://a.example/ocsp"));
  return sequence([sequence([oid("1.3.6.1.5.5.7.48.1"), url])]);
}
