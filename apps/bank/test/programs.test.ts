// The programs as processes: what they write and how they end.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { DatabaseSync } from "node:sqlite";
import { after, test } from "node:test";
import type { TestContext } from "node:test";
import { describeFailure } from "../src/program.ts";
import { startBank } from "../src/server/start-bank.ts";
import { readSettings } from "../src/settings.ts";
import type { Settings } from "../src/settings.ts";
import { createSqliteStore } from "../src/store/sqlite.ts";
import { backupSqlite, verifySqlite } from "../src/store/sqlite-maintenance.ts";
import { depositCommand, openCommand } from "./support/commands.ts";
import { authority, bankFiles, createKeptLog, policyFile } from "./support/served-bank.ts";
import { temporaryFolder } from "./support/temporary-folder.ts";

test("a bank serves a session, keeps a second one off, is verified and backed up, and stops on SIGTERM", async (t) => {
  const settings = bankFiles(t);
  const bank = await startProgram(t, { ...settings, POLICY_FILE: policyFile });
  const client = await run("client.ts", ["--account", "abc"], clientSettings(t, bank.port));
  assert.equal(client.stderr, "");
  assert.equal(client.exitCode, 0);
  assert.match(client.stdout, /^connected; the bank says SERVING\nopened account abc of spiffe:/);
  assert.match(client.stdout, /closing balance +750\.00\n/);

  const copy = join(temporaryFolder(t), "copy.db");
  const [second, again, verified, backup] = await Promise.all([
    run("main.ts", [], settings),
    run("client.ts", ["--account=abc"], clientSettings(t, bank.port)),
    run("main.ts", ["verify"], settings),
    run("main.ts", ["backup", copy], settings),
  ]);
  assert.equal(second.exitCode, 1);
  assert.match(
    second.stderr,
    /^error: STORE_IN_USE: database .*: another process writes to it\nhint: /,
  );
  assert.match(again.stdout, /account abc exists already\n/);
  assert.match(again.stdout, /closing balance +1500\.00\n/);
  assert.match(verified.stdout, /^2 accounts, \d operations, \d entries: every invariant holds\n$/);
  assert.deepEqual([backup.exitCode, backup.stderr], [0, ""]);
  assert.equal(statSync(copy).mode & 0o777, 0o600);
  const path = settings.DATABASE_URL.slice("sqlite:".length);
  assert.throws(() => backupSqlite(path, copy), { code: "STORE_UNREADABLE", message: /EEXIST/ });
  const restored = await createSqliteStore({ path: copy, mode: "mtls" });
  t.after(() => restored.close());
  const alice = { owner: "spiffe://handfast.internal/alice", accountId: "abc" };
  assert.ok(((await restored.account(alice))?.balance ?? 0n) >= 75_000n);

  bank.child.kill("SIGTERM");
  const [exitCode] = (await once(bank.child, "exit")) as [number | null];
  assert.equal(exitCode, 0);
});

test("S22: what is wrong with the settings stops the start with one line and a hint", async (t) => {
  const settings = bankFiles(t);
  const folder = temporaryFolder(t);
  const broken = join(folder, "policy.json");
  writeFileSync(broken, `{ "name": "x", "allow_rules": [] }`);
  const { CERT_FILE: _certificate, ...withoutCertificate } = settings;
  const cases: [Settings, RegExp][] = [
    [{ ...settings, CA_FILE: "" }, /^error: CONFIG_INVALID: CA_FILE is set but empty: /],
    [{ ...settings, POLICY_FILE: " " }, /^error: CONFIG_INVALID: POLICY_FILE is set but empty: /],
    [{ ...settings, TLS_ENABLED: "no" }, /^error: ENVIRONMENT_INVALID: TLS_ENABLED is "no"/],
    [{ ...settings, PORT: "65536" }, /^error: ENVIRONMENT_INVALID: PORT is "65536"/],
    [{ ...settings, CRL_DIR: folder }, /^error: REVOCATION_INVALID: /],
    [{ ...settings, POLICY_FILE: broken }, /^error: POLICY_INVALID: .*allow_rules/],
    [{ ...settings, POLICY_FILE: join(folder, "none") }, /^error: POLICY_UNREADABLE: /],
    [
      { ...settings, DATABASE_URL: "mysql://u:secret@h/d" },
      /^error: CONFIG_INVALID: DATABASE_URL has/,
    ],
    [{ ...settings, KEY_FILE: policyFile }, /^error: IDENTITY_INVALID: /],
    [withoutCertificate, /^error: ENVIRONMENT_INVALID: CERT_FILE not set/],
  ];
  for (const [env, expected] of cases) {
    const told = await failureOfStart(env);
    assert.match(told, expected);
    assert.match(told, /^error: [^\n]*\nhint: [^\n]*\n$/);
    assert.doesNotMatch(told, /secret|PRIVATE KEY/);
  }
  const program = await run("main.ts", [], { ...settings, CA_FILE: "" });
  assert.equal(program.exitCode, 1);
  assert.equal(program.stdout, "");
  assert.equal(program.stderr, await failureOfStart({ ...settings, CA_FILE: "" }));
});

