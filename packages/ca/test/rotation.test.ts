import assert from "node:assert/strict";
import { createPublicKey } from "node:crypto";
import { test } from "node:test";
import type { TestContext } from "node:test";
import {
  certificatesToPem,
  createIssuer,
  createName,
  generateKeyPair,
  issueCertificate,
  parseCertificate,
  parseCrl,
  verifyChain,
} from "@handfast/x509";
import type { Certificate, Issuer } from "@handfast/x509";
import { issuerName } from "../src/ca-contents.ts";
import { CaError, createAuthority } from "../src/index.ts";
import type { Authority, IssuedCertificate, Store } from "../src/index.ts";
import { refusal, requestFor, temporaryAuthority } from "./support/fixtures.ts";
import { admitted, call } from "./support/peers.ts";
import type { Peer } from "./support/peers.ts";

const requester = "local:test";
const day = 86_400_000;

/** Signs the lists of all keys that are not retired, and gives the newest of each. */
async function lists(authority: Authority): Promise<Uint8Array[]> {
  const both = await Promise.all([
    authority.publishCrls({ role: "root" }),
    authority.publishCrls({ role: "issuing" }),
  ]);
  return both.flat().map(({ der }) => der);
}

async function prepared(authority: Authority, what: "root" | "issuing" = "root") {
  const rotation = await authority.prepareRotation({ what, requester });
  await lists(authority);
  return rotation;
}

/** Prepares, takes into use, and retires with whatever is left alive. */
async function rotate(authority: Authority) {
  const rotation = await prepared(authority);
  await authority.activateRotation({ requester, spreadSeconds: 0 });
  await authority.retireRotation({ requester, endLiving: true });
  return rotation;
}

/** An authority whose certificates are valid in the tests' own time. */
function livingAuthority(context: TestContext) {
  return temporaryAuthority(context, { start: new Date() });
}

/** A peer and its next certificates. */
async function enrolled(authority: Authority, name: string) {
  const keys = generateKeyPair();
  let current = {
    issued: await authority.issue(requestFor(name, { publicKey: keys.publicKey })),
    ...keys,
  };
  return {
    show: (): Pick<Peer, "chainPem" | "privateKey"> => ({
      chainPem: current.issued.chainPem,
      privateKey: current.privateKey,
    }),
    get issued(): IssuedCertificate {
      return current.issued;
    },
    async renew(): Promise<void> {
      const next = generateKeyPair();
      const certificate = current.issued.certificate.fingerprint;
      const issued = await authority.renew({ certificate, publicKey: next.publicKey, requester });
      current = { issued, ...next };
    },
  };
}

async function everyCrossCertificate(store: Store): Promise<Certificate[]> {
  const all = await store.certificates({ profile: "issuing" });
  return all.map(({ der }) => parseCertificate(der));
}

test("S50: through a whole rotation no call between peers that read the bundle fails, nor with the bundle of one step before", async (context) => {
  const { authority } = await livingAuthority(context);
  const bank = await enrolled(authority, "bank.test");
  const alice = await enrolled(authority, "alice");
  const veteran = { shown: bank.show(), client: alice.show() };
  let before = await authority.roots();
  let crls = await lists(authority);
  const step = async (name: string): Promise<void> => {
    const now = await authority.roots();
    for (const [client, server] of [
      [now, now],
      [now, before],
      [before, now],
    ] as const) {
      for (const shown of [bank.show(), ...(name === "retired" ? [] : [veteran.shown])]) {
        for (const own of [alice.show(), ...(name === "retired" ? [] : [veteran.client])]) {
          const verdict = await call(
            { ...own, roots: client, crls },
            { ...shown, roots: server, crls },
          );
          assert.deepEqual(verdict, admitted, name);
        }
      }
    }
    before = now;
  };
  await step("before");
  await authority.prepareRotation({ what: "root", requester });
  crls = await lists(authority);
  await step("prepared");
  await authority.activateRotation({ requester, spreadSeconds: 0 });
  crls = await lists(authority);
  await step("active, nothing renewed");
  await Promise.all([bank.renew(), alice.renew()]);
  await step("active and renewed");
  const retired = await authority.retireRotation({ requester });
  crls = [...retired.crls.map(({ der }) => der), ...(await lists(authority))];
  assert.ok(bank.issued.chain.length === 3, "its chain still shows the cross-certificate");
  await step("retired");
  await Promise.all([bank.renew(), alice.renew()]);
  assert.equal(bank.issued.chain.length, 2);
  await step("retired");
});

