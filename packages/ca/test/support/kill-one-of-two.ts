import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import type { TestContext } from "node:test";
import { fileURLToPath } from "node:url";
import { establishAuthority, keysFromDirectory, openPostgresStore } from "../../src/index.ts";
import type { CertificateRecord } from "../../src/index.ts";
import { temporaryFolder } from "./fixtures.ts";

/**
 * Two instances of one authority work on one database as fast as they can; one is killed (SIGKILL)
 * after `acts` of its acts, the other goes on for as many more. What both were told must be there.
 */
export async function killOneOfTwo(
  context: TestContext,
  { url, acts }: { readonly url: string; readonly acts: number },
): Promise<void> {
  const folder = temporaryFolder(context);
  const store = await openPostgresStore({ url, missing: "create" });
  context.after(() => store.close());
  await establishAuthority({
    store,
    keys: keysFromDirectory(folder),
    trustDomain: "handfast.internal",
    requester: "local:test",
  });

  const [killed, survivor] = [start(context, { url, folder }), start(context, { url, folder })];
  await Promise.all([killed.after(acts), survivor.after(1)]);
  await kill(killed.process);
  const before = survivor.acts.length;
  await survivor.after(before + acts);
  await kill(survivor.process);

  const told = [...killed.acts, ...survivor.acts];
  const recorded = new Map<string, CertificateRecord>();
  for (let last: CertificateRecord | undefined; ;) {
    const page = await store.certificates({
      limit: 10_000,
      ...(last && { before: last.fingerprint }),
    });
    for (const record of page) recorded.set(record.fingerprint, record);
    last = page.at(-1);
    if (last === undefined) break;
  }
  const issued = told.flatMap(({ issued: fingerprint }) => fingerprint ?? []);
  assert.deepEqual(
    issued.filter((fingerprint) => !recorded.has(fingerprint)),
    [],
  );
  const serialNumbers = [...recorded.values()].map(({ serialNumber }) => serialNumber);
  assert.equal(new Set(serialNumbers).size, recorded.size, "no serial number twice");
  const revoked = told.flatMap(({ revoked: fingerprint }) => fingerprint ?? []);
  assert.ok(revoked.length > 0);
  assert.deepEqual(
    revoked.filter((fingerprint) => recorded.get(fingerprint)?.revocation === undefined),
    [],
  );
  const numbers = told.flatMap(({ number }) => number ?? []);
  assert.ok(numbers.length > 1);
  assert.equal(new Set(numbers).size, numbers.length, "no list number twice");
  const latest = await store.latestCrl("issuing-1");
  assert.ok(latest !== undefined && latest.number >= Math.max(...numbers));
  context.diagnostic(
    `${issued.length} issued, ${revoked.length} revoked, ${numbers.length} lists signed`,
  );
}

interface Act {
  readonly issued?: string;
  readonly revoked?: string;
  readonly number?: number;
}

interface Instance {
  readonly process: ChildProcess;
  readonly acts: readonly Act[];
  /** Resolves when it has told of so many acts. */
  after(count: number): Promise<void>;
}

function start(context: TestContext, { url, folder }: { url: string; folder: string }): Instance {
  const script = fileURLToPath(new URL("instance.ts", import.meta.url));
  const child = spawn(process.execPath, [...process.execArgv, script, url, folder], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  context.after(() => child.kill("SIGKILL"));
  const acts: Act[] = [];
  const waiting = new Set<() => void>();
  const lines = createInterface({ input: child.stdout });
  lines.on("line", (line) => {
    acts.push(JSON.parse(line) as Act);
    for (const look of waiting) look();
  });
  return {
    process: child,
    acts,
    after: (count) =>
      new Promise((resolve, reject) => {
        const look = () => {
          if (acts.length < count) return;
          waiting.delete(look);
          resolve();
        };
        waiting.add(look);
        child.once("exit", () => reject(new Error("the instance ended by itself")));
        look();
      }),
  };
}

async function kill(child: ChildProcess): Promise<void> {
  child.kill("SIGKILL");
  if (child.signalCode === null) await once(child, "close");
}
