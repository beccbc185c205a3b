// OCSP as a source: against a small responder of x509's own messages, and against `openssl ocsp`.
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import {
  certificatesToPem,
  createOcspResponder,
  encodePrivateKey,
  issueCrl,
  issueOcspResponse,
  parseOcspRequest,
} from "@handfast/x509";
import type { OcspStatus } from "@handfast/x509";
import type { TestAuthority, TestIdentity } from "@handfast/x509/testing";

import { crlFromSource, ocsp, noRevocation, revocationFromSeveral } from "../src/index.ts";
import type { MutualTls, RevocationSource, TlsEvent } from "../src/index.ts";
import { addressOf, authority, read, recorder, runtime } from "./fixtures.ts";

const server = authority.issue({ name: "localhost" });
const alice = authority.issue({ name: "alice" });
const bob = authority.issue({ name: "bob" });
const minute = 60_000;
const revokedNow: OcspStatus = { is: "revoked", revokedAt: new Date(0), reason: undefined };

/** A responder whose answers the test changes. */
async function responder(): Promise<
  {
    url: string;
    asked: number;
    status: Map<string, OcspStatus>;
    /** Minutes ago. */
    thisUpdate: number;
    broken: boolean;
    by: { certificate: typeof authority.certificate; privateKey: typeof authority.privateKey };
  } & AsyncDisposable
> {
  const http = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      place.asked++;
      if (place.broken) {
        response.destroy();
        return;
      }
      const { certId } = parseOcspRequest(Buffer.concat(chunks));
      const bytes = issueOcspResponse({
        responder: createOcspResponder(place.by.certificate, {
          privateKey: place.by.privateKey,
          issuer: authority.certificate,
        }),
        certId,
        status: place.status.get(certId.serialNumber) ?? { is: "good" },
        producedAt: new Date(),
        thisUpdate: new Date(Date.now() - place.thisUpdate * minute),
        nextUpdate: new Date(Date.now() + 60 * minute),
      });
      response.writeHead(200, { "content-type": "application/ocsp-response" }).end(bytes);
    });
  }).listen(0, "127.0.0.1");
  await once(http, "listening");
  const { port } = http.address() as { port: number };
  const place = {
    url: `http://127.0.0.1:${port}/`,
    asked: 0,
    status: new Map<string, OcspStatus>(),
    thisUpdate: 1,
    broken: false,
    by: { certificate: authority.certificate, privateKey: authority.privateKey },
    async [Symbol.asyncDispose]() {
      http.closeAllConnections();
      http.close();
    },
  };
  return place;
}

async function say(bank: MutualTls, client: TestIdentity): Promise<string> {
  await using caller = await runtime(client);
  const listener = await bank.listen(
    { host: "localhost", port: 0 },
    { h2: recorder(), clientCertificates: "required" },
  );
  const { socket } = await caller.mtls.dial(addressOf(listener));
  return read(socket);
}

/** Says what is said once it is something else than "cannot be told". */
async function settled(bank: MutualTls, client: TestIdentity, wanted: RegExp): Promise<string> {
  let heard = "";
  for (let tries = 0; tries < 1000; tries++) {
    heard = await say(bank, client);
    if (wanted.test(heard)) return heard;
  }
  return heard;
}

const warnings = (events: readonly TlsEvent[]): string =>
  events.flatMap((event) => (event.type === "revocation-warning" ? [event.reason] : [])).join("\n");

test("a handshake never waits for the responder: unknown at first, then as the responder says", async () => {
  await using place = await responder();
  place.status.set(alice.certificate.serialNumber, revokedNow);
  await using bank = await runtime(server, {
    revocation: ocsp(place.url, { undetermined: "refuse" }),
  });
  assert.match(await say(bank.mtls, bob), /^no CERTIFICATE_VERIFICATION_FAILED/);
  assert.match(await settled(bank.mtls, bob, /^hello/), /^hello/);
  assert.match(await settled(bank.mtls, alice, /REVOKED/), /^no CERTIFICATE_REVOKED/);
});

