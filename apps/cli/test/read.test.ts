import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { createName } from "@handfast/x509";
import { createTestAuthority } from "@handfast/x509/testing";
import { createShell } from "./support/handfast.ts";

const ca = createTestAuthority({ trustDomain: "bank.example" });

test("inspect says in words what is in a file, certificate by certificate", async (context) => {
  const { run, folder } = createShell(context);
  const file = join(folder, "api.pem");
  writeFileSync(
    file,
    ca.issue({ name: "api", ip: ["10.0.0.7"] }).certificateChainPem + ca.bundlePem,
  );
  const { code, stdout, stderr } = await run(["inspect", file]);
  assert.deepEqual({ code, stderr }, { code: 0, stderr: "" });
  assert.match(
    stdout,
    /^1 of 2\nsubject +CN=api\nissued by +\S.*\nidentity +spiffe:\/\/bank\.example\/api\nDNS +api\nIP +10\.0\.0\.7\nURI +spiffe:\/\/bank\.example\/api\ngood for +servers and clients\nvalid +\S+Z to \S+Z, ends in 24 hours\nkey +ECDSA P-256\nsignature +ECDSA-SHA256\nrevocation +no CRL or OCSP address in it\nserial +[0-9a-f]+\nSHA-256 +[0-9a-f]{64}\n\n2 of 2\n/,
  );
  assert.match(stdout, /issued by +itself\nidentity +the authority of spiffe:\/\/bank\.example\n/);
});

test("inspect reads DER too, and --json has everything", async (context) => {
  const { json, folder } = createShell(context);
  const file = join(folder, "api.der");
  const { certificate } = ca.issue({ name: "api" });
  writeFileSync(file, certificate.der);
  const { certificates } = (await json(["inspect", file])) as {
    certificates: Record<string, unknown>[];
  };
  assert.equal(certificates.length, 1);
  assert.equal(certificates[0]?.["fingerprint"], certificate.fingerprint);
  assert.deepEqual(certificates[0]["extendedKeyUsage"], ["serverAuth", "clientAuth"]);
  assert.equal(certificates[0]["ca"], false);
});

test("inspect says why it cannot read a file", async (context) => {
  const { call, folder } = createShell(context);
  const key = join(folder, "key.pem");
  const { privateKeyPem, certificateChainPem } = ca.issue();
  writeFileSync(key, privateKeyPem + certificateChainPem);
  const cut = join(folder, "cut.pem");
  writeFileSync(cut, certificateChainPem.slice(0, 200));
  const text = join(folder, "text");
  writeFileSync(text, "hello");
  for (const [file, message] of [
    [key, /^error: certificate bundle holds a private key\nhint: /],
    [cut, /^error: PEM text ends inside a CERTIFICATE block\nhint: /],
    [text, /^error: certificate bundle holds no certificate\nhint: /],
    [join(folder, "missing"), /^error: .*missing: there is no such file\nhint: /],
    [folder, /^error: .*: expected a regular file\nhint: /],
  ] as const) {
    const { code, stdout, stderr } = await call(["inspect", file]);
    assert.deepEqual({ code, stdout }, { code: 1, stdout: "" });
    assert.match(stderr, message);
    assert.doesNotMatch(stderr, /-----BEGIN/);
  }
});

test("S64: names in certificates and files cannot move the terminal's cursor", async (context) => {
  const { call, folder } = createShell(context);
  const odd = "a\u200bb\u00adc";
  const subject = createName([
    { type: "O", value: odd },
    { type: "CN", value: "xx]0;owned" },
  ]);
  const { certificate, certificateChainPem } = ca.issue({ name: "x", subject });
  const file = join(folder, "odd.pem");
  writeFileSync(file, certificateChainPem);
  const shown = await call(["inspect", file]);
  assert.match(shown.stdout, /O=a\\u\{200b\}b\\u\{ad\}c/);
  const asJson = await call(["inspect", file, "--json"]);
  assert.match(asJson.stdout, /a\\u200bb\\u00adc/);
  assert.deepEqual(
    (JSON.parse(asJson.stdout) as { certificates: { subject: string }[] }).certificates[0]?.subject,
    certificate.subject.text,
  );

  const escape = Buffer.from(certificate.der);
  escape.write("\u001b", escape.indexOf("x]0;owned"));
  writeFileSync(join(folder, "escape.der"), escape);
  const hostileFile = join(folder, "\u001b]0;owned\u0007\u009b31m\u202e");
  for (const words of [
    ["inspect", join(folder, "escape.der")],
    ["inspect", hostileFile],
    ["inspect", hostileFile, "--json"],
    ["verify", hostileFile],
    ["\u001b[2J"],
  ]) {
    const { code, stdout, stderr } = await call(words);
    assert.notEqual(code, 0);
    assert.match(stderr, /^error: /);
    // oxlint-disable-next-line no-control-regex
    assert.doesNotMatch(stdout + stderr, /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202a-\u202e]/);
  }
});

