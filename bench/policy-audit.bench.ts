// Records per second that reach the disk (fdatasync) in an audit chain, by how many wait at a time, and
// the time to verify them. The disk is the one the temporary directory is on.
//   node --conditions=@handfast/source bench/policy-audit.bench.ts [--seconds 2]
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { openAuditChain, openAuditKey, verifyAuditChain } from "@handfast/policy";

const { values } = parseArgs({ options: { seconds: { type: "string", default: "2" } } });
const forMs = Number(values.seconds) * 1000;
const folder = await mkdtemp(join(tmpdir(), "handfast-bench-"));
const signer = await openAuditKey(join(folder, "key.pem"));
const fields = {
  full_method_name: "/bank.v1.BankService/Deposit",
  principal: "spiffe://example.org/alice",
  policy_name: "bank",
  policy_version: "0".repeat(64),
  matched_rule: "owners use their accounts",
  authorized: true,
  phase: "start",
  identity: "spiffe://example.org/alice",
};

for (const concurrency of [1, 64, 1024]) {
  const path = join(folder, `audit-${concurrency}`);
  const chain = await openAuditChain(path, { signer });
  const start = performance.now();
  let written = 0;
  await Promise.all(
    Array.from({ length: concurrency }, async () => {
      while (performance.now() - start < forMs) {
        await chain.append("decision", fields);
        written++;
      }
    }),
  );
  const perSecond = (written / (performance.now() - start)) * 1000;
  await chain.close();
  const verifyStart = performance.now();
  const { ok, records } = await verifyAuditChain(path, { publicKey: signer.publicKey });
  const microsEach = ((performance.now() - verifyStart) / records) * 1000;
  console.log(
    `${String(concurrency).padStart(5)} at a time  ${perSecond.toFixed(0).padStart(7)} records/s on disk   ` +
      `verified ${records} (${String(ok)}), ${microsEach.toFixed(1)} µs each`,
  );
}
await rm(folder, { recursive: true });
