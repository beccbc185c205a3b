import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { test } from "node:test";
import { generateKeyPair } from "@handfast/x509";
import { newExternalKey } from "../src/acme/secrets.ts";
import type { ExternalAccountRequest } from "../src/index.ts";
import { acmeUrl, bind, csrFor, jwkOf, orderFor, signJws, temporaryAcme } from "./support/acme.ts";
import type { Answer, TestAcme, TestClient } from "./support/acme.ts";
import { refusal } from "./support/fixtures.ts";

const newAccount = `${acmeUrl}/new-account`;
const keyChange = `${acmeUrl}/key-change`;
const day = 86_400;

function problem({ status, body }: Answer): string {
  return `${String(body["type"]).replace("urn:ietf:params:acme:error:", "")} ${status}`;
}

function externalAccount(
  { authority }: TestAcme,
  changes: Partial<ExternalAccountRequest> = {},
): ReturnType<TestAcme["authority"]["createExternalAccount"]> {
  const names = ["api.bank.example"];
  return authority.createExternalAccount({ names, requester: "local:test", ...changes });
}

test("S51: an account needs an external account key, which makes one account and no second", async (context) => {
  const server = await temporaryAcme(context);
  const external = await externalAccount(server);
  const without = await server.client().register();
  assert.equal(problem(without), "externalAccountRequired 403");

  const first = server.client();
  const made = await first.register(external);
  assert.equal(made.status, 201);
  assert.match(String(made.headers.location), /^https:\/\/ca\.test\/acme\/account\/[\w-]{22}$/);
  assert.equal(made.body["status"], "valid");
  assert.deepEqual(made.body["contact"], ["mailto:ops@bank.example"]);
  assert.equal(made.body["orders"], `${first.kid}/orders`);

  const second = await server.client().register(external);
  assert.equal(problem(second), "unauthorized 403");
  const [info] = await server.authority.externalAccounts();
  assert.equal(info?.state, "used");
  assert.equal(info.account, first.kid?.split("/").at(-1));
});

test("S51: an external account key raced by many makes exactly one account", async (context) => {
  const server = await temporaryAcme(context, { limits: { accountsPerSourceHour: 100 } });
  const external = await externalAccount(server);
  const answers = await Promise.all(
    Array.from({ length: 20 }, () => server.client().register(external)),
  );
  assert.equal(answers.filter(({ status }) => status === 201).length, 1);
  assert.equal(answers.filter(({ status }) => status === 403).length, 19);
});

test("S51: the inner JWS must be by the MAC key, for this account key, this url and without a nonce", async (context) => {
  const server = await temporaryAcme(context);
  const external = await externalAccount(server);
  const client = server.client();
  const { publicKey } = client.keys;
  const own = { url: newAccount, publicKey };
  const mac = Buffer.from(external.macKey, "base64url");
  const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const withHeader = (header: Record<string, unknown>, digest = "sha256") => {
    const parts = `${encode({ kid: external.keyId, url: newAccount, ...header })}.${encode(jwkOf(publicKey))}`;
    const [protectedHeader, payload] = parts.split(".");
    const signature = createHmac(digest, mac).update(parts).digest("base64url");
    return { protected: protectedHeader, payload, signature };
  };
  const other = generateKeyPair().publicKey;
  const cases: readonly (readonly [unknown, string])[] = [
    [bind({ ...external, macKey: "AAAA" }, own), "unauthorized 403"],
    [bind({ ...external, keyId: "nobody" }, own), "unauthorized 403"],
    [bind({ ...external, keyId: "x".repeat(2_000) }, own), "malformed 400"],
    [bind(external, { ...own, publicKey: other }), "unauthorized 403"],
    [bind(external, { ...own, url: `${acmeUrl}/new-order` }), "unauthorized 403"],
    [bind(external, { ...own, alg: "HS1" }), "malformed 400"],
    [bind(external, { ...own, alg: "none" }), "malformed 400"],
    [withHeader({ alg: "HS256", nonce: "AAAA" }), "malformed 400"],
    [{ ...bind(external, own), signature: "" }, "unauthorized 403"],
    [{ ...bind(external, own), header: {} }, "malformed 400"],
    ["a text", "malformed 400"],
    [null, "malformed 400"],
    [signJws(client.keys.privateKey, { header: own, payload: jwkOf(publicKey) }), "malformed 400"],
  ];
  for (const [externalAccountBinding, expected] of cases) {
    const answer = await client.post(newAccount, { externalAccountBinding });
    assert.equal(problem(answer), expected, JSON.stringify(externalAccountBinding));
  }
  const strong = await client.post(newAccount, {
    externalAccountBinding: withHeader({ alg: "HS512" }, "sha512"),
  });
  assert.equal(strong.status, 201, strong.text);
});

