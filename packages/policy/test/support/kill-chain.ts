import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { setTimeout as after } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { auditPublicKey, parseAuditPublicKey, verifyAuditChain } from "../../src/index.ts";
import { auditChainFiles } from "../../src/audit-scan.ts";
import { piecesOf } from "./chains.ts";

/**
 * Starts a writer on one chain and kills it, again and again, at random points. After each kill
 * everything that was acknowledged so far has to be there, once, as it was, and verify.
 */
export async function killAgainAndAgain(
  folder: string,
  options: { kills: number; onKill?: (acknowledged: number, restarts: number) => void },
): Promise<void> {
  const path = join(folder, "audit");
  const key = join(folder, "key.pem");
  const acknowledged = new Set<number>();
  let first = 0;
  for (let kill = 0; kill < options.kills; kill++) {
    const writer = spawn(process.execPath, [
      "--conditions=@handfast/source",
      program,
      path,
      key,
      String(first),
    ]);
    let output = "";
    let complaint = "";
    writer.stdout.on("data", (chunk: Buffer) => (output += chunk.toString()));
    writer.stderr.on("data", (chunk: Buffer) => (complaint += chunk.toString()));
    // Once it is open, whether or not a record is being written.
    await Promise.race([once(writer.stdout, "data"), once(writer, "exit")]);
    await after(Math.random() * 30);
    const gone = once(writer, "close");
    writer.kill("SIGKILL");
    await gone;
    assert.equal(complaint, "", complaint);
    for (const line of output.split("\n").slice(0, -1)) {
      if (line !== "open") acknowledged.add(Number(line));
    }
    const found = await verifyUnlessIncomplete(path, key);
    const written = await indexesIn(path);
    assert.equal(new Set(written).size, written.length, "a record is there twice");
    const there = new Set(written);
    const lost = [...acknowledged].filter((index) => !there.has(index));
    assert.deepEqual(lost, []);
    first = Math.max(-1, ...written, ...acknowledged) + 1;
    options.onKill?.(acknowledged.size, found);
  }
}

/** A killed writer may leave half a record, and nothing else that is wrong. */
async function verifyUnlessIncomplete(path: string, key: string): Promise<number> {
  const publicKey = parseAuditPublicKey(await auditPublicKey(key));
  const { problem, restarts } = await verifyAuditChain(path, { publicKey });
  assert.ok([undefined, "incomplete-record"].includes(problem?.kind), problem?.message ?? "");
  return restarts.length;
}

async function indexesIn(path: string): Promise<number[]> {
  const indexes: number[] = [];
  for (const file of await auditChainFiles(path)) {
    for (const { record } of piecesOf(file, { lenient: true })) {
      const { index, padding } = record.fields;
      if (record.kind !== "decision") continue;
      assert.equal(padding, "x".repeat(Number(index) % 500));
      indexes.push(Number(index));
    }
  }
  return indexes;
}

const program = fileURLToPath(new URL("append-forever.ts", import.meta.url));
