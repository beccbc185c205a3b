import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Why tests that need the `openssl` command are skipped; false where it is present. */
export const withoutOpenssl: string | false =
  spawnSync("openssl", ["version"]).status === 0 ? false : "the openssl command is not installed";

/** Runs `openssl` in a folder holding these files; gives what it printed. */
export function openssl(
  args: readonly string[],
  files: Record<string, string | Uint8Array>,
): string {
  return inFolder(files, (folder) =>
    execFileSync("openssl", args, { cwd: folder, encoding: "utf8", stdio: "pipe" }),
  );
}

/** Runs `use` in a fresh folder holding these files, and removes it afterwards. */
export function inFolder<T>(
  files: Record<string, string | Uint8Array>,
  use: (folder: string) => T,
): T {
  const folder = mkdtempSync(join(tmpdir(), "handfast-x509-"));
  try {
    for (const [name, content] of Object.entries(files)) writeFileSync(join(folder, name), content);
    return use(folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
}
