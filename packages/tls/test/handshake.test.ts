import assert from "node:assert/strict";
import { test } from "node:test";

import { addressOf, authority, read, recorder, runtime } from "./fixtures.ts";

const server = authority.issue({ name: "localhost" });

test("both sides know each other after a handshake", async () => {
  await using bank = await runtime(server);
  await using alice = await runtime(authority.issue({ name: "alice" }));
  const h2 = recorder();
  const listener = await bank.mtls.listen(
    { host: "localhost", port: 0 },
    { h2, clientCertificates: "required" },
  );
  const { socket, peer } = await alice.mtls.dial(addressOf(listener));
  assert.equal(await read(socket), "hello spiffe://handfast.test/alice");
  assert.equal(peer.identity, "spiffe://handfast.test/localhost");
  assert.equal(h2.accepted[0]?.commonNames[0], "alice");
});
