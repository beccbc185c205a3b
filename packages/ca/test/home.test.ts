import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import {
  chmodSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { parseCertificatesPem, parseCrl } from "@handfast/x509";
import { authorityHome, initAuthorityHome, openAuthorityHome } from "../src/index.ts";
import { refusal, requestFor, temporaryFolder } from "./support/fixtures.ts";

const options = { trustDomain: "handfast.internal", requester: "local:test" };

test("a home holds the inventory, two keys of mode 0600 and the roots alone", async (context) => {
  const home = join(temporaryFolder(context), "home");
  const { root } = await initAuthorityHome(home, options);
  const { directory, bundle } = authorityHome(home);
  assert.deepEqual(readdirSync(home), ["ca"]);
  assert.deepEqual(readdirSync(directory).sort(), [
    "authority.db",
    "crl",
    "handfast-ca.pem",
    "issuing-1-key.pem",
    "root-1-key.pem",
  ]);
  for (const [path, mode] of [
    [home, 0o700],
    [directory, 0o700],
    [join(directory, "authority.db"), 0o600],
    [join(directory, "issuing-1-key.pem"), 0o600],
    [join(directory, "root-1-key.pem"), 0o600],
    [bundle, 0o644],
  ] as const) {
    assert.equal(statSync(path).mode & 0o777, mode, path);
  }
  const roots = parseCertificatesPem(readFileSync(bundle));
  assert.deepEqual(
    roots.map(({ fingerprint }) => fingerprint),
    [root.fingerprint],
  );
});

test("S6: the root and the issuing CA sign an empty revocation list at init", async (context) => {
  const home = temporaryFolder(context);
  const { root, issuing } = await initAuthorityHome(home, options);
  const { crls } = authorityHome(home);
  assert.deepEqual(readdirSync(crls).sort(), ["issuing-1.crl", "root-1.crl"]);
  for (const [name, issuer, days] of [
    ["root-1", root, 365],
    ["issuing-1", issuing, 30],
  ] as const) {
    const crl = parseCrl(readFileSync(join(crls, `${name}.crl`)));
    assert.ok(crl.verify(issuer));
    assert.equal(crl.size, 0);
    assert.equal(crl.nextUpdate.getTime() - crl.thisUpdate.getTime(), days * 86_400_000);
  }
});

test("S53: a home that is taken is not overwritten, whatever is in it", async (context) => {
  const home = temporaryFolder(context);
  await initAuthorityHome(home, options);
  const { directory } = authorityHome(home);
  const before = readFileSync(join(directory, "root-1-key.pem"));
  await assert.rejects(
    initAuthorityHome(home, options),
    refusal("AUTHORITY_EXISTS", /ca is there/),
  );
  assert.deepEqual(readFileSync(join(directory, "root-1-key.pem")), before);
  assert.deepEqual(readdirSync(home), ["ca"]);

  for (const take of [
    (place: string) => writeFileSync(place, "a file"),
    (place: string) => symlinkSync("/nowhere", place),
    (place: string) => {
      mkdirSync(place);
      writeFileSync(join(place, "root-1-key.pem"), "somebody's key");
    },
  ]) {
    const taken = temporaryFolder(context);
    take(join(taken, "ca"));
    await assert.rejects(
      initAuthorityHome(taken, options),
      refusal("AUTHORITY_EXISTS", /ca is there/),
    );
    assert.deepEqual(readdirSync(taken), ["ca"]);
  }
});

test("of two that make an authority in one home at once, one does", async (context) => {
  const home = temporaryFolder(context);
  const outcomes = await Promise.allSettled([1, 2, 3].map(() => initAuthorityHome(home, options)));
  assert.equal(outcomes.filter(({ status }) => status === "fulfilled").length, 1);
  assert.deepEqual(readdirSync(home), ["ca"]);
});

test("nothing is left where an authority could not be made", async (context) => {
  const home = temporaryFolder(context);
  const bad = { ...options, trustDomain: "Not A Domain" };
  await assert.rejects(initAuthorityHome(home, bad), refusal("SPIFFE_ID_INVALID", /trust domain/));
  assert.deepEqual(readdirSync(home), []);
});

test("S56: authority keys are not put where others could write", async (context) => {
  const shared = join(temporaryFolder(context), "shared");
  mkdirSync(shared);
  chmodSync(shared, 0o777);
  for (const home of [shared, join(shared, "home")]) {
    await assert.rejects(
      initAuthorityHome(home, options),
      refusal("DIRECTORY_UNTRUSTED", /can be written by others/),
    );
  }
  assert.deepEqual(readdirSync(shared), []);
});

test("S53: keys under a passphrase open with it alone, and only when they are needed", async (context) => {
  const home = temporaryFolder(context);
  await initAuthorityHome(home, { ...options, passphrase: async () => "correct horse" });
  for (const name of ["root-1", "issuing-1"]) {
    const pem = readFileSync(join(home, "ca", `${name}-key.pem`), "utf8");
    assert.match(pem, /^-----BEGIN ENCRYPTED PRIVATE KEY-----\n/);
  }
  let asked = 0;
  const open = (passphrase: string | undefined) =>
    openAuthorityHome(home, {
      passphrase: async () => {
        asked++;
        return passphrase;
      },
    });
  const issueWith = async (passphrase: string | undefined) => {
    const authority = await open(passphrase);
    try {
      await authority.find();
      assert.equal(asked, 0, "reading needs no key");
      await authority.issue(requestFor("a"));
      await authority.issue(requestFor("b"));
    } finally {
      await authority.close();
    }
  };
  await assert.rejects(issueWith("wrong"), refusal("PASSPHRASE_WRONG", /issuing-1-key\.pem/));
  asked = 0;
  await assert.rejects(issueWith(undefined), refusal("KEY_LOCKED", /encrypted/));
  asked = 0;
  await issueWith("correct horse");
  assert.equal(asked, 1);
});

test("S53: an authority issues without its root key", async (context) => {
  const home = temporaryFolder(context);
  await initAuthorityHome(home, options);
  renameSync(join(home, "ca", "root-1-key.pem"), join(home, "root-1-key.pem"));
  const authority = await openAuthorityHome(home);
  context.after(() => authority.close());
  const { chain } = await authority.issue(requestFor("api"));
  assert.equal(chain.length, 2);
});

test("kill -9 while certificates are issued: nothing was handed out that is not recorded", async (context) => {
  const home = temporaryFolder(context);
  await initAuthorityHome(home, options);
  const script = fileURLToPath(new URL("support/issue-until-killed.ts", import.meta.url));
  const child = spawn(process.execPath, [...process.execArgv, script, home], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const handedOut: string[] = [];
  for await (const line of createInterface({ input: child.stdout })) {
    handedOut.push(line);
    if (handedOut.length === 50) child.kill("SIGKILL");
  }
  if (child.signalCode === null) await once(child, "exit");
  const authority = await openAuthorityHome(home);
  context.after(() => authority.close());
  const recorded = new Set((await authority.find()).map(({ fingerprint }) => String(fingerprint)));
  assert.ok(handedOut.length >= 50);
  assert.deepEqual(
    handedOut.filter((fingerprint) => !recorded.has(fingerprint)),
    [],
  );
});

test("a home without an authority says so", async (context) => {
  await assert.rejects(
    openAuthorityHome(temporaryFolder(context)),
    refusal("AUTHORITY_NOT_FOUND", /authority\.db/),
  );
});
