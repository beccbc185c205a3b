import assert from "node:assert/strict";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { TestContext } from "node:test";
import {
  generateKeyPair,
  parseCertificatesPem,
  parsePrivateKey,
  publicKeyMatches,
} from "@handfast/x509";
import {
  credentialPaths,
  parseServiceName,
  refuseExistingCredential,
  writeCredential,
} from "../src/index.ts";
import type { CredentialLayout } from "../src/index.ts";
import { refusal, requestFor, temporaryAuthority, temporaryFolder } from "./support/fixtures.ts";

async function credential(context: TestContext, layout: CredentialLayout) {
  const { authority } = await temporaryAuthority(context);
  const { publicKey, privateKey } = generateKeyPair();
  const { chain } = await authority.issue(requestFor("api", { publicKey }));
  const directory = join(temporaryFolder(context), "certs");
  const paths = credentialPaths(parseServiceName("api"), { directory, layout });
  return { paths, directory, chain, privateKey, roots: await authority.roots() };
}

test("a folder per name holds the chain and the key that belongs to it", async (context) => {
  const { paths, directory, ...content } = await credential(context, "tree");
  await writeCredential(paths, { ...content, overwrite: false });
  assert.deepEqual(readdirSync(directory), ["api"]);
  assert.deepEqual(readdirSync(join(directory, "api")).sort(), ["api-key.pem", "api.pem"]);
  const chain = parseCertificatesPem(readFileSync(paths.certificate));
  assert.equal(chain.length, 2);
  const [leaf] = chain;
  assert.ok(leaf !== undefined);
  assert.ok(publicKeyMatches(leaf, parsePrivateKey(readFileSync(paths.key))));
  assert.equal(statSync(paths.key).mode & 0o777, 0o600);
  assert.equal(statSync(join(directory, "api")).mode & 0o777, 0o700);
});

test("the flat layout keeps the bundle beside, and writes it again only if it is the same", async (context) => {
  const { paths, directory, ...content } = await credential(context, "flat");
  await writeCredential(paths, { ...content, overwrite: false });
  assert.deepEqual(readdirSync(directory).sort(), ["api.crt", "api.key", "ca.crt"]);
  const bundle = readFileSync(join(directory, "ca.crt"));
  const other = credentialPaths(parseServiceName("other"), { directory, layout: "flat" });
  await writeCredential(other, { ...content, overwrite: false });
  writeFileSync(join(directory, "ca.crt"), "another bundle");
  const third = credentialPaths(parseServiceName("third"), { directory, layout: "flat" });
  await assert.rejects(
    writeCredential(third, { ...content, overwrite: false }),
    refusal("CREDENTIAL_EXISTS", /another bundle/),
  );
  assert.equal(existsSync(third.key), false);
  assert.notDeepEqual(readFileSync(join(directory, "ca.crt")), bundle);
});

test("a key or certificate that is there is not overwritten but on purpose", async (context) => {
  const { paths, directory: _, ...content } = await credential(context, "tree");
  await refuseExistingCredential(paths);
  await writeCredential(paths, { ...content, overwrite: false });
  const key = readFileSync(paths.key);
  await assert.rejects(refuseExistingCredential(paths), refusal("CREDENTIAL_EXISTS", /api-key/));
  const again = { ...content, privateKey: generateKeyPair().privateKey };
  await assert.rejects(
    writeCredential(paths, { ...again, overwrite: false }),
    refusal("FILE_EXISTS", /api-key/),
  );
  assert.deepEqual(readFileSync(paths.key), key);
  await writeCredential(paths, { ...again, overwrite: true });
  assert.notDeepEqual(readFileSync(paths.key), key);
});

test("the key is taken away again where its certificate could not be written", async (context) => {
  const { paths, directory: _, ...content } = await credential(context, "tree");
  mkdirSync(paths.certificate, { recursive: true });
  await assert.rejects(writeCredential(paths, { ...content, overwrite: false }));
  assert.equal(existsSync(paths.key), false);
});

test("S56: a link in the place of the key is a file that is there, and is not followed", async (context) => {
  const { paths, directory, ...content } = await credential(context, "tree");
  const elsewhere = join(temporaryFolder(context), "stolen");
  mkdirSync(join(directory, "api"), { recursive: true, mode: 0o700 });
  symlinkSync(elsewhere, paths.key);
  await assert.rejects(refuseExistingCredential(paths), refusal("CREDENTIAL_EXISTS", /api-key/));
  await assert.rejects(
    writeCredential(paths, { ...content, overwrite: false }),
    refusal("FILE_EXISTS", /api-key/),
  );
  await writeCredential(paths, { ...content, overwrite: true });
  assert.equal(existsSync(elsewhere), false);
});
