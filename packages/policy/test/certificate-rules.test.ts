import assert from "node:assert/strict";
import { test } from "node:test";
import { definePolicy, parsePolicy, PolicyError } from "../src/index.ts";
import type { Principal } from "../src/index.ts";
import { caller, policyOf, verdict } from "./support/policies.ts";

const issuer = "CN=Example Issuing CA,O=Bank";
const fingerprint = "0123456789abcdef".repeat(4);
const methods = ["/bank.v1.BankService/*"];
const path = "/bank.v1.BankService/Deposit";

function decided(rule: object, names: Partial<Principal>, at = path): string {
  const policy = policyOf({
    name: "p",
    certificate_rules: [{ name: "r", issuer, methods, ...rule }],
  });
  return verdict(policy, { principal: caller({ issuer, ...names }), path: at });
}

test("S33: values are exact and case-sensitive; one O of several is enough", () => {
  const rule = { organizations: ["Bank", "Shop"] };
  assert.equal(decided(rule, { organizations: ["Bank"] }), "allow");
  assert.equal(decided(rule, { organizations: ["Other", "Shop"] }), "allow");
  for (const name of ["bank", "Bank ", "Ban", "Bank*", ""]) {
    assert.equal(decided(rule, { organizations: [name] }), "deny", name);
  }
  assert.equal(decided(rule, { organizations: [] }), "deny");
  assert.equal(decided(rule, { organizations: ["Bank"] }, "/other.Service/Deposit"), "deny");
});

test("S33: there has to be exactly one CN", () => {
  const rule = { common_names: ["alice"] };
  assert.equal(decided(rule, { commonNames: ["alice"] }), "allow");
  assert.equal(decided(rule, { commonNames: ["alice", "bob"] }), "deny");
  assert.equal(decided(rule, { commonNames: ["bob", "alice"] }), "deny");
  assert.equal(decided(rule, { commonNames: ["alice", "alice"] }), "deny");
  assert.equal(decided(rule, { commonNames: [] }), "deny");
});

test("S33: attributes count only from the CA that the rule names", () => {
  const rule = { organizations: ["Bank"] };
  const bank = { organizations: ["Bank"] };
  assert.equal(decided(rule, { ...bank, issuer: "CN=Other CA" }), "deny");
  assert.equal(decided(rule, { ...bank, issuer: "" }), "deny");
  const byHash = { ...rule, issuer: `sha256:${fingerprint}` };
  assert.equal(decided(byHash, { ...bank, issuerFingerprints: ["00", fingerprint] }), "allow");
  assert.equal(decided(byHash, bank), "deny");
  assert.equal(decided(byHash, { ...bank, issuerFingerprints: ["00"] }), "deny");
  assert.equal(decided(byHash, { ...bank, issuer: `sha256:${fingerprint}` }), "deny");
  const colons = `sha256:${fingerprint.toUpperCase().replaceAll(/..(?=.)/g, "$&:")}`;
  const bundle = { ...rule, issuer: ["CN=Old CA", colons] };
  assert.equal(decided(bundle, { ...bank, issuer: "CN=Old CA" }), "allow");
  assert.equal(decided(bundle, { ...bank, issuerFingerprints: [fingerprint] }), "allow");
  assert.equal(decided(bundle, { ...bank, issuer: "CN=New CA" }), "deny");
});

test("S33: a rule on the subject applies to certificates without SANs, unless it says otherwise", () => {
  const bank = { organizations: ["Bank"] };
  for (const sans of [{ uriSans: ["spiffe://e/a"] }, { dnsSans: ["a.e"] }]) {
    assert.equal(decided(bank, { ...bank, ...sans }), "deny");
    assert.equal(decided({ ...bank, with_sans: true }, { ...bank, ...sans }), "allow");
    assert.equal(decided({ ...bank, with_sans: false }, { ...bank, ...sans }), "deny");
  }
  assert.equal(decided({ ...bank, with_sans: true }, bank), "allow");
});

