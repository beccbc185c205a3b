import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { connect as connectNet } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { connect as connectTls } from "node:tls";
import type { TLSSocket } from "node:tls";

import { serverName } from "../src/index.ts";
import { createSourceLimits, sourceOf } from "../src/source-limits.ts";
import { addressOf, authority, portOf, read, recorder, runtime } from "./fixtures.ts";

const server = authority.issue({ name: "localhost" });
const alice = authority.issue({ name: "alice" });
const ignore = (): void => {};

test("S20: a source that opens too many connections is stopped, and may go on after a while", () => {
  let time = 0;
  const limits = createSourceLimits({ perSourcePerSecond: 10, perSourceBurst: 3 }, () => time);
  const enter = (address: string): boolean => {
    const leave = limits.enter(address, ignore);
    leave?.();
    return leave !== undefined;
  };
  assert.deepEqual(
    [1, 2, 3, 4].map(() => enter("192.0.2.1")),
    [true, true, true, false],
  );
  assert.equal(enter("192.0.2.2"), true, "another source is not concerned");
  time = 100;
  assert.deepEqual(
    [1, 2].map(() => enter("192.0.2.1")),
    [true, false],
  );
});

test("S20: one source has at most an eighth of the places", () => {
  const limits = createSourceLimits({ pendingHandshakes: 16 }, () => 0);
  const entered = Array.from({ length: 5 }, () => limits.enter("192.0.2.1", ignore));
  assert.equal(entered.filter((leave) => leave !== undefined).length, 2);
  entered[0]?.();
  assert.notEqual(limits.enter("192.0.2.1", ignore), undefined);
});

test("S20: when all places are taken, the oldest pending handshake goes", () => {
  const limits = createSourceLimits({ pendingHandshakes: 8 }, () => 0);
  const dropped: number[] = [];
  for (let source = 0; source < 10; source++)
    limits.enter(`192.0.2.${source}`, () => dropped.push(source));
  assert.deepEqual(dropped, [0, 1]);
  assert.equal(limits.pending, 8);
});

test("S20: sources are an IPv4 address, or the /64 of an IPv6 one", () => {
  assert.equal(sourceOf("::ffff:192.0.2.1"), "192.0.2.1");
  assert.equal(sourceOf("2001:db8:0:1::5"), sourceOf("2001:db8:0:1:ffff::9"));
  assert.notEqual(sourceOf("2001:db8:0:1::5"), sourceOf("2001:db8:0:2::5"));
  assert.equal(sourceOf("2001:db8::1"), "2001:db8:0:0");
  assert.equal(sourceOf("fe80::1%eth0"), "fe80:0:0:0");
});

test("S20: silent connections of one address do not keep a client of another from being served", async () => {
  await using bank = await runtime(server, {
    limits: { pendingHandshakes: 64, perSourceBurst: 10_000 },
  });
  await using caller = await runtime(alice);
  const h2 = recorder();
  const listener = await bank.mtls.listen(
    { host: "0.0.0.0", port: 0 },
    { h2, clientCertificates: "required" },
  );
  const silent = Array.from({ length: 500 }, () => {
    const socket = connectNet({
      host: "127.0.0.1",
      port: portOf(listener),
      localAddress: "127.0.0.2",
    });
    socket.on("error", ignore);
    return socket;
  });
  await Promise.all(
    silent.map((socket) => Promise.race([once(socket, "connect"), once(socket, "close")])),
  );
  const started = performance.now();
  const { socket } = await caller.mtls.dial(
    { host: "127.0.0.1", port: portOf(listener) },
    { expect: serverName("localhost"), timeoutMs: 1000 },
  );
  assert.match(await read(socket), /^hello/);
  assert.ok(performance.now() - started < 1000);
  for (const one of silent) one.destroy();
});

test("the place of a handshake is free again once it is over", async () => {
  await using bank = await runtime(server, { limits: { pendingHandshakes: 8 } });
  await using caller = await runtime(alice);
  const listener = await bank.mtls.listen(
    { host: "localhost", port: 0 },
    { h2: recorder(), clientCertificates: "required" },
  );
  // One source has a single place here: a second session needs the first one's place back.
  for (let n = 0; n < 3; n++) {
    const { socket } = await caller.mtls.dial(addressOf(listener));
    assert.match(await read(socket), /^hello/);
  }
  assert.equal(bank.mtls.sessions().length, 3);
});

