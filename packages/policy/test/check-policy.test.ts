import assert from "node:assert/strict";
import { test } from "node:test";
import { checkPolicy, parsePolicy } from "../src/index.ts";
import type { CheckPolicyOptions } from "../src/index.ts";

const api = { principals: ["spiffe://example.org/api"] };

test("a policy that says what it means has no findings", () => {
  const document = {
    name: "p",
    deny_rules: [{ name: "d", source: api, request: { paths: ["/s.S/Delete"] } }],
    allow_rules: [
      { name: "a", source: api, request: { paths: ["/s.S/*"] } },
      { name: "b", source: { principals: ["spiffe://example.org/b/*"] } },
    ],
    audit_logging_options: { audit_condition: "ON_DENY", audit_loggers: [{ name: "stdout" }] },
  };
  assert.deepEqual(findings(document), []);
  assert.deepEqual(findings(document, { methods: ["/s.S/Read", "/s.S/Delete"] }), []);
});

test("an allow rule whose calls are all denied is named, with the rule that denies them", () => {
  const allow = {
    name: "a",
    source: { principals: ["x", "y"] },
    request: { paths: ["/s.S/Read"] },
  };
  const covering: object[] = [
    {},
    { source: { principals: ["*"] } },
    { source: { principals: ["y", "x"] } },
    { request: { paths: ["/s.S/*"] } },
    { request: { paths: ["*"] } },
    { source: { principals: ["x*", "*y"] }, request: { paths: ["*/Read"] } },
  ];
  for (const deny of covering) {
    const document = {
      name: "p",
      deny_rules: [
        { name: "none", request: { paths: ["/t.T/x"] } },
        { name: "d", ...deny },
      ],
      allow_rules: [allow],
    };
    const found = checkPolicy(parsePolicy(JSON.stringify(document)));
    const never = found.find(({ code }) => code === "RULE_NEVER_ALLOWS");
    assert.equal(never?.place, "allow_rules[0]", JSON.stringify(deny));
    assert.match(never?.message ?? "", /"a" can never allow: deny_rules\[1\] "d" denies all/);
  }
  const notCovering: object[] = [
    { source: { principals: ["x"] } },
    { request: { paths: ["/s.S/Read/"] } },
    { request: { headers: [{ key: "h", values: ["*"] }] } },
    { source: { principals: ["*"] }, request: { paths: ["/s.S/Write"] } },
  ];
  for (const deny of notCovering) {
    const document = { name: "p", deny_rules: [{ name: "d", ...deny }], allow_rules: [allow] };
    assert.ok(!codes(document).includes("RULE_NEVER_ALLOWS"), JSON.stringify(deny));
  }
});

test("a rule that adds nothing is named once; of two that are the same, the second", () => {
  const narrow = { name: "n", source: api, request: { paths: ["/s.S/Read"] } };
  const wide = { name: "w", source: api, request: { paths: ["/s.S/*"] } };
  for (const list of ["allow_rules", "deny_rules"]) {
    const rules = (...all: object[]): string[] =>
      findings({
        name: "p",
        allow_rules: [{ name: "x", source: { principals: ["z"] } }],
        [list]: all,
      });
    assert.deepEqual(rules(narrow, wide), [`RULE_REDUNDANT ${list}[0]`]);
    assert.deepEqual(rules(wide, narrow), [`RULE_REDUNDANT ${list}[1]`]);
    assert.deepEqual(rules(wide, { ...wide, name: "w2" }), [`RULE_REDUNDANT ${list}[1]`]);
  }
  const header = (values: string[]): object => ({ request: { headers: [{ key: "h", values }] } });
  const headers = {
    name: "p",
    allow_rules: [
      { name: "a", source: api, ...header(["x", "y"]) },
      { name: "b", source: api, ...header(["x"]) },
      { name: "c", source: api, ...header(["z*"]) },
    ],
  };
  assert.deepEqual(findings(headers), ["RULE_REDUNDANT allow_rules[1]"]);
});

test("methods that nobody may call, and paths that match no method, are named", () => {
  const methods = ["/s.S/Read", "/s.S/Write", "/s.S/Delete"];
  const document = {
    name: "p",
    deny_rules: [
      { name: "closed", request: { paths: ["/s.S/Delete"] } },
      { name: "partly", source: { principals: ["x"] }, request: { paths: ["/s.S/Read"] } },
    ],
    allow_rules: [
      { name: "a", source: api, request: { paths: ["/s.S/Read", "/s.S/Delete", "/s.S/Raed"] } },
    ],
  };
  const found = checkPolicy(parsePolicy(JSON.stringify(document)), { methods });
  assert.deepEqual(
    found.map(({ code, place, message }) => `${code} ${place} ${message}`),
    [
      'PATH_UNKNOWN allow_rules[0].request.paths[2] "/s.S/Raed" matches no method there is',
      "METHOD_NEVER_ALLOWED  nobody may call /s.S/Write",
      "METHOD_NEVER_ALLOWED  nobody may call /s.S/Delete",
    ],
  );
  assert.deepEqual(
    findings({ name: "p", allow_rules: [{ name: "a", source: api }] }, { methods }),
    [],
  );
});

