import assert from "node:assert/strict";
import { test } from "node:test";
import { generateKeyPair, verifyChain } from "@handfast/x509";
import { createAuthority, establishAuthority } from "../src/index.ts";
import type { AlternativeNames } from "../src/index.ts";
import {
  memoryKeys,
  refusal,
  requestFor,
  temporaryAuthority,
  temporaryStore,
} from "./support/fixtures.ts";

const day = 86_400;

test("a root of ten years vouches for an issuing CA, and both carry the trust domain", async (context) => {
  const { authority } = await temporaryAuthority(context);
  const [root] = await authority.roots();
  const { chain } = await authority.issue(requestFor("api"));
  const issuing = chain[1];
  assert.ok(root !== undefined && issuing !== undefined);
  assert.deepEqual(root.basicConstraints, { ca: true, pathLength: 1 });
  assert.deepEqual(issuing.basicConstraints, { ca: true, pathLength: 0 });
  assert.deepEqual(root.subjectAltNames.uri, ["spiffe://handfast.internal"]);
  assert.deepEqual(issuing.subjectAltNames.uri, ["spiffe://handfast.internal"]);
  assert.equal(root.notAfter.toISOString(), "2036-02-27T12:00:00.000Z");
  assert.notEqual(root.subject.text, issuing.subject.text);
});

test("a certificate is a peer of 90 days by default, backdated a minute, and recorded", async (context) => {
  const { authority } = await temporaryAuthority(context);
  const { certificate } = await authority.issue(requestFor("api"));
  assert.deepEqual(certificate.extendedKeyUsage, ["serverAuth", "clientAuth"]);
  assert.equal(certificate.notBefore.toISOString(), "2026-03-01T11:59:00.000Z");
  assert.equal(certificate.notAfter.toISOString(), "2026-05-30T12:00:00.000Z");
  const [record] = await authority.find({ serialNumber: certificate.serialNumber });
  assert.equal(record?.fingerprint, certificate.fingerprint);
  assert.equal(record.identity, "spiffe://handfast.internal/api");
  assert.equal(record.requester, "local:test");
  assert.equal(record.profile, "peer");
  assert.deepEqual(Buffer.from(record.der), Buffer.from(certificate.der));
});

test("peers that trust the root accept what is issued, for its purpose alone", async (context) => {
  const { authority, clock } = await temporaryAuthority(context);
  const anchors = await authority.roots();
  const verdictOn = async (profile: string, purpose: "server" | "client") => {
    const { chain } = await authority.issue(requestFor(`${profile}-${purpose}`, { profile }));
    const [leaf, ...candidates] = chain;
    assert.ok(leaf !== undefined);
    return verifyChain({ leaf, candidates }, { anchors, now: clock.now, purpose });
  };
  assert.equal((await verdictOn("server", "server")).ok, true);
  assert.equal((await verdictOn("client", "client")).ok, true);
  assert.equal((await verdictOn("server", "client")).ok, false);
  assert.equal((await verdictOn("client", "server")).ok, false);
});

test("S53: the root key is never asked for when certificates are issued", async (context) => {
  const { authority, keys } = await temporaryAuthority(context);
  await authority.issue(requestFor("api"));
  await authority.issue(requestFor("billing"));
  assert.deepEqual(keys.loaded, ["issuing-1"]);
});

test("S53: a key that is not the issuer's signs nothing", async (context) => {
  const { authority, keys } = await temporaryAuthority(context);
  keys.replace("issuing-1", generateKeyPair().privateKey);
  await assert.rejects(authority.issue(requestFor("api")), refusal("KEY_MISMATCH", /issuing-1/));
  assert.equal((await authority.find({ name: "api" })).length, 0);
});