test("an external account key that ended or was withdrawn makes no account", async (context) => {
  const server = await temporaryAcme(context);
  const { authority, clock } = server;
  const ended = await externalAccount(server, { usableSeconds: 60 });
  const withdrawn = await externalAccount(server);
  await authority.withdrawExternalAccount({ keyId: withdrawn.keyId, requester: "local:test" });
  clock.now = new Date(clock.now.getTime() + 60_001);
  for (const external of [ended, withdrawn]) {
    assert.equal(problem(await server.client().register(external)), "unauthorized 403");
  }
  const states = (await authority.externalAccounts()).map(({ state }) => state);
  assert.deepEqual(states, ["withdrawn", "ended"]);
  await assert.rejects(
    authority.withdrawExternalAccount({ keyId: "nobody", requester: "local:test" }),
    refusal("EXTERNAL_ACCOUNT_NOT_FOUND", /nobody/),
  );
});

test("an external account key is for well-formed names and a time that is not endless", async (context) => {
  const server = await temporaryAcme(context);
  for (const names of [
    [],
    [""],
    ["*"],
    ["*.*.example"],
    ["."],
    [".*.example"],
    ["a b"],
    ["api.example:443"],
    ["10.0.0.0/33"],
    ["spiffe://a/b"],
    ["api.example/24"],
  ]) {
    await assert.rejects(externalAccount(server, { names }), refusal("NAME_REFUSED", /name/));
  }
  for (const usableSeconds of [0, -1, 1.5, 366 * day]) {
    const attempt = externalAccount(server, { usableSeconds });
    await assert.rejects(attempt, refusal("VALIDITY_REFUSED", /external account/));
  }
  const given = [
    ".Bank.example",
    "api.bank.example",
    "*.shop.example",
    "10.1.0.0/16",
    "2001:DB8::0/64",
  ];
  const { names } = await externalAccount(server, { names: given });
  assert.deepEqual(names, [
    ".bank.example",
    "api.bank.example",
    "*.shop.example",
    "10.1.0.0/16",
    "2001:db8::/64",
  ]);
});

test("neither half of an external account key can be taken for an option", () => {
  const made: string[] = [];
  const { keyId, macKey } = newExternalKey({
    macKeyOf(id) {
      made.push(id);
      return Uint8Array.of(made.length < 3 ? 0xf8 : 0x00, 1, 2); // 0xf8 begins as "-"
    },
  });
  assert.deepEqual([made.length, keyId, macKey], [3, made[2], "AAEC"]);
});

test("S51: an account has the names of its external account key, and no others", async (context) => {
  const server = await temporaryAcme(context);
  const client = await server.account([
    "api.bank.example",
    "*.shop.example",
    ".lab.example",
    "10.1.0.0/16",
  ]);
  const order = (value: string, type = "dns") =>
    client.post(`${acmeUrl}/new-order`, { identifiers: [{ type, value }] });
  const dns = [
    "api.bank.example",
    "a.shop.example",
    "*.shop.example",
    "a.lab.example",
    "a.b.lab.example",
    "*.b.lab.example",
  ];
  for (const value of dns) assert.equal((await order(value)).status, 201, value);
  assert.equal((await order("10.1.2.3", "ip")).status, 201);
  const refused = [
    "bank.example",
    "x.api.bank.example",
    "*.api.bank.example",
    "shop.example",
    "a.b.shop.example",
    "*.a.shop.example",
    "lab.example",
    "evillab.example",
    "xapi.bank.example",
    "*.example",
  ];
  for (const value of refused) {
    assert.equal(problem(await order(value)), "rejectedIdentifier 400", value);
  }
  assert.equal(problem(await order("10.2.0.1", "ip")), "rejectedIdentifier 400");

  const mixed = await client.post(`${acmeUrl}/new-order`, {
    identifiers: [
      { type: "dns", value: "api.bank.example" },
      { type: "dns", value: "ledger.bank.example" },
    ],
  });
  assert.equal(problem(mixed), "rejectedIdentifier 400");
  const [sub, ...more] = mixed.body["subproblems"] as Record<string, unknown>[];
  assert.deepEqual(sub?.["identifier"], { type: "dns", value: "ledger.bank.example" });
  assert.equal(more.length, 0);
});