test("S50: with the old bundle alone a path leads to what the new keys issue, until that is revoked", async (context) => {
  const { authority } = await livingAuthority(context);
  const anchors = await authority.roots();
  await prepared(authority);
  await authority.activateRotation({ requester, spreadSeconds: 0 });
  const { issued } = await enrolled(authority, "bank.test");
  const [leaf, ...candidates] = issued.chain;
  assert.ok(leaf !== undefined);
  const verdict = verifyChain(
    { leaf, candidates },
    { anchors, now: new Date(), purpose: "server" },
  );
  assert.ok(verdict.ok);
  assert.deepEqual(
    verdict.path.map(({ issuer }) => issuer.text.match(/(root|issuing) \d/)?.[0]),
    ["issuing 2", "root 1", "root 1"],
  );
  const { crls } = await authority.retireRotation({ requester });
  const [cross] = verdict.path.slice(1);
  assert.ok(crls[0] !== undefined && cross !== undefined);
  assert.equal(parseCrl(crls[0].der).lookup(cross.serialNumber)?.reason, "superseded");
});

test("S50: after retire a peer that presents every cross-certificate ever made is refused", async (context) => {
  const { authority, keys, store } = await livingAuthority(context);
  const oldRoots = await authority.roots();
  const mallory = await enrolled(authority, "mallory");
  const malloryKey = generateKeyPair();
  // What whoever took the old root's key can make, before and after.
  const stolen = createIssuer(oldRoots[0] as Certificate, await keys.load("root-1"));
  const validity = {
    notBefore: new Date(Date.now() - 60_000),
    notAfter: new Date(Date.now() + day),
  };
  const forgedIssuer = issueCertificate({
    profile: "issuing",
    subject: createName([
      { type: "CN", value: "handfast.internal issuing 2" },
      { type: "O", value: "Handfast" },
    ]),
    subjectAltNames: { uri: ["spiffe://handfast.internal"] },
    publicKey: malloryKey.publicKey,
    issuer: stolen,
    ...validity,
  });
  const forge = (issuer: Issuer) =>
    issueCertificate({
      profile: "peer",
      subject: createName([{ type: "CN", value: "mallory" }]),
      subjectAltNames: { uri: ["spiffe://handfast.internal/mallory"] },
      publicKey: malloryKey.publicKey,
      issuer,
      ...validity,
    });
  const forged = forge(createIssuer(forgedIssuer, malloryKey.privateKey));
  const forgedByRoot = forge(stolen);
  for (let generation = 2; generation <= 3; generation++) {
    await rotate(authority);
    const bank = await enrolled(authority, "bank.test");
    const roots = await authority.roots();
    assert.deepEqual(
      roots.map(({ subject }) => subject.text.match(/root \d/)?.[0]),
      [`root ${generation}`],
    );
    const crosses = await everyCrossCertificate(store);
    assert.equal(crosses.length, 1 + 2 * (generation - 1));
    const presented = [...crosses, forgedIssuer, ...oldRoots];
    const attempts: Peer[] = [
      {
        chainPem: certificatesToPem([mallory.issued.certificate, ...presented]),
        privateKey: mallory.show().privateKey,
        roots,
      },
      {
        chainPem: certificatesToPem([forgedByRoot, ...presented]),
        privateKey: malloryKey.privateKey,
        roots,
      },
      {
        chainPem: certificatesToPem([forged, forgedIssuer, ...crosses, ...oldRoots]),
        privateKey: malloryKey.privateKey,
        roots,
      },
    ];
    for (const attempt of attempts) {
      // No list is asked: that the trust is gone is enough.
      const verdict = await call(attempt, { ...bank.show(), roots });
      assert.equal(verdict.client, "CERTIFICATE_AUTHORITY_INVALID");
      const mirrored = await call({ ...bank.show(), roots }, attempt);
      assert.equal(mirrored.server, "CERTIFICATE_AUTHORITY_INVALID");
    }
  }
});

