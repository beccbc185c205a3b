import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { passphraseFromFile } from "../src/passphrase.ts";
import { createShell } from "./support/handfast.ts";

test("init makes an authority and says what peers trust, and that the keys are clear", async (context) => {
  const { run, home } = createShell(context);
  const { code, stdout, stderr } = await run(["init"]);
  assert.equal(code, 0);
  assert.match(
    stdout.replaceAll(home, "~"),
    new RegExp(
      [
        "^authority     ~/ca",
        "trust domain  handfast\\.internal",
        "root          CN=handfast\\.internal root 1,O=Handfast, until \\S+Z",
        "issuing CA    CN=handfast\\.internal issuing 1,O=Handfast, until \\S+Z",
        "peers trust   ~/ca/handfast-ca\\.pem\n$",
      ].join("\n"),
    ),
  );
  assert.equal(
    stderr,
    "note: the keys are not encrypted, only mode 0600; `init --encrypt` encrypts them\n",
  );
  assert.equal(statSync(home).mode & 0o777, 0o700);
  for (const key of ["root-1-key.pem", "issuing-1-key.pem"]) {
    assert.equal(statSync(join(home, "ca", key)).mode & 0o777, 0o600);
  }
});

test("S53: init never overwrites an authority", async (context) => {
  const { run, home } = createShell(context);
  await run(["init"]);
  const key = readFileSync(join(home, "ca", "root-1-key.pem"));
  const { code, stdout, stderr } = await run(["init", "--trust-domain", "other.example"]);
  assert.deepEqual({ code, stdout }, { code: 1, stdout: "" });
  assert.match(stderr, /^error: .*\/ca is there already and is not overwritten\nhint: .+\n$/m);
  assert.deepEqual(readFileSync(join(home, "ca", "root-1-key.pem")), key);
});

test("S53: a passphrase from a file encrypts the keys, and opens them again", async (context) => {
  const { run, home, folder } = createShell(context);
  const file = join(folder, "passphrase");
  writeFileSync(file, "correct horse\n", { mode: 0o600 });
  const made = await run(["init", "--passphrase-file", file]);
  assert.deepEqual({ code: made.code, stderr: made.stderr }, { code: 0, stderr: "" });
  assert.match(
    readFileSync(join(home, "ca", "issuing-1-key.pem"), "utf8"),
    /^-----BEGIN ENCRYPTED/,
  );

  const without = await run(["issue", "api"]);
  assert.equal(without.code, 1);
  assert.match(without.stderr, /^error: .*is encrypted and no passphrase was given\nhint: .+\n$/);
  assert.equal(existsSync(join(home, "certs")), false);

  writeFileSync(`${file}-wrong`, "wrong horse");
  const wrong = await run(["issue", "api", "--passphrase-file", `${file}-wrong`]);
  assert.match(wrong.stderr, /^error: the passphrase does not open .*issuing-1-key\.pem\nhint: /);
  assert.equal(existsSync(join(home, "certs")), false);

  const right = await run(["issue", "api"], { env: { HANDFAST_PASSPHRASE_FILE: file } });
  assert.equal(right.code, 0);
  assert.doesNotMatch(right.stdout + right.stderr, /correct horse/);
});

test("a passphrase that is empty, of two lines or not there makes no authority", async (context) => {
  const { call, home, folder } = createShell(context);
  const file = join(folder, "passphrase");
  for (const content of ["", "\n", "one\ntwo\n"]) {
    writeFileSync(file, content);
    const { code, stderr } = await call(["init", "--passphrase-file", file]);
    assert.equal(code, 1);
    assert.match(stderr, /^error: passphrase file .* must hold one line that is not empty\nhint: /);
  }
  const missing = await call(["init"], { env: { HANDFAST_PASSPHRASE_FILE: `${file}-missing` } });
  assert.match(missing.stderr, /^error: passphrase file: .*there is no such file\nhint: /);
  const empty = await call(["init"], { env: { HANDFAST_PASSPHRASE_FILE: "" } });
  assert.deepEqual({ code: empty.code, there: existsSync(home) }, { code: 2, there: false });
  assert.match(empty.stderr, /^error: HANDFAST_PASSPHRASE_FILE is set but empty\nhint: /);
});

test("a passphrase is never an argument, and --encrypt needs a terminal to ask on", async (context) => {
  const { call, home } = createShell(context);
  const argument = await call(["init", "--passphrase", "correct horse"]);
  assert.equal(argument.code, 2);
  const unasked = await call(["init", "--encrypt"]);
  assert.equal(unasked.code, 2);
  assert.match(unasked.stderr, /^error: there is no terminal to ask for a passphrase on\nhint: /);
  assert.equal(existsSync(home), false);
});

test("init leaves nothing behind where it fails", async (context) => {
  const { run, home } = createShell(context);
  const { code, stderr } = await run(["init", "--trust-domain", "Not A Domain"]);
  assert.equal(code, 1);
  assert.match(stderr, /^error: SPIFFE trust domain must be .*\nhint: /);
  assert.deepEqual(readdirSync(home), []);
});

test("init --json prints one document, also when it fails", async (context) => {
  const { json, home } = createShell(context);
  const made = (await json(["init", "--trust-domain", "bank.example"])) as Record<string, unknown>;
  assert.equal(made["trustDomain"], "bank.example");
  assert.equal(made["caFile"], join(home, "ca", "handfast-ca.pem"));
  assert.equal(made["encrypted"], false);
  const again = (await json(["init"])) as { error: { code: string; hint: string } };
  assert.equal(again.error.code, "AUTHORITY_EXISTS");
  assert.match(again.error.hint, /home/);
});

test("S46: what the authority may name can be narrowed, and it keeps to it", async (context) => {
  const { call, home } = createShell(context);
  await call(["init", "--permit-dns", "bank.example"]);
  const inside = await call(["issue", "api.bank.example"]);
  assert.equal(inside.code, 0, inside.stderr);
  const inspected = await call([
    "inspect",
    join(home, "certs/api.bank.example/api.bank.example.pem"),
  ]);
  assert.match(
    inspected.stdout,
    /^may name +dns:bank\.example, uri:handfast\.internal, email:invalid$/m,
  );
  assert.match(
    inspected.stdout,
    /^note +this CA can name any path of spiffe:\/\/handfast\.internal$/m,
  );
  const outside = await call(["issue", "api.other.example"]);
  assert.equal(outside.code, 1);
  assert.match(outside.stderr, /^error: .* would not verify: .+\nhint: /);
  assert.deepEqual(readdirSync(join(home, "certs")), ["api.bank.example"]);
});

test("S53: the variable that names the passphrase file is gone once it was read", async (context) => {
  const { folder } = createShell(context);
  const file = join(folder, "passphrase");
  writeFileSync(file, "correct horse\n");
  const env: NodeJS.ProcessEnv = { HANDFAST_PASSPHRASE_FILE: file, OTHER: "stays" };
  assert.equal(await passphraseFromFile({ env }, {}), "correct horse");
  assert.deepEqual(env, { OTHER: "stays" });
});
