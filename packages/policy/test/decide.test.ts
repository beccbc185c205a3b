import assert from "node:assert/strict";
import { test } from "node:test";
import { anonymousPrincipal, plaintextPrincipal } from "../src/index.ts";
import type { CompiledPolicy, DecisionRequest } from "../src/index.ts";
import { allowBut, allowing, caller, policyOf, verdict } from "./support/policies.ts";

const api = caller({ uriSans: ["spiffe://example.org/api"] });

test("deny goes before allow, and what no rule allows is denied", () => {
  const policy = policyOf({
    name: "p",
    deny_rules: [{ name: "no-delete", request: { paths: ["/s/Delete"] } }],
    allow_rules: [
      {
        name: "api-reads",
        source: { principals: ["spiffe://example.org/api"] },
        request: { paths: ["/s/Read"] },
      },
      { name: "any-write", request: { paths: ["/s/Write", "/s/Delete"] } },
      { name: "late", request: { paths: ["/s/Write"] } },
    ],
  });
  const cases: [path: string, decision: object][] = [
    ["/s/Read", { allowed: true, rule: "api-reads", reason: "allow-rule" }],
    ["/s/Write", { allowed: true, rule: "any-write", reason: "allow-rule" }],
    ["/s/Delete", { allowed: false, rule: "no-delete", reason: "deny-rule" }],
    ["/s/Other", { allowed: false, rule: "", reason: "no-rule" }],
  ];
  for (const [path, decision] of cases) {
    assert.deepEqual(policy.decide({ principal: api, path, headers: {} }), decision, path);
  }
  const other = caller({ uriSans: ["spiffe://example.org/other"] });
  assert.equal(verdict(policy, { principal: other, path: "/s/Read" }), "deny");
});

test("an absent source, request or list matches anything; both parts must match", () => {
  for (const rule of [{}, { source: {} }, { request: {} }, { source: {}, request: {} }]) {
    assert.equal(verdict(allowing(rule), { principal: plaintextPrincipal }), "allow");
  }
  const both = allowing({ source: { principals: ["a"] }, request: { paths: ["/p"] } });
  const a = caller({ dnsSans: ["a"] });
  assert.equal(verdict(both, { principal: a, path: "/p" }), "allow");
  assert.equal(verdict(both, { principal: a, path: "/q" }), "deny");
  assert.equal(verdict(both, { principal: caller({ dnsSans: ["b"] }), path: "/p" }), "deny");
});

const patternCases: [pattern: string, matched: string[], unmatched: string[]][] = [
  ["/s/Read", ["/s/Read"], ["/s/Reads", "/s/Rea", "/s/read", "//s/Read", "", "/"]],
  ["/s/*", ["/s/Read", "/s/"], ["/s", "/t/Read", "s/Read"]],
  ["*/Read", ["/s/Read", "/Read"], ["Read", "/s/Readx"]],
  ["*", ["/s/Read", "x", "*"], [""]],
  ["", [""], ["x", "/"]],
  ["*Rea*", ["*Read", "*Rea"], ["/s/Read", "Rea"]],
  ["/s*/Read", ["/s*/Read"], ["/s/Read", "/sx/Read"]],
  ["**", ["*", "*x"], ["x", ""]],
  ["/s/Ré*", ["/s/Réad"], ["/s/Read", "/s/Re\u0301ad"]],
];

test("the four kinds of pattern, on paths", () => {
  for (const [pattern, matched, unmatched] of patternCases) {
    const policy = allowing({ request: { paths: [pattern] } });
    for (const path of matched)
      assert.equal(verdict(policy, { path }), "allow", `${pattern} ${path}`);
    for (const path of unmatched)
      assert.equal(verdict(policy, { path }), "deny", `${pattern} ${path}`);
  }
});

