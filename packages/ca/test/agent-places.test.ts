import assert from "node:assert/strict";
import {
  chmodSync,
  lchownSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { encodePrivateKey } from "@handfast/x509";
import {
  anyTrustedPeer,
  createMutualTls,
  identityFromFile,
  identityFromFiles,
  noRevocation,
  trustFromMemory,
} from "@handfast/tls";
import { bundleInFile, placeInDirectory } from "../src/index.ts";
import { leafIn } from "./support/agents.ts";
import { refusal, temporaryFolder } from "./support/fixtures.ts";
import { authority, killAtSteps, pair, placeOf } from "./support/kill-place.ts";

for (const kind of ["file", "directory"] as const) {
  test(`${kind}: what is put is read, the next key is kept until then, and nothing else is left`, async (context) => {
    const folder = temporaryFolder(context);
    const { place, path } = placeOf(kind, folder);
    assert.equal(await place.read(), undefined);
    assert.equal(await place.next(), undefined);
    for (const credential of [pair("one"), pair("two"), pair("three")]) {
      await place.keepNext(credential.privateKey);
      const waiting = await place.next();
      assert.ok(waiting !== undefined && waiting.equals(credential.privateKey));
      await place.put(credential);
      const read = await place.read();
      assert.equal(read?.chainPem, credential.chainPem);
      assert.ok(read.privateKey.equals(credential.privateKey));
      assert.equal(await place.next(), undefined);
    }
    const left = readdirSync(kind === "file" ? folder : path).filter(
      (name) => !name.startsWith(".pair-"),
    );
    assert.deepEqual(left, [kind === "file" ? "api.pem" : "current"]);
  });

  test(`S56: ${kind}: killed on the way, a reader finds the old pair, and the next attempt is whole`, async (context) => {
    await killAtSteps(context, { kind, steps: [kind === "file" ? 10 : 26] });
  });

  test(`S56: ${kind}: under umask 000 nobody else can read a key, at any time`, async (context) => {
    const before = process.umask(0);
    context.after(() => process.umask(before));
    const { place, path } = placeOf(kind, temporaryFolder(context));
    const credential = pair("one");
    await place.keepNext(credential.privateKey);
    const waiting = kind === "file" ? `${path}.next` : join(path, "next-key.pem");
    assert.equal(statSync(waiting).mode & 0o777, 0o600);
    await place.put(credential);
    const key = kind === "file" ? path : join(path, "current", "key.pem");
    assert.equal(statSync(key).mode & 0o777, 0o600);
    assert.equal(statSync(join(key, "..")).mode & 0o022, 0, "nobody else can write beside it");
  });

  test(`S56: ${kind}: a link planted at the target is replaced, not followed`, async (context) => {
    const folder = temporaryFolder(context);
    const { place, path } = placeOf(kind, folder);
    const victim = join(folder, "victim");
    if (kind === "file") {
      writeFileSync(victim, "precious");
      symlinkSync(victim, path);
    } else {
      mkdirSync(victim);
      writeFileSync(join(victim, "key.pem"), "precious");
      mkdirSync(path);
      symlinkSync(victim, join(path, "current"));
    }
    await place.put(pair("one"));
    assert.equal(
      readFileSync(kind === "file" ? victim : join(victim, "key.pem"), "utf8"),
      "precious",
    );
    assert.equal((await leafIn(place))?.subjectAltNames.dns[0], "one");
    if (kind === "file") assert.ok(lstatSync(path).isFile());
    else assert.match(readlinkSync(join(path, "current")), /^\.pair-[0-9a-f]{16}$/);
  });

  test(`${kind}: a file that somebody broke is refused, and mended by the next put`, async (context) => {
    const { place, path } = placeOf(kind, temporaryFolder(context));
    await place.put(pair("one"));
    const file = kind === "file" ? path : join(realpathSync(join(path, "current")), "cert.pem");
    const other = pair("other");
    for (const text of ["", "text", other.chainPem, encodePrivateKey(other.privateKey)]) {
      const key =
        kind === "file" && text === other.chainPem ? encodePrivateKey(pair("x").privateKey) : "";
      writeFileSync(file, `${key}${text}`);
      await assert.rejects(place.read(), refusal("CREDENTIAL_INVALID", /api/), text.slice(0, 40));
    }
    await place.put(other);
    assert.equal((await leafIn(place))?.subjectAltNames.dns[0], "other");
  });
}

test("a directory of somebody else's in the place of the link is left alone", async (context) => {
  const { place, path } = placeOf("directory", temporaryFolder(context));
  mkdirSync(join(path, "current"), { recursive: true });
  writeFileSync(join(path, "current", "file"), "precious");
  await assert.rejects(place.put(pair("one")), refusal("CREDENTIAL_INVALID", /no link of ours/));
  assert.deepEqual(readdirSync(path), ["current"]);
});

test("a runtime that watches what the agent writes uses each new pair, whole, in either layout", async (context) => {
  const folder = temporaryFolder(context);
  for (const kind of ["file", "directory"] as const) {
    const { place, path } = placeOf(kind, folder);
    const current = join(path, "current");
    await place.put(pair("one"));
    const mtls = await createMutualTls({
      identity:
        kind === "file"
          ? identityFromFile(path)
          : identityFromFiles({
              certFile: join(current, "cert.pem"),
              keyFile: join(current, "key.pem"),
            }),
      trust: trustFromMemory(authority.bundlePem),
      revocation: noRevocation(),
      admit: anyTrustedPeer(),
    });
    context.after(() => mtls.close());
    await place.put(pair("two"));
    await mtls.reload();
    assert.equal((await mtls.reload()).identity, "unchanged");
    writeFileSync(kind === "file" ? path : join(realpathSync(current), "key.pem"), "broken");
    const { identity } = await mtls.reload();
    assert.ok(typeof identity === "object" && "kept" in identity, "the last good pair stays");
    await place.put(pair("three"));
    await mtls.reload();
    assert.equal((await mtls.reload()).identity, "unchanged");
  }
});

test(
  "S56: as root, a place whose directory others can write or lead elsewhere is refused, and nothing is left",
  { skip: process.geteuid?.() === 0 ? false : "only root can plant what belongs to others" },
  async (context) => {
    for (const kind of ["file", "directory"] as const) {
      const folder = temporaryFolder(context);
      const [victim, shared, linked] = ["victim", "shared", "linked"].map((name) =>
        join(folder, name),
      );
      assert.ok(victim !== undefined && shared !== undefined && linked !== undefined);
      mkdirSync(victim);
      mkdirSync(shared);
      chmodSync(shared, 0o777);
      symlinkSync(victim, linked);
      lchownSync(linked, 65_534, 65_534);
      for (const parent of [shared, linked]) {
        const { place } = placeOf(kind, parent);
        const { privateKey, ...rest } = pair("one");
        await assert.rejects(place.keepNext(privateKey), { code: "DIRECTORY_UNTRUSTED" });
        await assert.rejects(place.put({ ...rest, privateKey }), { code: "DIRECTORY_UNTRUSTED" });
      }
      assert.deepEqual([readdirSync(victim), readdirSync(shared)], [[], []]);
    }
  },
);

test("a mode for others lets them reach the pair and not write it", async (context) => {
  const folder = temporaryFolder(context);
  const place = placeInDirectory(join(folder, "api"), { mode: 0o640 });
  await place.put(pair("one"));
  const current = realpathSync(join(folder, "api", "current"));
  assert.equal(statSync(join(current, "key.pem")).mode & 0o777, 0o640);
  assert.equal(statSync(current).mode & 0o777, 0o755);
});

test("S50: a bundle in a file is roots only, with its sequence beside it, across a restart", async (context) => {
  const path = join(temporaryFolder(context), "roots.pem");
  const rootsPem = authority.bundlePem;
  const keeper = await bundleInFile(path);
  assert.equal(keeper.current, undefined);
  let told = 0;
  keeper.onChange(() => told++);
  const taken = await Promise.all([5, 7, 6].map((sequence) => keeper.take({ sequence, rootsPem })));
  assert.deepEqual([taken, told], [[true, true, false], 2]);
  assert.equal(readFileSync(path, "utf8"), rootsPem);
  const again = await bundleInFile(path);
  assert.deepEqual(again.current, { sequence: 7, rootsPem });
  assert.equal(await again.take({ sequence: 7, rootsPem }), false);
  writeFileSync(`${path}.sequence`, "x");
  await assert.rejects(bundleInFile(path), refusal("BUNDLE_INVALID", /no sequence number/));
  writeFileSync(path, "x");
  await assert.rejects(bundleInFile(path), { code: "BUNDLE_INVALID" });
});
