import assert from "node:assert/strict";
import { renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { createLivePolicy, policyFromFile } from "../src/index.ts";
import type {
  CompiledPolicy,
  PolicyFile,
  PolicyFileEvent,
  PolicyFileOptions,
} from "../src/index.ts";
import { policyOf, verdict } from "./support/policies.ts";
import { temporaryDirectory, within } from "./support/temporary.ts";

/** Only `reload()` is behind what happens. */
const onDemand = { pollMs: 1_000_000, debounceMs: 1_000_000 };
const allowing = (path: string): string =>
  JSON.stringify({ name: path, allow_rules: [{ name: "a", request: { paths: [path] } }] });

test("a valid new document takes force in one step, and listeners hear of it", async (context) => {
  const { path, policy, events } = await opened(context, allowing("/s/A"));
  const heard: [string, string][] = [];
  const stop = policy.onChange((next, previous) => heard.push([next.name, previous.name]));
  const before = policy.current;
  assert.equal(await policy.reload(), "unchanged");
  writeFileSync(path, allowing("/s/B"));
  assert.equal(await policy.reload(), "replaced");
  assert.deepEqual(heard, [["/s/B", "/s/A"]]);
  assert.notEqual(policy.current.version, before.version);
  assert.deepEqual(verdicts(policy.current), ["deny", "allow"]);
  assert.deepEqual(verdicts(before), ["allow", "deny"]);
  stop();
  writeFileSync(path, allowing("/s/A"));
  assert.equal(await policy.reload(), "replaced");
  assert.equal(heard.length, 1);
  assert.deepEqual(
    events.map(({ type }) => type),
    ["policy-replaced", "policy-replaced"],
  );
});

test("S32: an invalid document leaves the old policy in force, with one clear error", async (context) => {
  const good = '"allow_rules":[{"name":"r"}]';
  const broken: [name: string, text: string][] = [
    [
      "a duplicate key",
      `{"name":"p",${good},"deny_rules":[{"name":"d"}],"deny_rules":[{"name":"e"}]}`,
    ],
    ["__proto__", `{"name":"p","__proto__":{},${good}}`],
    ["trailing bytes", `{"name":"p",${good}} x`],
    ["too many levels", `{"name":"p",${good},"x":${"[".repeat(20)}${"]".repeat(20)}}`],
    ["an empty list", '{"name":"p","allow_rules":[]}'],
    ["half a document", `{"name":"p",`],
    ["nothing", ""],
  ];
  for (const [name, text] of broken) {
    const { path, policy, events } = await opened(context, allowing("/s/A"));
    const { version } = policy.current;
    writeFileSync(path, text);
    assert.equal(await policy.reload(), "failed", name);
    assert.equal(await policy.reload(), "failed", name);
    assert.equal(policy.current.version, version, name);
    assert.deepEqual(verdicts(policy.current), ["allow", "deny"], name);
    assert.deepEqual(summary(events), ["policy-refused POLICY_INVALID"], name);
  }
});

test("S32: a document over 4 MiB leaves the old policy in force", async (context) => {
  const { path, policy, events } = await opened(context, allowing("/s/A"));
  writeFileSync(path, allowing("/s/B") + " ".repeat(4 * 1024 * 1024));
  assert.equal(await policy.reload(), "failed");
  assert.deepEqual(verdicts(policy.current), ["allow", "deny"]);
  assert.deepEqual(summary(events), ["policy-refused POLICY_UNREADABLE"]);
});

test("a broken document that is mended is in force again, whether or not it is the old one", async (context) => {
  const { path, policy, events } = await opened(context, allowing("/s/A"));
  writeFileSync(path, "{");
  assert.equal(await policy.reload(), "failed");
  writeFileSync(path, allowing("/s/A"));
  assert.equal(await policy.reload(), "unchanged");
  writeFileSync(path, "[");
  assert.equal(await policy.reload(), "failed");
  writeFileSync(path, allowing("/s/B"));
  assert.equal(await policy.reload(), "replaced");
  rmSync(path);
  assert.equal(await policy.reload(), "failed");
  writeFileSync(path, allowing("/s/B"));
  assert.equal(await policy.reload(), "unchanged");
  assert.deepEqual(summary(events), [
    "policy-refused POLICY_INVALID",
    "policy-mended",
    "policy-refused POLICY_INVALID",
    "policy-replaced",
    "policy-refused POLICY_UNREADABLE",
    "policy-mended",
  ]);
});

test("a broken file that goes and comes back broken is not mended", async (context) => {
  const { path, policy, events } = await opened(context, allowing("/s/A"));
  writeFileSync(path, "{");
  await policy.reload();
  rmSync(path);
  await policy.reload();
  writeFileSync(path, "{");
  assert.equal(await policy.reload(), "failed");
  assert.deepEqual(summary(events), [
    "policy-refused POLICY_INVALID",
    "policy-refused POLICY_UNREADABLE",
  ]);
});

test("a policy that asks for a logger nobody offers does not take force", async (context) => {
  const { path, policy, events } = await opened(context, allowing("/s/A"));
  writeFileSync(
    path,
    JSON.stringify({
      name: "p",
      allow_rules: [{ name: "a" }],
      audit_logging_options: { audit_loggers: [{ name: "chain" }] },
    }),
  );
  assert.equal(await policy.reload(), "failed");
  assert.deepEqual(verdicts(policy.current), ["allow", "deny"]);
  assert.deepEqual(summary(events), ["policy-refused POLICY_INVALID"]);
});

test("the file is watched without being asked", async (context) => {
  const { path, policy } = await opened(context, allowing("/s/A"), { debounceMs: 5, pollMs: 50 });
  await policy.reload();
  const replaced = new Promise<CompiledPolicy>((resolve) => {
    policy.onChange(resolve);
  });
  writeFileSync(`${path}.new`, allowing("/s/B"));
  renameSync(`${path}.new`, path);
  assert.equal((await within(replaced, "the reload")).name, "/s/B");
});

test("S13: no call is ever decided by half a policy while the file changes under load", async (context) => {
  const { path, policy, events } = await opened(context, allowing("/s/A"), {
    debounceMs: 1,
    pollMs: 20,
  });
  const versions = new Map<string, string>();
  const decideOnce = (): void => {
    const { current } = policy;
    const [a, b] = verdicts(current);
    assert.notEqual(a, b, "both or neither");
    assert.equal(a === "allow" ? "/s/A" : "/s/B", current.name);
    assert.equal(versions.get(current.name) ?? current.version, current.version);
    versions.set(current.name, current.version);
  };
  for (let round = 0; round < 60; round++) {
    // Every third write is torn: half the document, in place.
    const text = allowing(round % 2 === 0 ? "/s/B" : "/s/A");
    writeFileSync(path, round % 3 === 2 ? text.slice(0, -9) : text);
    const reload = policy.reload();
    let done = false;
    void reload.then(() => (done = true));
    while (!done) {
      for (let call = 0; call < 20; call++) decideOnce();
      await new Promise<void>((resolve) => setImmediate(resolve));
    }
  }
  assert.equal(versions.size, 2);
  assert.ok(events.some(({ type }) => type === "policy-refused"));
});

test("at the start an invalid or missing file is thrown", async (context) => {
  const folder = temporaryDirectory(context);
  const path = join(folder, "policy.json");
  await assert.rejects(policyFromFile(path), { code: "POLICY_UNREADABLE" });
  writeFileSync(path, "{");
  await assert.rejects(policyFromFile(path), { code: "POLICY_INVALID" });
  writeFileSync(
    path,
    JSON.stringify({ name: "p", allow_rules: [{ name: "a", source: { principals: ["*/x"] } }] }),
  );
  const options = { trustDomains: ["a.example", "b.example"] };
  await assert.rejects(policyFromFile(path, options), { code: "POLICY_INVALID" });
  const lenient = await policyFromFile(path, { ...options, compatibility: "a43" });
  lenient.close();
});

test("listeners and observers that throw change nothing", async (context) => {
  const folder = temporaryDirectory(context);
  const path = join(folder, "policy.json");
  writeFileSync(path, allowing("/s/A"));
  const types: string[] = [];
  const policy = await policyFromFile(path, {
    ...onDemand,
    onEvent({ type }) {
      types.push(type);
      throw new Error("logger");
    },
  });
  context.after(() => policy.close());
  let heard = 0;
  policy.onChange(() => {
    throw new Error("listener");
  });
  policy.onChange(() => heard++);
  writeFileSync(path, allowing("/s/B"));
  assert.equal(await policy.reload(), "replaced");
  assert.deepEqual([types, heard], [["listener-failed", "policy-replaced"], 1]);
  policy.close();
  writeFileSync(path, allowing("/s/A"));
  assert.equal(await policy.reload(), "unchanged");
});

test("a live policy in memory tells its listeners, and throws what they throw afterwards", () => {
  const [a, b] = [policyOf(JSON.parse(allowing("/s/A"))), policyOf(JSON.parse(allowing("/s/B")))];
  const live = createLivePolicy(a);
  const heard: string[] = [];
  const listener = (next: CompiledPolicy): number => heard.push(next.name);
  const stops = [live.onChange(listener), live.onChange(listener)];
  live.replace(b);
  assert.equal(live.current, b);
  stops[0]?.();
  live.onChange(() => {
    throw new Error("x");
  });
  assert.throws(() => live.replace(a), AggregateError);
  assert.equal(live.current, a);
  assert.deepEqual(heard, ["/s/B", "/s/B", "/s/A"]);
});

async function opened(
  context: TestContext,
  text: string,
  options: PolicyFileOptions = onDemand,
): Promise<{ path: string; policy: PolicyFile; events: PolicyFileEvent[] }> {
  const path = join(temporaryDirectory(context), "policy.json");
  writeFileSync(path, text);
  const events: PolicyFileEvent[] = [];
  const policy = await policyFromFile(path, { ...options, onEvent: (event) => events.push(event) });
  context.after(() => policy.close());
  return { path, policy, events };
}

function verdicts(policy: CompiledPolicy): [string, string] {
  return [verdict(policy, { path: "/s/A" }), verdict(policy, { path: "/s/B" })];
}

function summary(events: readonly PolicyFileEvent[]): string[] {
  return events.map((event) =>
    event.type === "policy-refused" ? `${event.type} ${event.error.code}` : event.type,
  );
}
