// What scale.slow.ts shows with 10,000 sessions, with 200.
import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import { connect } from "node:tls";
import type { TLSSocket } from "node:tls";

import { createTestAuthority } from "@handfast/x509/testing";

import { authority, portOf, runtime } from "./fixtures.ts";
import { assertDroppedCaCutsItsOwn, assertRevocationCutsOne } from "./scale.ts";

const scale = { sessions: 200, processes: 2 };

test(
  "S12: one of 200 sessions is revoked by a file: cut within a second, nobody else disturbed",
  { timeout: 60_000 },
  async () => {
    await assertRevocationCutsOne(scale);
  },
);

test(
  "S12: a bundle without the CA of half of 200 sessions cuts exactly these",
  { timeout: 60_000 },
  async () => {
    await assertDroppedCaCutsItsOwn(scale);
  },
);

test("S12: a peer that reads nothing any more is cut within a second all the same", async () => {
  let bundle = authority.bundlePem;
  const alice = authority.issue({ name: "alice" });
  await using bank = await runtime(authority.issue({ name: "localhost" }), {
    trust: { description: "changing", read: () => Promise.resolve([{ bundle }]) },
  });
  const accepted = Promise.withResolvers<TLSSocket>();
  const listener = await bank.mtls.listen(
    { host: "127.0.0.1", port: 0 },
    {
      h2: {
        accept(socket) {
          // More than all buffers between the two hold: the write never ends.
          socket.write(Buffer.alloc(32 * 1024 * 1024));
          accepted.resolve(socket);
          return { drain() {}, activity: () => ({ callsInFlight: 0 }) };
        },
        refuse: (socket) => void socket.destroy(),
      },
      clientCertificates: "required",
    },
  );
  const deaf = connect({
    host: "127.0.0.1",
    servername: "localhost",
    port: portOf(listener),
    ca: [bundle],
    cert: alice.certificateChainPem,
    key: alice.privateKeyPem,
    ALPNProtocols: ["h2"],
  });
  deaf.on("error", () => {});
  const served = await accepted.promise;
  bundle = createTestAuthority().bundlePem;
  assert.ok(served.writableNeedDrain, "the peer has not read everything");
  const started = performance.now();
  const closed = once(served, "close");
  await bank.mtls.reload();
  await closed;
  assert.ok(performance.now() - started < 1000, `cut after ${performance.now() - started} ms`);
  assert.equal(bank.mtls.sessions().length, 0);
  deaf.destroy();
});