test('under "admit" a client is admitted at once, and cut when the answer says revoked', async () => {
  await using place = await responder();
  place.status.set(alice.certificate.serialNumber, revokedNow);
  await using bank = await runtime(server, {
    revocation: ocsp(place.url, { undetermined: "admit" }),
  });
  await using caller = await runtime(alice);
  const listener = await bank.mtls.listen(
    { host: "localhost", port: 0 },
    { h2: recorder(), clientCertificates: "required" },
  );
  const { socket } = await caller.mtls.dial(addressOf(listener));
  assert.match(await read(socket), /^hello/);
  socket.resume();
  await once(socket, "close");
  assert.match(await say(bank.mtls, alice), /^no CERTIFICATE_REVOKED/);
});

test("S7: an answer signed by a CA that did not issue the certificate does not count", async () => {
  const { createTestAuthority } = await import("@handfast/x509/testing");
  const other = createTestAuthority();
  const http = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const bytes = issueOcspResponse({
        responder: createOcspResponder(other.certificate, {
          privateKey: other.privateKey,
          issuer: other.certificate,
        }),
        certId: parseOcspRequest(Buffer.concat(chunks)).certId,
        status: { is: "good" },
        producedAt: new Date(),
        thisUpdate: new Date(Date.now() - minute),
        nextUpdate: new Date(Date.now() + minute),
      });
      response.end(bytes);
    });
  }).listen(0, "127.0.0.1");
  await once(http, "listening");
  const { port } = http.address() as { port: number };
  await using bank = await runtime(server, {
    revocation: ocsp(`http://127.0.0.1:${port}/`, { undetermined: "refuse" }),
  });
  assert.match(await say(bank.mtls, bob), /^no CERTIFICATE_VERIFICATION_FAILED/);
  await bank.next(({ type }) => type === "revocation-warning");
  assert.match(warnings(bank.events), /signed by nobody|signature is not/);
  assert.match(await say(bank.mtls, bob), /^no CERTIFICATE_VERIFICATION_FAILED/);
  http.closeAllConnections();
  http.close();
});

test("S7: unknown is undetermined", async () => {
  await using place = await responder();
  place.status.set(bob.certificate.serialNumber, { is: "unknown" });
  await using bank = await runtime(server, {
    revocation: ocsp(place.url, { undetermined: "refuse" }),
  });
  await settled(bank.mtls, alice, /^hello/);
  assert.match(await say(bank.mtls, bob), /^no CERTIFICATE_VERIFICATION_FAILED/);
  assert.match(await say(bank.mtls, bob), /^no CERTIFICATE_VERIFICATION_FAILED/);
});

test("a responder that is down is told of, and holds nobody up", async () => {
  await using place = await responder();
  place.broken = true;
  await using bank = await runtime(server, {
    revocation: ocsp(place.url, { undetermined: "admit" }),
  });
  assert.match(await say(bank.mtls, bob), /^hello/);
  await bank.next(({ type }) => type === "revocation-warning");
  assert.match(await say(bank.mtls, bob), /^hello/);
});

test("of several sources, any that says revoked wins", async () => {
  await using place = await responder();
  place.status.set(alice.certificate.serialNumber, revokedNow);
  await using bank = await runtime(server, {
    revocation: revocationFromSeveral([noRevocation(), ocsp(place.url, { undetermined: "admit" })]),
  });
  assert.match(await settled(bank.mtls, alice, /REVOKED/), /^no CERTIFICATE_REVOKED/);
  assert.match(await say(bank.mtls, bob), /^hello/);
});