test("the four kinds of pattern, on headers", () => {
  for (const [pattern, matched, unmatched] of patternCases) {
    const policy = allowing({
      request: { headers: [{ key: "X-Env", values: ["never", pattern] }] },
    });
    for (const value of matched) {
      assert.equal(
        verdict(policy, { headers: { "x-env": value } }),
        "allow",
        `${pattern} ${value}`,
      );
    }
    for (const value of unmatched) {
      assert.equal(
        verdict(policy, { headers: { "x-env": [value] } }),
        "deny",
        `${pattern} ${value}`,
      );
    }
    assert.equal(verdict(policy, { headers: {} }), "deny", `${pattern} absent`);
  }
});

test("the four kinds of pattern, on principals", () => {
  for (const [pattern, matched, unmatched] of patternCases) {
    const policy = allowing({ source: { principals: [pattern] } }, { compatibility: "a43" });
    for (const uri of matched.filter((name) => name !== "")) {
      const principal = caller({ uriSans: ["", uri] });
      assert.equal(verdict(policy, { principal }), "allow", `${pattern} ${uri}`);
    }
    for (const uri of unmatched) {
      const principal = caller({ uriSans: ["", uri] });
      assert.equal(verdict(policy, { principal }), "deny", `${pattern} ${uri}`);
    }
  }
});

test("headers: all that are named must match, several values are joined by a comma", () => {
  const policy = allowing({
    request: {
      headers: [
        { key: "a", values: ["1", "2"] },
        { key: "B", values: ["x,y"] },
      ],
    },
  });
  assert.equal(verdict(policy, { headers: { a: "2", b: ["x", "y"] } }), "allow");
  assert.equal(verdict(policy, { headers: { a: "2", b: "x,y" } }), "allow");
  assert.equal(verdict(policy, { headers: { a: ["1", "2"], b: "x,y" } }), "deny");
  assert.equal(verdict(policy, { headers: { a: "2", b: ["x"] } }), "deny");
  assert.equal(verdict(policy, { headers: { b: "x,y" } }), "deny");
  const present = allowing({ request: { headers: [{ key: "a", values: ["*"] }] } });
  assert.equal(verdict(present, { headers: { a: [] } }), "deny");
  assert.equal(verdict(present, { headers: { a: [""] } }), "deny");
  assert.equal(verdict(present, { headers: { a: ["", ""] } }), "allow");
});

test("a header that everything inherits is not there", () => {
  const policy = allowing({ request: { headers: [{ key: "constructor", values: ["*"] }] } });
  assert.equal(verdict(policy, { headers: {} }), "deny");
  assert.equal(verdict(policy, { headers: { constructor: "x" } }), "allow");
});

test("principals: URI SANs alone where there are any, else DNS SANs, else the subject", () => {
  const certificate = { uriSans: ["spiffe://u"], dnsSans: ["d"], subject: "CN=s" };
  const kinds: [pattern: string, uri: string, dns: string, subject: string][] = [
    ["spiffe://u", "allow", "deny", "deny"],
    ["d", "deny", "allow", "deny"],
    ["CN=s", "deny", "deny", "allow"],
    ["*", "allow", "allow", "allow"],
    ["", "deny", "deny", "deny"],
  ];
  for (const [pattern, uri, dns, subject] of kinds) {
    const policy = allowing({ source: { principals: [pattern] } });
    assert.equal(verdict(policy, { principal: caller(certificate) }), uri, pattern);
    assert.equal(
      verdict(policy, { principal: caller({ ...certificate, uriSans: [] }) }),
      dns,
      pattern,
    );
    const bare = caller({ ...certificate, uriSans: [], dnsSans: [] });
    assert.equal(verdict(policy, { principal: bare }), subject, pattern);
  }
});

