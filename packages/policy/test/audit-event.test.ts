import assert from "node:assert/strict";
import { test } from "node:test";
import { compilePolicy, lineLogger, parsePolicy, plaintextPrincipal } from "../src/index.ts";
import type {
  AuditCall,
  AuditEvent,
  AuditLoggerFactories,
  CompiledPolicy,
  Principal,
} from "../src/index.ts";
import { caller } from "./support/policies.ts";

const now = (): Date => new Date("2026-01-02T03:04:05.678Z");
const principal = caller({ uriSans: ["spiffe://e/a"], dnsSans: ["a.e"], subject: "CN=a" });

test("S34: an event has the fields of A59 and ours; policy and rule stay apart", () => {
  const { policy, events } = recording({ audit_condition: "ON_DENY_AND_ALLOW" });
  void record(policy, "/s/Read", {
    identity: "spiffe://e/a",
    fingerprint: "ab",
    serialNumber: "01",
    remoteAddress: "192.0.2.1:4",
    requestId: "r1",
  });
  void record(policy, "/s/Other", {}, "swap");
  const common = {
    time: now(),
    principal: "spiffe://e/a",
    policyName: "a_b",
    policyVersion: policy.version,
  };
  assert.deepEqual(events, [
    {
      ...common,
      fullMethodName: "/s/Read",
      matchedRule: "c",
      authorized: true,
      phase: "start",
      identity: "spiffe://e/a",
      fingerprint: "ab",
      serialNumber: "01",
      remoteAddress: "192.0.2.1:4",
      requestId: "r1",
    },
    { ...common, fullMethodName: "/s/Other", matchedRule: "", authorized: false, phase: "swap" },
  ]);
});

test("the principal of an event is the first name of the first kind", () => {
  const cases: [principal: Principal, name: string][] = [
    [principal, "spiffe://e/a"],
    [{ ...principal, uriSans: [] }, "a.e"],
    [{ ...principal, uriSans: [], dnsSans: [] }, "CN=a"],
    [caller({}), ""],
    [plaintextPrincipal, ""],
    [{ ...principal, authenticated: false }, ""],
  ];
  for (const [who, name] of cases) {
    const { policy, events } = recording({ audit_condition: "ON_DENY_AND_ALLOW" });
    void record(policy, "/s/Read", {}, "start", who);
    assert.deepEqual(
      events.map((event) => event.principal),
      [name],
    );
  }
});

test("the condition says which decisions are recorded, each at most once", () => {
  const counts: [condition: string | undefined, allowed: number, denied: number][] = [
    ["NONE", 0, 0],
    [undefined, 0, 0],
    ["ON_ALLOW", 3, 0],
    ["ON_DENY", 0, 2],
    ["ON_DENY_AND_ALLOW", 3, 2],
  ];
  for (const [condition, allowed, denied] of counts) {
    const { policy, events } = recording({ audit_condition: condition });
    for (const path of ["/s/Read", "/s/Read", "/s/Other", "/s/Read", "/s/Deny"]) {
      void record(policy, path);
    }
    assert.deepEqual(
      [
        events.filter((event) => event.authorized).length,
        events.filter((event) => !event.authorized).length,
      ],
      [allowed, denied],
      String(condition),
    );
  }
});

test("each logger of the document gets the event, in its order", () => {
  const order: string[] = [];
  const logger =
    (name: string): AuditLoggerFactories[string] =>
    () => ({
      log: () => void order.push(name),
    });
  const { policy } = recording(
    { audit_condition: "ON_ALLOW", audit_loggers: [{ name: "b" }, { name: "a" }, { name: "b" }] },
    { a: logger("a"), b: logger("b") },
  );
  void record(policy, "/s/Read");
  assert.deepEqual(order, ["b", "a", "b"]);
});

test("an unknown logger makes the document invalid unless it is optional; a bad config always does", () => {
  const strict = (): never => {
    throw new Error("expected a path");
  };
  const load = (logger: object): CompiledPolicy =>
    recording({ audit_condition: "ON_ALLOW", audit_loggers: [logger] }, { strict }).policy;
  assert.throws(() => load({ name: "nobody" }), {
    code: "POLICY_INVALID",
    place: "audit_logging_options.audit_loggers[0].name",
    message: /unknown audit logger "nobody"; offered here: strict/,
  });
  assert.throws(() => load({ name: "constructor" }), { code: "POLICY_INVALID" });
  assert.equal(record(load({ name: "nobody", is_optional: true }), "/s/Read"), undefined);
  for (const is_optional of [true, false]) {
    assert.throws(() => load({ name: "strict", is_optional }), {
      code: "POLICY_INVALID",
      place: "audit_logging_options.audit_loggers[0].config",
      message: "audit_logging_options.audit_loggers[0].config: expected a path",
    });
  }
});

