import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import {
  chainLogger,
  compilePolicy,
  createAuditQueue,
  createRefusalRecorder,
  openAuditChain,
  parsePolicy,
  PolicyError,
  verifyAuditChain,
} from "../src/index.ts";
import type { AuditChain, AuditQueue, RecordFields } from "../src/index.ts";
import { piecesOf, testSigner } from "./support/chains.ts";
import { caller } from "./support/policies.ts";
import { temporaryDirectory } from "./support/temporary.ts";

const signer = testSigner();

test("S36: a full queue refuses, and takes records again when there is room", async () => {
  const { chain, settle } = stuckChain();
  const queue = createAuditQueue(chain, { limit: 8 });
  for (let index = 0; index < 8; index++)
    void queue.offer("decision", {}, { identity: `i${index}` });
  assert.equal(queue.length, 8);
  assert.throws(() => queue.offer("decision", {}, { identity: "other" }), {
    code: "AUDIT_QUEUE_FULL",
    message: "the audit queue has no room: 8 of 8 records wait",
  });
  settle();
  await queue.flush();
  assert.equal(queue.length, 0);
  void queue.offer("decision", {}, { identity: "other" });
});

test("S36: one identity fills at most a quarter of the queue; no identity counts as one", () => {
  const { chain } = stuckChain();
  const queue = createAuditQueue(chain, { limit: 40 });
  for (const identity of ["mallory", undefined]) {
    for (let index = 0; index < 10; index++) void queue.offer("decision", {}, { identity });
    assert.throws(() => queue.offer("decision", {}, { identity }), { code: "AUDIT_QUEUE_FULL" });
  }
  for (let index = 0; index < 10; index++) void queue.offer("decision", {}, { identity: "alice" });
});

test("S36: with drop, a record says how many were dropped, from when to when, by whom", async () => {
  const { chain, settle, appended } = stuckChain();
  let second = 0;
  const now = (): Date => new Date(Date.UTC(2026, 0, 1, 0, 0, second++));
  const queue = createAuditQueue(chain, { limit: 4, whenFull: "drop", now });
  for (let index = 0; index < 4; index++)
    void queue.offer("decision", {}, { identity: `i${index}` });
  await queue.offer("decision", {}, { identity: "a" });
  await queue.offer("decision", {}, { identity: "a" });
  await queue.offer("decision", {});
  settle();
  await queue.flush();
  const dropped = {
    count: 3,
    from: "2026-01-01T00:00:00.000Z",
    to: "2026-01-01T00:00:02.000Z",
    identities: [
      { identity: "a", records: 2 },
      { identity: "", records: 1 },
    ],
    others: 0,
  };
  assert.deepEqual(appended.slice(4), [["dropped", dropped]]);
  void queue.offer("decision", {}, { identity: "a" });
  assert.throws(() => createAuditQueue(chain, { limit: 3 }), TypeError);
});

test("S36: what was dropped is recorded when the queue is half empty, not for each place that is free", async () => {
  const { chain, settle, appended } = stuckChain();
  const queue = createAuditQueue(chain, { limit: 8, whenFull: "drop" });
  for (let index = 0; index < 8; index++)
    void queue.offer("decision", {}, { identity: `i${index}` });
  void queue.offer("decision", {}, { identity: "a" });
  for (const [left, records] of [
    [5, 8],
    [4, 9],
  ]) {
    while (queue.length > (left ?? 0)) {
      settle(undefined, 1);
      await new Promise<void>((resolve) => setImmediate(resolve));
    }
    assert.equal(appended.length, records);
  }
});

test("S36: more than a hundred identities that lost records are counted together", async () => {
  const { chain, settle, appended } = stuckChain();
  const queue = createAuditQueue(chain, { limit: 4, whenFull: "drop" });
  for (let index = 0; index < 4; index++)
    void queue.offer("decision", {}, { identity: `i${index}` });
  for (let index = 0; index < 150; index++)
    void queue.offer("decision", {}, { identity: `x${index}` });
  settle();
  await queue.flush();
  const [, fields] = appended.at(-1) ?? ["", {}];
  assert.deepEqual([fields["count"], fields["others"]], [150, 50]);
});

test("S36: a chain that failed refuses whatever is offered", async () => {
  const { chain, settle } = stuckChain();
  const queue = createAuditQueue(chain, { whenFull: "drop" });
  const first = queue.offer("decision", {});
  settle(new PolicyError("AUDIT_FAILED", "disk"));
  await assert.rejects(first, { code: "AUDIT_FAILED" });
  assert.throws(() => queue.offer("decision", {}), { code: "AUDIT_FAILED" });
});

