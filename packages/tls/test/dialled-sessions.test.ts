// Connections that we have made are judged again like those that we have accepted.
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { test } from "node:test";

import { issueCrl } from "@handfast/x509";
import { createTestAuthority } from "@handfast/x509/testing";
import type { TestIdentity } from "@handfast/x509/testing";
import { Agent, request } from "undici";

import { TlsError, crlFromSource } from "../src/index.ts";
import type { RefusalCode, RevocationSource } from "../src/index.ts";
import { addressOf, authority, read, recorder, runtime } from "./fixtures.ts";

const server = authority.issue({ name: "localhost" });
const alice = authority.issue({ name: "alice" });

/** A list that changes at the next reload. */
function changingList(): { readonly source: RevocationSource; revoke(who: TestIdentity): void } {
  const now = Date.now();
  const list = (number: number, revoked: readonly TestIdentity[]): Uint8Array =>
    issueCrl({
      issuer: authority,
      entries: revoked.map(({ certificate: { serialNumber } }) => ({
        serialNumber,
        revokedAt: new Date(now),
      })),
      number,
      thisUpdate: new Date(now - 60_000),
      nextUpdate: new Date(now + 3_600_000),
    });
  let bytes = list(1, []);
  const read = (): Promise<[{ name: string; bytes: Uint8Array }]> =>
    Promise.resolve([{ name: "list", bytes }]);
  return {
    source: crlFromSource({ description: "changing", read }, { undetermined: "refuse" }),
    revoke: (who) => void (bytes = list(2, [who])),
  };
}

function refusalOf(error: unknown): RefusalCode | undefined {
  return error instanceof TlsError ? error.refusal?.code : undefined;
}

test("S12: a dialled connection to a server that is revoked ends at once, and says why", async () => {
  const { source, revoke } = changingList();
  await using bank = await runtime(server);
  await using elsewhere = await runtime(authority.issue({ name: "localhost" }));
  await using caller = await runtime(alice, { revocation: source });
  const address = { host: "localhost", port: 0 };
  const protocols = { h2: recorder(), clientCertificates: "required" } as const;
  const revoked = await bank.mtls.listen(address, protocols);
  const good = await elsewhere.mtls.listen(address, protocols);
  const { socket, peer } = await caller.mtls.dial(addressOf(revoked));
  const other = await caller.mtls.dial(addressOf(good));
  await Promise.all([read(socket), read(other.socket)]);
  revoke(server);
  await caller.mtls.reload();
  const [error] = (await once(socket, "error")) as [Error];
  assert.equal(refusalOf(error), "CERTIFICATE_REVOKED");
  const event = await caller.next(({ type }) => type === "session-cut");
  assert.ok(event.type === "session-cut");
  assert.deepEqual([event.side, event.peer], ["client", peer]);
  assert.equal(other.socket.destroyed, false);
  other.socket.destroy();
  assert.deepEqual(caller.mtls.sessions(), [], "sessions() lists accepted connections");
});

test("S12: a pooled connection to a server that is revoked is not used again", async () => {
  const { source, revoke } = changingList();
  await using bank = await runtime(server);
  await using caller = await runtime(alice, { revocation: source });
  const listener = await bank.mtls.serveHttp(
    createServer((_request, response) => void response.end("served")),
    { host: "localhost", port: 0 },
  );
  const dispatcher = new Agent({ connect: caller.mtls.undiciConnect });
  const url = `https://localhost:${addressOf(listener).port}/`;
  assert.equal(await (await request(url, { dispatcher })).body.text(), "served");
  assert.equal(bank.mtls.sessions().length, 1);
  revoke(server);
  await caller.mtls.reload();
  await caller.next(({ type }) => type === "session-cut");
  await assert.rejects(
    async () => {
      for (;;) await (await request(url, { dispatcher })).body.text();
    },
    (error) => refusalOf(error) === "CERTIFICATE_REVOKED",
  );
  await dispatcher.destroy();
});

test("S12: a dialled connection to a server whose CA has gone ends after its grace", async () => {
  const old = createTestAuthority({ commonName: "Old Root" });
  let bundle = authority.bundlePem + old.bundlePem;
  const trust = { description: "changing", read: () => Promise.resolve([{ bundle }]) };
  await using bank = await runtime(old.issue({ name: "localhost" }));
  await using caller = await runtime(alice, { trust, graceMs: 1 });
  const listener = await bank.mtls.listen(
    { host: "localhost", port: 0 },
    { h2: recorder(), clientCertificates: "required" },
  );
  const { socket } = await caller.mtls.dial(addressOf(listener));
  await read(socket);
  bundle = authority.bundlePem;
  await caller.mtls.reload();
  const [error] = (await once(socket, "error")) as [Error];
  assert.equal(refusalOf(error), "CERTIFICATE_AUTHORITY_INVALID");
});

test("S12: a dialled connection ends when its server's certificate does", async () => {
  let time = new Date();
  const brief = authority.issue({ name: "localhost", notAfter: new Date(Date.now() + 60_000) });
  await using bank = await runtime(brief);
  await using caller = await runtime(alice, { now: () => time, graceMs: 1 });
  const listener = await bank.mtls.listen(
    { host: "localhost", port: 0 },
    { h2: recorder(), clientCertificates: "required" },
  );
  const { socket } = await caller.mtls.dial(addressOf(listener));
  await read(socket);
  time = new Date(Date.now() + 61_000);
  const [error] = (await once(socket, "error")) as [Error];
  assert.equal(refusalOf(error), "CERTIFICATE_EXPIRED");
});