test("S51: identifiers that are no names, names that are addresses, and other kinds are refused", async (context) => {
  const server = await temporaryAcme(context);
  const client = await server.account([".example", "0.0.0.0/0", "::/0"]);
  const cases: readonly (readonly [unknown, string])[] = [
    [{ type: "dns", value: "127.0.0.1" }, "malformed 400"],
    [{ type: "dns", value: "::1" }, "malformed 400"],
    [{ type: "dns", value: "[::1]" }, "malformed 400"],
    [{ type: "dns", value: "0x7f.1" }, "malformed 400"],
    [{ type: "dns", value: "2130706433" }, "malformed 400"],
    [{ type: "dns", value: "api.example." }, "malformed 400"],
    [{ type: "dns", value: "api..example" }, "malformed 400"],
    [{ type: "dns", value: "api_.example" }, "malformed 400"],
    [{ type: "dns", value: "a.*.example" }, "malformed 400"],
    [{ type: "dns", value: "*" }, "malformed 400"],
    [{ type: "dns", value: "*.*.example" }, "malformed 400"],
    [{ type: "dns", value: "bücher.example" }, "malformed 400"],
    [{ type: "dns", value: `${"a".repeat(64)}.example` }, "malformed 400"],
    [{ type: "dns", value: "api.example\u0000.evil" }, "malformed 400"],
    [{ type: "ip", value: "api.example" }, "malformed 400"],
    [{ type: "ip", value: "127.1" }, "malformed 400"],
    [{ type: "ip", value: "fe80::1%eth0" }, "malformed 400"],
    [{ type: "uri", value: "spiffe://handfast.internal/api" }, "unsupportedIdentifier 400"],
    [{ type: "email", value: "a@b.example" }, "unsupportedIdentifier 400"],
    [{ type: "dns" }, "malformed 400"],
    [null, "malformed 400"],
    ["api.example", "malformed 400"],
  ];
  for (const [identifier, expected] of cases) {
    const answer = await client.post(`${acmeUrl}/new-order`, { identifiers: [identifier] });
    assert.equal(problem(answer), expected, JSON.stringify(identifier));
  }
  for (const identifiers of [undefined, [], {}, "x", Array.from({ length: 101 }, () => ({}))]) {
    const answer = await client.post(`${acmeUrl}/new-order`, { identifiers });
    assert.equal(problem(answer), "malformed 400");
  }
});

test("S51: an external account that is withdrawn gets nothing more, not even what was validated", async (context) => {
  const server = await temporaryAcme(context);
  const external = await externalAccount(server);
  const client = server.client();
  await client.register(external);
  const { finalize } = await readyOrder(server, client);
  await server.authority.withdrawExternalAccount({
    keyId: external.keyId,
    requester: "local:test",
  });
  const csr = csrFor({ dns: ["api.bank.example"] });
  assert.equal(problem(await client.post(finalize, { csr })), "unauthorized 403");
  const identifiers = [{ type: "dns", value: "api.bank.example" }];
  const again = await client.post(`${acmeUrl}/new-order`, { identifiers });
  assert.equal(problem(again), "unauthorized 403");
  assert.equal((await server.authority.find({ profile: "acme" })).length, 0);
});

test("the same key finds its account again, and only one that is there if that is asked", async (context) => {
  const server = await temporaryAcme(context);
  const client = await server.account(["api.bank.example"]);
  const { kid } = client;
  client.kid = undefined;
  const again = await client.post(newAccount, {});
  assert.deepEqual([again.status, again.headers.location], [200, kid]);
  const only = await client.post(newAccount, { onlyReturnExisting: true });
  assert.deepEqual([only.status, only.headers.location], [200, kid]);
  const stranger = await server.client().post(newAccount, { onlyReturnExisting: true });
  assert.equal(problem(stranger), "accountDoesNotExist 400");
});

test("an account changes its contacts, which are mailto URLs", async (context) => {
  const server = await temporaryAcme(context);
  const client = await server.account(["api.bank.example"]);
  const url = String(client.kid);
  const contact = ["mailto:a@bank.example", "mailto:b@bank.example"];
  assert.deepEqual((await client.post(url, { contact })).body["contact"], contact);
  assert.deepEqual((await client.post(url, "")).body["contact"], contact);
  for (const [wrong, expected] of [
    [["tel:+1"], "unsupportedContact 400"],
    [["mailto:a@b.example,c@d.example"], "invalidContact 400"],
    [["mailto:a@b.example?subject=x"], "invalidContact 400"],
    [["mailto:a@b.example\r\nX: y"], "invalidContact 400"],
    [["a@b.example"], "invalidContact 400"],
    [[7], "invalidContact 400"],
    ["mailto:a@b.example", "malformed 400"],
    [Array.from({ length: 11 }, () => "mailto:a@b.example"), "malformed 400"],
  ] as const) {
    assert.equal(problem(await client.post(url, { contact: wrong })), expected);
  }
  assert.equal(problem(await client.post(url, { status: "valid" })), "malformed 400");
  assert.deepEqual((await client.post(url, "")).body["contact"], contact);
});

