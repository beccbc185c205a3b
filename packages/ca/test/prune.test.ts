import assert from "node:assert/strict";
import { test } from "node:test";
import { generateKeyPair } from "@handfast/x509";
import { refusal, requestFor, temporaryAuthority } from "./support/fixtures.ts";

const requester = "local:test";
const day = 86_400_000;

test("a service that renews for ever leaves a bounded number of records, and revoking still ends its line", async (context) => {
  const { authority, clock, store } = await temporaryAuthority(context);
  let { certificate } = await authority.issue(requestFor("api", { validitySeconds: 86_400 }));
  const counts: number[] = [];
  for (let hour = 0; hour < 24 * 30; hour += 16) {
    clock.now = new Date(clock.now.getTime() + day * (2 / 3));
    const { publicKey } = generateKeyPair();
    const { fingerprint } = certificate;
    ({ certificate } = await authority.renew({ certificate: fingerprint, publicKey, requester }));
    await authority.prune({ keepEndedSeconds: (7 * day) / 1_000 });
    counts.push((await store.certificates({ profile: "peer" })).length);
  }
  assert.equal(Math.max(...counts), counts.at(-1));
  assert.ok(
    counts.every((count) => count <= 14),
    String(counts),
  );
  const eldest = (await store.certificates({ profile: "peer" })).at(-1);
  assert.ok(eldest !== undefined && eldest.fingerprint !== certificate.fingerprint);
  const revoked = await authority.revoke({
    certificate: eldest.fingerprint,
    reason: "superseded",
    requester,
  });
  assert.ok(revoked.some(({ fingerprint }) => fingerprint === certificate.fingerprint));
});

test("S54: a key that was compromised is refused also when its certificate is forgotten", async (context) => {
  const { authority, clock, store } = await temporaryAuthority(context);
  const { publicKey } = generateKeyPair();
  const { certificate } = await authority.issue(requestFor("api", { publicKey }));
  await authority.revoke({
    certificate: certificate.fingerprint,
    reason: "keyCompromise",
    requester,
  });
  clock.now = new Date(certificate.notAfter.getTime() + 91 * day);
  assert.equal(await authority.prune(), 1);
  assert.equal(await store.certificate(certificate.fingerprint), undefined);
  await assert.rejects(
    authority.issue(requestFor("api", { publicKey })),
    refusal("KEY_REFUSED", /compromised/),
  );
});

test("what ended less than 90 days ago, and the authority's own, is kept", async (context) => {
  const { authority, clock, store } = await temporaryAuthority(context);
  const { certificate } = await authority.issue(requestFor("api"));
  clock.now = new Date(certificate.notAfter.getTime() + 89 * day);
  assert.equal(await authority.prune(), 0);
  clock.now = new Date(clock.now.getTime() + 100 * 365 * day);
  assert.equal(await authority.prune(), 1);
  assert.equal((await store.certificates({})).length, 2);
  await assert.rejects(authority.prune({ keepEndedSeconds: -1 }), TypeError);
});
