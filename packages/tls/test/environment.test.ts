import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { promisify } from "node:util";

import {
  anyTrustedPeer,
  identityFromFiles,
  mutualTlsFromEnv,
  trustFromFile,
} from "../src/index.ts";
import type { Environment, TlsError, TlsEvent } from "../src/index.ts";
import { authority } from "./fixtures.ts";

const run = promisify(execFile);
let directory = "";
let files: Environment = {};

before(async () => {
  directory = await mkdtemp(join(tmpdir(), "handfast-env-"));
  const identity = authority.issue({ name: "localhost" });
  const put = async (name: string, text: string): Promise<string> => {
    await writeFile(join(directory, name), text, { mode: 0o600 });
    return join(directory, name);
  };
  files = {
    CA_FILE: await put("ca.crt", authority.bundlePem),
    CERT_FILE: await put("server.crt", identity.certificateChainPem),
    KEY_FILE: await put("server.key", identity.privateKeyPem),
  };
});
after(() => rm(directory, { recursive: true }));

test("the environment gives host, port and mutual TLS", async () => {
  const configured = await mutualTlsFromEnv(
    { ...files, HOST: "bank.internal", PORT: "9443" },
    { admit: anyTrustedPeer() },
  );
  assert.equal(configured.mode, "mutual-tls");
  assert.equal(configured.host, "bank.internal");
  assert.equal(configured.port, 9443);
  assert.equal(configured.mtls.identity?.chain[0]?.subject.text, "CN=localhost");
  await configured.mtls.close();
});

test("host and port have defaults", async () => {
  const configured = await mutualTlsFromEnv(files, { admit: anyTrustedPeer() });
  assert.deepEqual([configured.host, configured.port], ["localhost", 8443]);
  assert.equal(configured.mode, "mutual-tls");
  await configured.mtls.close();
});

test("certificate and trust come from elsewhere or from files, never from both", async () => {
  const { CA_FILE: bundle = "", CERT_FILE: certFile = "", KEY_FILE: keyFile = "" } = files;
  const sources = {
    identity: identityFromFiles({ certFile, keyFile }),
    trust: trustFromFile(bundle),
  };
  const options = { admit: anyTrustedPeer(), sources };
  const configured = await mutualTlsFromEnv({ PORT: "9443" }, options);
  assert.equal(configured.mode, "mutual-tls");
  assert.equal(configured.mtls.identity?.chain[0]?.subject.text, "CN=localhost");
  await configured.mtls.close();
  await assert.rejects(mutualTlsFromEnv({ CERT_FILE: certFile }, options), {
    code: "ENVIRONMENT_INVALID",
    message: "CERT_FILE set, though certificate and trust come from elsewhere",
  });
});

test("plaintext is asked for in words, and warned about", async () => {
  const events: TlsEvent[] = [];
  const configured = await mutualTlsFromEnv(
    { TLS_ENABLED: "false" },
    { admit: anyTrustedPeer(), onEvent: (event) => events.push(event) },
  );
  assert.equal(configured.mode, "plaintext");
  assert.equal(events[0]?.type === "environment-warning" && events[0].setting, "TLS_ENABLED=false");
});

const wrong: readonly [string, Environment, RegExp][] = [
  ["CA_FILE set but empty", { CA_FILE: "" }, /CA_FILE is set but empty/],
  ["CERT_FILE blank", { CERT_FILE: " " }, /CERT_FILE is set but empty/],
  ["CRL_DIR set but empty", { CRL_DIR: "" }, /CRL_DIR is set but empty/],
  ["TLS_ENABLED set but empty", { TLS_ENABLED: "" }, /TLS_ENABLED is set but empty/],
  ["TLS_ENABLED=0", { TLS_ENABLED: "0" }, /TLS_ENABLED is "0": expected "true" or "false"/],
  ["TLS_ENABLED=FALSE", { TLS_ENABLED: "FALSE" }, /expected "true" or "false"/],
  ["PORT=99999", { PORT: "99999" }, /PORT is "99999": expected 0 to 65535/],
  ["PORT=https", { PORT: "https" }, /expected 0 to 65535/],
  ["no key file", { KEY_FILE: undefined }, /KEY_FILE not set/],
];

for (const [what, change, message] of wrong) {
  test(`S22: ${what} stops the start`, async () => {
    await assert.rejects(
      mutualTlsFromEnv({ ...files, ...change }, { admit: anyTrustedPeer() }),
      (error: TlsError) => error.code === "ENVIRONMENT_INVALID" && message.test(error.message),
    );
  });
}

/** Starts a runtime in a process of its own, with flags and variables, and returns what it printed. */
async function start(
  flags: readonly string[],
  env: Record<string, string>,
): Promise<{ events: string[]; error: string }> {
  const script = `
    import { anyTrustedPeer, mutualTlsFromEnv } from ${JSON.stringify(import.meta.resolve("../src/index.ts"))};
    const events = [];
    let error = "";
    try {
      const { mtls } = await mutualTlsFromEnv(process.env, { admit: anyTrustedPeer(), onEvent: (event) => events.push(event.setting) });
      await mtls.close();
    } catch (thrown) { error = thrown.code + ": " + thrown.message; }
    console.log(JSON.stringify({ events, error }));`;
  const { stdout } = await run(
    process.execPath,
    ["--conditions=@handfast/source", ...flags, "--input-type=module", "--eval", script],
    { env: { PATH: process.env["PATH"] ?? "", ...(files as Record<string, string>), ...env } },
  );
  return JSON.parse(stdout.trim().split("\n").at(-1) ?? "") as { events: string[]; error: string };
}

const unsafe: readonly [string, readonly string[], Record<string, string>, "stops" | "warns"][] = [
  ["NODE_TLS_REJECT_UNAUTHORIZED=0", [], { ["NODE_TLS_REJECT_UNAUTHORIZED"]: "0" }, "stops"],
  ["--tls-keylog", ["--tls-keylog=keylog.txt"], {}, "stops"],
  ["--tls-keylog", [], { NODE_OPTIONS: "--tls-keylog=keylog.txt" }, "stops"],
  ["--tls-min-", ["--tls-min-v1.0"], {}, "warns"],
  ["--tls-min-", [], { NODE_OPTIONS: "--tls-min-v1.0" }, "warns"],
  ["--insecure-http-parser", ["--insecure-http-parser"], {}, "warns"],
  ["OPENSSL_CONF", [], { OPENSSL_CONF: "/dev/null" }, "warns"],
  ["NODE_EXTRA_CA_CERTS", [], { NODE_EXTRA_CA_CERTS: "/dev/null" }, "warns"],
];

for (const [setting, flags, env, outcome] of unsafe) {
  const how = flags.length > 0 ? "as a flag" : "in the environment";
  test(`S25: ${setting} ${how} ${outcome === "stops" ? "stops the start" : "is warned about"}`, async () => {
    const { events, error } = await start(flags, env);
    assert.ok(events.includes(setting));
    assert.equal(error.startsWith("ENVIRONMENT_UNSAFE: "), outcome === "stops");
  });
}
