import assert from "node:assert/strict";
import { test } from "node:test";
import {
  parseDecisionRequest,
  parsePolicyCases,
  plaintextPrincipal,
  testPolicy,
} from "../src/index.ts";
import { policyOf } from "./support/policies.ts";

const principal = { authenticated: true, uriSans: ["spiffe://e/a"], dnsSans: [], subject: "CN=a" };

test("a request is read from JSON; what is left out of the principal is empty", () => {
  const text = JSON.stringify({
    principal,
    path: "/s/Read",
    headers: { "X-Env": "a", "x-env": ["b", "c"], n: [] },
  });
  const request = parseDecisionRequest(text);
  assert.deepEqual(request.principal, {
    ...plaintextPrincipal,
    ...principal,
  });
  assert.equal(request.path, "/s/Read");
  assert.deepEqual({ ...request.headers }, { "x-env": ["a", "b", "c"], n: [] });
  assert.deepEqual(
    parseDecisionRequest('{"principal":{},"path":""}').principal,
    plaintextPrincipal,
  );
  const hostile = parseDecisionRequest('{"principal":{},"path":"","headers":{"constructor":"x"}}');
  assert.deepEqual(Object.entries(hostile.headers), [["constructor", ["x"]]]);
});

test("a request of another shape is refused, and the message begins with the place", () => {
  const refused: [place: string, value: unknown][] = [
    ["", []],
    ["principal", { path: "/s/Read" }],
    ["principal", { principal: [], path: "/" }],
    ["principal.uris", { principal: { uris: [] }, path: "/" }],
    ["principal.authenticated", { principal: { authenticated: "yes" }, path: "/" }],
    ["principal.uriSans", { principal: { uriSans: "a" }, path: "/" }],
    ["principal.dnsSans[0]", { principal: { dnsSans: [1] }, path: "/" }],
    ["principal.subject", { principal: { subject: null }, path: "/" }],
    ["path", { principal: {} }],
    ["path", { principal: {}, path: 1 }],
    ["headers", { principal: {}, path: "/", headers: [] }],
    ["headers.a", { principal: {}, path: "/", headers: { a: 1 } }],
    ["headers.a[0]", { principal: {}, path: "/", headers: { a: [1] } }],
    ["more", { principal: {}, path: "/", more: 1 }],
  ];
  for (const [place, value] of refused) {
    const text = JSON.stringify(value);
    assert.throws(() => parseDecisionRequest(text), { code: "REQUEST_INVALID", place }, text);
  }
  assert.throws(() => parseDecisionRequest('{"path":"/","path":"/"}'), { code: "REQUEST_INVALID" });
});

test("cases pass by verdict, and by rule where one is named", () => {
  const policy = policyOf({
    name: "p",
    deny_rules: [{ name: "d", request: { paths: ["/s/Delete"] } }],
    allow_rules: [
      { name: "a", source: { principals: ["spiffe://e/a"] }, request: { paths: ["/s/Read"] } },
    ],
  });
  const expectations = [
    { path: "/s/Read", expect: "allow" },
    { path: "/s/Read", expect: "allow", rule: "a" },
    { path: "/s/Read", expect: "allow", rule: "b" },
    { path: "/s/Read", expect: "deny" },
    { path: "/s/Delete", expect: "deny", rule: "d", headers: { h: "x" } },
    { path: "/s/Other", expect: "deny", rule: "" },
    { path: "/s/Other", expect: "deny", rule: "d" },
  ];
  const cases = parsePolicyCases(
    JSON.stringify(expectations.map((each) => ({ principal, ...each }))),
  );
  const results = testPolicy(policy, cases);
  assert.deepEqual(
    results.map(({ passed }) => passed),
    [true, true, false, false, true, true, false],
  );
  assert.deepEqual(results[3]?.decision, { allowed: true, rule: "a", reason: "allow-rule" });
  assert.equal(results[3]?.case.place, "[3]");
});

test("cases of another shape are refused, and the message begins with the place", () => {
  const good = { principal, path: "/", expect: "allow" };
  const refused: [place: string, value: unknown][] = [
    ["", {}],
    ["", []],
    ["[0]", ["x"]],
    ["[1].expect", [good, { ...good, expect: "maybe" }]],
    ["[0].expect", [{ principal, path: "/" }]],
    ["[0].rule", [{ ...good, rule: 1 }]],
    ["[0].principal.uriSans[0]", [{ ...good, principal: { uriSans: [1] } }]],
    ["[0].name", [{ ...good, name: "x" }]],
  ];
  for (const [place, value] of refused) {
    const text = JSON.stringify(value);
    assert.throws(() => parsePolicyCases(text), { code: "CASES_INVALID", place }, text);
  }
});