test("a deactivated account does nothing more, and its key makes no other", async (context) => {
  const server = await temporaryAcme(context);
  const client = await server.account(["api.bank.example"]);
  const url = String(client.kid);
  assert.equal((await client.post(url, { status: "deactivated" })).body["status"], "deactivated");
  assert.equal(problem(await client.post(url, "")), "unauthorized 401");
  const identifiers = [{ type: "dns", value: "api.bank.example" }];
  assert.equal(
    problem(await client.post(`${acmeUrl}/new-order`, { identifiers })),
    "unauthorized 401",
  );
  client.kid = undefined;
  assert.equal(problem(await client.post(newAccount, {})), "unauthorized 401");
});

test("one account sees nothing of another's, and cannot tell what is there", async (context) => {
  const server = await temporaryAcme(context);
  const alice = await server.account(["api.bank.example"]);
  const mallory = await server.account(["api.bank.example"]);
  const identifiers = [{ type: "dns", value: "api.bank.example" }];
  const { order, finalize, authorizations, challenges } = await orderFor(
    alice,
    identifiers,
    "http-01",
  );
  const ids = [order, finalize, authorizations[0] ?? "", challenges[0] ?? ""];
  for (const url of ids) {
    const absent = url.replace(
      /(order|authorization|challenge)\/[\w-]{22}/,
      "$1/AAAAAAAAAAAAAAAAAAAAAA",
    );
    const [there, notThere] = [await mallory.post(url, ""), await mallory.post(absent, "")];
    assert.equal(problem(there), "malformed 404");
    assert.equal(there.body["detail"], notThere.body["detail"]);
  }
  assert.equal(problem(await mallory.post(String(alice.kid), "")), "unauthorized 403");
  assert.equal(problem(await mallory.post(`${alice.kid}/orders`, "")), "unauthorized 403");
});

test("a key change needs both keys, and afterwards the new key alone counts", async (context) => {
  const server = await temporaryAcme(context);
  const client = await server.account(["api.bank.example"]);
  const other = await server.account(["api.bank.example"]);
  const next = generateKeyPair("ed25519");
  const inner = (
    changes: Record<string, unknown> = {},
    header: Record<string, unknown> = {},
    keys = next,
  ) =>
    signJws(keys.privateKey, {
      header: { jwk: jwkOf(keys.publicKey), url: keyChange, ...header },
      payload: { account: client.kid, oldKey: jwkOf(client.keys.publicKey), ...changes },
    });
  const { keys: present } = client;
  const cases: readonly (readonly [unknown, string])[] = [
    [inner({ account: other.kid }), "malformed 400"],
    [inner({ oldKey: jwkOf(other.keys.publicKey) }), "malformed 400"],
    [inner({ oldKey: undefined }), "malformed 400"],
    [inner({}, { url: newAccount }), "malformed 400"],
    [inner({}, { nonce: "AAAA" }), "malformed 400"],
    [inner({}, { jwk: jwkOf(other.keys.publicKey) }), "malformed 400"],
    [inner({}, { jwk: undefined, kid: client.kid }), "malformed 400"],
    [inner({}, {}, other.keys), "malformed 409"],
    [inner({}, {}, present), "malformed 409"],
    [{}, "malformed 400"],
  ];
  for (const [payload, expected] of cases) {
    assert.equal(problem(await client.post(keyChange, payload)), expected, JSON.stringify(payload));
  }
  const changed = await client.post(keyChange, inner());
  assert.equal(changed.status, 200, changed.text);
  assert.equal(problem(await client.post(String(client.kid), "")), "malformed 400");
  client.keys = next;
  assert.equal((await client.post(String(client.kid), "")).status, 200);
});

