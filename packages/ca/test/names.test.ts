import assert from "node:assert/strict";
import { test } from "node:test";
import { parseAlternativeName, parseServiceName, serviceNames } from "../src/index.ts";
import { refusal } from "./support/fixtures.ts";

const trustDomain = "handfast.internal";

test("S56: a service name is a safe file name and never a path or an option", () => {
  const hostile = [
    "",
    ".",
    "..",
    "../x",
    "/etc/passwd",
    "a/b",
    "a\\b",
    "-rf",
    ".ssh",
    "a b",
    "a\0b",
  ];
  const odd = [
    "a\nb",
    "\u001b]0;x\u0007",
    "a:b",
    "*.example.org",
    "ä",
    "\u202eabc",
    "x".repeat(65),
  ];
  for (const name of [...hostile, ...odd]) {
    assert.throws(() => parseServiceName(name), refusal("NAME_REFUSED", /^name "/), name);
  }
  for (const name of ["api", "API-2", "_x", "a.b.example", "10.0.0.1", "x".repeat(64)]) {
    assert.equal(parseServiceName(name), name);
  }
});

test("a service is named by its DNS name and its SPIFFE id", () => {
  assert.deepEqual(serviceNames(parseServiceName("Api.example.org"), { trustDomain }), {
    dns: ["api.example.org"],
    ip: [],
    uri: ["spiffe://handfast.internal/Api.example.org"],
    email: [],
  });
});

test("a service whose name is an address gets an IP name, and one that is neither gets none", () => {
  assert.deepEqual(serviceNames(parseServiceName("10.0.0.1"), { trustDomain }).ip, ["10.0.0.1"]);
  assert.deepEqual(serviceNames(parseServiceName("10.0.0.1"), { trustDomain }).dns, []);
  assert.deepEqual(serviceNames(parseServiceName("a..b"), { trustDomain }).dns, []);
  assert.deepEqual(serviceNames(parseServiceName("a-.b"), { trustDomain }).dns, []);
});

test("localhost is named only when asked for", () => {
  const names = serviceNames(parseServiceName("api"), { trustDomain, local: true });
  assert.deepEqual(names.dns, ["api", "localhost"]);
  assert.deepEqual(names.ip, ["127.0.0.1", "::1"]);
  assert.deepEqual(serviceNames(parseServiceName("api"), { trustDomain }).ip, []);
});

test("the SPIFFE id can be another one, or none", () => {
  const name = parseServiceName("api");
  const spiffeId = "spiffe://handfast.internal/ns/prod/sa/api";
  assert.deepEqual(serviceNames(name, { trustDomain, spiffeId }).uri, [spiffeId]);
  assert.deepEqual(serviceNames(name, { trustDomain, spiffeId: null }).uri, []);
});

test("an alternative name is read by its prefix, else by its form", () => {
  assert.deepEqual(parseAlternativeName("*.Example.org"), { kind: "dns", value: "*.example.org" });
  assert.deepEqual(parseAlternativeName("::1"), { kind: "ip", value: "::1" });
  assert.deepEqual(parseAlternativeName("a@example.org"), {
    kind: "email",
    value: "a@example.org",
  });
  assert.deepEqual(parseAlternativeName("https://a.example/x"), {
    kind: "uri",
    value: "https://a.example/x",
  });
  assert.deepEqual(parseAlternativeName("DNS:db"), { kind: "dns", value: "db" });
});

test("S30, S54: an alternative name that is not well formed is refused", () => {
  const refused = [
    "*",
    "a.*.example.org",
    "*a.example.org",
    "dns:10.0.0.1",
    "dns:a/b",
    "a_b.example.org.",
    "-a.example.org",
    "ip:300.1.1.1",
    "ip:fe80::1%eth0",
    "email:a b@example.org",
    "email:@example.org",
    "uri:no-authority",
    "uri:https://a b",
    "spiffe://handfast.internal",
    "spiffe://handfast.internal/../x",
    "spiffe://Handfast.internal/x",
    "dns:a\u0000b",
    "https://a/\u202e",
    "",
  ];
  for (const text of refused) {
    assert.throws(() => parseAlternativeName(text), refusal("NAME_REFUSED", / name "/), text);
  }
});
