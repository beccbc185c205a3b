// nginx with the lists that an online authority publishes, fetched as an operator's cron job would.
import assert from "node:assert/strict";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { get } from "node:https";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { TestContext } from "node:test";
import {
  createAuthorityService,
  initAuthorityHome,
  openAuthorityHome,
  parseServiceName,
  serviceNames,
} from "@handfast/ca";
import type { Authority, AuthorityService } from "@handfast/ca";
import { encodePem, encodePrivateKey, generateKeyPair } from "@handfast/x509";
import type { Certificate } from "@handfast/x509";
import { runProgram, startServer } from "./programs.ts";

const nginx = ["/usr/sbin/nginx", "/usr/local/sbin/nginx"].find((path) => existsSync(path)) ?? "";
const skip = nginx === "" ? "nginx is missing: test/interop/setup.sh brings it" : false;

test(
  "nginx refuses a client once it has the list that the authority published",
  { skip },
  async (t) => {
    const { authority, service, folder, rootsPem, stopFirst } = await online(t);
    const [server, alice, bob] = await Promise.all(
      ["localhost", "alice", "bob"].map((name) => issue(authority, name)),
    );
    assert.ok(server && alice && bob);
    const files = { "ca.pem": rootsPem, "server.pem": server.pem, "server.key": server.key };
    for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text);
    await fetchLists(service, folder);
    const port = await freePort();
    await writeFile(join(folder, "nginx.conf"), configuration(port));
    await mkdir(join(folder, "tmp"));
    const argv = [nginx, "-p", folder, "-c", join(folder, "nginx.conf"), "-e", "stderr"];
    const proxy = await startServer([...argv, "-g", "daemon off; error_log stderr notice;"], {
      listening: /start worker process \d+/,
    });
    stopFirst(async () => {
      await runProgram([...argv, "-s", "stop"]);
      await proxy.exited;
    });
    const status = (who: Issued) => statusOf(port, { who, rootsPem });
    assert.deepEqual([await status(alice), await status(bob)], [200, 200]);

    const { fingerprint } = alice.certificate;
    await authority.revoke({ certificate: fingerprint, reason: "keyCompromise", requester });
    await service.publishCrls();
    await fetchLists(service, folder);
    const since = proxy.lines.length;
    await runProgram([...argv, "-s", "reload"]);
    await proxy.said(/start worker process \d+/, since);
    await proxy.said(/gracefully shutting down|exiting/, since);
    assert.deepEqual([await status(alice), await status(bob)], [400, 200]);
  },
);

interface Issued {
  readonly certificate: Certificate;
  readonly pem: string;
  readonly key: string;
}

async function online(t: TestContext): Promise<{
  authority: Authority;
  service: AuthorityService;
  folder: string;
  rootsPem: string;
  /** Does this after the test, before what was asked for earlier. */
  stopFirst(step: () => Promise<unknown>): void;
}> {
  const folder = mkdtempSync(join(tmpdir(), "handfast-nginx-"));
  const steps: (() => Promise<unknown>)[] = [];
  t.after(async () => {
    for (const step of steps.toReversed()) await step();
    rmSync(folder, { recursive: true });
  });
  const home = join(folder, "home");
  await initAuthorityHome(home, { trustDomain: "handfast.internal", requester });
  const authority = await openAuthorityHome(home);
  const loopback = { host: "127.0.0.1", port: 0 };
  const service = await createAuthorityService({
    authority,
    names: ["localhost"],
    enrolment: loopback,
    authorityListener: loopback,
    publication: loopback,
  });
  steps.push(
    () => authority.close(),
    () => service.shutdown({ graceMs: 0 }),
  );
  const url = `http://127.0.0.1:${service.publicationPort}/roots.pem`;
  const rootsPem = await (await fetch(url)).text();
  return { authority, service, folder, rootsPem, stopFirst: (step) => void steps.push(step) };
}

async function issue(authority: Authority, name: string): Promise<Issued> {
  const { publicKey, privateKey } = generateKeyPair();
  const { certificate, chainPem } = await authority.issue({
    publicKey,
    subject: { commonName: name },
    names: serviceNames(parseServiceName(name), { trustDomain: authority.trustDomain }),
    requester,
  });
  return { certificate, pem: chainPem, key: encodePrivateKey(privateKey) };
}

/** nginx wants the list of each CA of a path, in one file. */
async function fetchLists({ publicationPort }: AuthorityService, folder: string): Promise<void> {
  const lists = await Promise.all(
    ["issuing-1", "root-1"].map(async (issuer) => {
      const answer = await fetch(`http://127.0.0.1:${publicationPort}/crl/${issuer}.crl`);
      assert.equal(answer.status, 200, issuer);
      return encodePem("X509 CRL", new Uint8Array(await answer.arrayBuffer()));
    }),
  );
  await writeFile(join(folder, "lists.pem"), lists.join(""));
}

/** The status that a client reads: nginx says 400 to a certificate that it does not accept. */
function statusOf(
  port: number,
  { who, rootsPem }: { who: Issued; rootsPem: string },
): Promise<number> {
  return new Promise((resolve, reject) => {
    const options = { host: "localhost", port, ca: rootsPem, cert: who.pem, key: who.key };
    get({ ...options, agent: false }, (response) => {
      response.resume();
      resolve(response.statusCode ?? 0);
    }).once("error", reject);
  });
}

function configuration(port: number): string {
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
  return `worker_processes 1;
pid nginx.pid;
events { worker_connections 64; }
http {
  access_log off;
  ${temporary.map((kind) => `${kind}_temp_path tmp/${kind};`).join(" ")}
  server {
    listen 127.0.0.1:${port} ssl;
    ssl_certificate server.pem;
    ssl_certificate_key server.key;
    ssl_client_certificate ca.pem;
    ssl_verify_client on;
    ssl_verify_depth 3;
    ssl_crl lists.pem;
    location / { return 200 "ok"; }
  }
}
`;
}

async function freePort(): Promise<number> {
  const probe = createServer();
  await new Promise<void>((resolve) => probe.listen(0, "127.0.0.1", resolve));
  const { port } = probe.address() as AddressInfo;
  await new Promise((resolve) => probe.close(resolve));
  return port;
}

const requester = "local:test";