test("one identity has at most so many sessions, and another is served all the same", async () => {
  await using bank = await runtime(server, { limits: { sessionsPerIdentity: 2 } });
  await using caller = await runtime(alice);
  await using other = await runtime(authority.issue({ name: "bob" }));
  const listener = await bank.mtls.listen(
    { host: "localhost", port: 0 },
    { h2: recorder(), clientCertificates: "required" },
  );
  const heard: string[] = [];
  for (let n = 0; n < 3; n++)
    heard.push(await read((await caller.mtls.dial(addressOf(listener))).socket));
  assert.match(heard[1] ?? "", /^hello/);
  assert.match(heard[2] ?? "", /^no LIMIT_EXCEEDED/);
  assert.match(await read((await other.mtls.dial(addressOf(listener))).socket), /^hello/);
});

test("S21: one refused peer is told why once at a time; the second connection is just closed", async () => {
  await using bank = await runtime(server, {
    admit: { description: "nobody", admits: () => false },
  });
  await using caller = await runtime(alice);
  const held: { end(): void }[] = [];
  const h2 = {
    ...recorder(),
    refuse: (socket: { write(text: string): void; end(): void }) => {
      held.push(socket);
      socket.write("no");
    },
  };
  const listener = await bank.mtls.listen(
    { host: "localhost", port: 0 },
    { h2, clientCertificates: "required" },
  );
  const first = await caller.mtls.dial(addressOf(listener));
  assert.equal(await read(first.socket), "no");
  const second = await caller.mtls.dial(addressOf(listener));
  second.socket.resume();
  if (!second.socket.closed) await once(second.socket, "close");
  assert.equal(held.length, 1);
});

test("S17: a server that asks for no certificate serves peers without one, and no peer is made up", async () => {
  await using bank = await runtime(server);
  const h2 = recorder();
  const listener = await bank.mtls.listen(
    { host: "localhost", port: 0 },
    { h2, clientCertificates: "none" },
  );
  const socket = connectTls({
    ...addressOf(listener),
    ca: [authority.bundlePem],
    ALPNProtocols: ["h2"],
  });
  assert.equal(await read(socket), "hello nobody");
  assert.deepEqual(h2.accepted, [undefined]);
  socket.destroy();
});

test("S49: one source without certificates has at most so many sessions, and gets its places back", async () => {
  await using bank = await runtime(server, { limits: { sessions: 16 } });
  const listener = await bank.mtls.listen(
    { host: "localhost", port: 0 },
    { h2: recorder(), clientCertificates: "none" },
  );
  const dial = (): TLSSocket => {
    const to = { ...addressOf(listener), ca: [authority.bundlePem], ALPNProtocols: ["h2"] };
    return connectTls(to).on("error", ignore);
  };
  const [first, second] = [dial(), dial()];
  assert.equal(await read(first), "hello nobody");
  assert.equal(await read(second), "hello nobody");
  const third = dial();
  await once(third.resume(), "close", { signal: AbortSignal.timeout(5_000) });
  assert.equal(bank.mtls.sessions().length, 2);
  first.destroy();
  while (bank.mtls.sessions().length > 1) await new Promise(setImmediate);
  const fourth = dial();
  assert.equal(await read(fourth), "hello nobody");
  for (const socket of [second, fourth]) socket.destroy();
});

test("a Unix socket is listened on and dialled, with the same verdict", async () => {
  const directory = await mkdtemp(join(tmpdir(), "handfast-unix-"));
  const path = join(directory, "bank.sock");
  {
    await using bank = await runtime(server);
    await using caller = await runtime(alice);
    await bank.mtls.listen({ path }, { h2: recorder(), clientCertificates: "required" });
    const { socket } = await caller.mtls.dial({ path }, { expect: serverName("localhost") });
    assert.match(await read(socket), /^hello spiffe/);
    await assert.rejects(caller.mtls.dial({ path }), TypeError);
  }
  await rm(directory, { recursive: true });
});
