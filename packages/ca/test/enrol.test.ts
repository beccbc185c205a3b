import assert from "node:assert/strict";
import { test } from "node:test";
import { createName, createRequest, generateKeyPair } from "@handfast/x509";
import type { KeyPair } from "@handfast/x509";
import { createAuthority, openSqliteStore, parseServiceName, serviceNames } from "../src/index.ts";
import type { TokenRequest } from "../src/index.ts";
import { refusal, temporaryAuthority } from "./support/fixtures.ts";

const audience = "https://ca.bank.example:8443";

/** What the operator asks a token for. */
function tokenFor(name: string, changes: Partial<TokenRequest> = {}): TokenRequest {
  return {
    audience,
    subject: { commonName: name },
    names: serviceNames(parseServiceName(name), { trustDomain: "handfast.internal" }),
    requester: "local:operator",
    ...changes,
  };
}

/** What whoever enrols sends with it. */
function requestOf(keys: KeyPair = generateKeyPair(), dns: readonly string[] = []): Uint8Array {
  const subject = createName([{ type: "CN", value: "whatever it likes" }]);
  return createRequest({ subject, privateKey: keys.privateKey, subjectAltNames: { dns } });
}

test("S52: a token gives one certificate, of the names and the profile that it says", async (context) => {
  const { authority } = await temporaryAuthority(context);
  const token = await authority.createToken(tokenFor("billing", { profile: "client" }));
  const { certificate } = await authority.enrol({ token, audience, request: requestOf() });
  assert.equal(certificate.subject.text, "CN=billing");
  assert.deepEqual(certificate.subjectAltNames.uri, ["spiffe://handfast.internal/billing"]);
  assert.deepEqual(certificate.extendedKeyUsage, ["clientAuth"]);
  const [record] = await authority.find({ name: "billing" });
  assert.match(record?.requester ?? "", /^token:[0-9a-f]{32}$/);
});

test("S52: a lost answer repeats for the same key; another key is refused, and the first is named", async (context) => {
  const { authority, clock } = await temporaryAuthority(context);
  const token = await authority.createToken(tokenFor("billing"));
  const keys = generateKeyPair();
  const first = await authority.enrol({ token, audience, request: requestOf(keys) });
  clock.now = new Date(clock.now.getTime() + 5_000);
  const again = await authority.enrol({ token, audience, request: requestOf(keys) });
  assert.equal(again.certificate.fingerprint, first.certificate.fingerprint);
  await assert.rejects(
    authority.enrol({ token, audience, request: requestOf() }),
    refusal("TOKEN_SPENT", new RegExp(first.certificate.serialNumber)),
  );
  assert.equal((await authority.find({ name: "billing" })).length, 1);
});

test("S52: a token raced by a hundred clients on two instances gives exactly one certificate ever", async (context) => {
  const { authority, keys, path, clock } = await temporaryAuthority(context);
  const second = await createAuthority({
    store: openSqliteStore({ path, missing: "fail" }),
    keys,
    clock: () => clock.now,
  });
  context.after(() => second.close());
  const token = await authority.createToken(tokenFor("billing"));
  const outcomes = await Promise.allSettled(
    Array.from({ length: 100 }, (_, index) =>
      (index % 2 === 0 ? authority : second).enrol({ token, audience, request: requestOf() }),
    ),
  );
  const refused = outcomes.filter((outcome) => outcome.status === "rejected");
  assert.equal(refused.length, 99);
  for (const { reason } of refused) assert.ok(refusal("TOKEN_SPENT", /was spent at/)(reason));
  assert.equal((await authority.find({ name: "billing" })).length, 1);
});

test("S52: a request that is refused does not spend the token", async (context) => {
  const { authority } = await temporaryAuthority(context);
  const token = await authority.createToken(tokenFor("billing"));
  const broken = requestOf();
  broken.set([(broken.at(-1) ?? 0) ^ 1], broken.length - 1);
  await assert.rejects(
    authority.enrol({ token, audience, request: broken }),
    refusal("REQUEST_SIGNATURE_INVALID", /not signed by/),
  );
  await assert.rejects(authority.enrol({ token, audience, request: new Uint8Array([1, 2, 3]) }));
  const taken = generateKeyPair();
  await authority.issue({ ...tokenFor("api"), publicKey: taken.publicKey });
  await assert.rejects(
    authority.enrol({ token, audience, request: requestOf(taken) }),
    refusal("KEY_REFUSED", /another identity/),
  );
  await authority.enrol({ token, audience, request: requestOf() });
});

