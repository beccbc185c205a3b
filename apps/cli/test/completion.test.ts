import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";
import { createShell } from "./support/handfast.ts";

/** What bash offers for the last of the words. */
function offeredByBash(script: string, words: readonly string[]): readonly string[] {
  const list = words.map((word) => `'${word}'`).join(" ");
  const program = `${script}\nCOMP_WORDS=(${list}); COMP_CWORD=${words.length - 1}; _handfast; echo "\${COMPREPLY[*]}"`;
  return execFileSync("bash", ["-c", program], { encoding: "utf8" }).trim().split(" ");
}

test("bash is told commands, their options, and the choices of an option", async (context) => {
  const { call } = createShell(context);
  const { code, stdout, stderr } = await call(["completion", "bash"]);
  assert.deepEqual([code, stderr], [0, ""]);
  for (const [words, expected] of [
    [["handfast", "do"], ["doctor"]],
    [["handfast", "policy", "d"], ["decide"]],
    [
      ["handfast", "issue", "api", "--org"],
      ["--organization", "--organizational-unit"],
    ],
    [
      ["handfast", "issue", "--key-algorithm", "ml"],
      ["ml-dsa-44", "ml-dsa-65", "ml-dsa-87"],
    ],
    [
      ["handfast", "verify", "--p"],
      ["--purpose", "--passphrase-file"],
    ],
  ] as const) {
    assert.deepEqual(offeredByBash(stdout, words).toSorted(), [...expected].toSorted());
  }
});

test("zsh and fish are told every command too", async (context) => {
  const { call } = createShell(context);
  const help = await call(["--help"]);
  const commands = [...help.stdout.matchAll(/^ {2}([a-z]+) (?:\[|<|  )/gm)].map(
    ([, name = ""]) => name,
  );
  assert.ok(commands.length > 12);
  commands.splice(commands.indexOf("help"), 1);
  for (const shell of ["zsh", "fish"]) {
    const { stdout } = await call(["completion", shell]);
    for (const command of commands) assert.match(stdout, new RegExp(`\\b${command}\\b`), shell);
  }
  const { code, stderr } = await call(["completion", "tcsh"]);
  assert.equal(code, 2);
  assert.match(stderr, /Allowed choices are bash, zsh, fish/);
});
