import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { checkHook, runHook } from "../src/agent/reload-hook.ts";
import { createKeeper } from "../src/agent/keeper.ts";
import { bundleInMemory, placeInMemory } from "../src/index.ts";
import { agentFixture, testRenewer } from "./support/agents.ts";
import { refusal, temporaryFolder } from "./support/fixtures.ts";

test("S57: a hook command gets its words as they are, a clean environment and no shell", async (context) => {
  const out = join(temporaryFolder(context), "out.json");
  const program =
    "fs.writeFileSync(process.argv[1], JSON.stringify([process.argv.slice(2), process.env, process.cwd()]))";
  const words = ["$(touch /tmp/no)", "a b", "; false", "*"];
  process.env["HANDFAST_SECRET_OF_THE_TEST"] = "secret";
  context.after(() => delete process.env["HANDFAST_SECRET_OF_THE_TEST"]);
  await runHook({ kind: "command", command: [process.execPath, "-e", program, out, ...words] });
  const [given, environment, folder] = JSON.parse(readFileSync(out, "utf8")) as [
    string[],
    Record<string, string>,
    string,
  ];
  assert.deepEqual(given, words);
  assert.deepEqual(Object.keys(environment), ["PATH"]);
  assert.equal(folder, "/");
});

test("a command that fails, that is not there or that takes too long is a failure", async () => {
  const node = (...words: string[]) =>
    ({ kind: "command", command: [process.execPath, ...words] }) as const;
  await assert.rejects(runHook(node("-e", "process.exit(3)")), refusal("HOOK_FAILED", /status 3/));
  await assert.rejects(
    runHook({ ...node("-e", "setInterval(() => {}, 1000)"), timeoutSeconds: 0.05 }),
    refusal("HOOK_FAILED", /signal SIGKILL/),
  );
  await assert.rejects(
    runHook({ kind: "command", command: ["/nonexistent/program"] }),
    refusal("HOOK_FAILED", /ENOENT/),
  );
  assert.throws(() => checkHook({ kind: "command", command: ["nginx", "-s"] }), TypeError);
});

test("a signal goes to the process that a file names, and to no group and not to init", async (context) => {
  const file = join(temporaryFolder(context), "api.pid");
  writeFileSync(file, `${process.pid}\n`);
  const heard = hearing("SIGWINCH");
  await runHook({ kind: "signal", signal: "SIGWINCH", pid: file });
  await heard;
  for (const text of ["", "0", "1", "-1", "-5", "x", "12 13", "99999999999"]) {
    writeFileSync(file, text);
    await assert.rejects(
      runHook({ kind: "signal", signal: "SIGWINCH", pid: file }),
      refusal("HOOK_FAILED", /holds no process id/),
      text,
    );
  }
  assert.throws(() => checkHook({ kind: "signal", signal: "SIGHUP", pid: 1 }), TypeError);
});

test("a hook runs after each change, and again each minute until it succeeds", async (context) => {
  const { authority, clock, events, said } = await agentFixture(context);
  const file = join(temporaryFolder(context), "api.pid");
  const keeper = await createKeeper({
    certificates: [
      {
        name: "api",
        place: placeInMemory(),
        renewer: testRenewer(authority, { name: "api" }),
        hook: { kind: "signal", signal: "SIGWINCH", pid: file },
      },
    ],
    bundle: bundleInMemory(),
    clock: () => clock.now,
    random: () => 0,
    onEvent: (event) => events.push(event),
  });
  await keeper.pass();
  assert.deepEqual(said(), ["renewed", "hook-failed"]);
  await keeper.pass();
  assert.deepEqual(said(), []);
  assert.ok(keeper.nextDelayMs() <= 60_000);
  writeFileSync(file, String(process.pid));
  const heard = hearing("SIGWINCH");
  clock.now = new Date(clock.now.getTime() + 60_000);
  await keeper.pass();
  await heard;
  assert.deepEqual(said(), ["hook-done"]);
  clock.now = new Date(clock.now.getTime() + 60_000);
  await keeper.pass();
  assert.deepEqual(said(), []);
});

/** Resolves with the signal; a signal that is awaited keeps no process alive. */
function hearing(signal: NodeJS.Signals): Promise<void> {
  return new Promise((resolve, reject) => {
    const bound = setTimeout(() => reject(new Error(`${signal} was not heard`)), 10_000);
    process.once(signal, () => {
      clearTimeout(bound);
      resolve();
    });
  });
}