test("paths that can be no method's are named", () => {
  const good = ["/s.S/Read", "/s.S/*", "/*", "*", "*/Read", "*Read", "/s*", "/s.S/R*"];
  const bad = [
    "s.S/Read",
    "/Read",
    "/s.S/Read/",
    "",
    "/s.S",
    "s*",
    "/a/b/c*",
    "//*",
    "*/a/b/c",
    "*/",
    "https://h/s.S/Read",
  ];
  for (const path of good) assert.ok(!codes(allowPath(path)).includes("PATH_MALFORMED"), path);
  for (const path of bad) assert.ok(codes(allowPath(path)).includes("PATH_MALFORMED"), path);
});

test("S29: prefixes that do not end at a slash, suffixes and stars that stand for themselves", () => {
  const principals = [
    "spiffe://example.org/api*",
    "*.example.org",
    "*a*",
    "a*b",
    "spiffe://example.org/x/*",
  ];
  assert.deepEqual(findings({ name: "p", allow_rules: [{ name: "a", source: { principals } }] }), [
    "PREFIX_OPEN_ENDED allow_rules[0].source.principals[0]",
    "SUFFIX_ANY_TRUST_DOMAIN allow_rules[0].source.principals[1]",
    "STAR_IS_LITERAL allow_rules[0].source.principals[2]",
    "PREFIX_OPEN_ENDED allow_rules[0].source.principals[2]",
    "STAR_IS_LITERAL allow_rules[0].source.principals[3]",
  ]);
  assert.deepEqual(findings(allowPath("/pkg.Service*")), [
    "PREFIX_OPEN_ENDED allow_rules[0].request.paths[0]",
  ]);
});

test("S31: allow rules on headers alone, and deny rules that sending a header twice evades", () => {
  const header = (values: string[]): object => ({ headers: [{ key: "h", values }] });
  assert.deepEqual(findings({ name: "p", allow_rules: [{ name: "a", request: header(["x"]) }] }), [
    "HEADERS_ALONE allow_rules[0]",
  ]);
  const deny = (values: string[]): string[] =>
    findings({
      name: "p",
      deny_rules: [{ name: "d", request: header(values) }],
      allow_rules: [{ name: "a", source: api }],
    });
  assert.deepEqual(deny(["x*", "y"]), [
    "HEADER_DENY_EVADABLE deny_rules[0].request.headers[0].values",
  ]);
  assert.deepEqual(deny(["*"]), []);
});

test("rules for everyone, and for callers without a certificate", () => {
  const open = {
    name: "p",
    allow_rules: [{ name: "a" }, { name: "b", source: { principals: [""] } }],
  };
  assert.deepEqual(findings(open), [
    "ANYONE_ALLOWED allow_rules[0]",
    "RULE_REDUNDANT allow_rules[1]",
    "ANONYMOUS_ALLOWED allow_rules[1].source.principals[0]",
  ]);
});

test("audits that record nothing", () => {
  const audited = (options: object): string[] =>
    findings({
      name: "p",
      allow_rules: [{ name: "a", source: api }],
      audit_logging_options: options,
    });
  assert.deepEqual(audited({ audit_condition: "ON_DENY" }), [
    "AUDIT_WITHOUT_LOGGER audit_logging_options",
  ]);
  assert.deepEqual(audited({ audit_loggers: [{ name: "stdout" }] }), [
    "AUDIT_NEVER audit_logging_options",
  ]);
  assert.deepEqual(audited({}), []);
});

test("S33: certificate rules are checked too", () => {
  const sha = `sha256:${"ab".repeat(32)}`;
  const rule = { issuer: sha, organizations: ["Bank"], methods: ["/s.S/*"] };
  const found = findings(
    {
      name: "p",
      certificate_rules: [
        { ...rule, name: "wide" },
        { ...rule, name: "narrow", common_names: ["a"], methods: ["/s.S/Read"] },
        { ...rule, name: "other", organizations: ["Shop"], issuer: ["CN=CA", sha] },
        {
          ...rule,
          name: "sans",
          with_sans: true,
          organizations: ["Bank", "Shop"],
          methods: ["/s.S/Raed"],
        },
        { ...rule, name: "again" },
      ],
    },
    { methods: ["/s.S/Read", "/t.T/Write"] },
  );
  assert.deepEqual(found, [
    "RULE_REDUNDANT certificate_rules[1]",
    "ISSUER_BY_SUBJECT certificate_rules[2].issuer",
    "PATH_UNKNOWN certificate_rules[3].methods[0]",
    "RULE_REDUNDANT certificate_rules[4]",
    "METHOD_NEVER_ALLOWED ",
  ]);
});

test("ten thousand rules are checked without comparing each with each", () => {
  const allow_rules = Array.from({ length: 10_000 }, (_, index) => ({
    name: String(index),
    source: { principals: [`spiffe://example.org/${index % 100}/*`] },
    request: { paths: [`/s.S/Method${Math.floor(index / 100)}`] },
  }));
  const before = process.cpuUsage().user;
  assert.deepEqual(findings({ name: "p", allow_rules }), []);
  // Each with each takes ten times as long as this on the slowest machine we have.
  assert.ok(process.cpuUsage().user - before < 3_000_000);
});

function findings(document: object, options?: CheckPolicyOptions): string[] {
  const found = checkPolicy(parsePolicy(JSON.stringify(document)), options);
  return found.map(({ code, place }) => `${code} ${place}`);
}

function codes(document: object): string[] {
  return checkPolicy(parsePolicy(JSON.stringify(document))).map(({ code }) => code);
}

function allowPath(path: string): object {
  return { name: "p", allow_rules: [{ name: "a", source: api, request: { paths: [path] } }] };
}
