import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { create, toBinary } from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { openAuditChain, openAuditKey } from "@handfast/policy";
import { createShell } from "./support/handfast.ts";

const kiosk = {
  authenticated: true,
  uriSans: ["spiffe://bank.example/kiosk"],
  dnsSans: [],
  subject: "CN=kiosk",
};
const policy = JSON.stringify({
  name: "bank",
  allow_rules: [
    {
      name: "read",
      source: { principals: ["spiffe://bank.example/*"] },
      request: { paths: ["/bank.v1.BankService/GetBalance"] },
    },
  ],
});

test("policy check says that a policy is valid, or where it is not", async (context) => {
  const { run, call, json, folder } = createShell(context);
  const file = join(folder, "policy.json");
  writeFileSync(file, policy);
  const valid = await run(["policy", "check", file]);
  assert.deepEqual({ code: valid.code, stderr: valid.stderr }, { code: 0, stderr: "" });
  assert.match(valid.stdout, /policy\.json: policy bank is valid \(SHA-256 [0-9a-f]{64}\)\n$/);
  assert.equal(((await json(["policy", "check", file])) as { valid: boolean }).valid, true);
  for (const [document, message] of [
    ['{"name":"x","allow_rules":[]}', /policy\.json: allow_rules: .+\nhint: /],
    ['{"name":"x","deny_rules":[],"deny_rules":[]}', /policy\.json: .*deny_rules.*\nhint: /],
  ] as const) {
    writeFileSync(file, document);
    const { code, stdout, stderr } = await call(["policy", "check", file]);
    assert.deepEqual({ code, stdout }, { code: 1, stdout: "" });
    assert.match(stderr, message);
  }
});

test("policy check points at traps, and at methods that nobody may call", async (context) => {
  const { run, call, json, folder } = createShell(context);
  const file = join(folder, "policy.json");
  writeFileSync(file, policy);
  const services = join(folder, "services.binpb");
  const set = create(FileDescriptorSetSchema, {
    file: [
      {
        name: "bank/v1/bank.proto",
        package: "bank.v1",
        service: [{ name: "BankService", method: [{ name: "GetBalance" }, { name: "Deposit" }] }],
      },
    ],
  });
  writeFileSync(services, toBinary(FileDescriptorSetSchema, set));
  const { stdout } = await run(["policy", "check", file, "--services", services]);
  assert.match(stdout, /^warning: .*\/bank\.v1\.BankService\/Deposit.* \(METHOD_NEVER_ALLOWED\)$/m);
  assert.doesNotMatch(stdout, /GetBalance.*METHOD_NEVER_ALLOWED/);
  const { findings } = (await json(["policy", "check", file, "--services", services])) as {
    findings: { code: string }[];
  };
  assert.deepEqual(
    findings.map(({ code }) => code),
    ["METHOD_NEVER_ALLOWED"],
  );
  writeFileSync(services, "no descriptor set");
  const wrong = await call(["policy", "check", file, "--services", services]);
  assert.equal(wrong.code, 2);
  assert.match(wrong.stderr, /expected a FileDescriptorSet/);
});

test("policy test compares each case with what it expects, and names the rule that decided", async (context) => {
  const { run, call, json, folder } = createShell(context);
  const file = join(folder, "policy.json");
  const cases = join(folder, "cases.json");
  writeFileSync(file, policy);
  const read = { principal: kiosk, path: "/bank.v1.BankService/GetBalance" };
  const deposit = { principal: kiosk, path: "/bank.v1.BankService/Deposit" };
  const right = [
    { ...read, expect: "allow", rule: "read" },
    { ...deposit, expect: "deny" },
  ];
  writeFileSync(cases, JSON.stringify(right));
  const passed = await run(["policy", "test", file, cases]);
  assert.deepEqual(passed, { code: 0, stdout: "2 of 2 cases as expected\n", stderr: "" });
  writeFileSync(cases, JSON.stringify([...right, { ...read, expect: "deny" }]));
  const failed = await call(["policy", "test", file, cases]);
  assert.equal(failed.code, 1);
  assert.match(failed.stdout, /^2 of 3/);
  assert.match(
    failed.stderr,
    /^error: .*cases\.json: \[2\]: \/bank\.v1\.BankService\/GetBalance: expected deny, got allow by rule read\nhint: /,
  );
  const report = (await json(["policy", "test", file, cases])) as { failed: { case: string }[] };
  assert.equal(report.failed[0]?.case, "[2]");
});