test("S51: the key of an account is no key of a certificate, whichever came first", async (context) => {
  const server = await temporaryAcme(context);
  const client = await server.account(["api.bank.example"]);
  const other = await server.account(["api.bank.example"]);
  const { finalize } = await readyOrder(server, client);
  const dns = ["api.bank.example"];
  for (const { keys } of [client, other]) {
    const refused = await client.post(finalize, { csr: csrFor({ dns }, { keys }) });
    assert.equal(problem(refused), "badCSR 400");
  }
  const keys = generateKeyPair();
  const done = await client.post(finalize, { csr: csrFor({ dns }, { keys }) });
  assert.equal(done.status, 200, done.text);

  const late = server.client();
  late.keys = keys;
  const external = await externalAccount(server);
  assert.equal(problem(await late.register(external)), "badPublicKey 400");
  const payload = signJws(keys.privateKey, {
    header: { jwk: jwkOf(keys.publicKey), url: keyChange },
    payload: { account: client.kid, oldKey: jwkOf(client.keys.publicKey) },
  });
  assert.equal(problem(await client.post(keyChange, payload)), "badPublicKey 400");
  late.keys = generateKeyPair();
  assert.equal((await late.register(external)).status, 201);
});

test("accounts without an external account key are possible where their names are given", async (context) => {
  const server = await temporaryAcme(context, { openNames: [".lab.example"] });
  const client = server.client();
  assert.equal((await client.register()).status, 201);
  const order = (value: string) =>
    client.post(`${acmeUrl}/new-order`, { identifiers: [{ type: "dns", value }] });
  assert.equal((await order("a.lab.example")).status, 201);
  assert.equal(problem(await order("api.bank.example")), "rejectedIdentifier 400");
  const { body } = await client.get(`${acmeUrl}/directory`);
  assert.deepEqual(body["meta"], { externalAccountRequired: false });
});

test("S51: accounts of one source, orders of one account and what is pending are limited", async (context) => {
  const server = await temporaryAcme(context, {
    limits: { accountsPerSourceHour: 2, ordersPerAccountHour: 4, pendingOrdersPerAccount: 3 },
  });
  const client = await server.account([".bank.example"]);
  await server.account([".bank.example"]);
  const third = await server.client().register(await externalAccount(server));
  assert.equal(problem(third), "rateLimited 429");
  const order = () =>
    client.post(`${acmeUrl}/new-order`, {
      identifiers: [{ type: "dns", value: "a.bank.example" }],
    });
  for (let count = 0; count < 3; count++) assert.equal((await order()).status, 201);
  const pending = await order();
  assert.equal(problem(pending), "rateLimited 429");
  assert.match(String(pending.body["detail"]), /3 orders that are not done/);
  const hourly = await order();
  assert.equal(problem(hourly), "rateLimited 429");
  assert.equal(hourly.headers["retry-after"], "900");
});

test("accounts that are made, change their key or end are recorded, and refusals once a second", async (context) => {
  const recorded: Record<string, unknown>[] = [];
  let full = false;
  const audit = {
    async append(_kind: string, fields: Record<string, unknown>) {
      if (full) throw new Error("the disk is full");
      recorded.push(fields);
      return { chain: "test", seq: recorded.length };
    },
  };
  const server = await temporaryAcme(context, { audit });
  const external = await externalAccount(server);
  const client = server.client();
  await client.register(external);
  const next = generateKeyPair();
  const payload = signJws(next.privateKey, {
    header: { jwk: jwkOf(next.publicKey), url: keyChange },
    payload: { account: client.kid, oldKey: jwkOf(client.keys.publicKey) },
  });
  await client.post(keyChange, payload);
  client.keys = next;
  const refused = { identifiers: [{ type: "dns", value: "other.example" }] };
  for (let count = 0; count < 3; count++) await client.post(`${acmeUrl}/new-order`, refused);
  await client.post(`${acmeUrl}/new-order`, {}); // a mistake, and no decision
  server.clock.now = new Date(server.clock.now.getTime() + 1_000);
  await client.post(`${acmeUrl}/new-order`, refused);
  await client.post(String(client.kid), { status: "deactivated" });
  assert.deepEqual(
    recorded.map(({ action, outcome, code }) => [action, outcome, code]),
    [
      ["acme-create-account", "done", undefined],
      ["acme-change-key", "done", undefined],
      ["acme", "refused", "ACME_rejectedIdentifier"],
      ["acme", "refused", "ACME_rejectedIdentifier"],
      ["acme-deactivate-account", "done", undefined],
    ],
  );
  assert.equal(recorded[0]?.["externalAccount"], external.keyId);

  full = true;
  const other = await server.client().register(await externalAccount(server));
  assert.equal(problem(other), "serverInternal 500");
  assert.equal(other.headers.location, undefined);
});

/** An order that waits to be finalized, its control shown by DNS. */
async function readyOrder(
  server: TestAcme,
  client: TestClient,
): Promise<{ order: string; finalize: string }> {
  const identifiers = [{ type: "dns", value: "api.bank.example" }];
  return server.ready(client, identifiers);
}
