import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A folder of the test's own, gone after it. */
export function temporaryFolder(t: { after(hook: () => void): void }): string {
  const folder = mkdtempSync(join(tmpdir(), "handfast-bank-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}
