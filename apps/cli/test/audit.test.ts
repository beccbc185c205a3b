// Each way to change an audit log, by somebody who has the file and its format but not the key.
import assert from "node:assert/strict";
import { hash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { auditPublicKey, openAuditChain, openAuditKey } from "@handfast/policy";
import type { AuditHead } from "@handfast/policy";
import { createShell } from "./support/handfast.ts";

test("S35: audit verify names the first false record, however the file was changed", async (context) => {
  const log = await writtenLog(context);
  const { records, head } = log;
  // 0 is what opens the file, 1 a signature, then six decisions.
  const [second = empty, third = empty] = [records[3], records[4]];
  const flipped = Buffer.from(third);
  flipped[20] = (flipped[20] ?? 0) ^ 1;
  const edited = Buffer.from(third.toString("latin1").replace("caller-3", "nobody-3"), "latin1");
  const cases: readonly [name: string, records: readonly Buffer[], says: RegExp][] = [
    ["a flipped bit", records.with(4, flipped), /record 4\b/],
    ["a removed record", records.toSpliced(4, 1), /record 4\b/],
    ["two records in the other order", records.toSpliced(3, 2, third, second), /record 3\b/],
    ["an inserted record", records.toSpliced(5, 0, second), /record 5\b/],
    ["an edited record", records.with(4, edited), /record 4\b/],
    [
      "an edited record, all hashes made anew",
      rehashed(records.with(4, edited)),
      /\b4\b|records 2 to/,
    ],
    ["a removed record, all hashes made anew", rehashed(records.toSpliced(4, 1)), /record/],
  ];
  for (const [name, changed, says] of cases) {
    const { code, stderr } = await log.verify(changed, []);
    assert.equal(code, 1, name);
    assert.match(stderr, says, `${name}: ${stderr}`);
    assert.match(stderr, /^error: .+\nhint: /m, name);
  }
  const whole = await log.verify(records, ["--head", head]);
  assert.deepEqual([whole.code, whole.stderr], [0, ""]);
});

test("S35: audit verify finds a cut end and an old copy against a published head", async (context) => {
  const log = await writtenLog(context);
  const { records, head } = log;
  // Each ends with a signature, so that nothing in the file tells.
  for (const kept of [records.slice(0, 2), log.earlier]) {
    const alone = await log.verify(kept, []);
    assert.equal(alone.code, 0, alone.stderr);
    assert.match(alone.stderr, /a cut end can only be seen against a head/);
    const compared = await log.verify(kept, ["--head", head]);
    assert.equal(compared.code, 1);
    assert.match(compared.stderr, /^error: .+\nhint: /m);
  }
});

/** A log of two sittings, taken apart; `earlier` is a copy from between them. */
async function writtenLog(context: TestContext) {
  const { call, folder } = createShell(context);
  const path = join(folder, "audit.log");
  const keyFile = join(folder, "audit.key");
  const heads: AuditHead[] = [];
  const write = async (callers: readonly number[]): Promise<Buffer[]> => {
    const signer = await openAuditKey(keyFile);
    const chain = await openAuditChain(path, { signer, onHead: (head) => heads.push(head) });
    for (const caller of callers) await chain.append("decision", { who: `caller-${caller}` });
    await chain.close();
    return recordsOf(readFileSync(path));
  };
  const earlier = await write([1, 2, 3]);
  const records = await write([4, 5, 6]);
  const head = join(folder, "head.json");
  writeFileSync(head, JSON.stringify(heads.at(-1)));
  const key = join(folder, "audit.pub");
  writeFileSync(key, await auditPublicKey(keyFile));
  return {
    earlier,
    records,
    head,
    verify(changed: readonly Buffer[], more: readonly string[]) {
      writeFileSync(path, Buffer.concat([magic, ...changed]));
      return call(["audit", "verify", path, "--key", key, ...more]);
    },
  };
}

/** Takes a file apart by the lengths in it. */
function recordsOf(file: Buffer): Buffer[] {
  const records: Buffer[] = [];
  for (let at = magic.length; at < file.length;) {
    const end = at + headBytes + file.readUInt32BE(at) + hashBytes;
    records.push(file.subarray(at, end));
    at = end;
  }
  return records;
}

/** The same records, with the hashes that follow from what they say now. */
function rehashed(records: readonly Buffer[]): Buffer[] {
  let before: Buffer = Buffer.alloc(hashBytes);
  return records.map((record, index) => {
    const text = record.subarray(headBytes, -hashBytes).toString();
    const body = Buffer.from(text.replace(/"seq":\d+(?=,"time")/, `"seq":${index}`));
    const length = Buffer.alloc(4);
    length.writeUInt32BE(body.length);
    const digest = (purpose: string, ...parts: Buffer[]): Buffer =>
      hash("sha256", Buffer.concat([Buffer.from(purpose), before, length, ...parts]), "buffer");
    const check = digest("handfast-audit-length\n").subarray(0, headBytes - 4);
    const own = digest("handfast-audit-record\n", body);
    before = own;
    return Buffer.concat([length, check, body, own]);
  });
}

const magic = Buffer.from("HFAUDIT1");
const headBytes = 12;
const hashBytes = 32;
const empty = Buffer.alloc(0);
