// The authority as a service: real processes, real sockets.
import assert from "node:assert/strict";
import { readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { createShell } from "./support/handfast.ts";
import { serve } from "./support/serve.ts";

test("a service elsewhere enrols, renews and is revoked by a served authority without its root key", async (t) => {
  const shell = createShell(t);
  await shell.call(["init"]);
  const issuing = ["ops", "bank"];
  await shell.call(["issue", ...issuing]);
  rmSync(join(shell.home, "ca", "root-1-key.pem"));
  const policy = join(shell.folder, "admins.json");
  writePolicy(policy);
  const audit = join(shell.folder, "ca.audit");
  const served = await serve(t, shell, ["--admin-policy", policy, "--audit-file", audit]);

  const tokenFile = join(shell.folder, "billing.token");
  const token = await shell.call(["token", "billing", "--out", tokenFile]);
  assert.equal(token.code, 0, token.stderr);
  assert.equal(statSync(tokenFile).mode & 0o777, 0o600);
  const elsewhere = { env: { HANDFAST_HOME: join(shell.folder, "elsewhere") } };
  const enrolled = await shell.call(["enrol", "--token-file", tokenFile], elsewhere);
  assert.equal(enrolled.code, 0, enrolled.stderr);
  assert.match(enrolled.stdout, /identity +spiffe:\/\/handfast.internal\/billing/);
  const own = join(shell.folder, "elsewhere", "certs", "billing");
  assert.equal(statSync(join(own, "billing-key.pem")).mode & 0o777, 0o600);
  const before = readFileSync(join(own, "billing.pem"), "utf8");

  const again = await shell.call(["enrol", "other", "--token-file", tokenFile], elsewhere);
  assert.equal(again.code, 1);
  assert.match(again.stderr, /^error: The one-time token was used before/m);

  const target = ["--authority", served.authorityTarget];
  const renewed = await shell.call(["renew", "billing", ...target], elsewhere);
  assert.equal(renewed.code, 0, renewed.stderr);
  assert.notEqual(readFileSync(join(own, "billing.pem"), "utf8"), before);

  const ops = join(shell.home, "certs", "ops");
  const asOps = [
    ...target,
    `--ca-file=${join(shell.home, "ca", "handfast-ca.pem")}`,
    `--cert-file=${join(ops, "ops.pem")}`,
    `--key-file=${join(ops, "ops-key.pem")}`,
  ];
  const list = await shell.call(["list", "--name", "billing", ...asOps]);
  assert.equal(list.stdout.trimEnd().split("\n").length, 2, list.stderr);
  const revoked = await shell.call(["revoke", "billing", ...asOps]);
  assert.equal(revoked.code, 0, revoked.stderr);
  assert.equal(revoked.stdout.match(/^revoked /gm)?.length, 2);
  const refused = await shell.call(["renew", "billing", ...target], elsewhere);
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /CERTIFICATE_REVOKED/);

  assert.equal(await served.stop(), 0);
  const key = `${audit}-key.pem`;
  const publicKey = await shell.call(["audit", "key", key]);
  assert.match(publicKey.stdout, /PUBLIC KEY/);
  const record = readFileSync(audit, "utf8");
  for (const word of ["enrol", "renew", "revoke", "TOKEN_SPENT"])
    assert.match(record, RegExp(word));
  assert.doesNotMatch(record, RegExp(readFileSync(tokenFile, "utf8").trim()));
});

test("S53: ca serve refuses an issuing key that is not encrypted, and opens one that is", async (t) => {
  const shell = createShell(t);
  await shell.call(["init"]);
  const refused = await shell.call(["ca", "serve", "--enrol-port", "0", "--port", "0"]);
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /issuing-1-key.pem is not encrypted/);
  assert.match(refused.stderr, /^hint: .*--allow-clear-key/m);

  const locked = createShell(t);
  const passphrase = join(locked.folder, "passphrase");
  writeFileSync(passphrase, "correct horse\n");
  const given = ["--passphrase-file", passphrase];
  assert.equal((await locked.call(["init", ...given])).code, 0);
  const ports = ["--enrol-port", "0", "--port", "0"];
  const without = await locked.call(["ca", "serve", ...ports]);
  assert.match(without.stderr, /is encrypted and no passphrase was given/);
  const served = await locked.call(["ca", "serve", ...ports, ...given]);
  assert.equal(served.code, 0, served.stderr); // the shell of a test stops it at once
  assert.match(served.stderr, /^serving .*https:\/\/localhost/m);
});

test("a token needs to know where the authority is served", async (t) => {
  const shell = createShell(t);
  await shell.call(["init"]);
  const unknown = await shell.call(["token", "billing"]);
  assert.equal(unknown.code, 2);
  assert.match(unknown.stderr, /not known where this authority is served/);
  const plain = await shell.call(["token", "billing", "--url", "http://ca.example"]);
  assert.equal(plain.code, 2);
  const good = await shell.call(["token", "billing", "--url", "https://ca.example:8440"]);
  assert.equal(good.code, 0);
  assert.equal(good.stdout.trim().split(".").length, 3);
});

/** `ca serve` as a process of its own, on free ports. */
function writePolicy(path: string): void {
  const prefix = "/handfast.ca.v1.Authority";
  const rule = {
    name: "ops",
    source: { principals: ["spiffe://handfast.internal/ops"] },
    request: { paths: [`${prefix}/Revoke`, `${prefix}/Find`] },
  };
  writeFileSync(path, JSON.stringify({ name: "admins", allow_rules: [rule] }));
}
