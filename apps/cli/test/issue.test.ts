import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { parseCertificatesPem, parsePrivateKey, publicKeyMatches } from "@handfast/x509";
import type { Certificate } from "@handfast/x509";
import { createShell } from "./support/handfast.ts";
import type { Shell } from "./support/handfast.ts";

const leafOf = (path: string): Certificate => {
  const [leaf] = parseCertificatesPem(readFileSync(path));
  assert.ok(leaf !== undefined);
  return leaf;
};

async function shellWithAuthority(...given: Parameters<typeof createShell>): Promise<Shell> {
  const shell = createShell(...given);
  const { code, stderr } = await shell.call(["init"]);
  assert.equal(code, 0, stderr);
  return shell;
}

test("issue makes a key and a certificate per name, ready for both sides", async (context) => {
  const { run, home } = await shellWithAuthority(context);
  const { code, stdout, stderr } = await run(["issue", "api", "billing"]);
  assert.deepEqual({ code, stderr }, { code: 0, stderr: "" });
  assert.match(
    stdout.replaceAll(home, "~"),
    /^certificate {2}~\/certs\/api\/api\.pem\nkey +~\/certs\/api\/api-key\.pem\ntrust +~\/ca\/handfast-ca\.pem\nidentity +spiffe:\/\/handfast\.internal\/api\nnames +api, spiffe:\/\/handfast\.internal\/api\nvalid until +\S+Z \(in 90 days\)\n\ncertificate {2}~\/certs\/billing/,
  );
  for (const name of ["api", "billing"]) {
    const folder = join(home, "certs", name);
    assert.deepEqual(readdirSync(folder).sort(), [`${name}-key.pem`, `${name}.pem`]);
    assert.equal(statSync(folder).mode & 0o777, 0o700);
    assert.equal(statSync(join(folder, `${name}-key.pem`)).mode & 0o777, 0o600);
    const leaf = leafOf(join(folder, `${name}.pem`));
    assert.deepEqual(leaf.extendedKeyUsage, ["serverAuth", "clientAuth"]);
    assert.deepEqual(leaf.subjectAltNames.dns, [name]);
    assert.deepEqual(leaf.subjectAltNames.ip, []);
    assert.ok(
      publicKeyMatches(leaf, parsePrivateKey(readFileSync(join(folder, `${name}-key.pem`)))),
    );
  }
});

test("a key never reaches stdout or stderr", async (context) => {
  const { call, home } = await shellWithAuthority(context);
  const said = [await call(["issue", "api"]), await call(["issue", "b", "--json"])];
  const key = readFileSync(join(home, "certs/api/api-key.pem"), "utf8").split("\n")[1];
  assert.ok(key !== undefined && key.length === 64);
  for (const { stdout, stderr } of said) {
    assert.equal((stdout + stderr).includes(key), false);
    assert.doesNotMatch(stdout + stderr, /PRIVATE KEY/);
  }
});

test("issue asks for what its options say", async (context) => {
  const { run, folder, home } = await shellWithAuthority(context);
  const { code, stderr } = await run(
    [
      "issue server --layout flat --out certs --local --days 30 --profile server",
      "--san *.bank.example --san 10.0.0.7 --organization Bank --key-algorithm ed25519",
      "--spiffe-id spiffe://handfast.internal/ns/prod/sa/server",
    ].flatMap((words) => words.split(" ")),
  );
  assert.equal(code, 0, stderr);
  const certs = join(folder, "certs");
  assert.deepEqual(readdirSync(certs).sort(), ["ca.crt", "server.crt", "server.key"]);
  assert.deepEqual(
    readFileSync(join(certs, "ca.crt")),
    readFileSync(join(home, "ca", "handfast-ca.pem")),
  );
  const leaf = leafOf(join(certs, "server.crt"));
  assert.deepEqual(leaf.subjectAltNames.dns, ["server", "*.bank.example", "localhost"]);
  assert.deepEqual(leaf.subjectAltNames.ip, ["10.0.0.7", "127.0.0.1", "::1"]);
  assert.deepEqual(leaf.subjectAltNames.uri, ["spiffe://handfast.internal/ns/prod/sa/server"]);
  assert.equal(leaf.subject.text, "CN=server,O=Bank");
  assert.deepEqual(leaf.extendedKeyUsage, ["serverAuth"]);
  assert.equal(leaf.publicKeyInfo.kind, "ed25519");
  const seconds = (leaf.notAfter.getTime() - leaf.notBefore.getTime()) / 1_000;
  assert.equal(seconds, 30 * 86_400 + 60);
});