test("S52: a token is not stretched to another name or key", async (context) => {
  const { authority } = await temporaryAuthority(context);
  const { publicKey } = generateKeyPair();
  const token = await authority.createToken(tokenFor("billing"));
  await assert.rejects(
    authority.enrol({ token, audience, request: requestOf(undefined, ["billing", "api"]) }),
    refusal("TOKEN_REFUSED", /does not allow the dns name "api"/),
  );
  const bound = await authority.createToken(tokenFor("billing", { publicKey }));
  await assert.rejects(
    authority.enrol({ token: bound, audience, request: requestOf() }),
    refusal("TOKEN_REFUSED", /another key/),
  );
  assert.deepEqual(await authority.find({ name: "billing" }), []);
});

test("S52: a token of another authority, for another address, early, late or changed is refused", async (context) => {
  const { authority, clock } = await temporaryAuthority(context);
  const other = await temporaryAuthority(context);
  const minted = clock.now.getTime();
  const token = await authority.createToken(tokenFor("billing"));
  const foreign = await other.authority.createToken(tokenFor("billing"));
  const [header = "", payload = "", signature = ""] = token.split(".");
  const none = Buffer.from('{"alg":"none"}').toString("base64url");
  const claims = Buffer.from(payload, "base64url").toString().replace("billing", "admin");
  const changed = `${header}.${Buffer.from(claims).toString("base64url")}.${signature}`;
  const request = requestOf();
  const enrol = (shown: string, at = audience) =>
    authority.enrol({ token: shown, audience: at, request });
  for (const [shown, message] of [
    [foreign, /was not signed by this authority/],
    [changed, /was not signed by this authority/],
    [`${header}.${payload}.`, /was not signed by this authority/],
    [`${token}=`, /was not signed by this authority/],
    [`${none}.${payload}.`, /is not a token/],
    [`${token}.x`, /is not a token/],
    ["", /is not a token/],
    ["x".repeat(100_000), /is not a token/],
  ] as const) {
    await assert.rejects(enrol(shown), refusal("TOKEN_REFUSED", message));
  }
  await assert.rejects(
    enrol(token, "https://elsewhere.example"),
    refusal("TOKEN_REFUSED", /another authority's address/),
  );
  clock.now = new Date(minted + 300_000 + 60_001);
  await assert.rejects(enrol(token), refusal("TOKEN_REFUSED", /expired at 2026/));
  clock.now = new Date(minted - 60_001);
  await assert.rejects(enrol(token), refusal("TOKEN_REFUSED", /not valid before 2026/));
  clock.now = new Date(minted + 300_000 + 60_000);
  await enrol(token);
});

test("S52: no message tells anything of a token", async (context) => {
  const { authority, clock } = await temporaryAuthority(context);
  const token = await authority.createToken(tokenFor("billing"));
  clock.now = new Date(clock.now.getTime() + 86_400_000);
  const parts = token.split(".").slice(1);
  await assert.rejects(authority.enrol({ token, audience, request: requestOf() }), (error: Error) =>
    parts.every((part) => !error.message.includes(part)),
  );
});

test("a token that allows what would not be issued is not made", async (context) => {
  const { authority } = await temporaryAuthority(context);
  const spiffeId = "spiffe://other.example/x";
  const names = { dns: [], ip: [], email: [], uri: [spiffeId] };
  for (const [changes, code] of [
    [{ names }, "NAME_REFUSED"],
    [{ profile: "root" }, "PROFILE_UNKNOWN"],
    [{ validitySeconds: 10 ** 9 }, "VALIDITY_REFUSED"],
    [{ tokenSeconds: 0 }, "VALIDITY_REFUSED"],
    [{ tokenSeconds: 86_401 }, "VALIDITY_REFUSED"],
  ] as const) {
    await assert.rejects(authority.createToken(tokenFor("x", changes)), refusal(code, /./));
  }
});

test("S48: an enrolment with a new token may be renewed where the identity was blocked", async (context) => {
  const { authority } = await temporaryAuthority(context);
  const enrol = async () => {
    const token = await authority.createToken(tokenFor("billing"));
    return (await authority.enrol({ token, audience, request: requestOf() })).certificate;
  };
  const renew = (certificate: Awaited<ReturnType<typeof enrol>>) =>
    authority.renew({
      certificate: certificate.fingerprint,
      publicKey: generateKeyPair().publicKey,
      requester: "spiffe://handfast.internal/billing",
    });
  const [first, sibling] = [await enrol(), await enrol()];
  const { fingerprint } = first;
  await authority.revoke({ certificate: fingerprint, reason: "keyCompromise", requester: "x" });
  await assert.rejects(renew(sibling), refusal("RENEWAL_REFUSED", /blocked/));
  await renew(await enrol());
});