test("flags and words that do not exist are wrong usage, and --help tells those that do", async (t) => {
  const settings = bankFiles(t);
  const [flag, word, amount, help] = await Promise.all([
    run("main.ts", ["--nothing"], settings),
    run("main.ts", ["nonsense"], settings),
    run("client.ts", ["--deposit", "1.234"], settings),
    run("main.ts", ["--help"], {}),
  ]);
  assert.match(flag.stderr, /^error: .*--nothing.*\nhint: --help lists the flags\n$/);
  assert.deepEqual([flag.exitCode, word.exitCode, amount.exitCode, help.exitCode], [2, 2, 2, 0]);
  assert.match(help.stdout, /--ca-file FILE/);
});

test("a client that cannot connect says why, and soon", async (t) => {
  const closed = await run("client.ts", [], { ...clientSettings(t, 1) });
  assert.equal(closed.exitCode, 1);
  assert.match(closed.stderr, /^error: UNAVAILABLE: .*\nhint: /);
});

/** What the server program would write if it were started so. */
async function failureOfStart(env: Settings): Promise<string> {
  try {
    const { settings } = readSettings(env, []);
    const bank = await startBank({ settings, log: createKeptLog() });
    await bank.stop();
    return "it started";
  } catch (error) {
    return describeFailure(error);
  }
}

test("verify names what is broken and fails; a backup of it leaves no file", async (t) => {
  const settings = bankFiles(t);
  const path = settings.DATABASE_URL.slice("sqlite:".length);
  const store = await createSqliteStore({ path, mode: "mtls" });
  await store.execute(openCommand());
  await store.execute(depositCommand(5n));
  await store.close();
  const database = new DatabaseSync(path);
  database.exec("UPDATE accounts SET balance = 6 WHERE kind = 'customer'");
  database.close();
  const verified = await run("main.ts", ["verify"], settings);
  assert.equal(verified.exitCode, 1);
  assert.match(verified.stderr, /^error: LEDGER_BROKEN: .* balance 6, but its entries end at 5/);
  const copy = join(temporaryFolder(t), "copy.db");
  assert.throws(() => backupSqlite(path, copy), { code: "LEDGER_BROKEN" });
  assert.equal(existsSync(copy), false);
  assert.throws(() => verifySqlite("/no/such.db"), { code: "STORE_UNREADABLE" });
});

/** What one process compiled the next need not. */
const compileCache = temporaryFolder({ after });

interface Finished {
  readonly exitCode: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function clientSettings(t: TestContext, port: number): Settings {
  const folder = temporaryFolder(t);
  const alice = authority.issue({ name: "alice" });
  const write = (name: string, text: string): string => {
    writeFileSync(join(folder, name), text, { mode: 0o600 });
    return join(folder, name);
  };
  return {
    HOST: "127.0.0.1",
    PORT: String(port),
    CA_FILE: write("ca.pem", authority.bundlePem),
    CERT_FILE: write("alice.pem", alice.certificateChainPem),
    KEY_FILE: write("alice-key.pem", alice.privateKeyPem),
  };
}

function spawnProgram(file: string, args: readonly string[], env: Settings) {
  const path = join(import.meta.dirname, "../src", file);
  const options = ["--conditions=@handfast/source", "--disable-warning=ExperimentalWarning"];
  return spawn(process.execPath, [...options, path, ...args], {
    env: { PATH: process.env["PATH"] ?? "", NODE_COMPILE_CACHE: compileCache, ...env },
    stdio: ["ignore", "pipe", "pipe"],
    timeout: 90_000,
  });
}

async function run(file: string, args: readonly string[], env: Settings): Promise<Finished> {
  const child = spawnProgram(file, args, env);
  const output = { stdout: "", stderr: "" };
  child.stdout.setEncoding("utf8").on("data", (text: string) => (output.stdout += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => (output.stderr += text));
  await once(child, "close");
  return { ...output, exitCode: child.exitCode };
}

async function startProgram(t: TestContext, env: Settings) {
  const child = spawnProgram("main.ts", [], env);
  t.after(() => child.kill("SIGKILL"));
  for await (const line of createInterface({ input: child.stdout })) {
    const record = JSON.parse(line) as { msg: string; port?: number };
    if (record.msg === "listening") return { child, port: record.port ?? 0 };
  }
  throw new Error("the bank did not start");
}