test("without loggers on offer a document that asks for one is invalid, unless nothing is to be recorded", () => {
  const text = documentText({ audit_condition: "ON_ALLOW", audit_loggers: [{ name: "chain" }] });
  assert.throws(() => compilePolicy(parsePolicy(text)), { code: "POLICY_INVALID" });
  const looked = compilePolicy(parsePolicy(text), { auditLoggers: "none" });
  assert.equal(record(looked, "/s/Read"), undefined);
});

test("S36: a logger that throws refuses the call", () => {
  const broken = {
    a: () => ({
      log() {
        throw new Error("disk");
      },
    }),
  };
  const options = { audit_condition: "ON_ALLOW", audit_loggers: [{ name: "a" }] };
  const { policy } = recording(options, broken);
  assert.throws(() => record(policy, "/s/Read"), { code: "AUDIT_FAILED" });
  void record(policy, "/s/Other");
});

test("a reply waits for all loggers that ask for it", async () => {
  const waits: (() => void)[] = [];
  const waiting = { log: () => new Promise<void>((resolve) => waits.push(resolve)) };
  const { policy } = recording(
    { audit_condition: "ON_ALLOW", audit_loggers: [{ name: "w" }, { name: "q" }, { name: "w" }] },
    { w: () => waiting, q: () => ({ log: () => undefined }) },
  );
  let replied = false;
  const done = record(policy, "/s/Read")?.then(() => (replied = true));
  assert.equal(waits.length, 2);
  waits[0]?.();
  await new Promise<void>((resolve) => setImmediate(resolve));
  assert.equal(replied, false);
  waits[1]?.();
  await done;
  assert.equal(replied, true);
});

test("S64: the line logger writes one line of JSON in which nothing moves a cursor", () => {
  const lines: string[] = [];
  const hostile = 'spiffe://e/\u001b]0;x\u0007\u009b\u202e\u2028\n"';
  const { policy } = recording(
    { audit_condition: "ON_ALLOW", audit_loggers: [{ name: "stdout" }] },
    { stdout: lineLogger({ write: (line) => lines.push(line) }) },
  );
  void record(policy, "/s/Read", {}, "start", caller({ uriSans: [hostile] }));
  const [line = ""] = lines;
  assert.equal(lines.length, 1);
  assert.match(line, /^[\x20-\x7e]+\n$/);
  assert.deepEqual(JSON.parse(line), {
    audit: {
      time: "2026-01-02T03:04:05.678Z",
      full_method_name: "/s/Read",
      principal: hostile,
      policy_name: "a_b",
      policy_version: policy.version,
      matched_rule: "c",
      authorized: true,
      phase: "start",
    },
  });
  assert.throws(
    () =>
      recording(
        { audit_loggers: [{ name: "stdout", config: { file: "x" } }] },
        { stdout: lineLogger({ write: () => undefined }) },
      ),
    { code: "POLICY_INVALID" },
  );
});

function documentText(options: object): string {
  return JSON.stringify({
    name: "a_b",
    deny_rules: [{ name: "d", request: { paths: ["/s/Deny"] } }],
    allow_rules: [{ name: "c", request: { paths: ["/s/Read", "/s/Deny"] } }],
    audit_logging_options: options,
  });
}

function recording(
  options: object,
  auditLoggers?: AuditLoggerFactories,
): { policy: CompiledPolicy; events: AuditEvent[] } {
  const events: AuditEvent[] = [];
  const memory = { memory: () => ({ log: (event: AuditEvent) => void events.push(event) }) };
  const loggers = auditLoggers === undefined ? { audit_loggers: [{ name: "memory" }] } : {};
  const document = parsePolicy(documentText({ ...loggers, ...options }));
  const policy = compilePolicy(document, { auditLoggers: auditLoggers ?? memory, now });
  return { policy, events };
}

function record(
  policy: CompiledPolicy,
  path: string,
  known: Partial<AuditCall> = {},
  phase: AuditCall["phase"] = "start",
  who: Principal = principal,
): Promise<void> | undefined {
  const request = { principal: who, path, headers: {} };
  return policy.audit(policy.decide(request), { ...known, request, phase });
}
