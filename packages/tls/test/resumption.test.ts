// S23: resumed sessions, where they are switched on, are judged like any other.
import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import { connect } from "node:tls";
import type { TLSSocket } from "node:tls";

import { crlFromSource, matching } from "../src/index.ts";
import type { Listener, MutualTls, MutualTlsOptions } from "../src/index.ts";
import { issueCrl } from "@handfast/x509";
import { createTestAuthority } from "@handfast/x509/testing";
import { addressOf, authority, read, recorder, runtime } from "./fixtures.ts";

const issuing = authority.intermediate({ commonName: "Issuing" });
const server = issuing.issue({ name: "localhost" });
const alice = issuing.issue({ name: "alice" });

/** Connects, hears, and waits for the ticket, so that the next connection may resume. */
async function visit(mtls: MutualTls, listener: Listener): Promise<string> {
  const { socket } = await mtls.dial(addressOf(listener));
  const heard = await read(socket);
  socket.destroy();
  return heard;
}

type Runtime = Awaited<ReturnType<typeof runtime>>;

async function open(options: Partial<MutualTlsOptions> = {}): Promise<
  {
    bank: Runtime;
    caller: Runtime;
    listener: Listener;
    h2: ReturnType<typeof recorder>;
  } & AsyncDisposable
> {
  const bank = await runtime(server, { resumption: true, ...options });
  const caller = await runtime(alice, { resumption: true });
  const h2 = recorder();
  const listener = await bank.mtls.listen(
    { host: "localhost", port: 0 },
    { h2, clientCertificates: "required" },
  );
  return {
    bank,
    caller,
    listener,
    h2,
    async [Symbol.asyncDispose]() {
      await caller.mtls.close();
      await bank.mtls.close();
    },
  };
}

test("S23: a second connection resumes, and both ends still know each other by the whole path", async () => {
  await using both = await open();
  const { caller, listener, h2 } = both;
  await visit(caller.mtls, listener);
  const { socket, peer } = await caller.mtls.dial(addressOf(listener));
  await read(socket);
  assert.equal(peer.resumed, true);
  assert.equal(h2.accepted[1]?.resumed, true);
  assert.equal(h2.accepted[1]?.identity, "spiffe://handfast.test/alice");
  assert.equal(h2.accepted[1]?.chain.length, 3);
  assert.equal(peer.chain.length, 3);
});

test("S23: a resumed session is judged again: one that is no longer admitted is refused", async () => {
  let rule = true;
  await using both = await open({ admit: matching(() => rule) });
  const { bank, caller, listener } = both;
  assert.match(await visit(caller.mtls, listener), /^hello/);
  rule = false;
  assert.match(await visit(caller.mtls, listener), /^no NOT_ADMITTED/);
  const events = bank.events.filter((event) => event.type === "handshake");
  assert.equal(events.length, 2);
});

test("S23: a revoked client neither resumes nor connects anew", async () => {
  let revoked: readonly string[] = [];
  let number = 0;
  const list = (by: typeof issuing): Uint8Array =>
    issueCrl({
      issuer: by,
      entries: revoked.map((serialNumber) => ({
        serialNumber: serialNumber as typeof alice.certificate.serialNumber,
        revokedAt: new Date(0),
      })),
      number: ++number,
      thisUpdate: new Date(Date.now() - 60_000),
      nextUpdate: new Date(Date.now() + 3_600_000),
    });
  await using both = await open({
    revocation: crlFromSource(
      {
        description: "lists",
        read: () =>
          Promise.resolve([
            { name: "root", bytes: list(authority) },
            { name: "issuing", bytes: list(issuing) },
          ]),
      },
      { undetermined: "refuse" },
    ),
  });
  const { bank, caller, listener } = both;
  assert.match(await visit(caller.mtls, listener), /^hello/);
  revoked = [alice.certificate.serialNumber];
  await bank.mtls.reload();
  assert.match(await visit(caller.mtls, listener), /^no CERTIFICATE_REVOKED/);
});

test("S23: a session of before a change of trust does not resume", async () => {
  let bundle = authority.bundlePem;
  await using both = await open({
    trust: { description: "changing", read: () => Promise.resolve([{ bundle }]) },
  });
  const { bank, caller, listener, h2 } = both;
  await visit(caller.mtls, listener);
  bundle += createTestAuthority({ commonName: "One more" }).bundlePem;
  await bank.mtls.reload();
  await visit(caller.mtls, listener);
  assert.deepEqual(
    h2.accepted.map((peer) => peer?.resumed),
    [false, false],
  );
});

test("S23: a ticket of a listener that asks for no certificate opens no listener that does", async () => {
  const bank = await runtime(server, { resumption: true });
  const h2 = recorder();
  const open_ = await bank.mtls.listen(
    { host: "localhost", port: 0 },
    { h2, clientCertificates: "none" },
  );
  const strict = await bank.mtls.listen(
    { host: "localhost", port: 0 },
    { h2, clientCertificates: "required" },
  );
  const options = { ca: [authority.bundlePem], ALPNProtocols: ["h2"] };
  const first: TLSSocket = connect({ ...options, ...addressOf(open_) });
  const ticket = once(first, "session") as Promise<[Buffer]>;
  assert.equal(await read(first), "hello nobody");
  const [session] = await ticket;
  first.destroy();
  const second = connect({ ...options, ...addressOf(strict), session });
  assert.match(await read(second), /^no NO_CLIENT_CERTIFICATE/);
  second.destroy();
  await bank.mtls.close();
});