test("S64: a Secret for Kubernetes goes to a file of its own, 0600, and its key nowhere else", async (context) => {
  const { call, home, folder } = await shellWithAuthority(context);
  const words = ["issue", "bank", "--format", "k8s-secret", "--namespace", "prod"];
  words.push("--out", join(folder, "secrets"));
  const { code, stdout, stderr } = await call(words);
  assert.equal(code, 0, stderr);
  const path = join(folder, "secrets/bank/bank-tls.yaml");
  assert.equal(statSync(path).mode & 0o777, 0o600);
  assert.deepEqual(readdirSync(join(folder, "secrets/bank")), ["bank-tls.yaml"]);
  const text = readFileSync(path, "utf8");
  assert.match(
    text,
    /^apiVersion: v1\nkind: Secret\ntype: kubernetes.io\/tls\nmetadata:\n {2}name: "bank-tls"\n {2}namespace: "prod"\ndata:\n/,
  );
  const value = (name: string): string => {
    const base64 = new RegExp(`^ {2}${name}: (\\S+)$`, "m").exec(text)?.[1];
    assert.ok(base64 !== undefined, name);
    assert.equal((stdout + stderr).includes(base64), false);
    return Buffer.from(base64, "base64").toString();
  };
  const [leaf] = parseCertificatesPem(value("tls\\.crt"));
  assert.ok(leaf !== undefined && publicKeyMatches(leaf, parsePrivateKey(value("tls\\.key"))));
  assert.equal(value("ca\\.crt"), readFileSync(join(home, "ca", "handfast-ca.pem"), "utf8"));
  const again = await call(words);
  assert.deepEqual([again.code, readFileSync(path, "utf8")], [1, text]);
});

test("what Kubernetes would not take as a name is wrong use, before anything is issued", async (context) => {
  const { call } = await shellWithAuthority(context);
  const before = (await call(["list", "--json"])).stdout;
  for (const words of [
    ["issue", "Bank", "--format", "k8s-secret"],
    ["issue", "a_b", "--format", "k8s-secret"],
    ["issue", "bank", "--format", "k8s-secret", "--namespace", "Prod\n  x: y"],
    ["issue", "bank", "--namespace", "prod"],
  ]) {
    const { code, stderr } = await call(words);
    assert.equal(code, 2, stderr);
    assert.match(stderr, /^error: .+\nhint: .+\n$/);
  }
  assert.equal((await call(["list", "--json"])).stdout, before);
});

test("an SVID has its SPIFFE id and no other name", async (context) => {
  const { run, home } = await shellWithAuthority(context);
  const { code, stderr } = await run(["issue", "api", "--profile", "svid", "--ttl", "1h"]);
  assert.equal(code, 0, stderr);
  const { all } = leafOf(join(home, "certs/api/api.pem")).subjectAltNames;
  assert.deepEqual(all, [{ type: "uri", value: "spiffe://handfast.internal/api" }]);
});

test("S56: hostile names are wrong use, and no file appears anywhere", async (context) => {
  const { call, home, folder } = await shellWithAuthority(context);
  const hostile = [
    "../x",
    "/tmp/x",
    "",
    ".ssh",
    "a/b",
    "a\\b",
    "a\u001b]0;x\u0007",
    "x".repeat(65),
  ];
  for (const name of hostile) {
    const { code, stdout, stderr } = await call(["issue", "good", name]);
    assert.deepEqual({ code, stdout }, { code: 2, stdout: "" }, JSON.stringify(name));
    assert.match(stderr, /^error: name .* must be .*\nhint: .+\n$/);
    assert.equal(stderr.includes("\u001b"), false);
  }
  for (const words of [["-rf"], ["--", "-rf"]]) {
    assert.equal((await call(["issue", ...words])).code, 2);
  }
  assert.equal(existsSync(join(home, "certs")), false);
  assert.deepEqual(readdirSync(folder), ["home"]);
});

