import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { createServer as createHttp } from "node:http";
import { createServer as createHttps } from "node:https";
import type { AddressInfo, Server } from "node:net";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { createName } from "@handfast/x509";
import { createTestAuthority } from "@handfast/x509/testing";
import { createShell, program } from "./support/handfast.ts";
import type { Shell } from "./support/handfast.ts";

/** A shell with an authority and certificates for api (as localhost too) and alice. */
async function household(context: TestContext): Promise<Shell & { cert(name: string): string }> {
  const shell = createShell(context);
  assert.equal((await shell.call(["init"])).code, 0);
  assert.equal((await shell.call(["issue", "api", "alice", "--local"])).code, 0);
  return { ...shell, cert: (name) => join(shell.home, "certs", name, `${name}.pem`) };
}

async function serve(context: TestContext, server: Server): Promise<string> {
  context.after(() => server.close());
  server.listen(0, "localhost");
  await once(server, "listening");
  return `localhost:${(server.address() as AddressInfo).port}`;
}

function https(
  { home, cert }: { home: string; cert(name: string): string },
  { requestCert }: { requestCert: boolean },
): Server {
  const certFile = cert("api");
  const server = createHttps(
    {
      cert: readFileSync(certFile),
      key: readFileSync(certFile.replace(".pem", "-key.pem")),
      ca: [readFileSync(join(home, "ca", "handfast-ca.pem"))],
      requestCert,
      rejectUnauthorized: true,
    },
    (_request, response) => response.end("hello"),
  );
  return server;
}

test("doctor says what a server can do, and that nothing is wrong", async (context) => {
  const shell = await household(context);
  const target = await serve(context, https(shell, { requestCert: true }));
  const { code, stdout, stderr } = await shell.call(["doctor", target, "--as", "alice"]);
  assert.deepEqual({ code, stderr }, { code: 0, stderr: "" });
  assert.match(stdout, /^TLS +1\.3, 1\.2$/m);
  assert.match(stdout, /^key exchange +X25519MLKEM768, /m);
  assert.match(stdout, /^identity +spiffe:\/\/handfast\.internal\/api$/m);
  assert.match(
    stdout,
    /^client certificates +required, of CN=handfast\.internal root 1,O=Handfast$/m,
  );
  assert.match(stdout, /^without one +refused: NO_CLIENT_CERTIFICATE: .*certificate required$/m);
  assert.match(stdout, /^with yours +served: HTTP 200 hello$/m);
  assert.match(stdout, /^ok: nothing is wrong here$/m);
});

test("doctor names the cause, what others call it, and the command that mends it", async (context) => {
  const shell = await household(context);
  const open = await serve(context, https(shell, { requestCert: false }));
  const unasked = await shell.call(["doctor", open, "--as", "alice"]);
  assert.equal(unasked.code, 1);
  assert.match(
    unasked.stderr,
    /^error: the server lets anybody in: .* \(CERTIFICATE_NOT_ASKED_FOR\)\nseen as: "no client certificate", .*\nhint: require one: /,
  );
  const plain = await shell.call(["doctor", await serve(context, createHttp()), "--as", "alice"]);
  assert.match(
    plain.stderr,
    /^error: the server does not speak TLS on this port: it answered in plain HTTP \(PLAINTEXT_SERVER\)\nseen as: "wrong version number", /,
  );
});

test("doctor prints one JSON document, without a key", async (context) => {
  const shell = await household(context);
  const target = await serve(context, https(shell, { requestCert: true }));
  const report = (await shell.json(["doctor", target])) as {
    ok: boolean;
    findings: { code: string; mend: string }[];
    sent: { subject: string }[];
  };
  assert.equal(report.ok, false);
  assert.equal(report.findings[0]?.code, "CLIENT_CERTIFICATE_MISSING");
  assert.equal(report.sent[0]?.subject, "CN=api");
  const files = await shell.call(["doctor", "--files", "--as", "api", "--json"]);
  assert.equal((JSON.parse(files.stdout) as { keyBelongs: boolean }).keyBelongs, true);
  assert.doesNotMatch(files.stdout, /PRIVATE KEY/);
});

