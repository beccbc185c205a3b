import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import { createServer } from "node:http";
import { request } from "node:https";
import {
  anyTrustedPeer,
  createMutualTls,
  identityFromMemory,
  memberOf,
  noRevocation,
  trustFromMemory,
} from "@handfast/tls";
import { crlFromAuthority } from "../src/index.ts";
import { onlineAuthority } from "./support/online.ts";
import type { Member } from "./support/online.ts";

test("a peer that is revoked is cut within a second by whoever follows the authority", async (t) => {
  const online = await onlineAuthority(t);
  const [bank, alice] = [await online.member("bank"), await online.member("alice")];
  const trust = trustFromMemory(online.rootsPem);
  const server = await createMutualTls({
    identity: identityOf(bank),
    trust,
    revocation: crlFromAuthority({
      target: online.service.authorityTarget,
      identity: identityOf(bank),
      trust,
      undetermined: "refuse",
    }),
    admit: anyTrustedPeer(),
  });
  t.after(() => server.close());
  const served = createServer((_request, response) => void response.write("served "));
  const listener = await server.serveHttp(served, { host: "127.0.0.1", port: 0 });
  const client = await createMutualTls({
    identity: identityOf(alice),
    trust,
    revocation: noRevocation(),
    admit: anyTrustedPeer(),
  });
  t.after(() => client.close());
  const port = "port" in listener.address ? listener.address.port : 0;
  const agent = client.httpsAgent({ expect: memberOf("handfast.internal") });
  const call = request({ host: "127.0.0.1", port, agent });
  call.on("error", () => undefined);
  const answered = once(call, "response");
  call.end();
  await answered;

  const ended = once(call, "close");
  const since = performance.now();
  await online.authority.revoke({
    certificate: alice.certificate.fingerprint,
    reason: "keyCompromise",
    requester: "local:test",
  });
  await online.service.publishCrls();
  await ended;
  assert.ok(performance.now() - since < 1_000);
});

test("undetermined refuse: a service does not start without the authority's lists", async (t) => {
  const online = await onlineAuthority(t);
  const bank = await online.member("bank");
  const trust = trustFromMemory(online.rootsPem);
  await online.service.shutdown({ graceMs: 0 });
  const start = createMutualTls({
    identity: identityOf(bank),
    trust,
    revocation: crlFromAuthority({
      target: online.service.authorityTarget,
      identity: identityOf(bank),
      trust,
      undetermined: "refuse",
      startTimeoutMs: 200,
    }),
    admit: anyTrustedPeer(),
  });
  await assert.rejects(start, { code: "REVOCATION_INVALID" });
});

function identityOf({ chainPem, privateKeyPem }: Member): ReturnType<typeof identityFromMemory> {
  return identityFromMemory({ certificateChain: chainPem, privateKey: privateKeyPem });
}
