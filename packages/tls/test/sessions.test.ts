// Live sessions are judged again when what they were judged on changes.
import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";

import { createTestAuthority } from "@handfast/x509/testing";

import { matching } from "../src/index.ts";
import type { Protocol, Session } from "../src/index.ts";
import { addressOf, authority, read, recorder, runtime } from "./fixtures.ts";

const server = authority.issue({ name: "localhost" });

test("sessions() lists who is connected, and forgets who has left", async () => {
  await using bank = await runtime(server);
  await using alice = await runtime(authority.issue({ name: "alice" }));
  const listener = await bank.mtls.listen(
    { host: "localhost", port: 0 },
    { h2: recorder(), clientCertificates: "required" },
  );
  const { socket } = await alice.mtls.dial(addressOf(listener));
  await read(socket);
  const [session] = bank.mtls.sessions();
  assert.equal(session?.peer?.identity, "spiffe://handfast.test/alice");
  assert.equal(session.callsInFlight, 0);
  assert.ok(session.bytesWritten > 0);
  socket.end();
  await once(socket, "close");
  assert.deepEqual(bank.mtls.sessions(), []);
});

test("a bundle without the old root cuts exactly its sessions", async () => {
  const old = createTestAuthority({ commonName: "Old Root" });
  let bundle = authority.bundlePem + old.bundlePem;
  const trust = { description: "changing", read: () => Promise.resolve([{ bundle }]) };
  await using bank = await runtime(server, { trust, graceMs: 0 });
  await using alice = await runtime(authority.issue({ name: "alice" }));
  await using oldBob = await runtime(old.issue({ name: "bob" }));
  const h2 = recorder();
  const listener = await bank.mtls.listen(
    { host: "localhost", port: 0 },
    { h2, clientCertificates: "required" },
  );
  const kept = await alice.mtls.dial(addressOf(listener));
  const cut = await oldBob.mtls.dial(addressOf(listener));
  await Promise.all([read(kept.socket), read(cut.socket)]);
  cut.socket.resume();

  bundle = authority.bundlePem;
  assert.equal((await bank.mtls.reload()).trust, "replaced");
  await once(cut.socket, "close");
  assert.equal(kept.socket.destroyed, false);
  assert.deepEqual(
    bank.mtls.sessions().map(({ peer }) => peer?.commonNames[0]),
    ["alice"],
  );
  const event = await bank.next(({ type }) => type === "session-cut");
  assert.equal(event.type === "session-cut" && event.refusal.code, "CERTIFICATE_AUTHORITY_INVALID");
  assert.deepEqual(
    h2.drained.map((reason) => reason.kind),
    ["refused"],
  );
});

test("S11: a session that was judged on old grounds starts no call before it is judged again", async () => {
  let bundle = authority.bundlePem;
  let rule = true;
  const trust = { description: "changing", read: () => Promise.resolve([{ bundle }]) };
  await using bank = await runtime(server, { trust, admit: matching(() => rule) });
  await using alice = await runtime(authority.issue({ name: "alice" }));
  const sessions: Session[] = [];
  const h2: Protocol = {
    accept(socket, _peer, session) {
      sessions.push(session);
      socket.write("hello");
      return { drain() {}, activity: () => ({ callsInFlight: 0 }) };
    },
    refuse: (socket) => void socket.destroy(),
  };
  const listener = await bank.mtls.listen(
    { host: "localhost", port: 0 },
    { h2, clientCertificates: "required" },
  );
  const { socket } = await alice.mtls.dial(addressOf(listener));
  await read(socket);
  const [session] = sessions;
  assert.equal(session?.admitted(), true);
  rule = false;
  bundle = authority.bundlePem + createTestAuthority({ commonName: "One more" }).bundlePem;
  const reloaded = bank.mtls.reload();
  // At no point after the swap is the old verdict still believed.
  await reloaded;
  assert.equal(session.admitted(), false);
  socket.resume();
  await once(socket, "close");
});

test("a peer's session ends when its certificate does", async () => {
  let time = new Date();
  await using bank = await runtime(server, { now: () => time, graceMs: 0 });
  const soon = authority.issue({ name: "alice", notAfter: new Date(Date.now() + 60_000) });
  await using alice = await runtime(soon);
  const listener = await bank.mtls.listen(
    { host: "localhost", port: 0 },
    { h2: recorder(), clientCertificates: "required" },
  );
  const { socket } = await alice.mtls.dial(addressOf(listener));
  await read(socket);
  socket.resume();
  time = new Date(Date.now() + 61_000);
  await once(socket, "close");
  const event = await bank.next(({ type }) => type === "session-cut");
  assert.equal(event.type === "session-cut" && event.refusal.code, "CERTIFICATE_EXPIRED");
});

test("a certificate of thirty days keeps its session: no timer fires early", async () => {
  let time = new Date();
  await using bank = await runtime(server, { now: () => time, graceMs: 0 });
  const long = authority.issue({
    name: "alice",
    notAfter: new Date(Date.now() + 30 * 24 * 3600_000),
  });
  await using alice = await runtime(long);
  const h2 = recorder();
  const listener = await bank.mtls.listen(
    { host: "localhost", port: 0 },
    { h2, clientCertificates: "required" },
  );
  const first = await alice.mtls.dial(addressOf(listener));
  await read(first.socket);
  // A later session that does end shows that the clock was looked at in between.
  let cut = false;
  first.socket.once("close", () => (cut = true));
  const brief = authority.issue({ name: "bob", notAfter: new Date(Date.now() + 60_000) });
  await using bob = await runtime(brief);
  const second = await bob.mtls.dial(addressOf(listener));
  await read(second.socket);
  second.socket.resume();
  time = new Date(Date.now() + 61_000);
  await once(second.socket, "close");
  assert.equal(cut, false);
});

test("closing drains and ends every session", async () => {
  const bank = await runtime(server);
  await using alice = await runtime(authority.issue({ name: "alice" }));
  const h2 = recorder();
  const listener = await bank.mtls.listen(
    { host: "localhost", port: 0 },
    { h2, clientCertificates: "required" },
  );
  const { socket } = await alice.mtls.dial(addressOf(listener));
  await read(socket);
  socket.resume();
  const closed = once(socket, "close");
  await bank.mtls.close();
  await closed;
  assert.deepEqual(h2.drained, [{ kind: "closing" }]);
  await assert.rejects(bank.mtls.dial(addressOf(listener)), /closed/);
});
