import assert from "node:assert/strict";
import { existsSync, readFileSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { openAuthorityHome } from "@handfast/ca";
import {
  createName,
  createRequest,
  encodePrivateKey,
  generateKeyPair,
  parseCertificatesPem,
  parseCrl,
  parsePkcs12,
  parsePrivateKey,
  publicKeyMatches,
  requestToPem,
} from "@handfast/x509";
import type { Certificate, Crl } from "@handfast/x509";
import { createShell } from "./support/handfast.ts";

/** A home with the certificates of api and billing. */
async function shellWithServices(context: TestContext) {
  const shell = createShell(context);
  await shell.call(["init"]);
  const issued = await shell.call(["issue", "api", "billing"]);
  assert.equal(issued.code, 0, issued.stderr);
  const certs = join(shell.home, "certs");
  return {
    ...shell,
    leaf: (name: string): Certificate => {
      const [leaf] = parseCertificatesPem(readFileSync(join(certs, name, `${name}.pem`)));
      assert.ok(leaf !== undefined);
      return leaf;
    },
    keyOf: (name: string) => join(certs, name, `${name}-key.pem`),
    crl: (issuer: string): Crl =>
      parseCrl(readFileSync(join(shell.home, "ca", "crl", `${issuer}.crl`))),
  };
}

test("renew replaces certificate and key by the next of the line", async (context) => {
  const { run, home, leaf, keyOf } = await shellWithServices(context);
  const before = leaf("api");
  const { code, stdout, stderr } = await run(["renew", "api", "--ttl", "1h"]);
  assert.deepEqual({ code, stderr }, { code: 0, stderr: "" });
  assert.match(
    stdout,
    /^certificate .*api\.pem\n.*\n.*\nidentity +spiffe:\/\/handfast\.internal\/api\n/,
  );
  const after = leaf("api");
  assert.notEqual(after.serialNumber, before.serialNumber);
  assert.deepEqual(after.subjectAltNames.all, before.subjectAltNames.all);
  assert.ok(publicKeyMatches(after, parsePrivateKey(readFileSync(keyOf("api")))));
  assert.equal(statSync(keyOf("api")).mode & 0o777, 0o600);
  assert.deepEqual(readdirSync(join(home, "certs/api")).sort(), ["api-key.pem", "api.pem"]);
});

test("a renewal that was cut off is gone on with: the key that waits gets the same certificate", async (context) => {
  const { call, home, leaf, keyOf } = await shellWithServices(context);
  const { privateKey, publicKey } = generateKeyPair();
  writeFileSync(`${keyOf("api")}.next`, encodePrivateKey(privateKey), { mode: 0o600 });
  const authority = await openAuthorityHome(home);
  const { certificate } = await authority.renew({
    certificate: leaf("api").fingerprint,
    publicKey,
    requester: "local:test",
  });
  await authority.close();
  const { code, stderr } = await call(["renew", "api"]);
  assert.deepEqual({ code, stderr }, { code: 0, stderr: "" });
  assert.equal(leaf("api").fingerprint, certificate.fingerprint);
  assert.ok(publicKeyMatches(leaf("api"), parsePrivateKey(readFileSync(keyOf("api")))));
  assert.equal(existsSync(`${keyOf("api")}.next`), false);
});

test("S48: a renewal that is refused changes no file and leaves none", async (context) => {
  const { call, home, leaf, keyOf } = await shellWithServices(context);
  const before = [leaf("api").fingerprint, readFileSync(keyOf("api"), "utf8")];
  await call(["revoke", "api"]);
  const { code, stdout, stderr } = await call(["renew", "api"]);
  assert.deepEqual({ code, stdout }, { code: 1, stdout: "" });
  assert.match(stderr, /^error: certificate \S+ was revoked at \S+Z\nhint: enrol anew/);
  assert.deepEqual([leaf("api").fingerprint, readFileSync(keyOf("api"), "utf8")], before);
  assert.deepEqual(readdirSync(join(home, "certs/api")).sort(), ["api-key.pem", "api.pem"]);
  const missing = await call(["renew", "nobody"]);
  assert.equal(missing.code, 1);
  assert.equal(existsSync(join(home, "certs/nobody")), false);
});

test("S48: revoke ends a whole line, says so, and the list says it at once", async (context) => {
  const { run, call, crl, leaf } = await shellWithServices(context);
  const first = leaf("api");
  await call(["renew", "api"]);
  const second = leaf("api");
  const { code, stdout, stderr } = await run(["revoke", "api", "--reason", "keyCompromise"]);
  assert.deepEqual({ code, stderr }, { code: 0, stderr: "" });
  assert.match(
    stdout,
    /^revoked {2}\S+ {2}spiffe:\/\/handfast\.internal\/api\nrevoked .*\nlist .*issuing-1\.crl\n$/,
  );
  for (const { serialNumber } of [first, second]) {
    assert.equal(crl("issuing-1").lookup(serialNumber)?.reason, "keyCompromise");
  }
  assert.equal(crl("issuing-1").lookup(leaf("billing").serialNumber), undefined);
});

test("revoke takes serial numbers and fingerprints, and names what is not one certificate", async (context) => {
  const { call, json, leaf } = await shellWithServices(context);
  const bySerial = (await json(["revoke", leaf("api").serialNumber])) as { revoked: object[] };
  assert.equal(bySerial.revoked.length, 1);
  const byFingerprint = (await json(["revoke", leaf("billing").fingerprint])) as {
    revoked: { fingerprint: string }[];
  };
  assert.equal(byFingerprint.revoked[0]?.fingerprint, leaf("billing").fingerprint);
  const again = await call(["revoke", leaf("billing").fingerprint]);
  assert.match(again.stdout, /^all of that was revoked before\nlist /);
  const { code, stderr } = await call(["revoke", "nobody"]);
  assert.equal(code, 2);
  assert.match(stderr, /^error: nobody is neither .*\nhint: .*handfast list/);
});

test("a name of several lines is revoked by number, or all of it on purpose", async (context) => {
  const { call, folder } = await shellWithServices(context);
  await call(["issue", "api", "--out", join(folder, "elsewhere")]);
  const { code, stderr } = await call(["revoke", "api"]);
  assert.equal(code, 2);
  assert.match(stderr, /^error: api names 2 living certificates: \S+, \S+\nhint: .*--all/);
  const all = await call(["revoke", "api", "--all"]);
  assert.equal(all.stdout.match(/^revoked /gm)?.length, 2);
});

test("S6: revoking the issuing CA is one command that needs the root key", async (context) => {
  const { call, json, crl, home } = await shellWithServices(context);
  const { certificates } = (await json(["list", "--profile", "issuing"])) as {
    certificates: { serialNumber: string }[];
  };
  const serial = certificates[0]?.serialNumber ?? "";
  const { code, stdout } = await call(["revoke", serial, "--reason", "cACompromise"]);
  assert.equal(code, 0);
  assert.match(stdout, /list .*root-1\.crl\n/);
  assert.equal([...crl("root-1").entries()][0]?.reason, "cACompromise");
  const issue = await call(["issue", "late"]);
  assert.equal(issue.code, 1);
  assert.match(issue.stderr, /^error: no issuing certificate is active, unrevoked and valid/);
  const judged = await call(["verify", join(home, "certs/api/api.pem")]);
  assert.match(judged.stderr, /refused as a server: .*\(CERTIFICATE_REVOKED\)/);
});

test("verify looks in the lists of the home, or in those that are named", async (context) => {
  const { call, json, home } = await shellWithServices(context);
  const file = join(home, "certs/api/api.pem");
  assert.equal((await call(["verify", file])).code, 0);
  await call(["revoke", "api", "--reason", "superseded"]);
  const refused = await call(["verify", file]);
  assert.equal(refused.code, 1);
  assert.match(
    refused.stderr,
    /^error: .*was revoked at \S+Z \(superseded\) \(CERTIFICATE_REVOKED\)\nhint: /,
  );
  const bundle = join(home, "ca/handfast-ca.pem");
  assert.equal((await call(["verify", file, "--ca", bundle])).code, 0);
  const lists = join(home, "ca/crl");
  const named = (await json(["verify", file, "--ca", bundle, "--crl", lists])) as {
    verdicts: { reason: string }[];
  };
  assert.equal(named.verdicts[0]?.reason, "CERTIFICATE_REVOKED");
  const rootOnly = await call(["verify", file, "--ca", bundle, "--crl", join(lists, "root-1.crl")]);
  assert.equal(rootOnly.code, 0);
  assert.match(rootOnly.stderr, /^note: whether it is revoked is not known: /);
});

test("S55: crl signs lists of greater numbers, and the root's only when asked", async (context) => {
  const { run, json, crl } = await shellWithServices(context);
  const before = [crl("issuing-1").number, crl("root-1").number];
  const { code, stdout } = await run(["crl", "--days", "7"]);
  assert.equal(code, 0);
  assert.match(stdout, /issuing-1\.crl: number \d+, 0 revoked, until \S+Z\n$/);
  const list = crl("issuing-1");
  assert.ok(list.number > (before[0] ?? 0n));
  assert.equal(list.nextUpdate.getTime() - list.thisUpdate.getTime(), 7 * 86_400_000);
  assert.equal(crl("root-1").number, before[1]);
  const { lists } = (await json(["crl", "--root"])) as { lists: { number: number }[] };
  assert.equal(BigInt(lists[0]?.number ?? 0), crl("root-1").number);
});

test("export puts key, certificate and CA into a file of mode 0600 under a passphrase", async (context) => {
  const { run, call, home, folder, leaf } = await shellWithServices(context);
  const passphraseFile = join(folder, "passphrase");
  writeFileSync(passphraseFile, "correct horse\n");
  const words = ["export", "api", "--p12", "--passphrase-file", passphraseFile];
  const { code, stderr } = await run(words);
  assert.equal(code, 0);
  assert.match(stderr, /^note: browsers import it .*PKCS12\n$/);
  const file = join(home, "certs/api/api.p12");
  assert.equal(statSync(file).mode & 0o777, 0o600);
  const contents = parsePkcs12(readFileSync(file), { passphrase: "correct horse" });
  assert.equal(contents.certificate.fingerprint, leaf("api").fingerprint);
  assert.ok(publicKeyMatches(contents.certificate, contents.privateKey));
  assert.equal(contents.issuers.length, 2);
  const again = await call(words);
  assert.equal(again.code, 1);
  assert.match(again.stderr, /^error: .*api\.p12: is there already\nhint: /);
  const formless = await call(["export", "billing", "--passphrase-file", passphraseFile]);
  assert.equal(formless.code, 2);
  const unasked = await call(["export", "billing", "--p12"]);
  assert.equal(unasked.code, 2);
  assert.equal(existsSync(join(home, "certs/billing/billing.p12")), false);
});

test("inspect describes a revocation list and a request", async (context) => {
  const { call, json, folder, home, leaf } = await shellWithServices(context);
  await call(["revoke", "api", "--reason", "superseded"]);
  const list = join(home, "ca/crl/issuing-1.crl");
  const { stdout } = await call(["inspect", list]);
  assert.match(stdout, /^revocation list of {2}CN=handfast\.internal issuing 1,O=Handfast\n/);
  assert.match(stdout, new RegExp(`^revoked +${leaf("api").serialNumber} .* superseded$`, "m"));
  const { crl } = (await json(["inspect", list])) as { crl: { size: number } };
  assert.equal(crl.size, 1);

  const { privateKey } = generateKeyPair();
  const subject = createName([{ type: "CN", value: "api" }]);
  const request = createRequest({ subject, privateKey, subjectAltNames: { dns: ["api"] } });
  writeFileSync(join(folder, "api.csr"), requestToPem(request));
  const described = await call(["inspect", join(folder, "api.csr")]);
  assert.match(described.stdout, /^request for +CN=api\nnames asked for +api\nkey +ecdsa-p256\n/);
});

test("renew --all replaces what is in its last third, and tells of the rest", async (context) => {
  const { call, json, home } = createShell(context);
  await call(["init"]);
  await call(["issue", "old", "young"]);
  await call(["issue", "short", "--ttl", "10m"]);
  const before = readFileSync(join(home, "certs", "young", "young.pem"));
  const none = await call(["renew", "--all"]);
  assert.deepEqual(
    [none.code, none.stdout, none.stderr],
    [0, "", "note: not due yet: old, short, young\n"],
  );
  const soon = await call(["renew", "--all", "--expires-within", "1h", "--ttl", "30d"]);
  assert.deepEqual(soon.code, 0, soon.stderr);
  assert.match(soon.stdout, /identity +spiffe:\/\/handfast\.internal\/short\n/);
  assert.match(soon.stderr, /^note: not due yet: old, young$/m);
  assert.deepEqual(readFileSync(join(home, "certs", "young", "young.pem")), before);
  const report = (await json(["renew", "--all", "--expires-within", "60d"])) as {
    issued: { name: string }[];
    notDue: string[];
  };
  assert.deepEqual(
    [report.issued.map(({ name }) => name), report.notDue],
    [["short"], ["old", "young"]],
  );
});

test("renew --all goes on past one that fails, and ends with its reason", async (context) => {
  const { call, home } = createShell(context);
  await call(["init"]);
  await call(["issue", "bad", "good"]);
  await call(["revoke", "bad"]);
  writeFileSync(join(home, "certs", "stray.txt"), "not a name's folder");
  const { code, stdout, stderr } = await call(["renew", "--all", "--expires-within", "100d"]);
  assert.equal(code, 1);
  assert.match(stdout, /identity +spiffe:\/\/handfast\.internal\/good\n/);
  assert.match(stderr, /^error: bad: .*\nhint: /m);
  for (const words of [["renew"], ["renew", "good", "--all"]]) {
    assert.equal((await call(words)).code, 2);
  }
});