test("wrong use ends with 2, says what and how to find help, and does nothing", async (context) => {
  const { call, home } = await shellWithAuthority(context);
  const wrong: readonly (readonly [string[], RegExp])[] = [
    [["issue"], /missing required argument 'name'/],
    [["issue", "api", "--nope"], /unknown option '--nope'/],
    [["issue", "api", "api"], /api is named twice/],
    [["issue", "api", "--days", "0"], /'--days <number>' .*whole number/],
    [["issue", "api", "--ttl", "soon"], /'--ttl <duration>' .*duration/],
    [["issue", "api", "--ttl", "1h", "--days", "1"], /cannot be used with option/],
    [["issue", "api", "--san", "a b"], /dns name "a b" must be/],
    [["issue", "api", "--spiffe-id", "https://x"], /SPIFFE id must start/],
    [["issue", "api", "--key-algorithm", "rsa-1024"], /Allowed choices are/],
    [["isue", "api"], /unknown command 'isue'/],
  ];
  for (const [words, message] of wrong) {
    const { code, stdout, stderr } = await call(words);
    assert.deepEqual({ code, stdout }, { code: 2, stdout: "" }, words.join(" "));
    assert.match(stderr, message);
    assert.match(stderr, /^error: .+\nhint: .+\n$/);
  }
  assert.equal(existsSync(join(home, "certs")), false);
});

test("what the authority refuses ends with 1 and leaves no file", async (context) => {
  const { call, home } = await shellWithAuthority(context);
  const refused: readonly (readonly [string[], RegExp])[] = [
    [["--profile", "root"], /there is no profile "root"\nhint: the profiles are peer, server, /],
    [["--days", "1000"], /longer than the .* \(825 days\)/],
    [["--spiffe-id", "spiffe://other.example/api"], /not of this authority's trust domain/],
    [["--san", "https://api.example"], /2 URI names are asked for/],
    [["--san", "a@example.org"], /kind that profile peer has not/],
    [["--organization", "a*"], /must not hold "\*"/],
  ];
  for (const [words, message] of refused) {
    const { code, stdout, stderr } = await call(["issue", "api", ...words]);
    assert.deepEqual({ code, stdout }, { code: 1, stdout: "" }, words.join(" "));
    assert.match(stderr, message);
  }
  assert.equal(existsSync(join(home, "certs")), false);
});

test("a certificate and key that are there are replaced on purpose alone", async (context) => {
  const { run, home } = await shellWithAuthority(context);
  await run(["issue", "api"]);
  const path = join(home, "certs/api/api-key.pem");
  const before = readFileSync(path);
  const { code, stderr } = await run(["issue", "other", "api"]);
  assert.equal(code, 1);
  assert.match(stderr, /^error: .*api-key\.pem is there already\nhint: .*--force/);
  assert.deepEqual(readFileSync(path), before);
  assert.equal(existsSync(join(home, "certs/other")), false);
  assert.equal((await run(["issue", "api", "--force"])).code, 0);
  assert.notDeepEqual(readFileSync(path), before);
  const leaf = leafOf(join(home, "certs/api/api.pem"));
  assert.ok(publicKeyMatches(leaf, parsePrivateKey(readFileSync(path))));
});

test("without an authority nothing is issued, and the hint says how to make one", async (context) => {
  const { run, home } = createShell(context);
  const { code, stdout, stderr } = await run(["issue", "api"]);
  assert.deepEqual({ code, stdout }, { code: 1, stdout: "" });
  assert.match(stderr, /^error: .*authority\.db is not there\nhint: .*handfast init/);
  assert.equal(existsSync(home), false);
});

test("a root key that was taken offline is not missed by issue", async (context) => {
  const { call, home } = await shellWithAuthority(context);
  writeFileSync(join(home, "ca", "root-1-key.pem"), "elsewhere");
  assert.equal((await call(["issue", "api"])).code, 0);
});

test("issue --json names the files and the identity", async (context) => {
  const { json, home } = await shellWithAuthority(context);
  const { issued } = (await json(["issue", "api"])) as { issued: Record<string, unknown>[] };
  const [first] = issued;
  assert.equal(first?.["certificateFile"], join(home, "certs/api/api.pem"));
  assert.equal(first["keyFile"], join(home, "certs/api/api-key.pem"));
  assert.equal(first["caFile"], join(home, "ca/handfast-ca.pem"));
  assert.equal(first["identity"], "spiffe://handfast.internal/api");
  const leaf = leafOf(join(home, "certs/api/api.pem"));
  assert.equal(first["fingerprint"], leaf.fingerprint);
});
