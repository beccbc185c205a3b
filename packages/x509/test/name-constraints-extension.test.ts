import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { createTestAuthority, type TestIssueOptions } from "@handfast/x509/testing";
import { certificatesToPem, createName, trustDomainConstraints } from "@handfast/x509";
import { context, contextPrimitive, DerReader, encodeDer, sequence } from "../src/der.ts";
import { readNameConstraints } from "../src/name-constraints-extension.ts";
import { openssl, withoutOpenssl } from "./openssl.ts";

const root = createTestAuthority({ trustDomain: "example.org" });
const bound = root.intermediate({
  nameConstraints: trustDomainConstraints("example.org", { dns: ["svc.example"] }),
});

function opensslVerdict(request: TestIssueOptions): string {
  const leaf = bound.issue(request);
  const files = {
    "ca.pem": root.bundlePem,
    "i.pem": certificatesToPem([bound.certificate]),
    "leaf.pem": certificatesToPem([leaf.certificate]),
  };
  const args = ["verify", "-CAfile", "ca.pem", "-untrusted", "i.pem", "leaf.pem"];
  try {
    return openssl(args, files);
  } catch (error) {
    return String((error as { stderr?: unknown }).stderr);
  }
}

describe(
  "a CA bound to a trust domain (S46), judged by openssl verify",
  { skip: withoutOpenssl },
  () => {
    for (const [name, request] of [
      ["any path of its domain", { dns: [], uri: ["spiffe://example.org/any/path"] }],
      ["a DNS name it was given", { dns: ["api.svc.example"] }],
    ] as const) {
      test(`may name ${name}`, () => assert.match(opensslVerdict(request), /OK/));
    }

    for (const [name, request] of [
      ["another trust domain", { dns: [], uri: ["spiffe://example.com/api"] }],
      ["another DNS name", { dns: ["api.example"] }],
      ["an IPv4 address", { dns: [], ip: ["10.0.0.1"] }],
      ["an IPv6 address", { dns: [], ip: ["::1"] }],
      ["an email address", { dns: [], email: ["a@example.org"] }],
    ] as const) {
      test(`may not name ${name}`, () => {
        assert.match(
          opensslVerdict(request),
          /permitted subtree violation|excluded subtree violation/,
        );
      });
    }
  },
);

describe("name constraints", () => {
  test("read back as they were written", () => {
    const ca = root.intermediate({
      nameConstraints: {
        permitted: {
          dns: ["example.org"],
          ip: ["10.0.0.0/8", "2001:db8::/33"],
          uri: [".example.org", "td.example"],
          email: ["a@example.org", ".example.org"],
          directory: [createName([{ type: "O", value: "Bank" }])],
        },
        excluded: { dns: [""], ip: ["0.0.0.0/0"] },
      },
    });
    const { permitted = [], excluded = [] } = ca.certificate.nameConstraints ?? {};
    const plain = (subtree: (typeof permitted)[number]): string =>
      "value" in subtree
        ? `${subtree.type}:${typeof subtree.value === "object" && "text" in subtree.value ? subtree.value.text : String(subtree.value)}`
        : `ip:${subtree.address.join(".")}/${subtree.mask.join(".")}`;
    assert.deepEqual(permitted.map(plain), [
      "dns:example.org",
      "ip:10.0.0.0/255.0.0.0",
      "ip:32.1.13.184.0.0.0.0.0.0.0.0.0.0.0.0/255.255.255.255.128.0.0.0.0.0.0.0.0.0.0.0",
      "uri:.example.org",
      "uri:td.example",
      "email:a@example.org",
      "email:.example.org",
      "directory:O=Bank",
    ]);
    assert.deepEqual(excluded.map(plain), ["dns:", "ip:0.0.0.0/0.0.0.0"]);
    assert.equal(ca.certificate.extensions.find(({ oid }) => oid === "2.5.29.30")?.critical, true);
  });

  for (const [name, permitted] of [
    ["nothing", {}],
    ["a DNS domain with a leading dot", { dns: [".example.org"] }],
    ["a DNS wildcard", { dns: ["*.example.org"] }],
    ["an IP address without a prefix", { ip: ["10.0.0.1"] }],
    ["a prefix that is too long", { ip: ["10.0.0.0/33"] }],
    ["an IP range with bits beyond its prefix", { ip: ["10.0.0.1/8"] }],
    ["a whole URI", { uri: ["spiffe://example.org"] }],
    ["a broken mailbox", { email: ["@example.org"] }],
  ] as const) {
    test(`are not made of ${name}`, () => {
      assert.throws(() => root.intermediate({ nameConstraints: { permitted } }), {
        code: "NAME_INVALID",
      });
    });
  }
});

describe("an IP mask", () => {
  const reads = (mask: readonly number[]): boolean => {
    const base = contextPrimitive(7, Uint8Array.of(0, 0, 0, 0, ...mask));
    const der = encodeDer(sequence([context(0, [sequence([base])])]));
    try {
      readNameConstraints(new DerReader(der));
      return true;
    } catch {
      return false;
    }
  };

  test("of each prefix length is read", () => {
    for (let bits = 0; bits <= 32; bits++) {
      const ones = 2 ** 32 - 2 ** (32 - bits);
      assert.equal(reads([24, 16, 8, 0].map((shift) => (ones >>> shift) & 0xff)), true, `/${bits}`);
    }
  });

  test("with a one after a zero is refused", () => {
    for (const mask of [
      [254, 255, 0, 0],
      [255, 0, 0, 1],
      [255, 253, 0, 0],
      [127, 0, 0, 0],
      [255, 160, 0, 0],
    ]) {
      assert.equal(reads(mask), false, mask.join("."));
    }
  });
});
