import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { delimiter, join } from "node:path";
import { homedir } from "node:os";
import { after, before, test } from "node:test";
import { promisify } from "node:util";
import { connectClient, listenEcho, makeCertificate, post } from "./fixture.ts";
import type { Certificate, EchoServer } from "./fixture.ts";

// The tools that npm does not bring. A test whose tool is absent says which one and is skipped, but in
// CI, where it fails. Debian has nghttp2-client, nghttp2-server and curl; h2spec is
// `go install github.com/summerwind/h2spec/cmd/h2spec@v2.2.1+incompatible`.

const run = promisify(execFile);
let certificate: Certificate;
let echo: EchoServer;

before(async () => {
  certificate = makeCertificate();
  echo = await listenEcho(certificate, { maxConcurrentStreams: 1_000 });
});

after(() => echo.close());

test("h2spec: every case passes", needs("h2spec"), async () => {
  const { stdout } = await run(
    toolPath("h2spec")!,
    ["-h", "127.0.0.1", "-p", `${echo.port}`, "-t", "-k", "-o", "5", "--strict"],
    { maxBuffer: 10_000_000, timeout: 240_000 },
  );
  const [, total, passed, skipped, failed] =
    /(\d+) tests, (\d+) passed, (\d+) skipped, (\d+) failed/.exec(stdout) ?? [];
  assert.ok(Number(total) >= 146, `${total} cases`);
  assert.deepEqual([passed, skipped, failed], [total, "0", "0"], stdout);
});

test("nghttp: one connection, several requests and uploads", needs("nghttp"), async () => {
  const url = `https://localhost:${echo.port}`;
  const { stdout } = await run(toolPath("nghttp")!, ["-m", "20", "--no-verify-peer", `${url}/`]);
  assert.equal(stdout.match(/hello from the machine/g)?.length, 20);
  const upload = await run(
    toolPath("nghttp")!,
    ["--no-verify-peer", "-d", certificate.certFile, "--trailer=x: y", "-p", "200", `${url}/up`],
    { maxBuffer: 10_000_000 },
  );
  assert.equal(upload.stdout, certificate.cert);
});

test("h2load: 20,000 requests over 10 connections, none lost", needs("h2load"), async () => {
  const { stdout } = await run(toolPath("h2load")!, [
    ..."-n 20000 -c 10 -m 50 -t 1".split(" "),
    `https://127.0.0.1:${echo.port}/`,
  ]);
  assert.match(stdout, /20000 total, 20000 started, 20000 done, 20000 succeeded, 0 failed/);
});

test("h2load: uploads through its smallest windows come back whole", needs("h2load"), async () => {
  const { stdout } = await run(toolPath("h2load")!, [
    ..."-n 500 -c 5 -m 10 -t 1 -w 10 -W 12 -d".split(" "),
    certificate.certFile,
    `https://127.0.0.1:${echo.port}/up`,
  ]);
  assert.match(stdout, /500 succeeded, 0 failed/);
});

test("curl: a download and an upload over HTTP/2", needs("curl"), async () => {
  const common = [
    "-sS",
    "--http2",
    "--cacert",
    certificate.certFile,
    "-w",
    "\n%{http_version} %{http_code}",
  ];
  const url = `https://localhost:${echo.port}`;
  const down = await run(toolPath("curl")!, [...common, `${url}/`]);
  assert.equal(down.stdout, "hello from the machine\n\n2 200");
  const up = await run(toolPath("curl")!, [
    ...common,
    "--data-binary",
    `@${certificate.keyFile}`,
    `${url}/up`,
  ]);
  assert.equal(up.stdout, `${certificate.key}\n2 200`);
});

test("nghttpd: our client against it, heads, bodies and trailers", needs("nghttpd"), async () => {
  const port = await freePort();
  const folder = join(certificate.certFile, "..");
  const server = spawn(
    toolPath("nghttpd")!,
    ["-d", folder, "--trailer=x-end: yes", `${port}`, certificate.keyFile, certificate.certFile],
    { stdio: "ignore" },
  );
  await untilListening(port);
  const client = await connectClient(port, certificate);
  const get = ["GET", "https", "/cert.pem", "localhost"].flatMap((value, index) => [
    [":method", ":scheme", ":path", ":authority"][index]!,
    value,
  ]);
  const answers = await Promise.all(Array.from({ length: 100 }, () => client.ask(get)));
  for (const { head, body, trailers } of answers) {
    assert.equal(head.status, 200);
    assert.equal(body.toString(), certificate.cert);
    assert.deepEqual(trailers, ["x-end", "yes"]);
  }
  const missing = await client.ask(post("/not-there"), Buffer.alloc(300_000));
  assert.equal(missing.head.status, 404);
  await client.close();
  server.kill();
  await once(server, "exit");
});

/** Where a tool is: on the path, or where Go installs. */
function toolPath(name: string): string | undefined {
  const folders = [
    ...(process.env["PATH"] ?? "").split(delimiter),
    "/usr/sbin",
    process.env["GOBIN"] ?? join(homedir(), "go", "bin"),
  ];
  return folders.map((folder) => join(folder, name)).find((path) => existsSync(path));
}

function needs(name: string): { skip: string | false } {
  const mayBeMissing = process.env["CI"] === undefined && toolPath(name) === undefined;
  return { skip: mayBeMissing ? `${name} is not installed` : false };
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

async function untilListening(port: number): Promise<void> {
  const { connect } = await import("node:net");
  for (let attempt = 0; attempt < 200; attempt += 1) {
    const socket = connect(port, "127.0.0.1");
    const { promise, resolve } = Promise.withResolvers<boolean>();
    socket.once("connect", () => resolve(true)).once("error", () => resolve(false));
    if (await promise) {
      socket.destroy();
      return;
    }
  }
  assert.fail("the tool does not listen");
}
