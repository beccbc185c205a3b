import assert from "node:assert/strict";
import { createPublicKey, generateKeyPairSync } from "node:crypto";
import { chmodSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { auditPublicKey, openAuditKey, parseAuditHead, parseAuditPublicKey } from "../src/index.ts";
import { writeChain } from "./support/chains.ts";
import { temporaryDirectory } from "./support/temporary.ts";

test("S35: the key is made at the first start, 0600, and is the same at the next", async (context) => {
  const folder = temporaryDirectory(context);
  const path = join(folder, "audit-key.pem");
  const [first, other] = await Promise.all([openAuditKey(path), openAuditKey(path)]);
  const second = await openAuditKey(path);
  assert.equal(statSync(path).mode & 0o777, 0o600);
  assert.ok(first.publicKey.equals(second.publicKey));
  assert.ok(first.publicKey.equals(other.publicKey));
  assert.deepEqual(readdirSync(folder), ["audit-key.pem"]);
  const pem = await auditPublicKey(path);
  assert.ok(createPublicKey(pem).equals(first.publicKey));
  assert.ok(parseAuditPublicKey(pem).equals(first.publicKey));
  assert.doesNotMatch(pem, /PRIVATE/);
});

test("S35: a key that others may read, that is of another kind or is no key is refused", async (context) => {
  const folder = temporaryDirectory(context);
  const path = join(folder, "key.pem");
  await openAuditKey(path);
  chmodSync(path, 0o640);
  await assert.rejects(openAuditKey(path), {
    code: "AUDIT_KEY_INVALID",
    message: `${path}: expected mode 0600, got 0640`,
  });
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const pem = privateKey.export({ type: "pkcs8", format: "pem" });
  for (const text of [pem, "nothing", ""]) {
    writeFileSync(join(folder, "other.pem"), text, { mode: 0o600 });
    await assert.rejects(openAuditKey(join(folder, "other.pem")), { code: "AUDIT_KEY_INVALID" });
  }
  await assert.rejects(openAuditKey(folder), { code: "AUDIT_KEY_INVALID" });
  await assert.rejects(auditPublicKey(join(folder, "no")), { code: "AUDIT_KEY_INVALID" });
  const p256 = publicKey.export({ type: "spki", format: "pem" });
  const ed25519 = generateKeyPairSync("ed25519").privateKey.export({
    type: "pkcs8",
    format: "pem",
  });
  for (const text of [p256, pem, ed25519, "nothing"]) {
    assert.throws(() => parseAuditPublicKey(text), { code: "AUDIT_KEY_INVALID" });
  }
});

test("a head is read back from the JSON it was emitted as", async (context) => {
  const folder = temporaryDirectory(context);
  const signer = await openAuditKey(join(folder, "key.pem"));
  const [head] = await writeChain(join(folder, "audit"), { signer, count: 0 });
  assert.deepEqual(parseAuditHead(JSON.stringify(head)), head);
  for (const change of [
    { seq: "1" },
    { seq: 1.5 },
    { hash: 1 },
    { hash: undefined },
    { more: 1 },
  ]) {
    assert.throws(() => parseAuditHead(JSON.stringify({ ...head, ...change })), {
      code: "AUDIT_HEAD_INVALID",
    });
  }
  assert.throws(() => parseAuditHead("{"), { code: "AUDIT_HEAD_INVALID" });
});