test("S50: each generation has its own subjects, and the new root certifies nothing of the old one", async (context) => {
  const { authority, store } = await temporaryAuthority(context);
  await rotate(authority);
  const { root, issuing, cross } = await prepared(authority);
  assert.ok(root !== undefined && cross !== undefined);
  const authorities = [
    ...(await store.certificates({ profile: "root" })),
    ...(await store.certificates({ profile: "issuing" })),
  ];
  const subjects = new Map(authorities.map(({ publicKey, subject }) => [publicKey, subject]));
  assert.equal(new Set(subjects.values()).size, 6, "six keys, six subjects");
  const [root2] = (
    await store.certificates({ issuer: issuerName("root", 2), profile: "root" })
  ).map(({ der }) => parseCertificate(der));
  const certified = await store.certificates({ issuer: issuerName("root", 3) });
  assert.deepEqual(
    certified.map(({ fingerprint }) => fingerprint).sort(),
    [root.fingerprint, issuing.fingerprint].sort(),
  );
  assert.deepEqual(cross.issuer.der, root2?.subject.der);
  assert.deepEqual(cross.subjectPublicKeyInfo, issuing.subjectPublicKeyInfo);
  assert.deepEqual(cross.nameConstraints, issuing.nameConstraints);
});

test("S50: cross-certificates end with the overlap, and are revoked at retirement though not their key", async (context) => {
  const { authority, clock, store } = await temporaryAuthority(context);
  const overlapSeconds = 30 * 86_400;
  const { cross, issuing } = await authority.prepareRotation({
    what: "root",
    overlapSeconds,
    requester,
  });
  assert.ok(cross !== undefined);
  assert.equal(cross.notAfter.getTime(), clock.now.getTime() + overlapSeconds * 1_000);
  await lists(authority);
  await authority.activateRotation({ requester, spreadSeconds: 0 });
  const short = await authority.issue(requestFor("a", { validitySeconds: 29 * 86_400 }));
  const long = await authority.issue(requestFor("b", { validitySeconds: 31 * 86_400 }));
  assert.deepEqual(
    [short.chain.length, long.chain.length],
    [3, 2],
    "no chain ends before its leaf",
  );
  const { revoked, crls } = await authority.retireRotation({ requester });
  assert.deepEqual(
    crls.map(({ issuer, entries }) => [issuer, entries]),
    [["root-1", 2]],
  );
  assert.ok(revoked.some(({ fingerprint }) => fingerprint === cross.fingerprint));
  assert.ok(revoked.every(({ revocation }) => revocation?.reason === "superseded"));
  assert.equal((await store.certificate(issuing.fingerprint))?.revocation, undefined);
  await authority.issue(requestFor("c"));
});

test("S50: the sequence of the bundle grows with each step, also where the clock went back", async (context) => {
  const { authority, clock } = await temporaryAuthority(context);
  const sequences = [(await authority.bundle()).sequence];
  clock.now = new Date(clock.now.getTime() - 3_600_000);
  await prepared(authority);
  sequences.push((await authority.bundle()).sequence);
  await authority.activateRotation({ requester, spreadSeconds: 0 });
  clock.now = new Date(clock.now.getTime() + day);
  await authority.retireRotation({ requester });
  const { sequence, roots } = await authority.bundle();
  assert.ok(sequences.every((earlier, index) => earlier < (sequences[index + 1] ?? sequence)));
  assert.equal(sequence, clock.now.getTime());
  assert.equal(roots.length, 1);
});

test("keys are not taken into use before peers had a day to read the bundle, nor without lists", async (context) => {
  const { authority, clock } = await temporaryAuthority(context);
  await assert.rejects(
    authority.activateRotation({ requester }),
    refusal("ROTATION_REFUSED", /none are prepared/),
  );
  await authority.prepareRotation({ what: "root", requester });
  clock.now = new Date(clock.now.getTime() + day);
  await assert.rejects(
    authority.activateRotation({ requester }),
    refusal("ROTATION_REFUSED", /has not signed a revocation list/),
  );
  await lists(authority);
  clock.now = new Date(clock.now.getTime() - 1);
  await assert.rejects(
    authority.activateRotation({ requester }),
    refusal("ROTATION_REFUSED", /root-2 has been in the bundle since/),
  );
  clock.now = new Date(clock.now.getTime() + 1);
  const active = await authority.activateRotation({ requester });
  assert.deepEqual(
    active.map(({ name }) => name),
    ["root-2", "issuing-2"],
  );
});

