import assert from "node:assert/strict";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { generateKeyPair, parseCrl } from "@handfast/x509";
import type { Certificate } from "@handfast/x509";
import { statusOf } from "../src/index.ts";
import type { RenewRequest, RevokeRequest } from "../src/index.ts";
import { refusal, requestFor, temporaryAuthority } from "./support/fixtures.ts";

const day = 86_400_000;
const requester = "local:test";

/** An authority that has issued `api`, and short ways to go on from there. */
async function line(context: TestContext) {
  const { authority, clock, ...rest } = await temporaryAuthority(context);
  const { certificate: first } = await authority.issue(
    requestFor("api", { validitySeconds: (30 * day) / 1_000 }),
  );
  const renew = async (parent: Certificate, changes: Partial<RenewRequest> = {}) => {
    const { publicKey } = generateKeyPair();
    const request = { certificate: parent.fingerprint, publicKey, requester, ...changes };
    return (await authority.renew(request)).certificate;
  };
  const revoke = (certificate: Certificate, changes: Partial<RevokeRequest> = {}) =>
    authority.revoke({
      certificate: certificate.fingerprint,
      reason: "unspecified",
      requester,
      ...changes,
    });
  const living = async () => {
    const records = await authority.find({ name: "api", status: "valid" });
    return records.map(({ fingerprint }) => fingerprint);
  };
  return { authority, clock, first, renew, revoke, living, ...rest };
}

test("a renewed certificate says the same of the same peer, for as long, with a new key", async (context) => {
  const { authority, clock, first, renew } = await line(context);
  clock.now = new Date(clock.now.getTime() + 20 * day);
  const next = await renew(first);
  assert.equal(next.subject.text, first.subject.text);
  assert.deepEqual(next.subjectAltNames.all, first.subjectAltNames.all);
  assert.deepEqual(next.extendedKeyUsage, first.extendedKeyUsage);
  assert.equal(next.notAfter.getTime(), clock.now.getTime() + 30 * day);
  assert.notDeepEqual(next.subjectPublicKeyInfo, first.subjectPublicKeyInfo);
  const [record] = await authority.find({ serialNumber: next.serialNumber });
  assert.equal(record?.parent, first.fingerprint);
  assert.equal(record.enrolment, first.fingerprint);
  assert.equal(record.profile, "peer");
});

test("S48: revoking a certificate ends everything renewed from it, and nothing else", async (context) => {
  const { authority, first, renew, revoke, living } = await line(context);
  const second = await renew(first);
  const third = await renew(second);
  const { certificate: other } = await authority.issue(requestFor("billing"));
  const revoked = await revoke(first, { reason: "keyCompromise" });
  assert.deepEqual(
    revoked.map(({ fingerprint }) => fingerprint).sort(),
    [first, second, third].map(({ fingerprint }) => fingerprint).sort(),
  );
  for (const { revocation } of revoked) {
    assert.deepEqual(revocation?.reason, "keyCompromise");
    assert.equal(revocation.cause, first.fingerprint);
  }
  assert.deepEqual(await living(), []);
  const [untouched] = await authority.find({ serialNumber: other.serialNumber });
  assert.equal(untouched?.revocation, undefined);
  await assert.rejects(renew(third), refusal("RENEWAL_REFUSED", /was revoked/));
});

test("S48: revoking blocks what else the identity holds, until it is enrolled anew", async (context) => {
  const { authority, first, renew, revoke } = await line(context);
  const { certificate: sibling } = await authority.issue(requestFor("api"));
  const { certificate: other } = await authority.issue(requestFor("billing"));
  await revoke(first);
  await assert.rejects(renew(sibling), refusal("RENEWAL_REFUSED", /renewals .* are blocked/));
  const { certificate: anew } = await authority.issue(requestFor("api"));
  await renew(await renew(anew));
  await assert.rejects(renew(sibling), refusal("RENEWAL_REFUSED", /renewals .* are blocked/));
  await renew(other);
});

test("S48: revoking only one certificate leaves its line and its identity alone", async (context) => {
  const { first, renew, revoke, living } = await line(context);
  const second = await renew(first);
  const revoked = await revoke(first, { onlyThis: true });
  assert.deepEqual(
    revoked.map(({ fingerprint }) => fingerprint),
    [first.fingerprint],
  );
  assert.deepEqual(await living(), [second.fingerprint]);
  await renew(second);
});

test("revoking again adds what is missing and takes nothing back", async (context) => {
  const { first, renew, revoke } = await line(context);
  const second = await renew(first);
  await revoke(first, { onlyThis: true, reason: "keyCompromise" });
  const again = await revoke(first);
  assert.deepEqual(
    again.map(({ fingerprint }) => fingerprint),
    [second.fingerprint],
  );
  assert.deepEqual(await revoke(first), []);
});

test("S48: revocation reaches across an expired certificate of the line", async (context) => {
  const { clock, first, renew, revoke, living } = await line(context);
  const second = await renew(first, { validitySeconds: 3_600 });
  const third = await renew(second, { validitySeconds: 86_400 });
  clock.now = new Date(clock.now.getTime() + 2 * 3_600_000);
  const revoked = await revoke(first);
  assert.deepEqual(
    revoked.map(({ fingerprint }) => fingerprint),
    [first.fingerprint, third.fingerprint],
  );
  assert.deepEqual(await living(), []);
});

