import assert from "node:assert/strict";
import { describe, test } from "node:test";
import * as fc from "fast-check";
import {
  parseFingerprint,
  parseSerialNumber,
  parseSpiffeId,
  parseTrustDomain,
  X509Error,
} from "@handfast/x509";
import { formatIp, parseIp } from "../src/ip-address.ts";

describe("a SPIFFE id", () => {
  for (const [uri, trustDomain, path] of [
    ["spiffe://example.org/api", "example.org", "/api"],
    ["spiffe://example.org", "example.org", ""],
    ["spiffe://a_b-c.1/A/b.c/..d/_-", "a_b-c.1", "/A/b.c/..d/_-"],
    [`spiffe://${"a".repeat(255)}`, "a".repeat(255), ""],
  ] as const) {
    test(`is read from ${uri.slice(0, 60)}`, () => {
      const id = parseSpiffeId(uri);
      assert.deepEqual(
        [id.trustDomain, id.path, id.uri, id.toString()],
        [trustDomain, path, uri, uri],
      );
    });
  }

  for (const uri of [
    "",
    "spiffe:/example.org/api",
    "SPIFFE://example.org/api",
    "http://example.org/api",
    "spiffe:///api",
    "spiffe://Example.org/api",
    "spiffe://example.org:8443/api",
    "spiffe://user@example.org/api",
    "spiffe://example.org/",
    "spiffe://example.org/api/",
    "spiffe://example.org//api",
    "spiffe://example.org/./api",
    "spiffe://example.org/../api",
    "spiffe://example.org/a%20b",
    "spiffe://example.org/api?x=1",
    "spiffe://example.org/api#x",
    "spiffe://exämple.org/api",
    "spiffe://example.org/api\n",
    `spiffe://${"a".repeat(256)}`,
    `spiffe://example.org/${"a".repeat(2048)}`,
  ]) {
    test(`is not read from ${JSON.stringify(uri.slice(0, 60))}`, () => {
      assert.throws(() => parseSpiffeId(uri), { code: "SPIFFE_ID_INVALID" });
    });
  }

  test("of 2,048 bytes is read", () => {
    const uri = `spiffe://example.org/${"a".repeat(2048 - 21)}`;
    assert.equal(parseSpiffeId(uri).uri.length, 2048);
  });

  test("fails with a typed error and nothing else", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (text) => {
        for (const input of [text, `spiffe://${text}`]) {
          try {
            assert.equal(parseSpiffeId(input).uri, input);
          } catch (error) {
            assert.ok(error instanceof X509Error);
          }
        }
      }),
    );
  });

  test("has a trust domain that stands alone without a scheme", () => {
    assert.equal(parseTrustDomain("example.org"), "example.org");
    assert.throws(() => parseTrustDomain("spiffe://example.org"), { code: "SPIFFE_ID_INVALID" });
  });
});

describe("a serial number", () => {
  test("is lower-case hexadecimal of even length without leading zeros", () => {
    assert.equal(parseSerialNumber("00:AB"), "ab");
    assert.equal(parseSerialNumber("abc"), "0abc");
    assert.equal(parseSerialNumber("7f".repeat(20)), "7f".repeat(20));
  });

  for (const text of ["", "0", "0000", "xyz", "-1", "80".repeat(20), "01".repeat(21)]) {
    test(`is not ${JSON.stringify(text)}`, () => {
      assert.throws(() => parseSerialNumber(text), { code: "SERIAL_NUMBER_INVALID" });
    });
  }
});

describe("a fingerprint", () => {
  test("is 64 lower-case hexadecimal digits", () => {
    assert.equal(parseFingerprint("AB:".repeat(31) + "AB"), "ab".repeat(32));
    assert.throws(() => parseFingerprint("ab".repeat(31)), { code: "FINGERPRINT_INVALID" });
    assert.throws(() => parseFingerprint("zz".repeat(32)), { code: "FINGERPRINT_INVALID" });
  });
});

describe("an IP address", () => {
  for (const [text, canonical] of [
    ["192.0.2.1", "192.0.2.1"],
    ["::", "::"],
    ["::1", "::1"],
    ["2001:DB8:0:0:0:0:0:1", "2001:db8::1"],
    ["2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"],
    ["2001:0:0:1:0:0:0:1", "2001:0:0:1::1"],
    ["::ffff:192.0.2.1", "::ffff:c000:201"],
    ["1::", "1::"],
  ] as const) {
    test(`${text} is ${canonical} (RFC 5952)`, () => {
      const octets = parseIp(text);
      assert.ok(octets);
      assert.equal(formatIp(octets), canonical);
    });
  }

  for (const text of [
    "",
    "1.2.3",
    "1.2.3.256",
    "01.2.3.4",
    "1.2.3.4.5",
    ":::",
    "1:2",
    "::1::",
    "12345::",
    "1:2:3:4:5:6:7:8:9",
    "1:2:3:4:5:6:7::8",
    "::1.2.3",
    "fe80::1%eth0",
    "[::1]",
    " ::1",
  ]) {
    test(`is not ${JSON.stringify(text)}`, () => assert.equal(parseIp(text), undefined));
  }

  test("survives text and back", () => {
    const octets = fc.oneof(
      fc.uint8Array({ minLength: 4, maxLength: 4 }),
      fc.uint8Array({ minLength: 16, maxLength: 16 }),
      fc.uint8Array({ minLength: 16, maxLength: 16, max: 1 }),
    );
    fc.assert(
      fc.property(octets, (ip) => assert.deepEqual(parseIp(formatIp(ip)), new Uint8Array(ip))),
    );
  });
});
