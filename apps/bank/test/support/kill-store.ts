import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { createSqliteStore } from "../../src/store/sqlite.ts";
import type { FailPoint } from "../../src/store/sqlite-worker.ts";
import { alice, depositCommand, openCommand } from "./commands.ts";
import { temporaryFolder } from "./temporary-folder.ts";

/**
 * Has a process deposit until it dies at a fail point of its fourth batch, then opens the store again and
 * sends everything once more. `isLost`: the batch that was under way must not be there.
 */
export async function killAndRetry(
  t: TestContext,
  { at, isLost }: { at: FailPoint["at"]; isLost: boolean },
): Promise<void> {
  const path = join(temporaryFolder(t), "bank.db");
  const before = await createSqliteStore({ path, mode: "mtls" });
  await before.execute(openCommand());
  await before.close();

  const killed = spawnSync(
    process.execPath,
    ["--conditions=@handfast/source", program, path, at, "4"],
    { encoding: "utf8", timeout: 30_000 },
  );
  assert.equal(killed.signal, "SIGKILL", killed.stderr);
  const { sent, acknowledged } = idsOf(killed.stdout.trimEnd().split("\n"));
  assert.deepEqual([sent.length, acknowledged.length], [12, 9]);

  const after = await createSqliteStore({ path, mode: "mtls" });
  t.after(() => after.close());
  const checking = { owner: alice, accountId: "12345" };
  assert.equal((await after.account(checking))?.balance, isLost ? 9n : 12n);
  const retried = await Promise.all(
    sent.map((requestId) => after.execute(depositCommand(1n, { requestId }))),
  );
  const replayed = sent.filter((_, index) => retried[index]?.replayed);
  assert.deepEqual(replayed, isLost ? acknowledged : sent);
  assert.equal((await after.account(checking))?.balance, 12n);
  assert.deepEqual((await after.verify()).faults, []);
}

function idsOf(lines: readonly string[]): { sent: string[]; acknowledged: string[] } {
  const records = lines.map((line) => JSON.parse(line) as Record<string, string | undefined>);
  return {
    sent: records.flatMap(({ sent }) => sent ?? []),
    acknowledged: records.flatMap(({ acknowledged }) => acknowledged ?? []),
  };
}

const program = join(import.meta.dirname, "../programs/dying-store.ts");