test("S26: an extra URI SAN lifts no deny rule on the DNS name or the subject, and opens no allow rule", () => {
  const certificate = caller({ uriSans: ["spiffe://e/a"], dnsSans: ["a.e"], subject: "CN=a" });
  const certificates = [
    certificate,
    { ...certificate, uriSans: [...certificate.uriSans, "spiffe://e/extra"] },
    { ...certificate, uriSans: ["spiffe://e/extra", ...certificate.uriSans] },
  ];
  for (const pattern of ["spiffe://e/a", "a.e", "CN=a", "spiffe://e/*", "*.e", "*"]) {
    const policy = allowBut([{ name: "d", source: { principals: [pattern] } }]);
    for (const principal of certificates)
      assert.equal(verdict(policy, { principal }), "deny", pattern);
  }
  const added = caller({ dnsSans: ["a.e"], subject: "CN=a" });
  for (const pattern of ["a.e", "CN=a"]) {
    const denying = allowBut([{ name: "d", source: { principals: [pattern] } }]);
    const allow = allowing({ source: { principals: [pattern] } });
    const renamed = { ...added, uriSans: ["spiffe://e/extra"] };
    assert.equal(verdict(denying, { principal: added }), "deny");
    assert.equal(verdict(denying, { principal: renamed }), "deny");
    assert.equal(verdict(allow, { principal: renamed }), "deny");
  }
});

test("S27: plaintext, TLS without a certificate, and a certificate are three things", () => {
  const verdicts = (pattern: string): string[] =>
    [plaintextPrincipal, anonymousPrincipal, caller({ subject: "CN=a" }), api].flatMap(
      (principal) => [
        verdict(allowing({ source: { principals: [pattern] } }), { principal }),
        verdict(allowBut([{ name: "d", source: { principals: [pattern] } }]), { principal }),
      ],
    );
  // allow and deny rule in plaintext, without certificate, with a subject, with a URI
  assert.deepEqual(verdicts(""), [
    "deny",
    "allow",
    "allow",
    "deny",
    "deny",
    "allow",
    "deny",
    "allow",
  ]);
  assert.deepEqual(verdicts("*"), [
    "deny",
    "allow",
    "deny",
    "allow",
    "allow",
    "deny",
    "allow",
    "deny",
  ]);
  const named = { ...api, authenticated: false };
  assert.equal(
    verdict(allowing({ source: { principals: ["*", ""] } }), { principal: named }),
    "deny",
  );
});

test("S27: an empty name in a certificate is not the absence of one", () => {
  const policy = allowing({ source: { principals: [""] } });
  assert.equal(verdict(policy, { principal: caller({ uriSans: [""] }) }), "deny");
  assert.equal(verdict(policy, { principal: caller({ dnsSans: [""] }) }), "deny");
});

test("S29: a subject whose CN reads x,O=Bank is no member of O=Bank", () => {
  const policy = allowing({ source: { principals: ["CN=x,O=Bank"] } });
  assert.equal(verdict(policy, { principal: caller({ subject: "CN=x,O=Bank" }) }), "allow");
  assert.equal(verdict(policy, { principal: caller({ subject: "CN=x\\,O=Bank" }) }), "deny");
});

test("S30: DNS names compare in lower case, other names as they are", () => {
  const dns = allowing({ source: { principals: ["API.Example.org"] } });
  assert.equal(verdict(dns, { principal: caller({ dnsSans: ["api.EXAMPLE.org"] }) }), "allow");
  const wild = allowing({ source: { principals: ["*.Example.org"] } });
  assert.equal(verdict(wild, { principal: caller({ dnsSans: ["a.example.ORG"] }) }), "allow");
  assert.equal(verdict(wild, { principal: caller({ uriSans: ["a.example.ORG"] }) }), "deny");
  assert.equal(verdict(dns, { principal: caller({ subject: "api.example.org" }) }), "deny");
  const denied = allowBut([{ name: "d", source: { principals: ["api.example.org"] } }]);
  assert.equal(verdict(denied, { principal: caller({ dnsSans: ["API.example.org"] }) }), "deny");
  const kelvin = allowing({ source: { principals: ["k.example.org"] } });
  assert.equal(verdict(kelvin, { principal: caller({ dnsSans: ["\u212A.Example.org"] }) }), "deny");
});