test("S48: a certificate is renewed once: the same key gets the same again, another key nothing", async (context) => {
  const { authority, first, renew } = await line(context);
  const { publicKey } = generateKeyPair();
  const second = await renew(first, { publicKey });
  const repeated = await renew(first, { publicKey });
  assert.equal(repeated.fingerprint, second.fingerprint);
  await assert.rejects(renew(first), refusal("RENEWAL_REPEATED", /with another key/));
  assert.equal((await authority.find({ parent: first.fingerprint })).length, 1);
});

test("S48: of many renewals of one certificate at once, one key wins", async (context) => {
  const { authority, first, renew } = await line(context);
  const [one, two] = [generateKeyPair(), generateKeyPair()];
  const outcomes = await Promise.allSettled(
    Array.from({ length: 40 }, (_, index) =>
      renew(first, { publicKey: (index % 2 === 0 ? one : two).publicKey }),
    ),
  );
  const given = outcomes.flatMap((outcome) =>
    outcome.status === "fulfilled" ? [outcome.value.fingerprint] : [],
  );
  assert.equal(given.length, 20);
  assert.equal(new Set(given).size, 1);
  assert.equal((await authority.find({ parent: first.fingerprint })).length, 1);
});

test("an expired, an unknown and a CA certificate are not renewed", async (context) => {
  const { authority, clock, first, renew } = await line(context);
  const [root] = await authority.roots();
  assert.ok(root !== undefined);
  await assert.rejects(renew(root), refusal("PROFILE_UNKNOWN", /"root"/));
  clock.now = new Date(first.notAfter.getTime() + 1_000);
  await assert.rejects(renew(first), refusal("RENEWAL_REFUSED", /expired at/));
  const { first: stranger } = await line(context);
  await assert.rejects(renew(stranger), refusal("CERTIFICATE_NOT_FOUND", /not in the inventory/));
});

test("S48: revocation racing renewal, a thousand times: no living certificate of a revoked parent", async (context) => {
  const { authority, store } = await temporaryAuthority(context);
  let renewed = 0;
  for (let round = 0; round < 20; round++) {
    const parents = await Promise.all(
      Array.from({ length: 50 }, (_, index) => authority.issue(requestFor(`s${round}-${index}`))),
    );
    const races = parents.flatMap(({ certificate: { fingerprint: certificate } }, index) => {
      const { publicKey } = generateKeyPair();
      const renewal = async () => {
        await authority.renew({ certificate, publicKey, requester }).then(
          () => renewed++,
          (error: { code?: string }) => assert.equal(error.code, "RENEWAL_REFUSED"),
        );
      };
      const revocation = async () => {
        for (let turn = 0; turn < index; turn++) await Promise.resolve();
        await authority.revoke({ certificate, reason: "superseded", requester });
      };
      return [renewal(), revocation()];
    });
    await Promise.all(races);
  }
  const all = await store.certificates({ limit: 10_000, profile: "peer" });
  const parents = all.filter(({ parent }) => parent === undefined);
  assert.equal(parents.length, 1_000);
  assert.ok(parents.every(({ revocation }) => revocation !== undefined));
  assert.equal(all.length, 1_000 + renewed);
  assert.ok(renewed > 0 && renewed < 1_000, "some won and some lost");
  assert.deepEqual(
    all.filter(({ revocation }) => revocation === undefined),
    [],
  );
});

test("S54: a key that was revoked as compromised is certified no more, a superseded one is", async (context) => {
  const { authority } = await temporaryAuthority(context);
  for (const [reason, allowed] of [
    ["keyCompromise", false],
    ["superseded", true],
  ] as const) {
    const { publicKey } = generateKeyPair();
    const { certificate } = await authority.issue(requestFor("api", { publicKey }));
    await authority.revoke({ certificate: certificate.fingerprint, reason, requester });
    const again = authority.issue(requestFor("api", { publicKey }));
    if (allowed) await again;
    else await assert.rejects(again, refusal("KEY_REFUSED", /compromised/));
  }
});

test("a root is not revoked, and an issuing CA that is signs nothing more", async (context) => {
  const { authority, first, renew, revoke } = await line(context);
  const [root] = await authority.roots();
  const { chain } = await authority.issue(requestFor("x"));
  assert.ok(root !== undefined && chain[1] !== undefined);
  await assert.rejects(revoke(root), refusal("REVOCATION_REFUSED", /is a root/));
  await revoke(chain[1], { reason: "cACompromise" });
  await assert.rejects(
    authority.issue(requestFor("y")),
    refusal("ISSUER_UNAVAILABLE", /no issuing certificate/),
  );
  await assert.rejects(renew(first), refusal("ISSUER_UNAVAILABLE", /no issuing certificate/));
  const [crl] = await authority.publishCrls({ role: "root" });
  assert.ok(crl !== undefined);
  assert.equal(parseCrl(crl.der).lookup(chain[1].serialNumber)?.reason, "cACompromise");
});

test("the status of a record is revoked before it is expired", async (context) => {
  const { authority, clock, first, revoke } = await line(context);
  const record = async () => {
    const [found] = await authority.find({ serialNumber: first.serialNumber });
    assert.ok(found !== undefined);
    return statusOf(found, clock.now);
  };
  assert.equal(await record(), "valid");
  clock.now = new Date(first.notAfter.getTime() + 1_000);
  assert.equal(await record(), "expired");
  await revoke(first);
  assert.equal(await record(), "revoked");
});
