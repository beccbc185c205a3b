// What `handfast doctor` says of servers that are not ours: nginx, Go and openssl.
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { examineFiles, examineServer } from "@handfast/tls/doctor";
import type { AilmentCode, ServerReport } from "@handfast/tls/doctor";
import { makeCredentials } from "./credentials.ts";
import type { CredentialName, Credentials } from "./credentials.ts";
import { cached, needs } from "./peers.ts";
import { runProgram, startServer } from "./programs.ts";
import type { ServerProgram } from "./programs.ts";

let credentials: Credentials;
const nginx = ["/usr/sbin/nginx", "/usr/local/sbin/nginx"].find((path) => existsSync(path)) ?? "";
const openssl = ["/usr/bin/openssl", "/usr/local/bin/openssl"].find((path) => existsSync(path));

before(async () => {
  credentials = await makeCredentials();
});
after(() => credentials.remove());

/** Examines a server on this machine with one of the interop certificates, and their lists left out. */
async function examine(
  port: number,
  who: CredentialName | undefined,
  options: Partial<Parameters<typeof examineServer>[0]> = {},
): Promise<ServerReport> {
  const own = who === undefined ? {} : credentials.of(who);
  const files = await examineFiles({ ...own, caFile: credentials.caFile });
  return examineServer({
    host: "localhost",
    port,
    trust: [{ bundle: files.bundle ?? "" }],
    ...(files.identity === undefined
      ? {}
      : { identity: { ...files.identity, chain: files.chain } }),
    ...options,
  });
}

function codes({ findings }: ServerReport): readonly AilmentCode[] {
  return findings.filter(({ severity }) => severity === "error").map(({ code }) => code);
}

describe(
  "nginx",
  { skip: nginx === "" && "nginx is missing: test/interop/setup.sh brings it" },
  () => {
    async function startNginx(verify: string, extra = ""): Promise<ServerProgram & { at: number }> {
      const at = await freePort();
      const folder = join(credentials.directory, `doctor-${at}`);
      await mkdir(join(folder, "tmp"), { recursive: true });
      const { certFile, keyFile } = credentials.of("server");
      await writeFile(
        join(folder, "nginx.conf"),
        `events {}
      http {
        access_log off;
        client_body_temp_path tmp; proxy_temp_path tmp; fastcgi_temp_path tmp;
        uwsgi_temp_path tmp; scgi_temp_path tmp;
        server {
          listen 127.0.0.1:${at} ssl;
          ssl_certificate ${certFile};
          ssl_certificate_key ${keyFile};
          ssl_client_certificate ${credentials.caFile};
          ssl_verify_client ${verify};
          ssl_verify_depth 3;
          ${extra}
          location / { return 200 hello; }
        }
      }`,
      );
      const pid = `pid ${folder}/pid;`;
      const argv = [nginx, "-p", folder, "-c", join(folder, "nginx.conf"), "-e", "stderr"];
      const program = await startServer(
        [...argv, "-g", `${pid} daemon off; error_log stderr notice;`],
        { listening: /start worker process \d+/ },
      );
      return Object.assign(program, {
        at,
        // The workers outlive a master that is killed.
        async end() {
          await runProgram([...argv, "-g", pid, "-s", "stop"]);
          await program.exited;
        },
      });
    }

    test("well, and each way in which it refuses a client", async (context) => {
      const server = await startNginx("on");
      context.after(() => server.end());
      const well = await examine(server.at, "client");
      assert.deepEqual(codes(well), []);
      assert.equal(well.clientCertificate, "required");
      assert.match(well.withCertificate?.text ?? "", /^HTTP 200 hello/);
      const none = await examine(server.at, undefined);
      assert.deepEqual(codes(none), ["CLIENT_CERTIFICATE_MISSING"]);
      assert.match(
        none.withoutCertificate?.text ?? "",
        /^HTTP 400 .*No required SSL certificate was sent/,
      );
      const stranger = await examine(server.at, "stranger");
      assert.deepEqual(codes(stranger), ["CLIENT_CA_UNKNOWN", "CLIENT_REFUSED"]);
      assert.match(stranger.withCertificate?.text ?? "", /^HTTP 400 .*The SSL certificate error/);
      const expired = await examine(server.at, "expired");
      assert.equal(codes(expired)[0], "CLIENT_EXPIRED");
    });

    test("a client certificate that is optional, or never asked for", async (context) => {
      const optional = await startNginx("optional");
      context.after(() => optional.end());
      const report = await examine(optional.at, "client");
      assert.equal(report.clientCertificate, "optional");
      assert.ok(report.findings.some(({ code }) => code === "CERTIFICATE_OPTIONAL"));
      const off = await startNginx("off");
      context.after(() => off.end());
      assert.deepEqual(codes(await examine(off.at, "client")), ["CERTIFICATE_NOT_ASKED_FOR"]);
    });

    test("only TLS 1.2, and no HTTP/2", async (context) => {
      const server = await startNginx("on", "ssl_protocols TLSv1.2;");
      context.after(() => server.end());
      const report = await examine(server.at, "client", { protocol: "h2" });
      assert.deepEqual(codes(report), ["ALPN_NO_H2"]);
      assert.ok(report.findings.some(({ code }) => code === "TLS12_ONLY"));
    });
  },
);

