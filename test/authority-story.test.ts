// The authority's story, with real processes: enrol, renew under load, rotate the root, revoke.
import assert from "node:assert/strict";
import { fork, spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { openAuthorityHome } from "@handfast/ca";
import { parseFingerprint } from "@handfast/x509";
import type { News, Order } from "./programs/member.ts";

/** A certificate's life, and how often it is renewed (a fiftieth of that); 60 s in a slow run. */
const lifeSeconds = Number(process.env["HANDFAST_STORY_SECONDS"] ?? 15);
const renewEveryMs = (lifeSeconds * 1_000) / 50;

test("two services enrol, renew under load through a root rotation, and a revoked one is cut at once", async (t) => {
  const shell = await createShell(t);
  await shell.run("init", "--json");
  const served = await shell.serve();

  const [bank, alice] = await Promise.all(["bank", "alice"].map((name) => shell.member(name)));
  assert.ok(bank && alice);
  alice.order({ do: "call", target: bank.target, peer: "spiffe://handfast.internal/bank" });
  bank.order({ do: "call", target: alice.target, peer: "spiffe://handfast.internal/alice" });
  await Promise.all([bank.renewals(4), alice.renewals(4)]);

  // The root is rotated by its operator, beside the service; nobody is told but through the bundle.
  const operator = await openAuthorityHome(shell.home);
  t.after(() => operator.close());
  const requester = "local:operator";
  await operator.prepareRotation({ what: "root", requester });
  for (const role of ["root", "issuing"] as const) await operator.publishCrls({ role });
  await Promise.all([bank.roots(2), alice.roots(2)]);
  await operator.activateRotation({ spreadSeconds: 0, requester });
  await Promise.all([bank.renewals(2, /issuing 2/), alice.renewals(2, /issuing 2/)]);
  await operator.retireRotation({ requester, endLiving: true });
  await Promise.all([bank.roots(1), alice.roots(1)]);
  await Promise.all([bank.renewals(2), alice.renewals(2)]);

  for (const member of [bank, alice]) {
    assert.deepEqual(member.failures, []);
    assert.ok(member.calls > 20, `${member.calls} calls`);
  }

  // The very first of alice's line is revoked: what it became goes with it.
  const revokedAt = performance.now();
  const cut = alice.failure();
  const refused = alice.refusal();
  await shell.run("revoke", alice.fingerprint, "--reason", "keyCompromise", "--json");
  const published = performance.now();
  const failure = await cut;
  assert.ok(performance.now() - published < 1_000, `cut after ${performance.now() - published} ms`);
  assert.match(failure, /CERTIFICATE_REVOKED/);
  assert.match(await refused, /revoked|REVOKED/);
  t.diagnostic(
    `${bank.calls + alice.calls} calls, ${bank.renewed + alice.renewed} renewals, ` +
      `cut ${Math.round(performance.now() - revokedAt)} ms after \`handfast revoke\` began`,
  );
  const records = await operator.find({ fingerprint: parseFingerprint(alice.fingerprint) });
  assert.equal(records[0]?.revocation?.reason, "keyCompromise");
  await served.stop();
});

interface Member {
  /** Where it serves. */
  readonly target: string;
  /** Of its first certificate. */
  readonly fingerprint: string;
  readonly calls: number;
  readonly failures: readonly string[];
  readonly renewed: number;
  order(order: Order): void;
  /** Waits for so many more renewals, by an issuer if one is given. */
  renewals(count: number, issuer?: RegExp): Promise<void>;
  /** Waits for a bundle with so many roots. */
  roots(count: number): Promise<void>;
  /** The next call that fails. */
  failure(): Promise<string>;
  /** The renewal that is refused. */
  refusal(): Promise<string>;
}

interface Shell {
  readonly home: string;
  run(...words: string[]): Promise<string>;
  serve(): Promise<{ stop(): Promise<void> }>;
  member(name: string): Promise<Member>;
}

async function createShell(t: TestContext): Promise<Shell> {
  const folder = mkdtempSync(join(tmpdir(), "handfast-story-"));
  const home = join(folder, "home");
  const children: ChildProcess[] = [];
  t.after(async () => {
    for (const child of children) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      const exited = once(child, "exit");
      child.kill("SIGKILL");
      await exited;
    }
    rmSync(folder, { recursive: true });
  });
  const handfast = (...words: string[]): ChildProcess => {
    const child = spawn(
      process.execPath,
      ["--conditions=@handfast/source", "apps/cli/bin/handfast.js", ...words],
      {
        env: { PATH: process.env["PATH"] ?? "", HANDFAST_HOME: home },
        stdio: ["ignore", "pipe", "inherit"],
      },
    );
    children.push(child);
    return child;
  };

  async function run(...words: string[]): Promise<string> {
    const child = handfast(...words);
    let said = "";
    child.stdout?.on("data", (chunk: Buffer) => (said += chunk.toString()));
    await once(child, "close");
    assert.equal(child.exitCode, 0, `handfast ${words.join(" ")}`);
    return said;
  }

  return {
    home,
    run,
    async serve() {
      const ports = ["--enrol-port", "0", "--port", "0"];
      const child = handfast("ca", "serve", "--json", "--allow-clear-key", ...ports);
      assert.ok(child.stdout);
      const lines = createInterface(child.stdout);
      for await (const line of lines) {
        if ((JSON.parse(line) as { event: string }).event === "serving") break;
      }
      child.stdout.resume();
      return {
        async stop() {
          const exited = once(child, "exit");
          child.kill("SIGTERM");
          assert.deepEqual(await exited, [0, null]);
        },
      };
    },
    async member(name) {
      const tokenFile = join(folder, `${name}.token`);
      const life = `${lifeSeconds}s`;
      await run("token", name, "--ttl", life, "--san", "127.0.0.1", "--out", tokenFile);
      const child = fork("test/programs/member.ts", [tokenFile, String(renewEveryMs)], {
        execArgv: ["--conditions=@handfast/source"],
      });
      children.push(child);
      return createMember(child);
    },
  };
}

