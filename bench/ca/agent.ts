// An agent at rest: 1,000 certificates in files, tracked in one process; what they add to its memory, and the
// CPU time that it takes while nothing is due. The same process before it tracks any is the measure.
//   npm run bench:ca:agent -- [--certificates 1000] [--seconds 65]
import { mkdtempSync, rmSync } from "node:fs";
import { cpus, loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { bundleInMemory, createAgent, placeInFile } from "@handfast/ca";
import type { AgentOptions, CredentialPlace } from "@handfast/ca";
import { createTestAuthority } from "@handfast/x509/testing";

const { values } = parseArgs({
  options: {
    certificates: { type: "string", default: "1000" },
    seconds: { type: "string", default: "65" },
  },
});
const seconds = Number(values.seconds);
const folder = mkdtempSync(join(tmpdir(), "handfast-bench-"));

try {
  const places = await prepare(Number(values.certificates));
  const before = await memory();
  const start = performance.now();
  const startCpu = process.cpuUsage();
  const agent = await createAgent(options(places));
  const readMs = performance.now() - start;
  const readCpuMs = sum(process.cpuUsage(startCpu));
  if (!agent.ready || agent.counts.renewed > 0) throw new Error("something was due");
  const after = await memory();
  const restCpu = process.cpuUsage();
  await new Promise((resolve) => setTimeout(resolve, seconds * 1_000));
  const restMs = sum(process.cpuUsage(restCpu));
  await agent.close();
  const added = (kind: "rss" | "heapUsed") => ((after[kind] - before[kind]) / 1_024).toFixed(0);
  console.log(
    `${cpus().length} cores, load ${loadavg()[0]?.toFixed(1)}, ${places.length} certificates`,
  );
  console.log(
    `read at the start              ${readMs.toFixed(0)} ms, ${readCpuMs.toFixed(0)} ms CPU`,
  );
  console.log(
    `memory of the process          ${(after.rss / 1_048_576).toFixed(0)} MiB, before ${(before.rss / 1_048_576).toFixed(0)} MiB`,
  );
  console.log(
    `added by the certificates      ${added("rss")} KiB resident, ${added("heapUsed")} KiB of heap`,
  );
  console.log(
    `CPU at rest                    ${restMs.toFixed(1)} ms in ${seconds} s (${(restMs / seconds / 10).toFixed(3)} % of a core)`,
  );
} finally {
  rmSync(folder, { recursive: true, force: true });
}

async function prepare(count: number): Promise<CredentialPlace[]> {
  const authority = createTestAuthority();
  const places: CredentialPlace[] = [];
  for (let index = 0; index < count; index++) {
    const place = placeInFile(join(folder, `${index}.pem`));
    const { certificateChainPem: chainPem, privateKey } = authority.issue({ name: `s${index}` });
    await place.put({ chainPem, privateKey });
    places.push(place);
  }
  return places;
}

function options(places: readonly CredentialPlace[]): AgentOptions {
  const renewer = {
    description: "nobody",
    renew: () => Promise.reject(new Error("nothing is due")),
  };
  return {
    certificates: places.map((place, index) => ({ name: `s${index}`, place, renewer })),
    bundle: bundleInMemory(),
  };
}

async function memory(): Promise<NodeJS.MemoryUsage> {
  for (let round = 0; round < 3; round++) {
    globalThis.gc?.();
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  return process.memoryUsage();
}

function sum({ user, system }: NodeJS.CpuUsage): number {
  return (user + system) / 1_000;
}