describe("Go", { skip: needs(cached("go", "grpc-server"), "Go") ?? false }, () => {
  test("grpc-go: well, and each way in which it refuses a client", async (context) => {
    const { certFile, keyFile } = credentials.of("server");
    const server = await startServer([cached("go", "grpc-server")], {
      env: {
        HOST: "127.0.0.1",
        PORT: "0",
        CERT_FILE: certFile,
        KEY_FILE: keyFile,
        CA_FILE: credentials.caFile,
        CRL_DIR: credentials.crlDirectory,
      },
    });
    context.after(() => server.end());
    const well = await examine(server.port, "client", { protocol: "h2" });
    assert.deepEqual(codes(well), []);
    assert.match(well.withCertificate?.text ?? "", /^gRPC status 0/);
    assert.deepEqual(codes(await examine(server.port, undefined)), ["CLIENT_CERTIFICATE_MISSING"]);
    assert.equal(codes(await examine(server.port, "expired"))[0], "CLIENT_EXPIRED");
    assert.equal(codes(await examine(server.port, "stranger"))[0], "CLIENT_CA_UNKNOWN");
    const { crls } = await examineFiles({ crlDirectory: credentials.crlDirectory });
    const revoked = await examine(server.port, "revoked", { crls });
    assert.equal(codes(revoked)[0], "CLIENT_REVOKED");
  });
});

describe("openssl s_server", { skip: openssl === undefined && "openssl is missing" }, () => {
  async function start(...extra: readonly string[]): Promise<ServerProgram> {
    const { certFile, keyFile } = credentials.of("server");
    const files = ["-cert", certFile, "-cert_chain", certFile, "-key", keyFile];
    return startServer(
      [openssl ?? "", "s_server", "-accept", "127.0.0.1:0", ...files, "-www", ...extra],
      { listening: /^ACCEPT .*:(\d+)$/ },
    );
  }

  test("each alert that OpenSSL sends", async (context) => {
    const server = await start(
      "-Verify",
      "3",
      "-verify_return_error",
      "-CAfile",
      credentials.caFile,
    );
    context.after(() => server.end());
    assert.deepEqual(codes(await examine(server.port, undefined)), ["CLIENT_CERTIFICATE_MISSING"]);
    assert.deepEqual(codes(await examine(server.port, "stranger")), ["CLIENT_CA_UNKNOWN"]);
    assert.deepEqual(codes(await examine(server.port, "expired")), ["CLIENT_EXPIRED"]);
    assert.deepEqual(codes(await examine(server.port, "client")), []);
  });

  test("a name that the server does not know", async (context) => {
    const { certFile, keyFile } = credentials.of("server");
    const named = [
      "-servername",
      "known",
      "-servername_fatal",
      "-cert2",
      certFile,
      "-key2",
      keyFile,
    ];
    const server = await start(...named);
    context.after(() => server.end());
    assert.deepEqual(codes(await examine(server.port, "client", { name: "unknown" })), [
      "SNI_REFUSED",
    ]);
  });

  test("a certificate that it asks for and does not need", async (context) => {
    const server = await start("-verify", "3");
    context.after(() => server.end());
    const report = await examine(server.port, "client");
    assert.equal(report.clientCertificate, "optional");
  });
});

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => probe.once("listening", resolve));
  const { port } = probe.address() as AddressInfo;
  await new Promise((resolve) => probe.close(resolve));
  return port;
}
