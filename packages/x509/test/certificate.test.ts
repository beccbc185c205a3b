import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { describe, test } from "node:test";
import { createTestAuthority } from "@handfast/x509/testing";
import {
  parseCertificate,
  parseCertificateBeside,
  parseCertificatesDer,
  verifySignature,
  X509Error,
} from "@handfast/x509";
import {
  bitString,
  constructed,
  context,
  contextPrimitive,
  encodeDer,
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
import { bytes } from "./bytes.ts";
import { commonName, forge, forgeExtension, utcTime, type Forgery } from "./forge.ts";

test("a forged certificate with nothing wrong in it is read", () => {
  const certificate = parseCertificate(forge());
  assert.equal(certificate.subject.text, "CN=forger");
  assert.equal(certificate.serialNumber, "01");
  assert.equal(verifySignature(certificate, certificate.publicKeyInfo), true);
});

test("DER certificates that follow one another are read in order, or refused whole", () => {
  const root = createTestAuthority();
  const [one, two] = [root.issue().certificate, root.certificate];
  const both = Buffer.concat([one.der, two.der]);
  assert.deepEqual(
    parseCertificatesDer(both).map(({ fingerprint }) => fingerprint),
    [one.fingerprint, two.fingerprint],
  );
  assert.throws(() => parseCertificatesDer(new Uint8Array()), { code: "BUNDLE_EMPTY" });
  for (const broken of [
    both.subarray(1),
    both.subarray(0, -1),
    Buffer.concat([both, Buffer.of(0)]),
  ]) {
    assert.throws(() => parseCertificatesDer(broken), { code: "CERTIFICATE_MALFORMED" });
  }
});

test("a certificate shares no memory with the bytes it was read from", () => {
  const input = Buffer.from(createTestAuthority().certificate.der);
  const certificate = parseCertificate(input);
  const before = certificate.subject.text;
  input.fill(0);
  assert.equal(certificate.subject.text, before);
  assert.equal(certificate.der[0], 0x30);
});

test("a certificate that OpenSSL holds already is read the same, and as strictly", () => {
  const { der } = createTestAuthority().issue().certificate;
  const certificate = parseCertificateBeside(new X509Certificate(der));
  assert.deepEqual(Buffer.from(certificate.der), Buffer.from(der));
  assert.equal(certificate.fingerprint, parseCertificate(der).fingerprint);
  const old = new X509Certificate(forge({ version: null }));
  assert.throws(() => parseCertificateBeside(old), { code: "CERTIFICATE_MALFORMED" });
});

test("a certificate that OpenSSL reads differently is refused", () => {
  const authority = createTestAuthority();
  const other = new X509Certificate(authority.issue().certificate.der);
  Object.defineProperty(other, "raw", { value: Buffer.from(authority.certificate.der) });
  assert.throws(() => parseCertificateBeside(other), {
    code: "CERTIFICATE_MALFORMED",
    message: /read differently/,
  });
});

test("OpenSSL's opinion on what is a CA agrees with ours", () => {
  const root = createTestAuthority();
  assert.equal(parseCertificate(root.certificate.der).basicConstraints?.ca, true);
  const leaf = root.issue().certificate;
  assert.deepEqual(parseCertificate(leaf.der).basicConstraints, { ca: false });
});

describe("a certificate is refused", () => {
  const cases: [string, Forgery][] = [
    ["of version 1", { version: null }],
    ["of version 2", { version: context(0, [integer(1)]) }],
    ["of version 4", { version: context(0, [integer(3)]) }],
    ["with a serial number of zero", { serialNumber: integer(0) }],
    ["with a negative serial number", { serialNumber: primitive(TAG.integer, bytes("80")) }],
    ["with a serial number of 21 octets", { serialNumber: integer(bytes("01".repeat(21))) }],
    [
      "with a serial number that is not minimal",
      { serialNumber: primitive(TAG.integer, bytes("0001")) },
    ],
    ["with two signature algorithms", { innerAlgorithm: sequence([oid("1.2.840.10045.4.3.3")]) }],
    [
      "with an algorithm of three parts",
      { outerAlgorithm: sequence([oid("1.2.840.10045.4.3.2"), NULL, NULL]) },
    ],
    ["with a signature of broken octets", { signature: primitive(TAG.bitString, bytes("0100")) }],
    ["with a validity of one time", { validity: sequence([utcTime("260101000000Z")]) }],
    [
      "with a validity of three times",
      { validity: sequence(["260101000000Z", "270101000000Z", "280101000000Z"].map(utcTime)) },
    ],
    ["with something after the extensions", { more: [NULL] }],
    ["with an empty list of extensions", { more: [context(3, [sequence([])])] }],
    ["with control characters in its subject (S30)", { subject: commonName("a\u0007b") }],
    ["with a bidi override in its issuer (S30)", { issuer: commonName("a\u202eb") }],
  ];
  for (const [name, parts] of cases) refuses(name, parts);
});

describe("a public key is refused before any arithmetic (S44)", () => {
  const ec = (parameters: DerValue, point: Uint8Array): DerValue =>
    sequence([sequence([oid("1.2.840.10045.2.1"), parameters]), bitString(point)]);
  const rsa = (modulus: Uint8Array, exponent: Uint8Array | number, parameters = NULL): DerValue =>
    sequence([
      sequence([oid("1.2.840.113549.1.1.1"), parameters]),
      bitString(encodeDer(sequence([integer(modulus), integer(exponent)]))),
    ]);
  const odd = (octets: number): Uint8Array => new Uint8Array(octets).fill(0xff);
  const p256 = oid("1.2.840.10045.3.1.7");
  const cases: [string, DerValue][] = [
    ["with explicit EC parameters", ec(sequence([integer(1)]), bytes(`04${"11".repeat(64)}`))],
    [
      "without EC parameters",
      sequence([sequence([oid("1.2.840.10045.2.1")]), bitString(bytes(`04${"11".repeat(64)}`))]),
    ],
    ["with EC parameters of NULL", ec(NULL, bytes(`04${"11".repeat(64)}`))],
    ["with a point of the wrong length", ec(p256, bytes(`04${"11".repeat(63)}`))],
    ["with the point at infinity", ec(p256, bytes("00"))],
    ["with a hybrid point", ec(p256, bytes(`06${"11".repeat(64)}`))],
    ["with RSA of 8,200 bits", rsa(odd(1025), 65_537)],
    ["with an RSA exponent of 33 bits", rsa(odd(256), bytes("0100000001"))],
    ["with an RSA exponent of 1", rsa(odd(256), 1)],
    ["with an even RSA exponent", rsa(odd(256), 65_536)],
    ["with an even RSA modulus", rsa(odd(256).fill(2), 65_537)],
    ["with RSA parameters other than NULL", rsa(odd(256), 65_537, p256)],
    [
      "with a short Ed25519 key",
      sequence([sequence([oid("1.3.101.112")]), bitString(new Uint8Array(31))]),
    ],
    [
      "with Ed25519 parameters",
      sequence([sequence([oid("1.3.101.112"), NULL]), bitString(new Uint8Array(32))]),
    ],
    [
      "with a short ML-DSA key",
      sequence([sequence([oid("2.16.840.1.101.3.4.3.18")]), bitString(new Uint8Array(1312))]),
    ],
    [
      "with ML-DSA parameters (RFC 9881 2)",
      sequence([sequence([oid("2.16.840.1.101.3.4.3.17"), NULL]), bitString(new Uint8Array(1312))]),
    ],
  ];
  for (const [name, publicKey] of cases) refuses(name, { publicKey });

  test("and a point that is not on its curve by OpenSSL, when the key is used", () => {
    const certificate = parseCertificate(
      forge({ publicKey: ec(p256, bytes(`04${"11".repeat(64)}`)) }),
    );
    assert.throws(() => certificate.publicKey, {
      code: "ALGORITHM_UNSUPPORTED",
      message: /refused by OpenSSL/,
    });
  });

  test("but a key of an unknown algorithm is read, and not usable", () => {
    const publicKey = sequence([sequence([oid("1.2.3.4")]), bitString(bytes("00"))]);
    const certificate = parseCertificate(forge({ publicKey }));
    assert.equal(certificate.publicKeyInfo.kind, "unknown");
    assert.throws(() => certificate.publicKey, {
      code: "ALGORITHM_UNSUPPORTED",
      message: "public key algorithm 1.2.3.4 is not supported",
    });
  });
});

describe("a signature is not verified (S44)", () => {
  const cases: [string, DerValue][] = [
    ["with SHA-1", sequence([oid("1.2.840.10045.4.1")])],
    ["with MD5", sequence([oid("1.2.840.113549.1.1.4"), NULL])],
    ["with RSA under an EC key", sequence([oid("1.2.840.113549.1.1.11"), NULL])],
    ["with parameters where there must be none", sequence([oid("1.2.840.10045.4.3.2"), NULL])],
    [
      "with RSASSA-PSS and its default of SHA-1",
      sequence([oid("1.2.840.113549.1.1.10"), sequence([])]),
    ],
    ["with an unknown algorithm", sequence([oid("1.2.3.4")])],
  ];
  for (const [name, outerAlgorithm] of cases) {
    test(name, () => {
      const certificate = parseCertificate(forge({ outerAlgorithm }));
      assert.equal(verifySignature(certificate, certificate.publicKeyInfo), false);
    });
  }
});

describe("a subject alternative name is refused", () => {
  const names = (...list: DerValue[]): Forgery => ({
    extensions: [forgeExtension("2.5.29.17", sequence(list))],
  });
  const text = (tag: number, value: string): DerValue =>
    contextPrimitive(tag, Buffer.from(value, "utf8"));
  const cases: [string, Forgery][] = [
    ["that is empty", names()],
    ["of an unknown kind", names(text(9, "x"))],
    ["with three octets of IP address", names(contextPrimitive(7, bytes("0a0000")))],
    ["that is a directory name with more after it", names(context(4, [commonName("a"), NULL]))],
    ["that is an otherName without a value", names(context(0, [oid("1.2.3")]))],
    ...[
      ["an empty name", ""],
      ["a dot at the end", "example.org."],
      ["an empty label", "a..b"],
      ["a space", "a b"],
      ["a control character", "a\nb"],
      ["a letter beyond ASCII", "bücher.example"],
      ["a wildcard inside", "a.*.example"],
      ["a wildcard within a label", "a*.example"],
      ["nothing but a wildcard", "*"],
      ["a hyphen at the start of a label", "-a.example"],
      ["a label of 64 characters", `${"a".repeat(64)}.example`],
      ["254 characters", `${"a.".repeat(126)}aa`],
      ["an IP address", "127.0.0.1"],
      ["an address of its own kind", "a@example.org"],
      ["an attribute", "CN=alice"],
    ].map(([what, name]): [string, Forgery] => [
      `whose DNS name has ${what} (S30)`,
      names(text(2, name ?? "")),
    ]),
    ...[
      ["no scheme", "//example.org/api"],
      ["no authority", "urn:uuid:f81d4fae"],
      ["an empty authority", "spiffe:///api"],
      ["a space", "https://example.org/a b"],
      ["a control character", "https://example.org/\u0000"],
      ["a letter beyond ASCII", "https://exämple.org"],
      ["half an escape", "https://example.org/%4"],
    ].map(([what, uri]): [string, Forgery] => [
      `whose URI has ${what} (S30)`,
      names(text(6, uri ?? "")),
    ]),
    ...[
      ["no domain", "alice"],
      ["no local part", "@example.org"],
      ["a display name", "Alice <alice@example.org>"],
      ["a broken domain", "alice@ex ample.org"],
      ["a control character", "al\u0000ice@example.org"],
    ].map(([what, email]): [string, Forgery] => [
      `whose email address has ${what}`,
      names(text(1, email ?? "")),
    ]),
  ];
  for (const [name, parts] of cases) refuses(name, parts);

  test("but not for underscores, a left wildcard, a bare trust domain or a quoted mailbox (S30)", () => {
    const { subjectAltNames } = parseCertificate(
      forge(
        names(
          text(2, "_srv.Example.org"),
          text(2, "*.example.org"),
          text(6, "spiffe://example.org"),
          text(1, '"a b"@example.org'),
          context(0, [oid("1.2.3"), context(0, [NULL])]),
          context(4, [commonName("a")]),
          contextPrimitive(8, oid("1.2.3").subarray(2)),
        ),
      ),
    );
    assert.deepEqual(subjectAltNames.dns, ["_srv.example.org", "*.example.org"]);
    assert.deepEqual(subjectAltNames.uri, ["spiffe://example.org"]);
    assert.deepEqual(subjectAltNames.email, ['"a b"@example.org']);
    assert.equal(subjectAltNames.directory[0]?.text, "CN=a");
    assert.deepEqual(
      subjectAltNames.all.map(({ type }) => type),
      ["dns", "dns", "uri", "email", "other", "directory", "registeredId"],
    );
  });
});

describe("an extension is refused", () => {
  const one = (dotted: string, value: DerValue): Forgery => ({
    extensions: [forgeExtension(dotted, value)],
  });
  const url = (text: string): DerValue => contextPrimitive(6, Buffer.from(text));
  const constraint = (base: DerValue): Forgery =>
    one("2.5.29.30", sequence([context(0, [sequence([base])])]));
  const notCritical = (value: DerValue): DerValue => primitive(TAG.boolean, encodeDer(value));
  const cases: [string, Forgery][] = [
    [
      "that stands twice",
      { extensions: [forgeExtension("1.2.3", NULL), forgeExtension("1.2.3", NULL)] },
    ],
    [
      "with critical FALSE written out",
      {
        extensions: [sequence([oid("1.2.3"), notCritical(bytes("00")), octetString(bytes("00"))])],
      },
    ],
    [
      "with more after its value",
      { extensions: [sequence([oid("1.2.3"), octetString(bytes("00")), NULL])] },
    ],
    [
      "basicConstraints with cA FALSE written out",
      one("2.5.29.19", sequence([notCritical(bytes("00"))])),
    ],
    ["basicConstraints with a path length and no cA", one("2.5.29.19", sequence([integer(1)]))],
    [
      "basicConstraints with a negative path length",
      one("2.5.29.19", sequence([TRUE, primitive(TAG.integer, bytes("ff"))])),
    ],
    [
      "basicConstraints with more after it",
      one("2.5.29.19", constructed(TAG.sequence, [TRUE, integer(1), NULL])),
    ],
    ["keyUsage without a usage", one("2.5.29.15", namedBits([]))],
    ["keyUsage with an unknown bit", one("2.5.29.15", namedBits([9]))],
    ["extendedKeyUsage without a usage", one("2.5.29.37", sequence([]))],
    ["subjectKeyIdentifier that is no octet string", one("2.5.29.14", NULL)],
    [
      "authorityKeyIdentifier with an issuer alone",
      one("2.5.29.35", sequence([context(1, [context(4, [commonName("a")])])])),
    ],
    ["certificatePolicies that are empty", one("2.5.29.32", sequence([]))],
    [
      "certificatePolicies with the same policy twice",
      one("2.5.29.32", sequence([sequence([oid("1.2.3")]), sequence([oid("1.2.3")])])),
    ],
    ["policyMappings that are empty", one("2.5.29.33", sequence([]))],
    ["policyConstraints that are empty", one("2.5.29.36", sequence([]))],
    ["inhibitAnyPolicy that is negative", one("2.5.29.54", primitive(TAG.integer, bytes("ff")))],
    ["cRLDistributionPoints that are empty", one("2.5.29.31", sequence([]))],
    ["cRLDistributionPoints with an empty point", one("2.5.29.31", sequence([sequence([])]))],
    ["authorityInfoAccess that is empty", one("1.3.6.1.5.5.7.1.1", sequence([]))],
    [
      "authorityInfoAccess with two locations",
      one(
        "1.3.6.1.5.5.7.1.1",
        sequence([sequence([oid("1.2.3"), url("http://a"), url("http://b")])]),
      ),
    ],
    [
      "certificatePolicies with an empty list of qualifiers",
      one("2.5.29.32", sequence([sequence([oid("1.2.3"), sequence([])])])),
    ],
    ["noRevAvail with content", one("2.5.29.56", octetString(bytes("00")))],
    ["nameConstraints that are empty", one("2.5.29.30", sequence([]))],
    ["nameConstraints with an empty list", one("2.5.29.30", sequence([context(0, [])]))],
    [
      "nameConstraints with a minimum",
      one(
        "2.5.29.30",
        sequence([
          context(0, [
            sequence([contextPrimitive(2, bytes("61")), contextPrimitive(0, bytes("01"))]),
          ]),
        ]),
      ),
    ],
    [
      "nameConstraints with an unknown kind of name",
      constraint(primitive(TAG.utf8String, bytes("61"))),
    ],
    [
      "nameConstraints with an IP range of five octets",
      constraint(contextPrimitive(7, bytes("0a000000ff"))),
    ],
    ["nameConstraints with a DNS wildcard", constraint(contextPrimitive(2, Buffer.from("*.a")))],
    ["nameConstraints with a whole URI", constraint(contextPrimitive(6, Buffer.from("http://a/")))],
    ["nameConstraints with a broken mailbox", constraint(contextPrimitive(1, Buffer.from("@a")))],
    [
      "nameConstraints with an IP mask that is no prefix",
      one(
        "2.5.29.30",
        sequence([context(0, [sequence([contextPrimitive(7, bytes("0a000000ff00ff00"))])])]),
      ),
    ],
  ];
  for (const [name, parts] of cases) refuses(name, parts);

  test("but an unknown one is kept as it is", () => {
    const [extension] = parseCertificate(forge(one("1.2.3", NULL))).extensions;
    assert.deepEqual(
      { ...extension, value: Buffer.from(extension?.value ?? []).toString("hex") },
      { oid: "1.2.3", critical: false, value: "0500" },
    );
  });
});

describe("a certificate that our reader accepts is refused where OpenSSL", () => {
  test("refuses it", () => {
    const attribute = sequence([oid("2.5.4.3"), primitive(TAG.boolean, bytes("ff"))]);
    assert.throws(() => parseCertificate(forge({ subject: sequence([setOf([attribute])]) })), {
      code: "CERTIFICATE_MALFORMED",
      message: "certificate is refused by OpenSSL",
    });
  });

  test("does not read it as the same CA", () => {
    const brokenAddressBlocks = forgeExtension("1.3.6.1.5.5.7.1.7", NULL);
    const ca = forgeExtension("2.5.29.19", sequence([TRUE]), true);
    assert.equal(parseCertificate(forge({ extensions: [ca] })).basicConstraints?.ca, true);
    assert.throws(() => parseCertificate(forge({ extensions: [ca, brokenAddressBlocks] })), {
      code: "CERTIFICATE_MALFORMED",
      message: "certificate is read differently by OpenSSL",
    });
  });
});

test("the message of a refusal says what was expected and where", () => {
  assert.throws(() => parseCertificate(forge({ subject: setOf([NULL]) })), {
    code: "CERTIFICATE_MALFORMED",
    message: /^certificate: subject expected sequence, found set at byte \d+$/,
  });
});

function refuses(name: string, parts: Forgery): void {
  test(name, () => {
    assert.throws(
      () => parseCertificate(forge(parts)),
      (error: unknown) => {
        assert.ok(error instanceof X509Error);
        assert.equal(error.code, "CERTIFICATE_MALFORMED");
        // Our own reader says so, and OpenSSL is not asked (S44).
        assert.doesNotMatch(error.message, /OpenSSL/);
        return true;
      },
    );
  });
}