test("keys are not retired while a certificate of theirs is alive and not renewed", async (context) => {
  const { authority, clock } = await temporaryAuthority(context);
  const bank = await enrolled(authority, "bank.test");
  const { certificate } = await authority.issue(requestFor("other", { validitySeconds: 3_600 }));
  await assert.rejects(
    authority.retireRotation({ requester }),
    refusal("ROTATION_REFUSED", /none are retiring/),
  );
  await prepared(authority);
  await authority.activateRotation({ requester, spreadSeconds: 0 });
  const retire = () => authority.retireRotation({ requester });
  await assert.rejects(
    retire(),
    refusal("ROTATION_REFUSED", /of spiffe:\/\/handfast.internal\/other, issued by issuing-1/),
  );
  clock.now = new Date(certificate.notAfter.getTime() + 1_000);
  await assert.rejects(
    retire(),
    refusal("ROTATION_REFUSED", /spiffe:\/\/handfast.internal\/bank.test/),
  );
  await bank.renew();
  await retire();
  assert.deepEqual(
    (await authority.issuers()).map(({ name, state }) => [name, state]),
    [
      ["root-1", "retired"],
      ["issuing-1", "retired"],
      ["root-2", "active"],
      ["issuing-2", "active"],
    ],
  );
});

test("one rotation at a time; an attempt that died before it was recorded is taken up again", async (context) => {
  const { authority, keys } = await temporaryAuthority(context);
  const left = generateKeyPair().privateKey;
  await keys.save("root-2", left);
  const { root } = await prepared(authority);
  assert.ok(root !== undefined);
  assert.ok(root.publicKey.equals(createPublicKey(left)));
  const again = () => authority.prepareRotation({ what: "root", requester });
  await assert.rejects(again(), refusal("ROTATION_REFUSED", /are prepared already/));
  await authority.activateRotation({ requester, spreadSeconds: 0 });
  await assert.rejects(again(), refusal("ROTATION_REFUSED", /are not retired yet/));
});

test("the old root's key is needed to prepare, and to retire unless it is said to be lost", async (context) => {
  const { authority, keys, store } = await temporaryAuthority(context);
  /** The same authority as a process that starts without the root's key. */
  const without = await createAuthority({
    store,
    keys: {
      ...keys,
      load: (name) =>
        name === "root-1" ? Promise.reject(new CaError("KEY_NOT_FOUND", name)) : keys.load(name),
    },
  });
  await assert.rejects(
    without.prepareRotation({ what: "root", requester }),
    refusal("KEY_NOT_FOUND", /root-1/),
  );
  assert.equal((await authority.issuers()).length, 2);
  await prepared(authority);
  await authority.activateRotation({ requester, spreadSeconds: 0 });
  await assert.rejects(without.retireRotation({ requester }), refusal("KEY_NOT_FOUND", /root-1/));
  assert.equal((await authority.roots()).length, 2);
  const { crls, retired } = await without.retireRotation({ requester, withoutOldRootKey: true });
  assert.deepEqual(crls, []);
  assert.deepEqual(
    retired.map(({ name }) => name),
    ["root-1", "issuing-1"],
  );
});

test("the issuing key alone is followed by another under the same root", async (context) => {
  const { authority, store } = await livingAuthority(context);
  const before = await authority.roots();
  const { root, cross, issuing } = await prepared(authority, "issuing");
  assert.deepEqual([root, cross], [undefined, undefined]);
  await authority.activateRotation({ requester });
  const bank = await enrolled(authority, "bank.test");
  assert.equal(bank.issued.chain[1]?.fingerprint, issuing.fingerprint);
  await authority.retireRotation({ requester });
  assert.deepEqual(await authority.roots(), before);
  const [old] = await store.certificates({
    issuer: "root-1",
    profile: "issuing",
    status: "revoked",
  });
  assert.match(old?.subject ?? "", /issuing 1/);
  const crls = await lists(authority);
  const peer = { ...bank.show(), roots: before, crls };
  assert.deepEqual(await call(peer, peer), admitted);
});
