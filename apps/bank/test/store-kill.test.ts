import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { test } from "node:test";
import { createSqliteStore } from "../src/store/sqlite.ts";
import { alice, depositCommand, openCommand } from "./support/commands.ts";
import { temporaryFolder } from "./support/temporary-folder.ts";

const program = join(import.meta.dirname, "programs/dying-store.ts");

for (const { at, lost } of [
  { at: "before-begin", lost: true },
  { at: "before-commit", lost: true },
  { at: "after-commit", lost: false },
]) {
  test(`killed ${at}: all that was acknowledged is there, and a retry takes effect once`, async (t) => {
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
    const lines = killed.stdout.trimEnd().split("\n");
    const { sent, acknowledged } = idsOf(lines);
    assert.deepEqual([sent.length, acknowledged.length], [12, 9]);

    const after = await createSqliteStore({ path, mode: "mtls" });
    t.after(() => after.close());
    const checking = { owner: alice, accountId: "12345" };
    assert.equal((await after.account(checking))?.balance, lost ? 9n : 12n);
    const retried = await Promise.all(
      sent.map((requestId) => after.execute(depositCommand(1n, { requestId }))),
    );
    const replayed = sent.filter((_, index) => retried[index]?.replayed);
    assert.deepEqual(replayed, lost ? acknowledged : sent);
    assert.equal((await after.account(checking))?.balance, 12n);
    assert.deepEqual((await after.verify()).faults, []);
  });
}

function idsOf(lines: readonly string[]): { sent: string[]; acknowledged: string[] } {
  const records = lines.map((line) => JSON.parse(line) as Record<string, string | undefined>);
  return {
    sent: records.flatMap(({ sent }) => sent ?? []),
    acknowledged: records.flatMap(({ acknowledged }) => acknowledged ?? []),
  };
}
