import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { copyFileSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { createShell, program, runProgram } from "./support/handfast.ts";

const oldNode = "/usr/bin/node";
const hasOldNode = existsSync(oldNode) && (await majorOf(oldNode)) < 24;

test("the command starts from its sources by itself and passes on what the child ends with", async (context) => {
  const { folder, home } = createShell(context);
  const options = { cwd: folder, env: { PATH: "", HANDFAST_HOME: home } };
  const init = await runProgram([process.execPath, program, "init"], options);
  assert.equal(init.code, 0, init.stderr);
  const wrong = await runProgram([process.execPath, program, "issue"], options);
  assert.equal(wrong.code, 2);
});

test("an older Node hands over to the repository's own", { skip: !hasOldNode }, async (context) => {
  const { folder, home } = createShell(context);
  const options = { cwd: folder, env: { PATH: "", HANDFAST_HOME: home } };
  const { code, stdout, stderr } = await runProgram([oldNode, program, "--version"], options);
  assert.deepEqual({ code, stderr }, { code: 0, stderr: "" });
  assert.match(stdout, /^\d+\.\d+\.\d+\n$/);
});

test(
  "an older Node without another says in one line what is needed",
  { skip: !hasOldNode },
  async (context) => {
    const { folder } = createShell(context);
    mkdirSync(join(folder, "node_modules/handfast/bin"), { recursive: true });
    const installed = join(folder, "node_modules/handfast/bin/handfast.mjs");
    copyFileSync(program, installed);
    const { code, stdout, stderr } = await runProgram([oldNode, installed, "init"], {
      cwd: folder,
      env: { PATH: "" },
    });
    assert.deepEqual({ code, stdout }, { code: 1, stdout: "" });
    assert.match(
      stderr,
      /^error: handfast needs Node 24 or newer; this is v\d+\.\d+\.\d+ \(.+\)\n$/,
    );
  },
);

test("help goes to stdout and is no failure; no command at all is one", async (context) => {
  const { run } = createShell(context);
  const help = await run(["--help"]);
  assert.deepEqual({ code: help.code, stderr: help.stderr }, { code: 0, stderr: "" });
  assert.match(help.stdout, /^Usage: handfast COMMAND/);
  const nothing = await run([]);
  assert.deepEqual({ code: nothing.code, stdout: nothing.stdout }, { code: 2, stdout: "" });
});

async function majorOf(node: string): Promise<number> {
  const { stdout } = await runProgram([node, "--version"], { cwd: "/", env: {} });
  return Number(/^v(\d+)/.exec(stdout)?.[1]);
}