test("policy decide answers line by line, and keeps answers beside their questions", async (context) => {
  const { run, folder } = createShell(context);
  const file = join(folder, "policy.json");
  writeFileSync(file, policy);
  const lines = [
    JSON.stringify({ principal: kiosk, path: "/bank.v1.BankService/GetBalance", headers: {} }),
    "no request",
    JSON.stringify({ principal: kiosk, path: "/bank.v1.BankService/Deposit", headers: {} }),
  ];
  const good = await run(["policy", "decide", "--policy", file], {
    input: `${lines[0]}\n${lines[2]}`,
  });
  assert.deepEqual(good, {
    code: 0,
    stdout: '{"allowed":true,"rule":"read"}\n{"allowed":false,"rule":""}\n',
    stderr: "",
  });
  const { code, stdout, stderr } = await run(["policy", "decide", "--policy", file], {
    input: lines.join("\n"),
  });
  assert.equal(code, 1);
  const [first, second, third] = stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as unknown);
  assert.deepEqual(
    [first, third],
    [
      { allowed: true, rule: "read" },
      { allowed: false, rule: "" },
    ],
  );
  assert.equal((second as { error: { code: string } }).error.code, "REQUEST_INVALID");
  assert.match(stderr, /^error: 1 line was no request\nhint: /);
});

test("audit verify names the first false record, and says that a cut end needs a head", async (context) => {
  const { run, call, json, folder } = createShell(context);
  const log = join(folder, "audit.log");
  const keyFile = join(folder, "audit.key");
  const heads: unknown[] = [];
  const chain = await openAuditChain(log, {
    signer: await openAuditKey(keyFile),
    onHead: (head) => heads.push(head),
  });
  await chain.append("decision", { who: "alice" });
  await chain.append("decision", { who: "bob" });
  await chain.close();

  const key = await run(["audit", "key", keyFile]);
  assert.match(key.stdout, /^-----BEGIN PUBLIC KEY-----\n/);
  const publicKey = join(folder, "audit.pub");
  writeFileSync(publicKey, key.stdout);
  const good = await run(["audit", "verify", log, "--key", publicKey]);
  assert.equal(good.code, 0, good.stderr);
  assert.match(good.stdout, /audit\.log: \d+ records are as they were written\n/);
  assert.match(good.stderr, /^note: a cut end can only be seen against a head/);

  const head = join(folder, "head.json");
  writeFileSync(head, JSON.stringify(heads.at(-1)));
  const compared = await call(["audit", "verify", log, "--key", publicKey, "--head", head]);
  assert.deepEqual({ code: compared.code, stderr: compared.stderr }, { code: 0, stderr: "" });

  const bytes = readFileSync(log);
  bytes.write("mallory".slice(0, 5), bytes.indexOf("alice"));
  writeFileSync(log, bytes);
  const broken = await call(["audit", "verify", log, "--key", publicKey, "--head", head]);
  assert.equal(broken.code, 1);
  assert.match(broken.stderr, /^error: .*audit\.log: .+\nhint: /);
  const verdict = (await json(["audit", "verify", log, "--key", publicKey])) as { ok: boolean };
  assert.equal(verdict.ok, false);
});

test("S35: audit verify takes no private key in the place of the public one", async (context) => {
  const { call, folder } = createShell(context);
  const keyFile = join(folder, "audit.key");
  await openAuditKey(keyFile);
  writeFileSync(join(folder, "log"), "");
  const { code, stderr } = await call(["audit", "verify", join(folder, "log"), "--key", keyFile]);
  assert.equal(code, 1);
  assert.match(stderr, /^error: .*expected a public key\nhint: /);
});