async function createMember(child: ChildProcess): Promise<Member> {
  const told = new Set<(news: News) => void>();
  const failures: string[] = [];
  let [calls, renewed, roots] = [0, 0, 1];
  child.on("message", (news: News) => {
    if (news.is === "call") calls += 1;
    if (news.is === "call" && news.failure !== undefined) failures.push(news.failure);
    if (news.is === "renewed") renewed += 1;
    if (news.is === "bundle") roots = news.roots;
    for (const listen of told) listen(news);
  });

  /** Waits for news that `pick` makes something of. */
  function next<Value>(pick: (news: News) => Value | undefined): Promise<Value> {
    return new Promise((resolve, reject) => {
      child.once("exit", (code) => reject(new Error(`the member ended with ${code}`)));
      const listen = (news: News): void => {
        const value = pick(news);
        if (value === undefined) return;
        told.delete(listen);
        resolve(value);
      };
      told.add(listen);
    });
  }

  const serving = await next((news) => (news.is === "serving" ? news : undefined));
  return {
    target: serving.target,
    fingerprint: serving.fingerprint,
    get calls() {
      return calls;
    },
    failures,
    get renewed() {
      return renewed;
    },
    order: (order) => void child.send(order),
    async renewals(count, issuer = /./) {
      let left = count;
      const refusal = await next((news) => {
        if (news.is === "renewed" && issuer.test(news.issuer)) left -= 1;
        if (news.is === "renewal-refused") return news.message;
        return left === 0 ? "" : undefined;
      });
      assert.equal(refusal, "");
    },
    async roots(count) {
      if (roots !== count) {
        await next((news) => (news.is === "bundle" && news.roots === count ? true : undefined));
      }
    },
    failure: () => next((news) => (news.is === "call" ? news.failure : undefined)),
    refusal: () => next((news) => (news.is === "renewal-refused" ? news.message : undefined)),
  };
}
