// What the authority publishes over plain HTTP, read by openssl and by what caches go by.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { promisify } from "node:util";
import {
  certificatesToPem,
  createOcspRequest,
  inspect,
  parseOcspResponse,
  verifyOcspResponse,
} from "@handfast/x509";
import type { Certificate } from "@handfast/x509";
import { createAuthorityMetrics } from "../src/index.ts";
import { requestFor, temporaryFolder } from "./support/fixtures.ts";
import { onlineAuthority } from "./support/online.ts";
import type { OnlineAuthority } from "./support/online.ts";

test("openssl crl and openssl ocsp accept what is published, and see a revocation at once", async (t) => {
  const published = await publish(t);
  const { online, file, url } = published;
  const [alice, bob] = [await online.member("alice"), await online.member("bob")];
  const issuer = alice.chain[1];
  assert.ok(issuer);
  const roots = file("roots.pem", online.rootsPem);
  const issuing = file("issuing.pem", certificatesToPem([issuer]));
  const both = file("both.pem", certificatesToPem([issuer, ...(await online.authority.roots())]));
  const ask = (certificate: Certificate, ...words: string[]) => {
    const cert = file("leaf.pem", certificatesToPem([certificate]));
    const given = ["-issuer", issuing, "-cert", cert, "-CAfile", roots, "-url", `${url}/ocsp`];
    return openssl("ocsp", ...given, ...words);
  };
  assert.match(await ask(alice.certificate, "-no_nonce"), /leaf.pem: good/);
  assert.match(await ask(alice.certificate), /no nonce in response|leaf.pem: good/);
  await online.authority.revoke({
    certificate: alice.certificate.fingerprint,
    reason: "keyCompromise",
    requester: "local:test",
  });
  await online.service.publishCrls();
  assert.match(await ask(alice.certificate), /leaf.pem: revoked[\s\S]*Reason: keyCompromise/);
  assert.match(await ask(bob.certificate), /leaf.pem: good/);

  const list = await fetch(`${url}/crl/issuing-1.crl`);
  const crl = file("issuing-1.crl", Buffer.from(await list.arrayBuffer()));
  const read = await openssl(
    "crl",
    "-inform",
    "DER",
    "-in",
    crl,
    "-CAfile",
    both,
    "-text",
    "-noout",
  );
  assert.match(read, /verify OK/);
  assert.match(read, new RegExp(alice.certificate.serialNumber, "i"));
});

test("S57: OCSP by GET and POST: kept, with RFC 9919's headers, without a nonce, one CertID, 4 KiB", async (t) => {
  const { online, url } = await publish(t);
  const { certificate, chain } = await online.member("alice");
  const issuer = chain[1];
  assert.ok(issuer);
  const plain = createOcspRequest({ certificate, issuer });
  const got = await fetch(`${url}/ocsp/${encodeURIComponent(base64(plain))}`);
  assert.equal(got.headers.get("content-type"), "application/ocsp-response");
  assert.match(
    got.headers.get("cache-control") ?? "",
    /^max-age=\d+, public, no-transform, must-revalidate$/,
  );
  for (const name of ["etag", "last-modified", "expires", "content-length"]) {
    assert.ok(got.headers.get(name), name);
  }
  const first = await bytesOf(got);
  const nonce = new Uint8Array(32).fill(7);
  const posted = await post(url, createOcspRequest({ certificate, issuer, nonce }));
  assert.deepEqual(await bytesOf(posted), first);
  const verdict = verifyOcspResponse(parseOcspResponse(first), {
    certificate,
    issuer,
    now: new Date(),
  });
  assert.equal(verdict.ok && verdict.answer.status.is, "good");

  const { certificate: stranger } = await (await onlineAuthority(t)).member("alice");
  const foreign = await post(url, createOcspRequest({ certificate: stranger, issuer }));
  assert.equal(parseOcspResponse(await bytesOf(foreign)).status, "unauthorized");
  assert.equal(foreign.headers.get("cache-control"), "no-store");
  const large = await post(url, new Uint8Array(5_000));
  assert.equal(parseOcspResponse(await bytesOf(large)).status, "malformedRequest");
  assert.equal((await fetch(`${url}/ocsp/%%%`)).status, 400);
  assert.equal((await fetch(`${url}/ocsp`, { method: "PUT" })).status, 405);
});