test("rules with many names and many paths are found by any pair of them", () => {
  const names = Array.from({ length: 30 }, (_, index) => `spiffe://e/${index}`);
  const paths = Array.from({ length: 20 }, (_, index) => `/s/${index}`);
  for (const common of [names.slice(0, 9), paths.slice(0, 9)]) {
    const policy = policyOf({
      name: "p",
      allow_rules: [
        { name: "big", source: { principals: names }, request: { paths } },
        { name: "next", source: { principals: common }, request: { paths: common } },
      ],
    });
    const decide = (name: string, path: string): string =>
      policy.decide({ principal: caller({ uriSans: [name] }), path, headers: {} }).rule;
    assert.equal(decide("spiffe://e/29", "/s/19"), "big");
    assert.equal(decide("spiffe://e/0", "/s/0"), "big");
    assert.equal(decide("spiffe://e/30", "/s/19"), "");
    assert.equal(decide("spiffe://e/29", "/s/20"), "");
    assert.equal(decide(common[3] ?? "", common[8] ?? ""), "next");
  }
});

test("thousands of rules on headers alone are not tried one by one", () => {
  const tenants = (count: number): CompiledPolicy =>
    policyOf({
      name: "p",
      allow_rules: Array.from({ length: count }, (_, index) => ({
        name: `tenant ${index}`,
        request: {
          headers: [
            { key: "x-region", values: ["north", "south*"] },
            { key: "x-tenant", values: [`tenant-${index}`] },
          ],
        },
      })),
    });
  const shortestMs = (count: number): number => {
    const policy = tenants(count);
    const last = count - 1;
    const headers = { "x-region": "southern", "x-tenant": `tenant-${last}` };
    const rounds = Array.from({ length: 20 }, () => {
      const start = performance.now();
      for (let time = 0; time < 100; time++) {
        const { rule } = policy.decide({ principal: api, path: "/pkg.Service/Method", headers });
        assert.equal(rule, `tenant ${last}`);
      }
      return performance.now() - start;
    });
    return Math.min(...rounds);
  };
  const few = shortestMs(20);
  const many = shortestMs(10_000);
  // Trying them one by one takes some 500 times as long.
  assert.ok(many < few * 50, `${many} ms with many rules, ${few} ms with few`);
});

test("a request with more headers than any rule asks for is decided by those alone", () => {
  const keys = Array.from({ length: 40 }, (_, index) => `x-${index}`);
  const policy = policyOf({
    name: "p",
    allow_rules: keys.map((key) => ({
      name: key,
      request: { headers: [{ key, values: ["yes"] }] },
    })),
  });
  const headers = Object.fromEntries(keys.map((key) => [key, "no"]));
  const decide = (more: Record<string, string>): string =>
    policy.decide({
      principal: caller({ subject: "CN=a" }),
      path: "/pkg.Service/Method",
      headers: { ...headers, ...more },
    }).rule;
  assert.equal(decide({}), "");
  assert.equal(decide({ "x-39": "yes", "x-17": "yes", "y-1": "yes" }), "x-17");
});

test("hostile shapes are denied, not thrown", () => {
  const policy = policyOf({
    name: "p",
    deny_rules: [{ name: "d", source: { principals: ["x"] } }],
    allow_rules: [{ name: "a", request: { headers: [{ key: "h", values: ["*"] }] } }],
  });
  const trap = {
    get h(): string {
      throw new Error("trap");
    },
  };
  const requests: unknown[] = [
    undefined,
    {},
    { principal: null, path: "/", headers: {} },
    { principal: api, path: 1, headers: { h: "1" } },
    { principal: api, path: "/", headers: null },
    { principal: api, path: "/", headers: { h: 1 } },
    { principal: api, path: "/", headers: { h: [1] } },
    { principal: api, path: "/", headers: trap },
    { principal: { ...api, uriSans: [{}] }, path: "/", headers: { h: "1" } },
    { principal: { ...api, dnsSans: undefined }, path: "/", headers: { h: "1" } },
  ];
  for (const request of requests) {
    const decision = policy.decide(request as Parameters<typeof policy.decide>[0]);
    assert.equal(decision.reason, "fault");
    assert.equal(decision.allowed, false);
  }
  const nobody = { principal: null, path: "/", headers: {} } as unknown;
  assert.equal(allowing({}).decide(nobody as DecisionRequest).reason, "fault");
});