test("decisions go into the chain, and the reply waits only where the document says so", async (context) => {
  const path = join(temporaryDirectory(context), "audit");
  const chain = await openAuditChain(path, { signer });
  const queue = createAuditQueue(chain);
  const policyWith = (config: object): ReturnType<typeof compilePolicy> =>
    compilePolicy(
      parsePolicy(
        JSON.stringify({
          name: "p",
          allow_rules: [{ name: "r" }],
          audit_logging_options: {
            audit_condition: "ON_ALLOW",
            audit_loggers: [{ name: "chain", config }],
          },
        }),
      ),
      { auditLoggers: { chain: chainLogger(queue) } },
    );
  const request = { principal: caller({ dnsSans: ["a.e"] }), path: "/s/Read", headers: {} };
  const call = { request, phase: "start", identity: "dns:a.e" } as const;
  for (const config of [{}, { mode: "queued" }]) {
    const policy = policyWith(config);
    assert.equal(policy.audit(policy.decide(request), call), undefined);
  }
  const policy = policyWith({ mode: "beforeReply" });
  await policy.audit(policy.decide(request), call);
  const decisions = piecesOf(path).filter(({ record }) => record.kind === "decision");
  assert.equal(decisions.length, 3);
  assert.deepEqual(decisions.at(-1)?.record.fields, {
    full_method_name: "/s/Read",
    principal: "a.e",
    policy_name: "p",
    policy_version: policy.version,
    matched_rule: "r",
    authorized: true,
    phase: "start",
    identity: "dns:a.e",
  });
  for (const config of [{ mode: "later" }, { file: "x" }]) {
    assert.throws(() => policyWith(config), { code: "POLICY_INVALID" });
  }
  await queue.flush();
  await chain.close();
  assert.ok((await verifyAuditChain(path, { publicKey: signer.publicKey })).ok);
});

test("S36: refusals are recorded at most once per source, reason and second", () => {
  const offered: RecordFields[] = [];
  const queue: AuditQueue = {
    length: 0,
    offer(kind, fields) {
      assert.equal(kind, "refusal");
      offered.push(fields);
      return Promise.resolve();
    },
    flush: () => Promise.resolve(),
  };
  let nowMs = 10_000;
  const recorder = createRefusalRecorder(queue, { now: () => new Date(nowMs) });
  for (let index = 0; index < 50; index++)
    recorder.record({ source: "192.0.2.1", reason: "EXPIRED" });
  recorder.record({ source: "192.0.2.1", reason: "REVOKED", fields: { serial: "01" } });
  recorder.record({ source: "192.0.2.2", reason: "EXPIRED" });
  nowMs += 999;
  recorder.record({ source: "192.0.2.1", reason: "EXPIRED" });
  nowMs += 1;
  recorder.record({ source: "192.0.2.1", reason: "EXPIRED" });
  nowMs -= 5000;
  recorder.record({ source: "192.0.2.1", reason: "EXPIRED" });
  assert.deepEqual(offered, [
    { source: "192.0.2.1", reason: "EXPIRED", suppressed: 0 },
    { serial: "01", source: "192.0.2.1", reason: "REVOKED", suppressed: 0 },
    { source: "192.0.2.2", reason: "EXPIRED", suppressed: 0 },
    { source: "192.0.2.1", reason: "EXPIRED", suppressed: 50 },
    { source: "192.0.2.1", reason: "EXPIRED", suppressed: 0 },
  ]);
});

test("S36: a flood of sources does not grow the recorder, and a full queue is not its problem", () => {
  let offered = 0;
  const queue: AuditQueue = {
    length: 0,
    offer() {
      offered++;
      throw new PolicyError("AUDIT_QUEUE_FULL", "full");
    },
    flush: () => Promise.resolve(),
  };
  const recorder = createRefusalRecorder(queue, { now: () => new Date(0) });
  for (let index = 0; index < 10_001; index++)
    recorder.record({ source: `s${index}`, reason: "x" });
  assert.equal(offered, 10_001);
  // The first was forgotten to make room, the last was not.
  recorder.record({ source: "s10000", reason: "x" });
  assert.equal(offered, 10_001);
  recorder.record({ source: "s0", reason: "x" });
  assert.equal(offered, 10_002);
});

/** A chain whose records reach the disk when the test says so. */
function stuckChain(): {
  chain: AuditChain;
  /** Of all records that wait, or of the first `count`. */
  settle: (failure?: PolicyError, count?: number) => void;
  appended: [string, RecordFields][];
} {
  const appended: [string, RecordFields][] = [];
  const waiting: PromiseWithResolvers<{ chain: string; seq: number }>[] = [];
  let failure: PolicyError | undefined;
  let open = false;
  const chain: AuditChain = {
    get failure() {
      return failure;
    },
    get head(): never {
      throw new Error("not asked for");
    },
    append(kind, fields) {
      appended.push([kind, fields]);
      if (open) return Promise.resolve({ chain: "c", seq: 0 });
      const place = Promise.withResolvers<{ chain: string; seq: number }>();
      waiting.push(place);
      return place.promise;
    },
    close: () => Promise.resolve(),
  };
  return {
    chain,
    appended,
    settle(thrown, count) {
      failure = thrown;
      open = count === undefined;
      for (const { resolve, reject } of waiting.splice(0, count ?? waiting.length)) {
        if (thrown === undefined) resolve({ chain: "c", seq: 0 });
        else reject(thrown);
      }
    },
  };
}
