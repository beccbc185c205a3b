import assert from "node:assert/strict";
import { readFileSync, readdirSync, renameSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { parseCertificatesPem, parseCrl } from "@handfast/x509";
import { createShell } from "./support/handfast.ts";

test("S50: a rotation in three steps, each with the files that services read", async (context) => {
  const { call, home } = createShell(context);
  const bundle = () =>
    parseCertificatesPem(readFileSync(join(home, "ca/handfast-ca.pem"))).map(
      ({ subject }) => subject.text.match(/root \d/)?.[0],
    );
  const lists = () => readdirSync(join(home, "ca/crl")).sort();
  await call(["init"]);
  await call(["issue", "api"]);
  assert.deepEqual(await call(["ca", "rotate", "status"]), {
    code: 0,
    stdout: "root-1     active\nissuing-1  active\n",
    stderr: "next: `handfast ca rotate prepare`\n",
  });
  const prepared = await call(["ca", "rotate", "prepare"]);
  assert.equal(prepared.code, 0, prepared.stderr);
  assert.match(prepared.stderr, /next: `handfast ca rotate activate`/);
  assert.deepEqual(bundle(), ["root 1", "root 2"]);
  assert.deepEqual(lists(), ["issuing-1.crl", "issuing-2.crl", "root-1.crl", "root-2.crl"]);

  const early = await call(["ca", "rotate", "activate"]);
  assert.equal(early.code, 1);
  assert.match(
    early.stderr,
    /^error: keys cannot be taken into use: root-2 has been in the bundle/,
  );
  assert.match(early.stderr, /hint: wait until then, or say --now/);
  assert.equal((await call(["ca", "rotate", "activate", "--now"])).code, 0);

  const living = await call(["ca", "rotate", "retire"]);
  assert.equal(living.code, 1);
  assert.match(living.stderr, /spiffe:\/\/handfast\.internal\/api, issued by issuing-1, is alive/);
  assert.equal((await call(["renew", "api"])).code, 0);
  const verified = await call(["verify", join(home, "certs/api/api.pem")]);
  assert.equal(verified.code, 0, verified.stdout + verified.stderr);
  renameSync(join(home, "ca/root-1-key.pem"), join(home, "away.pem"));
  const lost = await call(["ca", "rotate", "retire"]);
  assert.match(lost.stderr, /^error: .*root-1-key\.pem/);
  assert.deepEqual(bundle(), ["root 1", "root 2"]);
  renameSync(join(home, "away.pem"), join(home, "ca/root-1-key.pem"));
  const retired = await call(["ca", "rotate", "retire"]);
  assert.equal(retired.code, 0, retired.stderr);
  assert.deepEqual(bundle(), ["root 2"]);
  assert.equal(parseCrl(readFileSync(join(home, "ca/crl/root-1.crl"))).size, 2);
  const after = await call(["verify", join(home, "certs/api/api.pem")]);
  assert.equal(after.code, 0, after.stdout + after.stderr);
});

test("the bundle is printed as PEM and as SPIFFE JWKS, and put back where services read it", async (context) => {
  const { call, home } = createShell(context);
  await call(["init", "--trust-domain", "bank.example"]);
  const path = join(home, "ca/handfast-ca.pem");
  const pem = readFileSync(path, "utf8");
  assert.deepEqual(await call(["ca", "bundle"]), { code: 0, stdout: pem, stderr: "" });
  const { stdout } = await call(["ca", "bundle", "--jwks"]);
  const { keys } = JSON.parse(stdout) as { keys: { use: string; x5c: string[] }[] };
  assert.equal(keys[0]?.use, "x509-svid");
  assert.ok(pem.replaceAll("\n", "").includes(keys[0].x5c[0] ?? "nothing"));
  renameSync(path, `${path}.away`);
  assert.equal((await call(["ca", "bundle", "--write"])).code, 0);
  assert.equal(readFileSync(path, "utf8"), pem);
});

test("what ended long ago is forgotten", async (context) => {
  const { call, json } = createShell(context);
  await call(["init"]);
  await call(["issue", "api"]);
  assert.deepEqual(await json(["ca", "prune", "--keep", "1s"]), { forgotten: 0 });
  assert.match((await call(["ca", "prune"])).stdout, /^0 forgotten\n$/);
});
