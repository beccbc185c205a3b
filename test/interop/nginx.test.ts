// The two configurations of deploy/nginx, with a real nginx in front of a real server.
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { copyFile, mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { makeCredentials } from "./credentials.ts";
import type { CredentialName, Credentials } from "./credentials.ts";
import { callWithOurs, serveOurs } from "./ours.ts";
import type { OurServer } from "./ours.ts";
import { runProgram, startServer } from "./programs.ts";
import type { ServerProgram } from "./programs.ts";

const nginx = ["/usr/sbin/nginx", "/usr/local/sbin/nginx"].find((path) => existsSync(path)) ?? "";
const streamModule = "/usr/lib/nginx/modules/ngx_stream_module.so";
const skip = nginx === "" ? "nginx is missing: test/interop/setup.sh brings it" : false;
let credentials: Credentials;
let server: OurServer;

describe("nginx in front", { skip }, () => {
  before(async () => {
    credentials = await makeCredentials();
    server = await serveOurs(credentials, "server", { forwardedBy: { header } });
  });
  after(async () => {
    await server.close();
    await credentials.remove();
  });

  test("pass-through: the client is judged by us, by its own certificate", async () => {
    await using proxy = await startNginx("pass-through");
    for (const [identity, theySee, weSee] of passedThrough) {
      server.forget();
      assert.equal(await call(proxy, identity), theySee);
      assert.equal(await server.saw(), weSee);
    }
  });

  test("S63: terminating: nginx verifies the client, we verify nginx, and the caller is the client", async () => {
    await using proxy = await startNginx("terminating");
    server.forget();
    assert.equal(await call(proxy, "client"), "ok: SERVING");
    assert.equal(await server.saw(), "accepted: spiffe://handfast.internal/proxy");
    assert.equal(await call(proxy, "other"), "ok: SERVING");
    assert.deepEqual(server.callers(), [
      "spiffe://handfast.internal/client via spiffe://handfast.internal/proxy",
      "spiffe://handfast.internal/other via spiffe://handfast.internal/proxy",
    ]);
    for (const identity of [undefined, "stranger", "expired", "revoked"] as const) {
      assert.equal(await call(proxy, identity), refusedByNginx, `${identity}`);
    }
  });

  test("terminating: a client that is revoked is refused after the next `handfast crl` and reload", async () => {
    await using proxy = await startNginx("terminating");
    assert.equal(await call(proxy, "other"), "ok: SERVING");
    await credentials.handfast(["revoke", "other"]);
    const lists = join(credentials.directory, "lists");
    await credentials.handfast(["crl", "--out", lists]);
    await credentials.handfast(["crl", "--root", "--out", lists]);
    await proxy.reload(lists);
    assert.equal(await call(proxy, "other"), refusedByNginx);
    assert.equal(await call(proxy, "client"), "ok: SERVING");
  });

  test("S63: terminating: a client is refused by us at the next call after its revocation, though nginx has not heard of it", async () => {
    await using proxy = await startNginx("terminating");
    server.forget();
    const told = await callWithOurs(credentials, {
      protocol: "grpc",
      port: proxy.port,
      identity: "late",
      headers: [{}],
      async before() {
        await credentials.handfast(["revoke", "late"]);
        await credentials.handfast(["crl", "--out", credentials.crlDirectory]);
        await server.reload();
      },
    });
    assert.equal(told, "peer refused: CERTIFICATE_REVOKED");
    assert.deepEqual(server.callers(), [
      "spiffe://handfast.internal/late via spiffe://handfast.internal/proxy",
    ]);
    assert.equal(await call(proxy, "client"), "ok: SERVING");
  });

  test("S63: a certificate header that a client sends past nginx is refused", async () => {
    const pem = await readFile(credentials.of("other").certFile, "utf8");
    const told = await callWithOurs(credentials, {
      protocol: "grpc",
      port: server.ports.grpc,
      identity: "client",
      headers: [{ [header]: encodeURIComponent(pem) }],
    });
    assert.equal(told, "peer refused: NOT_ADMITTED");
  });

  test("S63: terminating: the certificate header arrives once and is nginx's, whatever the client sent", async () => {
    await using proxy = await startNginx("terminating");
    server.forget();
    const told = await callWithOurs(credentials, {
      protocol: "grpc",
      port: proxy.port,
      identity: "client",
      headers: [{ [header]: "forged" }],
    });
    assert.equal(told, "ok: SERVING");
    const pem = await readFile(credentials.of("client").certFile, "utf8");
    const [leaf = ""] = pem.split(/(?<=-----END CERTIFICATE-----\n)/);
    const [healthCheck, forged] = server.headers(header);
    assert.deepEqual(forged?.map(decodeURIComponent), [leaf]);
    assert.deepEqual(healthCheck, forged);
  });

  test("terminating: calls go on while nginx reloads", async () => {
    await using proxy = await startNginx("terminating");
    const calling = { now: true };
    const outcomes = new Set<string>();
    const caller = (async () => {
      while (calling.now) outcomes.add(await call(proxy, "client"));
    })();
    for (let reload = 0; reload < 3; reload += 1) await proxy.reload(credentials.crlDirectory);
    calling.now = false;
    await caller;
    assert.deepEqual([...outcomes], ["ok: SERVING"]);
  });
});

interface Proxy extends AsyncDisposable {
  readonly port: number;
  /** Has nginx read its files again, with the lists of a folder; resolves when new workers run. */
  reload(lists: string): Promise<void>;
}

async function startNginx(configuration: "pass-through" | "terminating"): Promise<Proxy> {
  const port = await freePort();
  const prefix = join(credentials.directory, `nginx-${port}`);
  await mkdir(join(prefix, "tls"), { recursive: true });
  await mkdir(join(prefix, "tmp"));
  await copyFile(credentials.caFile, join(prefix, "tls", "ca.crt"));
  for (const name of ["server", "proxy"] as const) {
    const { certFile, keyFile } = credentials.of(name);
    await copyFile(certFile, join(prefix, "tls", `${name}.crt`));
    await copyFile(keyFile, join(prefix, "tls", `${name}.key`));
  }
  await writeLists(prefix, credentials.crlDirectory);
  const shipped = await readFile(`${configurations}${configuration}.conf`, "utf8");
  const placed = shipped
    .replace("listen 8443", `listen 127.0.0.1:${port}`)
    .replace("127.0.0.1:9443", `127.0.0.1:${server.ports.grpc}`);
  const file = join(prefix, "nginx.conf");
  await writeFile(file, placed);
  const modules = existsSync(streamModule) ? `load_module ${streamModule};` : "";
  const argv = [nginx, "-p", prefix, "-c", file, "-e", "stderr"];
  const program: ServerProgram = await startServer(
    [...argv, "-g", `${modules} daemon off; error_log stderr notice;`],
    { listening: /start worker process \d+/ },
  );
  return {
    port,
    async reload(lists) {
      await writeLists(prefix, lists);
      const since = program.lines.length;
      const { output } = await runProgram([...argv, "-g", modules, "-s", "reload"]);
      assert.doesNotMatch(output, /emerg/);
      await program.said(/start worker process \d+/, since);
      await program.said(/gracefully shutting down|exiting/, since);
    },
    async [Symbol.asyncDispose]() {
      await runProgram([...argv, "-g", modules, "-s", "stop"]);
      await program.exited;
    },
  };
}

/** All lists of a folder in one file, as `ssl_crl` wants them. */
async function writeLists(prefix: string, directory: string): Promise<void> {
  const names = await readdir(directory);
  const lists = names.map((name) => readFile(join(directory, name), "utf8"));
  await writeFile(join(prefix, "tls", "crl.pem"), (await Promise.all(lists)).join(""));
}

function call({ port }: Proxy, identity: CredentialName | undefined): Promise<string> {
  return callWithOurs(credentials, { protocol: "grpc", port, identity });
}

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => probe.once("listening", resolve));
  const { port } = probe.address() as AddressInfo;
  await new Promise((resolve) => probe.close(resolve));
  return port;
}

const header = "x-client-certificate";
const configurations = fileURLToPath(new URL("../../deploy/nginx/", import.meta.url));
const refusedByNginx =
  "error: UNAUTHENTICATED: the client certificate is missing, revoked or not trusted";
const passedThrough: readonly (readonly [CredentialName | undefined, string, string])[] = [
  ["client", "ok: SERVING", "accepted: spiffe://handfast.internal/client"],
  [undefined, "peer refused: NO_CLIENT_CERTIFICATE", "refused: NO_CLIENT_CERTIFICATE"],
  [
    "stranger",
    "peer refused: CERTIFICATE_AUTHORITY_INVALID",
    "refused: CERTIFICATE_AUTHORITY_INVALID",
  ],
  ["expired", "peer refused: CERTIFICATE_EXPIRED", "refused: CERTIFICATE_EXPIRED"],
  ["revoked", "peer refused: CERTIFICATE_REVOKED", "refused: CERTIFICATE_REVOKED"],
  ["other", "peer refused: NOT_ADMITTED", "refused: NOT_ADMITTED"],
];
