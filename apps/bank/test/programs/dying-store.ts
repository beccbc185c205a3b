// A process that opens a store, deposits until it is killed, and writes a line for each reply it got.
// Arguments: database file, fail point, batch.
import { writeSync } from "node:fs";
import { createSqliteStore } from "../../src/store/sqlite.ts";
import type { FailPoint } from "../../src/store/sqlite-worker.ts";
import { depositCommand } from "../support/commands.ts";

const [path = "", at, batch] = process.argv.slice(2);
const store = await createSqliteStore({
  path,
  mode: "mtls",
  failPoint: { at: at as FailPoint["at"], batch: Number(batch) },
});

async function deposit(): Promise<void> {
  const command = depositCommand(1n);
  // Written before it is sent: the test must know of each command that may have taken effect.
  write({ sent: command.requestId });
  await store.execute(command);
  write({ acknowledged: command.requestId });
}

function write(line: Record<string, string>): void {
  writeSync(1, `${JSON.stringify(line)}\n`);
}

for (;;) await Promise.all([deposit(), deposit(), deposit()]);