test("S6: sources share a path: one knows the issuing CA, the other what it has issued", async () => {
  const issuing = authority.intermediate({ commonName: "Issuing" });
  const listOf = (issuer: TestAuthority, revoked: readonly TestIdentity[]): RevocationSource => {
    const bytes = issueCrl({
      issuer,
      entries: revoked.map(({ certificate: { serialNumber } }) => ({
        serialNumber,
        revokedAt: new Date(),
      })),
      number: 1,
      thisUpdate: new Date(Date.now() - minute),
      nextUpdate: new Date(Date.now() + 60 * minute),
    });
    const source = {
      description: `the list of ${issuer.certificate.subject.text}`,
      read: () => Promise.resolve([{ name: "list", bytes }]),
    };
    return crlFromSource(source, { undetermined: "refuse" });
  };
  const mallory = issuing.issue({ name: "mallory" });
  const carol = issuing.issue({ name: "carol" });
  const ofRoot = listOf(authority, []);
  const ofIssuing = listOf(issuing, [mallory]);
  const identity = issuing.issue({ name: "localhost" });
  for (const [revocation, said] of [
    [ofRoot, /^no CERTIFICATE_VERIFICATION_FAILED/],
    [ofIssuing, /^no CERTIFICATE_VERIFICATION_FAILED/],
    [revocationFromSeveral([ofRoot, ofIssuing]), /^hello spiffe:..handfast.test.carol/],
  ] as const) {
    await using bank = await runtime(identity, { revocation });
    assert.match(await say(bank.mtls, carol), said);
  }
  await using bank = await runtime(identity, {
    revocation: revocationFromSeveral([ofRoot, ofIssuing]),
  });
  assert.match(await say(bank.mtls, mallory), /^no CERTIFICATE_REVOKED/);
  const leavesOut: RevocationSource = {
    ...noRevocation(),
    undetermined: "refuse",
    open: async (hooks) => ({ ...(await noRevocation().open(hooks)), judge: () => [] }),
  };
  await using strict = await runtime(identity, { revocation: leavesOut });
  assert.match(await say(strict.mtls, carol), /^no CERTIFICATE_VERIFICATION_FAILED/);
});

const openssl = spawnSync("openssl", ["version"]).status === 0;

test("`openssl ocsp` is understood", { skip: !openssl && "openssl is not installed" }, async () => {
  const directory = await mkdtemp(join(tmpdir(), "handfast-ocsp-"));
  const line = (status: string, { certificate }: TestIdentity): string => {
    const date = "300101000000Z";
    const serial = certificate.serialNumber.toUpperCase();
    return [status, date, status === "R" ? "200101000000Z" : "", serial, "unknown", "/CN=x"].join(
      "\t",
    );
  };
  await writeFile(join(directory, "index.txt"), `${line("V", bob)}\n${line("R", alice)}\n`);
  await writeFile(join(directory, "ca.pem"), certificatesToPem([authority.certificate]));
  await writeFile(join(directory, "ca.key"), encodePrivateKey(authority.privateKey), {
    mode: 0o600,
  });
  const file = (name: string): string => join(directory, name);
  const signing = ["-CA", file("ca.pem"), "-rsigner", file("ca.pem"), "-rkey", file("ca.key")];
  const child = spawn("openssl", [
    "ocsp",
    "-index",
    file("index.txt"),
    "-port",
    "0",
    "-nmin",
    "10",
    ...signing,
  ]);
  try {
    let said = "";
    while (!said.includes("ACCEPT")) said += String((await once(child.stdout, "data"))[0]);
    const port = /:(\d+) /.exec(said)?.[1] ?? "";
    await using bank = await runtime(server, {
      revocation: ocsp(`http://127.0.0.1:${port}/`, { undetermined: "refuse" }),
    });
    const heard = await settled(bank.mtls, bob, /^hello/);
    assert.match(heard, /^hello/, warnings(bank.events));
    assert.match(await settled(bank.mtls, alice, /REVOKED/), /^no CERTIFICATE_REVOKED/);
  } finally {
    child.kill();
    await rm(directory, { recursive: true });
  }
});