test("verify says as what a peer accepts a certificate", async (context) => {
  const { run, call, folder, home } = createShell(context);
  await call(["init"]);
  await call(["issue", "api", "--local"]);
  const file = join(home, "certs/api/api.pem");
  const { code, stdout, stderr } = await run(["verify", file]);
  assert.deepEqual({ code, stderr }, { code: 0, stderr: "" });
  assert.equal(
    stdout,
    `${file}: accepted as a server, reachable as api, localhost, 127.0.0.1, ::1\n` +
      `${file}: accepted as a client, as spiffe://handfast.internal/api\n`,
  );
  const key = join(home, "certs/api/api-key.pem");
  const named = await run(["verify", file, "--name", "localhost", "--key", key]);
  assert.match(
    named.stdout,
    /^\S+: accepted as a server, .*\n\S+: the key belongs to the certificate\n$/,
  );

  const other = join(folder, "other.pem");
  writeFileSync(other, ca.issue({ name: "api" }).certificateChainPem);
  const stranger = await run(["verify", other, "--purpose", "client"]);
  assert.deepEqual({ code: stranger.code, stdout: stranger.stdout }, { code: 1, stdout: "" });
  assert.match(
    stranger.stderr,
    /^error: \S+: refused as a client: .*\(CERTIFICATE_AUTHORITY_INVALID\)\nhint: .+\n$/,
  );
});

test("verify says why a peer refuses a certificate", async (context) => {
  const { call, folder } = createShell(context);
  const bundle = join(folder, "ca.pem");
  writeFileSync(bundle, ca.bundlePem);
  const now = Date.now();
  const write = (name: string, options: Parameters<typeof ca.issue>[0]) => {
    const path = join(folder, `${name}.pem`);
    writeFileSync(path, ca.issue({ name: "api", ...options }).certificateChainPem);
    return path;
  };
  const expired = write("expired", { notAfter: new Date(now - 5_000) });
  const client = write("client", { profile: "client" });
  const good = write("good", {});
  const wrongKey = join(folder, "wrong-key.pem");
  writeFileSync(wrongKey, ca.issue().privateKeyPem);
  for (const [words, message] of [
    [[expired], /expired at .*\(CERTIFICATE_EXPIRED\)\nhint: renew/],
    [[client, "--purpose", "server"], /\(CERTIFICATE_WRONG_PURPOSE\)\nhint: /],
    [[good, "--name", "billing"], /\(CERTIFICATE_HOSTNAME_MISMATCH\)\nhint: /],
    [[good, "--spiffe-id", "spiffe://bank.example/b"], /\(SPIFFE_ID_INVALID\)\nhint: /],
    [[good, "--at", "2020-01-01"], /\(CERTIFICATE_NOT_YET_VALID\)\nhint: /],
    [
      [good, "--key", wrongKey],
      /wrong-key\.pem: the key does not belong to the certificate\nhint: /,
    ],
  ] as const) {
    const { code, stderr } = await call(["verify", ...words, "--ca", bundle]);
    assert.equal(code, 1, words.join(" "));
    assert.match(stderr, message);
  }
});

test("verify --json has a verdict per purpose", async (context) => {
  const { json, folder } = createShell(context);
  writeFileSync(join(folder, "ca.pem"), ca.bundlePem);
  writeFileSync(join(folder, "api.pem"), ca.issue({ name: "api" }).certificateChainPem);
  const verdict = (await json([
    "verify",
    join(folder, "api.pem"),
    "--ca",
    join(folder, "ca.pem"),
  ])) as Record<string, unknown>;
  assert.equal(verdict["ok"], true);
  const refused = (await json([
    "verify",
    join(folder, "api.pem"),
    "--ca",
    join(folder, "ca.pem"),
    "--name",
    "b",
  ])) as {
    ok: boolean;
    verdicts: { reason: string; hint: string }[];
  };
  assert.equal(refused.ok, false);
  assert.equal(refused.verdicts[0]?.reason, "CERTIFICATE_HOSTNAME_MISMATCH");
});

test("list shows the inventory, and finds what is asked for", async (context) => {
  const { run, call, json, home } = createShell(context);
  await call(["init"]);
  await call(["issue", "api", "billing"]);
  await call(["issue", "short", "--ttl", "1h"]);
  const all = await run(["list"]);
  assert.equal(all.code, 0);
  assert.equal(all.stdout.split("\n").length, 6);
  assert.match(
    all.stdout,
    /^valid {4}\S+Z {2}peer +[0-9a-f]+ {2}spiffe:\/\/handfast\.internal\/short\n/,
  );
  const names = async (...words: string[]) => {
    const found = (await json(["list", ...words])) as { certificates: { subject: string }[] };
    return found.certificates.map(({ subject }) => subject);
  };
  assert.deepEqual(await names("--name", "api"), ["CN=api"]);
  assert.deepEqual(await names("--search", "ill"), ["CN=billing"]);
  assert.deepEqual(await names("--expires-within", "2h"), ["CN=short"]);
  assert.deepEqual(await names("--profile", "peer", "--limit", "1"), ["CN=short"]);
  assert.deepEqual(await names("--status", "revoked"), []);
  const [root] = (await names("--profile", "root")).map(String);
  assert.match(root ?? "", /root 1/);
  assert.match(
    readFileSync(join(home, "ca/handfast-ca.pem"), "utf8"),
    /^-----BEGIN CERTIFICATE-----/,
  );
});
