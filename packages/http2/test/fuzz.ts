import { randomInt } from "node:crypto";
import { parseArgs } from "node:util";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { Worker, isMainThread, parentPort, workerData } from "node:worker_threads";
import { fuzzProperties } from "./fuzz-properties.ts";

// npm run fuzz:http2 -- [--minutes 10] [--seed N] [--only TEXT]
// Tries all properties in turn, in batches whose inputs follow from the seed, until the time is over. A
// failure is printed with the seed of its batch, which finds it again at once. A batch that does not
// come to an end is a failure, and so is memory that grows.

interface Plan {
  readonly minutes: number;
  readonly seed: number;
  readonly only: string;
}

/** What the thread that tries tells the one that watches. */
type Report =
  | { readonly kind: "batch"; readonly name: string; readonly seed: number }
  | { readonly kind: "progress" | "failure"; readonly text: string };

function planFromArguments(): Plan {
  const { values } = parseArgs({
    options: {
      minutes: { type: "string", default: "10" },
      seed: { type: "string", default: `${randomInt(2 ** 31)}` },
      only: { type: "string", default: "" },
    },
  });
  const plan = { minutes: Number(values.minutes), seed: Number(values.seed), only: values.only };
  if (!(plan.minutes > 0) || !Number.isInteger(plan.seed)) {
    throw new TypeError("--minutes must be a number above 0, --seed a whole number");
  }
  return plan;
}

/** Runs the plan in a thread of its own, so that a batch that hangs can be named. */
function watch(plan: Plan): void {
  console.log(`seed ${plan.seed}, ${plan.minutes} minutes`);
  const worker = new Worker(new URL(import.meta.url), { workerData: plan });
  let latest = "nothing yet";
  const fail = (text: string): void => {
    console.error(`error: ${text}\nhint: npm run fuzz:http2 -- ${latest}`);
    process.exitCode = 1;
    void worker.terminate();
  };
  const patience = setTimeout(() => fail(`a batch took more than ${batchMs} ms`), batchMs);
  worker.on("message", (report: Report) => {
    patience.refresh();
    if (report.kind === "batch") {
      latest = `--seed ${report.seed} --only ${JSON.stringify(report.name)}`;
    } else if (report.kind === "progress") {
      console.log(report.text);
    } else {
      fail(report.text);
    }
  });
  worker.on("error", (error) => fail(String(error)));
  worker.on("exit", () => clearTimeout(patience));
}

function fuzz({ minutes, seed, only }: Plan): void {
  const properties = fuzzProperties.filter(({ name }) => name.includes(only));
  const tell = (report: Report): void => parentPort!.postMessage(report);
  const start = performance.now();
  const elapsedMs = (): number => performance.now() - start;
  const tries = new Map(properties.map(({ name }) => [name, 0]));
  let held = Infinity;
  let toldMs = 0;
  for (let batch = 0; elapsedMs() < minutes * 60_000; batch += 1) {
    for (const { name, runs, check } of properties) {
      const ownSeed = (seed + batch) % 2 ** 31;
      tell({ kind: "batch", name, seed: ownSeed });
      try {
        check({ seed: ownSeed, numRuns: runs });
      } catch (error) {
        const { message, cause } = error as Error;
        tell({ kind: "failure", text: `${name}\n${message}\n${String(cause)}` });
        return;
      }
      tries.set(name, tries.get(name)! + runs);
    }
    if (elapsedMs() - toldMs > 60_000) {
      toldMs = elapsedMs();
      // What the first minute leaves is what the code itself holds.
      held = Math.min(held, heldOctets());
      tell({ kind: "progress", text: progress(elapsedMs(), tries) });
      if (heldOctets() > held + mostGrowth) {
        tell({ kind: "failure", text: `memory grew by ${heldOctets() - held} octets` });
        return;
      }
    }
  }
  tell({ kind: "progress", text: `done: ${progress(elapsedMs(), tries)}` });
}

function progress(elapsedMs: number, tries: ReadonlyMap<string, number>): string {
  const counts = [...tries].map(([name, count]) => `${count.toLocaleString("en")} × ${name}`);
  const minutes = (elapsedMs / 60_000).toFixed(1);
  return `${minutes} minutes, ${(heldOctets() / 1e6).toFixed(1)} MB held\n  ${counts.join("\n  ")}`;
}

/** What is alive on the heap after full collections; buffers are freed by the second. */
function heldOctets(): number {
  collectGarbage();
  collectGarbage();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;
const batchMs = 120_000;
const mostGrowth = 33_554_432;

if (isMainThread) {
  watch(planFromArguments());
} else {
  fuzz(workerData as Plan);
}