test("doctor --files looks at what the environment of a service names", async (context) => {
  const shell = await household(context);
  const env = {
    CERT_FILE: shell.cert("api"),
    KEY_FILE: shell.cert("alice").replace(".pem", "-key.pem"),
    CA_FILE: join(shell.home, "ca", "handfast-ca.pem"),
  };
  const mixed = await shell.call(["doctor", "--files", "--name", "api.example"], { env });
  assert.equal(mixed.code, 1);
  assert.match(mixed.stderr, /^error: the private key does not belong .* \(KEY_MISMATCH\)\n/);
  assert.match(mixed.stderr, /api\.example is dialled/);
  const own = await shell.call(["doctor", "--files", "--as", "api", "--name", "localhost"]);
  assert.deepEqual([own.code, own.stderr], [0, ""]);
  assert.match(own.stdout, /^revocation +\S+crl, 2 lists$/m);
});

test("doctor names a setting that switches verification off for other code", async (context) => {
  const shell = await household(context);
  const { code, stderr } = await shell.run(["doctor", "--files", "--as", "api"], {
    env: { NODE_TLS_REJECT_UNAUTHORIZED: "0" },
  });
  assert.equal(code, 1);
  assert.match(
    stderr,
    /^error: .*NODE_TLS_REJECT_UNAUTHORIZED=0 is set: .* \(ENVIRONMENT_UNSAFE\)$/m,
  );
});

test("doctor --listen says of each client what is wrong", async (context) => {
  const shell = await household(context);
  const words = ["doctor", "--listen", "localhost:0", "--as", "api", "--count", "2"];
  const child = spawn(process.execPath, ["--conditions=@handfast/source", program, ...words], {
    env: { PATH: process.env["PATH"] ?? "", HANDFAST_HOME: shell.home },
  });
  context.after(() => child.kill("SIGKILL"));
  const lines: string[] = [];
  let target = "";
  for await (const line of createInterface({ input: child.stdout })) {
    lines.push(line);
    const port = /^listening on .*:(\d+)$/.exec(line)?.[1];
    if (port === undefined) continue;
    target = `localhost:${port}`;
    void shell.call(["inspect", target]);
    void shell.call(["inspect", target]);
  }
  assert.match(lines.join("\n"), /^refused \S+: NO_CLIENT_CERTIFICATE: .*\nhint: give the client/m);
  assert.notEqual(target, "");
});

test("inspect HOST:PORT says what a server presents, and that nothing of it is verified", async (context) => {
  const shell = await household(context);
  const target = await serve(context, https(shell, { requestCert: true }));
  const { code, stdout, stderr } = await shell.call(["inspect", target]);
  assert.equal(code, 0);
  assert.match(stdout, /^1 of 2\nsubject +CN=api\n/);
  assert.match(stderr, /^note: as it was sent; nothing of it is verified/);
  const gone = await shell.call(["inspect", "localhost:1"]);
  assert.equal(gone.code, 1);
  assert.match(gone.stderr, /\(CONNECTION_REFUSED\)\n/);
});

test("S64: what a server sends cannot move the terminal's cursor", async (context) => {
  const hostile = createTestAuthority();
  const odd = createName([{ type: "CN", value: "x\u200b\u00ady" }]);
  const { certificateChainPem, privateKeyPem } = hostile.issue({ name: "localhost", subject: odd });
  const shell = await household(context);
  const server = createHttps(
    { cert: certificateChainPem, key: privateKeyPem, rejectUnauthorized: true },
    (_request, response) => response.end("\u001b]0;owned\u0007"),
  );
  const target = await serve(context, server);
  const bundle = join(shell.folder, "ca.pem");
  writeFileSync(bundle, hostile.bundlePem);
  const { stdout, stderr } = await shell.call(["doctor", target, "--ca", bundle]);
  assert.match(stdout, /presents +CN=x\\u\{200b\}\\u\{ad\}y/);
  assert.match(stdout + stderr, /\\u\{1b\}\]0;owned/);
  // oxlint-disable-next-line no-control-regex
  assert.doesNotMatch(stdout + stderr, /[\u0000-\u0009\u000b-\u001f\u0080-\u009f\u200b]/);
});

test("doctor is told plainly what it was not asked", async (context) => {
  const { call } = createShell(context);
  for (const words of [["doctor"], ["doctor", "a:1", "--files"], ["doctor", "nonsense"]]) {
    const { code, stderr } = await call(words);
    assert.equal(code, 2, words.join(" "));
    assert.match(stderr, /^error: .*\nhint: /);
  }
  const { code, stderr } = await call(["doctor", "--listen", "localhost:0"]);
  assert.equal(code, 2);
  assert.match(stderr, /a server needs a certificate, its key and a bundle/);
});
