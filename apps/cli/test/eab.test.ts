import assert from "node:assert/strict";
import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { createShell } from "./support/handfast.ts";

test("an external account key is made, listed without its secret, and withdrawn", async (context) => {
  const shell = createShell(context);
  await shell.call(["init"]);
  const made = await shell.call(["ca", "eab", "create", "api.bank.example", ".lab.example"]);
  assert.equal(made.code, 0, made.stderr);
  const [, keyId = "", macKey = ""] =
    /^key id {3}([0-9a-f]{24})\nMAC key {2}([\w][\w-]{42})\n$/.exec(made.stdout) ?? [];
  assert.match(
    made.stderr,
    /^note: a secret, for one ACME account with api\.bank\.example, \.lab\.example, in 7 days no longer$/m,
  );

  const listed = await shell.call(["ca", "eab", "list"]);
  assert.match(
    listed.stdout,
    new RegExp(
      `^unused {5}\\S+ {2}${keyId} {2}api\\.bank\\.example {2}api\\.bank\\.example, \\.lab\\.example\n$`,
    ),
  );
  assert.ok(!listed.stdout.includes(macKey));

  assert.equal(
    (await shell.call(["ca", "eab", "withdraw", keyId])).stdout,
    `${keyId} is withdrawn\n`,
  );
  const { externalAccounts } = (await shell.json(["ca", "eab", "list"])) as {
    externalAccounts: Record<string, unknown>[];
  };
  assert.equal(externalAccounts[0]?.["state"], "withdrawn");
  assert.equal("macKey" in (externalAccounts[0] ?? {}), false);
  const unknown = await shell.call(["ca", "eab", "withdraw", "nobody"]);
  assert.equal(unknown.code, 1);
  assert.match(unknown.stderr, /^error: there is no external account nobody$/m);
});

test("an external account key goes to a file as certbot reads it, mode 0600, and to no other place", async (context) => {
  const shell = createShell(context);
  await shell.call(["init"]);
  const file = join(shell.folder, "eab.ini");
  const made = await shell.call(["ca", "eab", "create", "api.bank.example", "--out", file]);
  assert.equal(made.stdout, `${file}\n`);
  assert.equal(statSync(file).mode & 0o777, 0o600);
  const [, macKey = ""] =
    /^eab-kid = [0-9a-f]{24}\neab-hmac-key = ([\w][\w-]{42})\n$/.exec(readFileSync(file, "utf8")) ??
    [];
  assert.ok(macKey !== "" && !made.stderr.includes(macKey));
  const again = await shell.call(["ca", "eab", "create", "api.bank.example", "--out", file]);
  assert.equal(again.code, 1);
  assert.equal(readFileSync(file, "utf8").includes(macKey), true);
});

test("an external account key for no name, or a name that is none, is refused", async (context) => {
  const shell = createShell(context);
  await shell.call(["init"]);
  assert.equal((await shell.call(["ca", "eab", "create"])).code, 2);
  const refused = await shell.call(["ca", "eab", "create", "a b"]);
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /^error: name "a b" must be a DNS name/m);
  assert.deepEqual(await shell.json(["ca", "eab", "list"]), { externalAccounts: [] });
});
