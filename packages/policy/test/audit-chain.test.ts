import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import {
  appendFileSync,
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { openAuditChain, verifyAuditChain } from "../src/index.ts";
import type { AuditHead, PolicyError } from "../src/index.ts";
import { forge, lastOf, piecesOf, testSigner, writeChain } from "./support/chains.ts";
import { temporaryDirectory, within } from "./support/temporary.ts";

const signer = testSigner();
const { publicKey } = signer;

test("what was acknowledged is on disk, signed and verifies", async (context) => {
  const path = join(temporaryDirectory(context), "audit");
  const heads: AuditHead[] = [];
  const chain = await openAuditChain(path, {
    signer,
    onHead: (head) => heads.push(head),
    now: () => new Date("2026-01-02T03:04:05.678Z"),
  });
  const place = await chain.append("decision", {
    b: [1, null, { x: true }],
    a: "é\u0000",
    c: undefined,
  });
  assert.deepEqual(place, { chain: chain.head.chain, seq: 2 });
  assert.deepEqual(piecesOf(path).at(2)?.record, {
    seq: 2,
    time: "2026-01-02T03:04:05.678Z",
    kind: "decision",
    fields: { a: "é\u0000", b: [1, null, { x: true }] },
  });
  await chain.close();
  assert.equal(statSync(path).mode & 0o777, 0o600);
  assert.deepEqual(
    piecesOf(path).map(({ record }) => record.kind),
    ["opened", "signature", "decision", "closed", "signature"],
  );
  const found = await verifyAuditChain(path, { publicKey, head: chain.head });
  assert.deepEqual(found, {
    ok: true,
    problem: undefined,
    files: [path],
    records: 5,
    head: chain.head,
    headCompared: true,
    unproven: 0,
    closed: true,
    startsAfter: undefined,
    restarts: [],
  });
  assert.deepEqual(heads.at(-1), chain.head);
});

test("S35: records are signed within a second, without waiting for more", async (context) => {
  const path = join(temporaryDirectory(context), "audit");
  let signed: ((head: AuditHead) => void) | undefined;
  const chain = await openAuditChain(path, {
    signer,
    signEveryMs: 20,
    onHead: (head) => signed?.(head),
  });
  const next = new Promise<AuditHead>((resolve) => (signed = resolve));
  const { seq } = await chain.append("decision", {});
  assert.equal((await within(next, "the signature")).seq, seq);
  const found = await verifyAuditChain(path, { publicKey });
  assert.deepEqual([found.ok, found.unproven, found.closed], [true, 0, false]);
  await chain.close();
});

test("records that wait together are written together, in order", async (context) => {
  const path = join(temporaryDirectory(context), "audit");
  const chain = await openAuditChain(path, { signer });
  const places = await Promise.all(
    Array.from({ length: 2500 }, (_, index) => chain.append("decision", { index })),
  );
  assert.deepEqual(
    places.map(({ seq }) => seq),
    Array.from({ length: 2500 }, (_, index) => index + 2),
  );
  await chain.close();
  assert.ok((await verifyAuditChain(path, { publicKey })).ok);
});

test("a chain goes on after it was closed, and after it was not", async (context) => {
  const folder = temporaryDirectory(context);
  const path = join(folder, "audit");
  await writeChain(path, { signer, count: 2 });
  await writeChain(path, { signer, count: 1, start: 2 });
  const closed = await verifyAuditChain(path, { publicKey });
  assert.ok(closed.ok && closed.closed);
  assert.deepEqual(closed.restarts, [{ file: path, seq: 6, unproven: 0, droppedBytes: 0 }]);
  // Without the last three records the file ends as after a crash: one record is unsigned.
  const cut = piecesOf(path).at(-2)?.offset ?? 0;
  truncateSync(path, cut);
  assert.equal((await verifyAuditChain(path, { publicKey })).unproven, 1);
  await writeChain(path, { signer, count: 0 });
  const found = await verifyAuditChain(path, { publicKey });
  assert.ok(found.ok);
  assert.deepEqual(found.restarts.at(-1), { file: path, seq: 9, unproven: 1, droppedBytes: 0 });
});

test("S35: cut at every byte, the end is named, repaired at the next start, and found by --head", async (context) => {
  const folder = temporaryDirectory(context);
  const path = join(folder, "audit");
  const copy = join(folder, "copy");
  const heads = await writeChain(path, { signer, count: 2 });
  const head = lastOf(heads);
  const whole = readFileSync(path);
  const pieces = piecesOf(path);
  const boundaries = new Map(pieces.map(({ offset }, seq) => [offset, seq]));
  for (let size = 0; size < whole.length; size++) {
    writeFileSync(copy, whole.subarray(0, size), { mode: 0o600 });
    const { ok, problem } = await verifyAuditChain(copy, { publicKey, head });
    const seq = pieces.filter(({ offset, bytes }) => offset + bytes.length <= size).length;
    const kind = (boundaries.get(size) ?? 0) > 0 ? "truncated" : "incomplete-record";
    assert.deepEqual([ok, problem?.kind, problem?.seq], [false, kind, seq], `size ${size}`);
  }
  const some = [...boundaries.keys()].flatMap((offset) => [offset - 1, offset, offset + 5]);
  for (const size of some.filter((each) => each > 8)) {
    writeFileSync(copy, whole.subarray(0, size), { mode: 0o600 });
    const { closed, problem } = await verifyAuditChain(copy, { publicKey });
    const kind = boundaries.has(size) ? undefined : "incomplete-record";
    assert.deepEqual([closed, problem?.kind], [false, kind], `size ${size} without a head`);
  }
  // Starting after each cut is slower: every sixty-first does.
  for (let size = 0; size < whole.length; size += 61) {
    writeFileSync(copy, whole.subarray(0, size), { mode: 0o600 });
    await writeChain(copy, { signer, count: 1 });
    const found = await verifyAuditChain(copy, { publicKey });
    assert.deepEqual([found.problem, found.closed], [undefined, true]);
    const kept =
      [...boundaries.keys(), whole.length].filter((offset) => offset <= size).at(-1) ?? 0;
    const dropped = size - kept;
    const repaired = piecesOf(copy).filter(({ record }) => record.kind === "repaired");
    assert.deepEqual(
      repaired.map(({ record }) => record.fields["bytes"]),
      dropped > 0 ? [dropped] : [],
      `size ${size}`,
    );
    assert.equal((await verifyAuditChain(copy, { publicKey, head })).ok, false);
  }
});

test("S35: without the last records, cut exactly after a signature, only a head shows it", async (context) => {
  const folder = temporaryDirectory(context);
  const path = join(folder, "audit");
  await writeChain(path, { signer, count: 3 });
  const kept = readFileSync(path);
  const heads = await writeChain(path, { signer, count: 3, start: 3 });
  writeFileSync(path, kept);
  const alone = await verifyAuditChain(path, { publicKey });
  assert.ok(alone.ok && alone.closed && !alone.headCompared);
  const head = lastOf(heads);
  const { ok, problem } = await verifyAuditChain(path, { publicKey, head });
  assert.deepEqual([ok, problem?.kind, problem?.seq], [false, "truncated", 7]);
});

test("S35: a restored old copy that was written on is a fork, found by --head", async (context) => {
  const folder = temporaryDirectory(context);
  const path = join(folder, "audit");
  await writeChain(path, { signer, count: 3 });
  copyFileSync(path, `${path}.old`);
  const heads = await writeChain(path, { signer, count: 2, start: 3 });
  copyFileSync(`${path}.old`, path);
  await writeChain(path, { signer, count: 5, start: 50 });
  const head = lastOf(heads);
  const { problem } = await verifyAuditChain(path, { publicKey, head });
  assert.deepEqual([problem?.kind, problem?.seq], ["forked", head.seq]);
  const fresh = join(folder, "fresh");
  await writeChain(fresh, { signer, count: 1 });
  const other = await verifyAuditChain(fresh, { publicKey, head });
  assert.equal(other.problem?.kind, "head-unknown");
});

test("S35: a flipped bit anywhere is named with its record", async (context) => {
  const folder = temporaryDirectory(context);
  const path = join(folder, "audit");
  await writeChain(path, { signer, count: 1 });
  const whole = readFileSync(path);
  const pieces = piecesOf(path);
  for (let at = 0; at < whole.length; at++) {
    const changed = Buffer.from(whole);
    changed[at] = (changed[at] ?? 0) ^ (1 << (at % 8));
    writeFileSync(path, changed);
    const { problem } = await verifyAuditChain(path, { publicKey });
    const seq = Math.max(0, pieces.filter(({ offset }) => offset <= at).length - 1);
    assert.deepEqual([problem?.kind, problem?.seq], ["broken-record", seq], `byte ${at}`);
  }
  // Starting is slower: every sixteenth.
  for (let at = 0; at < whole.length; at += 16) {
    const changed = Buffer.from(whole);
    changed[at] = (changed[at] ?? 0) ^ 1;
    writeFileSync(path, changed);
    await assert.rejects(openAuditChain(path, { signer }), { code: "AUDIT_CHAIN_BROKEN" });
    assert.deepEqual(readFileSync(path), changed);
  }
});

test("S35: a removed, reordered or inserted record is named", async (context) => {
  const folder = temporaryDirectory(context);
  const path = join(folder, "audit");
  await writeChain(path, { signer, count: 4 });
  const whole = readFileSync(path);
  const pieces = piecesOf(path).map(({ bytes }) => bytes);
  const [a, b, c] = [pieces[3], pieces[4], pieces[5]] as [Uint8Array, Uint8Array, Uint8Array];
  const magic = whole.subarray(0, 8);
  const changes: [name: string, pieces: Uint8Array[], seq: number][] = [
    ["removed", pieces.toSpliced(3, 1), 3],
    ["reordered", pieces.toSpliced(3, 2, b, a), 3],
    ["inserted", pieces.toSpliced(4, 0, c), 4],
    ["repeated", pieces.toSpliced(4, 0, a), 4],
  ];
  for (const [name, changed, seq] of changes) {
    writeFileSync(path, Buffer.concat([magic, ...changed]));
    const { problem } = await verifyAuditChain(path, { publicKey });
    assert.deepEqual([problem?.kind, problem?.seq], ["broken-record", seq], name);
    await assert.rejects(openAuditChain(path, { signer }), { code: "AUDIT_CHAIN_BROKEN" }, name);
  }
});

test("S35: an edited record with all hashes made anew is caught by the next signature", async (context) => {
  const folder = temporaryDirectory(context);
  const path = join(folder, "audit");
  await writeChain(path, { signer, count: 3 });
  const records = piecesOf(path).map(({ record }) => record);
  const edited = records.map((record) =>
    record.seq === 3
      ? { ...record, fields: { index: 1, who: "spiffe://example.org/mallory" } }
      : record,
  );
  forge(path, edited);
  const { problem } = await verifyAuditChain(path, { publicKey });
  assert.deepEqual([problem?.kind, problem?.seq], ["signature-invalid", 6]);
  assert.match(problem?.message ?? "", /one of the records 2 to 6 is false/);
  await assert.rejects(openAuditChain(path, { signer }), { code: "AUDIT_CHAIN_BROKEN" });
  // Cut before the signature that would show it, the records are unproven, and a head shows it.
  forge(path, edited.slice(0, 5));
  const cut = await verifyAuditChain(path, { publicKey });
  assert.deepEqual([cut.ok, cut.unproven, cut.closed], [true, 3, false]);
});

test("S35: a forger who makes the signatures' hashes anew too still cannot sign", async (context) => {
  const path = join(temporaryDirectory(context), "audit");
  await writeChain(path, { signer, count: 3 });
  const records = piecesOf(path).map(({ record }) => record);
  const edited = records.map((record) =>
    record.seq === 3 ? { ...record, fields: { index: 1, who: "mallory" } } : record,
  );
  forge(path, edited);
  const before = piecesOf(path)[5]?.bytes.subarray(-32) ?? Buffer.of();
  const hash = Buffer.from(before).toString("hex");
  forge(
    path,
    edited.map((record) =>
      record.seq === 6 ? { ...record, fields: { ...record.fields, hash } } : record,
    ),
  );
  const { problem } = await verifyAuditChain(path, { publicKey });
  assert.deepEqual([problem?.kind, problem?.seq], ["signature-invalid", 6]);
  assert.match(problem?.message ?? "", /does not verify/);
});

test("S35: a second beginning in a file is named", async (context) => {
  const path = join(temporaryDirectory(context), "audit");
  await writeChain(path, { signer, count: 1 });
  const records = piecesOf(path).map(({ record }) => record);
  forge(path, [...records, ...records.slice(0, 1)]);
  const { problem } = await verifyAuditChain(path, { publicKey });
  assert.deepEqual([problem?.kind, problem?.seq], ["broken-record", 5]);
});

test("S35: a file that builds on another version of the file before it is named", async (context) => {
  const folder = temporaryDirectory(context);
  const path = join(folder, "audit");
  const fork = join(folder, "fork");
  await writeChain(path, { signer, count: 3 });
  copyFileSync(path, fork);
  await writeChain(path, { signer, count: 1, start: 3 });
  await writeChain(fork, { signer, count: 1, start: 77 });
  renameSync(path, `${path}.000001`);
  await writeChain(path, { signer, count: 1 });
  copyFileSync(fork, `${path}.000001`);
  const { problem } = await verifyAuditChain(path, { publicKey });
  assert.deepEqual([problem?.kind, problem?.file, problem?.seq], ["link-broken", path, 0]);
});

test("S35: a log signed by another key is named at its first signature", async (context) => {
  const path = join(temporaryDirectory(context), "audit");
  const theirs = testSigner();
  const heads = await writeChain(path, { signer: theirs, count: 1 });
  const { problem } = await verifyAuditChain(path, { publicKey });
  assert.deepEqual([problem?.kind, problem?.seq], ["signature-invalid", 1]);
  await assert.rejects(openAuditChain(path, { signer }), {
    code: "AUDIT_CHAIN_BROKEN",
    message: /signed with another key/,
  });
  const mine = join(temporaryDirectory(context), "audit");
  await writeChain(mine, { signer, count: 1 });
  const head = lastOf(heads);
  const compared = await verifyAuditChain(mine, { publicKey, head });
  assert.equal(compared.problem?.kind, "head-invalid");
});

test("a head whose fields were changed proves nothing", async (context) => {
  const path = join(temporaryDirectory(context), "audit");
  const heads = await writeChain(path, { signer, count: 1 });
  const head = lastOf(heads);
  const changes = [{ seq: 1 }, { hash: "00" }, { time: "x" }, { chain: "y" }, { signature: "z" }];
  for (const change of changes) {
    const { problem } = await verifyAuditChain(path, { publicKey, head: { ...head, ...change } });
    assert.equal(problem?.kind, "head-invalid", JSON.stringify(change));
  }
});

test("S35: a full file is followed by one that builds on it; each needs the other", async (context) => {
  const folder = temporaryDirectory(context);
  const path = join(folder, "audit");
  const heads = await writeChain(path, { signer, count: 24, maxFileBytes: 2000 });
  const files = readdirSync(folder).filter((name) => name !== "audit.lock");
  assert.ok(files.length >= 3, files.join(" "));
  const head = lastOf(heads);
  const found = await verifyAuditChain(path, { publicKey, head });
  assert.deepEqual([found.problem, found.closed], [undefined, true]);
  assert.deepEqual(
    found.files,
    [...files.slice(1), "audit"].map((name) => join(folder, name)),
  );
  const early = heads[3] ?? lastOf([]);
  assert.ok((await verifyAuditChain(path, { publicKey, head: early })).ok);
  // The second file gone: the third does not build on the first.
  copyFileSync(`${path}.000002`, join(folder, "kept"));
  copyFileSync(`${path}.000001`, `${path}.000002`);
  const swapped = await verifyAuditChain(path, { publicKey });
  assert.deepEqual([swapped.problem?.kind, swapped.problem?.seq], ["link-broken", 0]);
  copyFileSync(join(folder, "kept"), `${path}.000002`);
  const only = await verifyAuditChain(`${path}.000002`, { publicKey });
  assert.equal(only.startsAfter?.seq, piecesOf(`${path}.000001`).length - 1);
});

test("a stop between two files loses nothing: the next one still builds on the last full one", async (context) => {
  const folder = temporaryDirectory(context);
  const path = join(folder, "audit");
  await writeChain(path, { signer, count: 3 });
  renameSync(path, `${path}.000001`);
  await writeChain(path, { signer, count: 1 });
  assert.ok((await verifyAuditChain(path, { publicKey })).ok);
  renameSync(path, `${path}.000002`);
  appendFileSync(`${path}.000002`, "x");
  await assert.rejects(openAuditChain(path, { signer }), { code: "AUDIT_CHAIN_BROKEN" });
});

test("S35: one writer per file, in this process and in others", async (context) => {
  const path = join(temporaryDirectory(context), "audit");
  const chain = await openAuditChain(path, { signer });
  await assert.rejects(openAuditChain(path, { signer }), { code: "AUDIT_CHAIN_LOCKED" });
  const source = new URL("../src/index.ts", import.meta.url).href;
  const child = spawn(process.execPath, [
    "--conditions=@handfast/source",
    "--input-type=module",
    "--eval",
    `import { generateKeyPairSync } from "node:crypto";
     import { openAuditChain } from ${JSON.stringify(source)};
     const { publicKey } = generateKeyPairSync("ed25519");
     await openAuditChain(${JSON.stringify(path)}, { signer: { publicKey, sign: () => new Uint8Array() } })
       .catch((error) => console.log(error.code));`,
  ]);
  const [output] = (await within(once(child.stdout, "data"), "the other process")) as [Buffer];
  assert.equal(output.toString().trim(), "AUDIT_CHAIN_LOCKED");
  await chain.close();
  await writeChain(path, { signer, count: 1 });
});

test("S56: a link or a directory others can write is no place for a log", async (context) => {
  const folder = temporaryDirectory(context);
  writeFileSync(join(folder, "victim"), "");
  symlinkSync("victim", join(folder, "link"));
  await assert.rejects(openAuditChain(join(folder, "link"), { signer }), { code: "AUDIT_FAILED" });
  assert.equal(readFileSync(join(folder, "victim"), "utf8"), "");
  await assert.rejects(openAuditChain(join(folder, "no", "audit"), { signer }), {
    code: "AUDIT_FAILED",
  });
});

test(
  "S56: root keeps no log where others can write",
  { skip: process.geteuid?.() === 0 ? false : "only root is held to it" },
  async (context) => {
    const shared = join(temporaryDirectory(context), "shared");
    mkdirSync(shared);
    chmodSync(shared, 0o777);
    await assert.rejects(openAuditChain(join(shared, "audit"), { signer }), {
      code: "AUDIT_FAILED",
    });
    assert.deepEqual(readdirSync(shared), []);
  },
);

test("a write that fails refuses this record and all later ones, and says so once", async (context) => {
  const path = join(temporaryDirectory(context), "audit");
  const failures: PolicyError[] = [];
  let broken = false;
  const chain = await openAuditChain(path, {
    signer: {
      publicKey,
      sign(message) {
        if (broken) throw new Error("no key");
        return signer.sign(message);
      },
    },
    signEveryMs: 2,
    onFailure: (error) => failures.push(error),
  });
  broken = true;
  await chain.append("decision", { first: true });
  // The signature falls due; from then on nothing is taken.
  await within(
    (async () => {
      while (chain.failure === undefined) await chain.append("decision", {}).catch(() => undefined);
    })(),
    "the failure",
  );
  await assert.rejects(chain.append("decision", {}), { code: "AUDIT_FAILED", message: /no key/ });
  await chain.close();
  assert.equal(failures.length, 1);
  broken = false;
  await writeChain(path, { signer, count: 1 });
  assert.ok((await verifyAuditChain(path, { publicKey })).ok);
});

test("a closed chain takes nothing; wrong use is a TypeError of the caller alone", async (context) => {
  const path = join(temporaryDirectory(context), "audit");
  const chain = await openAuditChain(path, { signer });
  for (const kind of ["", "Decision", "a b", "signature", "closed", "opened", "x".repeat(33)]) {
    assert.throws(() => chain.append(kind, {}), TypeError);
  }
  assert.throws(() => chain.append("decision", { a: Number.NaN }), TypeError);
  assert.throws(() => chain.append("decision", { a: "x".repeat(1024 * 1024) }), TypeError);
  const last = chain.append("decision", { a: "x".repeat(1000 * 1024) });
  await chain.close();
  await chain.close();
  await last;
  await assert.rejects(chain.append("decision", {}), { code: "AUDIT_CLOSED" });
  assert.ok((await verifyAuditChain(path, { publicKey })).ok);
});

test("a log that is not there, or is no log, is said to be so", async (context) => {
  const folder = temporaryDirectory(context);
  await assert.rejects(verifyAuditChain(join(folder, "no"), { publicKey }), {
    code: "AUDIT_UNREADABLE",
  });
  await assert.rejects(verifyAuditChain(join(folder, "no", "no"), { publicKey }), {
    code: "AUDIT_UNREADABLE",
  });
  writeFileSync(join(folder, "text"), "a text of more than eight bytes");
  const { problem } = await verifyAuditChain(join(folder, "text"), { publicKey });
  assert.equal(problem?.kind, "broken-record");
  await assert.rejects(openAuditChain(join(folder, "text"), { signer }), {
    code: "AUDIT_CHAIN_BROKEN",
  });
  assert.ok(existsSync(join(folder, "text")));
});
