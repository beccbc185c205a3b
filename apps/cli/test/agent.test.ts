// The agent as a process, beside an authority as a process.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { parseCertificatesPem } from "@handfast/x509";
import { createShell, program } from "./support/handfast.ts";
import { serve } from "./support/serve.ts";

test("the agent enrols what is missing, renews at SIGHUP, tells the service, and its status is asked", async (t) => {
  const shell = createShell(t);
  await shell.call(["init"]);
  await serve(t, shell, []);
  for (const name of ["api", "billing"]) {
    const made = await shell.call(["token", name, "--out", join(shell.folder, `${name}.token`)]);
    assert.equal(made.code, 0, made.stderr);
  }
  const told = join(shell.folder, "told");
  const append = `require("fs").appendFileSync(${JSON.stringify(told)}, "x")`;
  const config = join(shell.folder, "agent.json");
  const certificates = [
    {
      name: "api",
      file: "api.pem",
      tokenFile: "api.token",
      reload: { command: [process.execPath, "-e", append] },
    },
    { name: "billing", directory: "billing", tokenFile: "billing.token", mode: "0640" },
  ];
  writeFileSync(config, JSON.stringify({ bundle: "roots.pem", certificates }));

  const words = ["agent", "--config", config, "--status-port", "0"];
  const child = spawn(process.execPath, ["--conditions=@handfast/source", program, ...words], {
    env: { PATH: process.env["PATH"] ?? "" },
    stdio: ["ignore", "ignore", "pipe"],
  });
  t.after(() => child.kill("SIGKILL"));
  const lines = createInterface(child.stderr)[Symbol.asyncIterator]();
  const seen: string[] = [];
  const until = async (pattern: RegExp): Promise<string> => {
    for (;;) {
      const { value, done } = await lines.next();
      if (done === true) throw new Error(`the agent ended: ${seen.join("\n")}`);
      seen.push(value);
      if (pattern.test(value)) return value;
    }
  };
  const status = (await until(/^status on/)).replace("status on ", "");
  await until(/^keeping 2 certificates/);
  assert.equal(seen.filter((line) => /^renewed (api|billing), valid until/.test(line)).length, 2);
  assert.equal(seen.filter((line) => line === "told the service of api").length, 1);

  const leaf = (path: string) =>
    parseCertificatesPem(
      readFileSync(join(shell.folder, path), "utf8").replace(/-+BEGIN PRIV[^]*PRIVATE KEY-+\n/, ""),
    )[0]?.fingerprint;
  const before = [leaf("api.pem"), leaf("billing/current/cert.pem")];
  assert.equal(statSync(join(shell.folder, "api.pem")).mode & 0o777, 0o600);
  assert.equal(statSync(join(shell.folder, "billing/current/key.pem")).mode & 0o777, 0o640);
  assert.match(readFileSync(join(shell.folder, "roots.pem"), "utf8"), /^-----BEGIN CERTIFICATE/);
  assert.equal((await fetch(`${status}/readyz`)).status, 200);

  child.kill("SIGHUP");
  await until(/^renewed/);
  await until(/^renewed/);
  await until(/^told the service of api/);
  const after = [leaf("api.pem"), leaf("billing/current/cert.pem")];
  assert.ok(after.every((fingerprint, index) => fingerprint !== before[index]));
  assert.equal(readFileSync(told, "utf8"), "xx");
  const metrics = await (await fetch(`${status}/metrics`)).text();
  assert.match(metrics, /^handfast_agent_renewals_total 4$/m);
  assert.match(metrics, /^handfast_agent_certificates_expired 0$/m);
  assert.doesNotMatch(metrics, /billing/, "no name is told");
  assert.equal((await fetch(`${status}/other`)).status, 404);

  const exited = once(child, "exit");
  child.kill("SIGTERM");
  assert.deepEqual(await exited, [0, null]);
  const left = readdirSync(shell.folder).filter((name) => /next|tmp/.test(name));
  assert.deepEqual(left, []);
});

test("a configuration with anything unknown or missing in it does not start, and the place is named", async (t) => {
  const shell = createShell(t);
  const config = join(shell.folder, "agent.json");
  const good = { name: "api", file: "api.pem" };
  for (const [document, words] of [
    ["{", /is not JSON/],
    [{ bundle: "b", certificates: [] }, /certificates is empty/],
    [{ certificates: [good] }, /bundle is missing/],
    [{ bundle: "b", certificates: [{ name: "api" }] }, /certificates\[0\] must have either/],
    [{ bundle: "b", certificates: [{ ...good, directory: "d" }] }, /must have either/],
    [{ bundle: "b", certificates: [good, good] }, /has a name twice/],
    [{ bundle: "b", certificates: [{ ...good, mode: "0666" }] }, /mode must be as/],
    [{ bundle: "b", certificates: [{ ...good, tokenfile: "x" }] }, /tokenfile is not known/],
    [{ bundle: "b", certificates: [good], x: 1 }, /x is not known/],
    [
      { bundle: "b", certificates: [{ ...good, reload: { command: ["nginx", "-s", "reload"] } }] },
      /reload.command must begin with the absolute path/,
    ],
    [
      { bundle: "b", certificates: [{ ...good, reload: { signal: "SIGKILL", pidFile: "p" } }] },
      /reload.signal must be one of/,
    ],
  ] as const) {
    writeFileSync(config, typeof document === "string" ? document : JSON.stringify(document));
    const { code, stderr } = await shell.call(["agent", "--config", config]);
    assert.equal(code, 1, JSON.stringify(document));
    assert.match(stderr, words);
    assert.match(stderr, /^hint: /m);
  }
});

test("--once gets what is due and ends; with no way to get it, it says why and ends with 1", async (t) => {
  const shell = createShell(t);
  const config = join(shell.folder, "agent.json");
  const certificates = [{ name: "api", file: "api.pem" }];
  writeFileSync(config, JSON.stringify({ bundle: "roots.pem", certificates }));
  const { code, stderr } = await shell.call(["agent", "--config", config, "--once"]);
  assert.equal(code, 1);
  assert.match(
    stderr,
    /^warning: api was not renewed \(attempt 1\): there is no certificate yet, and no token/,
  );
  assert.match(stderr, /^hint: make a one-time token/m);
});