test("lists and roots come with what caches need, and nothing else is served in the clear", async (t) => {
  const { online, url } = await publish(t);
  const list = await fetch(`${url}/crl/issuing-1.crl`);
  assert.match(list.headers.get("cache-control") ?? "", /^public, max-age=300, no-transform$/);
  const etag = list.headers.get("etag") ?? "";
  const modified = list.headers.get("last-modified") ?? "";
  const status = async (headers: Record<string, string>) =>
    (await fetch(`${url}/crl/issuing-1.crl`, { headers })).status;
  assert.equal(await status({ "if-none-match": etag }), 304);
  assert.equal(await status({ "if-modified-since": modified }), 304);
  assert.equal(await status({ "if-none-match": '"other"', "if-modified-since": modified }), 200);
  const { fingerprint } = (await online.member("alice")).certificate;
  await online.authority.revoke({
    certificate: fingerprint,
    reason: "superseded",
    requester: "local:test",
  });
  await online.service.publishCrls();
  assert.equal(await status({ "if-none-match": etag }), 200);
  assert.equal(await (await fetch(`${url}/roots.pem`)).text(), online.rootsPem);
  const absent = ["/", "/crl/root-9.crl", "/crl/../roots.pem.", "/acme/directory", "/metrics"];
  for (const path of [...absent, "/handfast.ca.v1.Enrolment/Enrol"]) {
    assert.equal((await fetch(url + path, { method: "GET" })).status, 404, path);
  }
  assert.equal((await fetch(`${url}/roots.pem`, { method: "POST" })).status, 405);
});

test("certificates name the list of their issuer and the responder where a URL is configured", async (t) => {
  const online = await onlineAuthority(t, { revocationUrl: "http://ca.bank.example:8480" });
  const named = inspect((await online.member("alice")).certificate);
  assert.deepEqual(named.crlUrls, ["http://ca.bank.example:8480/crl/issuing-1.crl"]);
  assert.deepEqual(named.ocspUrls, ["http://ca.bank.example:8480/ocsp"]);
  const short = inspect((await online.member("brief", "brief")).certificate);
  assert.equal(short.noRevocationAvailable, true);
  assert.deepEqual([...short.crlUrls, ...short.ocspUrls], []);
  const without = inspect((await (await onlineAuthority(t)).member("alice")).certificate);
  assert.deepEqual([...without.crlUrls, ...without.ocspUrls], []);
  await assert.rejects(onlineAuthority(t, { revocationUrl: "https://ca.bank.example" }), TypeError);
});

test("metrics count what was done and refused, and name nobody; health and readiness answer", async (t) => {
  const metrics = createAuthorityMetrics();
  const { counters } = metrics;
  const operations = { host: "127.0.0.1", port: 0 };
  const online = await onlineAuthority(t, { operations, counters, metrics });
  await online.member("alice");
  await online.token("bob");
  const names = { dns: ["-"], ip: [], uri: [], email: [] };
  await assert.rejects(online.authority.issue(requestFor("eve", { names })));
  const url = `http://127.0.0.1:${online.service.operationsPort}`;
  assert.equal(await (await fetch(`${url}/healthz`)).text(), "ok\n");
  assert.equal((await fetch(`${url}/readyz`)).status, 200);
  const text = await (await fetch(`${url}/metrics`)).text();
  assert.match(text, /^handfast_ca_acts_total\{action="issue"\} 2$/m); // its own, and alice's
  assert.match(text, /^handfast_ca_acts_total\{action="create-token"\} 1$/m);
  assert.match(text, /^handfast_ca_refusals_total\{code="NAME_REFUSED"\} 1$/m);
  assert.match(text, /^handfast_ca_own_certificate_days\{name="serving"\} 0\.2/m);
  assert.match(text, /^handfast_ca_own_certificate_days\{name="issuing-1"\} 182\d/m);
  assert.doesNotMatch(text, /alice|spiffe/);
  await assert.rejects(
    onlineAuthority(t, { operations: { host: "0.0.0.0", port: 0 } }),
    /dangerouslyOperationsBeyondLoopback/,
  );
});

/** An authority that publishes over plain HTTP, and a folder for files. */
async function publish(t: TestContext): Promise<{
  online: OnlineAuthority;
  url: string;
  file(name: string, content: string | Uint8Array): string;
}> {
  const online = await onlineAuthority(t, { publication: { host: "127.0.0.1", port: 0 } });
  const folder = temporaryFolder(t);
  return {
    online,
    url: `http://127.0.0.1:${online.service.publicationPort}`,
    file(name, content) {
      const path = join(folder, name);
      writeFileSync(path, content);
      return path;
    },
  };
}

/** What openssl says, on either stream. */
async function openssl(...words: string[]): Promise<string> {
  const { stdout, stderr } = await promisify(execFile)("openssl", words);
  return stdout + stderr;
}

function post(url: string, body: Uint8Array): Promise<Response> {
  const headers = { "content-type": "application/ocsp-request" };
  return fetch(`${url}/ocsp`, { method: "POST", headers, body: Buffer.from(body) });
}

async function bytesOf(response: Response): Promise<Buffer> {
  return Buffer.from(await response.arrayBuffer());
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("base64");
}