test("S33: kinds that are named must all match, one value of each", () => {
  const rule = {
    organizations: ["Bank"],
    common_names: ["alice"],
    dns_sans: ["A.example.org"],
    uri_sans: ["spiffe://e/a", "spiffe://e/b"],
  };
  const alice = {
    organizations: ["Bank"],
    commonNames: ["alice"],
    dnsSans: ["x.e", "a.EXAMPLE.org"],
    uriSans: ["spiffe://e/b"],
  };
  assert.equal(decided(rule, alice), "allow");
  const changes: Partial<Principal>[] = [
    { organizations: ["Shop"] },
    { commonNames: ["bob"] },
    { dnsSans: ["x.e"] },
    { uriSans: ["spiffe://e/B"] },
    { uriSans: [] },
    { authenticated: false },
  ];
  for (const change of changes) {
    assert.equal(decided(rule, { ...alice, ...change }), "deny", JSON.stringify(change));
  }
  for (const kind of ["dns_sans", "uri_sans"] as const) {
    assert.equal(decided({ [kind]: rule[kind] }, alice), "allow", kind);
  }
});

test("a policy may be written in code, and is the one that its JSON is", () => {
  const definition = {
    name: "p",
    certificate_rules: [{ name: "r", issuer, organizations: ["Bank"], methods }],
  };
  assert.deepEqual(definePolicy(definition), parsePolicy(JSON.stringify(definition)));
  assert.throws(() => definePolicy({ name: "p", allow_rules: [] }), { code: "POLICY_INVALID" });
});

test("the first rule that matches is the one that is named", () => {
  const rule = { issuer, organizations: ["Bank"], methods };
  const policy = policyOf({
    name: "p",
    certificate_rules: [
      { ...rule, name: "a", common_names: ["bob"] },
      { ...rule, name: "b" },
      { ...rule, name: "c", common_names: ["alice"] },
    ],
  });
  const principal = caller({ issuer, organizations: ["Bank"], commonNames: ["alice"] });
  assert.deepEqual(policy.decide({ principal, path, headers: {} }), {
    allowed: true,
    rule: "b",
    reason: "allow-rule",
  });
});

test("S28: an invalid document is refused, and the message begins with the place", () => {
  const good = { name: "r", issuer, organizations: ["Bank"], methods };
  const rules = (change: object): object => ({
    name: "p",
    certificate_rules: [{ ...good, ...change }],
  });
  const refused: [place: string, document: object][] = [
    ["certificate_rules", { name: "p", certificate_rules: [] }],
    ["allow_rules", { ...rules({}), allow_rules: [{ name: "r" }] }],
    ["deny_rules", { ...rules({}), deny_rules: [{ name: "r" }] }],
    ["certificate_rules[0].name", rules({ name: "" })],
    ["certificate_rules[1].name", { name: "p", certificate_rules: [good, good] }],
    ["certificate_rules[0].issuer", rules({ issuer: undefined })],
    ["certificate_rules[0].issuer", rules({ issuer: "" })],
    ["certificate_rules[0].issuer", rules({ issuer: [] })],
    ["certificate_rules[0].issuer[0]", rules({ issuer: [1] })],
    ["certificate_rules[0].issuer", rules({ issuer: "sha256:00" })],
    ["certificate_rules[0].organizations", rules({ organizations: [] })],
    ["certificate_rules[0].organizations[0]", rules({ organizations: [""] })],
    ["certificate_rules[0].organizations[0]", rules({ organizations: ["*"] })],
    ["certificate_rules[0].uri_sans[0]", rules({ uri_sans: ["spiffe://e/*"] })],
    ["certificate_rules[0]", rules({ organizations: undefined })],
    ["certificate_rules[0].methods", rules({ methods: undefined })],
    ["certificate_rules[0].methods", rules({ methods: [] })],
    ["certificate_rules[0].with_sans", rules({ with_sans: "yes" })],
    ["certificate_rules[0].request", rules({ request: {} })],
  ];
  for (const [place, document] of refused) {
    assert.throws(
      () => parsePolicy(JSON.stringify(document)),
      (thrown) => thrown instanceof PolicyError && thrown.place === place,
      `${place}: ${JSON.stringify(document)}`,
    );
  }
  parsePolicy(JSON.stringify(rules({})));
});