test("S54: no leaf outlives its issuer: what was asked for is refused, the default is cut", async (context) => {
  const { authority, clock } = await temporaryAuthority(context);
  clock.now = new Date("2031-02-20T12:00:00Z");
  await assert.rejects(
    authority.issue(requestFor("api", { validitySeconds: 30 * day })),
    refusal("VALIDITY_REFUSED", /after the issuer's own end at 2031-02-28T12:00:00Z/),
  );
  const { certificate } = await authority.issue(requestFor("api"));
  assert.equal(certificate.notAfter.toISOString(), "2031-02-28T12:00:00.000Z");
  clock.now = new Date("2031-03-01T12:00:00Z");
  await assert.rejects(
    authority.issue(requestFor("api")),
    refusal("ISSUER_UNAVAILABLE", /valid at 2031/),
  );
});

test("a validity beyond the profile's, of no seconds, or in fractions is refused", async (context) => {
  const { authority } = await temporaryAuthority(context);
  for (const validitySeconds of [826 * day, 0, -1, 0.5, Number.NaN]) {
    await assert.rejects(
      authority.issue(requestFor("api", { validitySeconds })),
      refusal("VALIDITY_REFUSED", /validity/),
    );
  }
});

test("S54: names that the profile has not, foreign trust domains and a second URI are refused", async (context) => {
  const { authority } = await temporaryAuthority(context);
  const none = { dns: [], ip: [], uri: [], email: [] };
  const spiffe = "spiffe://handfast.internal/x";
  const cases = [
    { names: { ...none, dns: ["api"] }, profile: "svid", why: /kind that profile svid has not/ },
    { names: { ...none, email: ["a@b.example"] }, profile: "peer", why: /kind that profile peer/ },
    {
      names: { ...none, uri: ["spiffe://other.example/x"] },
      why: /not of this authority's trust domain/,
    },
    { names: { ...none, uri: [spiffe, "https://a.example"] }, why: /no identity/ },
    { names: { ...none, dns: ["a*b.example"] }, why: /must be labels/ },
    { names: { ...none, dns: ["a\u0000b"] }, why: /must be labels/ },
  ];
  for (const { names, why, profile = "peer" } of cases) {
    const request = requestFor("x", { names, profile });
    await assert.rejects(authority.issue(request), refusal("NAME_REFUSED", why));
  }
  assert.equal((await authority.find({ text: "x" })).length, 0);
});

test("S54: a subject holds no control characters, stars or slashes", async (context) => {
  const { authority } = await temporaryAuthority(context);
  for (const commonName of ["a/b", "*.example.org"]) {
    await assert.rejects(
      authority.issue(requestFor("x", { subject: { commonName } })),
      refusal("NAME_REFUSED", /must not hold/),
    );
  }
  for (const organization of ["a\u001b]0;b", "a\nb", "\u202eb"]) {
    await assert.rejects(
      authority.issue(requestFor("x", { subject: { organizations: [organization] } })),
      refusal("NAME_INVALID", /control/),
    );
  }
});

test("S54: a public key speaks for one identity", async (context) => {
  const { authority } = await temporaryAuthority(context);
  const { publicKey } = generateKeyPair();
  await authority.issue(requestFor("api", { publicKey }));
  await authority.issue(requestFor("api", { publicKey }));
  await assert.rejects(
    authority.issue(requestFor("billing", { publicKey })),
    refusal("KEY_REFUSED", /another identity/),
  );
});

test("S54: two requests for one key and two identities at once: one gets it", async (context) => {
  const { authority } = await temporaryAuthority(context);
  const { publicKey } = generateKeyPair();
  const outcomes = await Promise.allSettled(
    ["a", "b", "c", "d"].map((name) => authority.issue(requestFor(name, { publicKey }))),
  );
  assert.equal(outcomes.filter(({ status }) => status === "fulfilled").length, 1);
});

test("S54: the authority's own key is certified for nobody else", async (context) => {
  const { authority } = await temporaryAuthority(context);
  const [root] = await authority.roots();
  assert.ok(root !== undefined);
  await assert.rejects(
    authority.issue(requestFor("api", { publicKey: root.subjectPublicKeyInfo })),
    refusal("KEY_REFUSED", /another identity/),
  );
});

test("a profile that is not there is named, also if JavaScript has something of that name", async (context) => {
  const { authority } = await temporaryAuthority(context);
  for (const profile of ["root", "issuing", "toString", "__proto__"]) {
    await assert.rejects(
      authority.issue(requestFor("api", { profile })),
      refusal("PROFILE_UNKNOWN", /there is no profile/),
    );
  }
});

test("S46: the issuing CA is bound to its trust domain and names no e-mail addresses", async (context) => {
  const { authority } = await temporaryAuthority(context);
  const { chain } = await authority.issue(requestFor("api"));
  assert.deepEqual(chain[1]?.nameConstraints, {
    permitted: [
      { type: "uri", value: "handfast.internal" },
      { type: "email", value: "invalid" },
    ],
    excluded: [],
  });
});

test("S46: names outside what the authority may name are never issued", async (context) => {
  const bound = await temporaryAuthority(context, { permitted: { dns: ["bank.example"] } });
  const issue = (names: Partial<AlternativeNames>) =>
    bound.authority.issue(
      requestFor("x", {
        profile: "client",
        names: { dns: [], ip: [], uri: [], email: [], ...names },
      }),
    );
  await issue({ dns: ["api.bank.example"] });
  await issue({ uri: ["spiffe://handfast.internal/any/path"] });
  for (const names of [
    { dns: ["bank.example.evil"] },
    { dns: ["evilbank.example"] },
    { ip: ["10.0.0.1"] },
    { ip: ["::1"] },
    { email: ["a@bank.example"] },
  ]) {
    await assert.rejects(issue(names), refusal("CERTIFICATE_UNUSABLE", /would not verify/));
  }
  const ranged = await temporaryAuthority(context, {
    permitted: { ip: ["10.0.0.0/8"], email: ["bank.example"] },
  });
  const other = (names: Partial<AlternativeNames>) =>
    ranged.authority.issue(
      requestFor("x", {
        profile: "client",
        names: { dns: [], ip: [], uri: [], email: [], ...names },
      }),
    );
  await other({ ip: ["10.1.2.3"] });
  await other({ email: ["a@bank.example"] });
  for (const names of [{ ip: ["11.0.0.1"] }, { ip: ["::1"] }, { dns: ["api"] }]) {
    await assert.rejects(other(names), refusal("CERTIFICATE_UNUSABLE", /would not verify/));
  }
});

test("a second authority does not replace the first", async (context) => {
  const { store } = await temporaryAuthority(context);
  await assert.rejects(
    establishAuthority({
      store,
      keys: memoryKeys(),
      trustDomain: "other.example",
      requester: "local:test",
    }),
    refusal("AUTHORITY_EXISTS", /handfast\.internal/),
  );
});

test("an empty store holds no authority", async (context) => {
  const { store } = temporaryStore(context);
  await assert.rejects(
    createAuthority({ store, keys: memoryKeys() }),
    refusal("AUTHORITY_NOT_FOUND", /no authority/),
  );
});

test("an authority of each key algorithm issues for each", async (context) => {
  for (const keyAlgorithm of ["ecdsa-p384", "ed25519", "rsa-2048", "ml-dsa-44"] as const) {
    const { authority } = await temporaryAuthority(context, { keyAlgorithm });
    const { publicKey } = generateKeyPair(keyAlgorithm);
    const { certificate } = await authority.issue(requestFor("api", { publicKey }));
    assert.equal((await authority.find({ name: "api" }))[0]?.fingerprint, certificate.fingerprint);
  }
});
