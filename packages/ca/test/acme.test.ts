import assert from "node:assert/strict";
import { hash } from "node:crypto";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { generateKeyPair, parseCertificatesPem } from "@handfast/x509";
import type { Certificate, KeyPair } from "@handfast/x509";
import { createAcme } from "../src/index.ts";
import {
  acmeUrl,
  answerHttp,
  ariId,
  csrFor,
  listen,
  orderFor,
  publicAddress,
  temporaryAcme,
} from "./support/acme.ts";
import type { Answer, TestAcme, TestClient } from "./support/acme.ts";

const name = "api.bank.example";
const identifiers = [{ type: "dns", value: name }];
const newOrder = `${acmeUrl}/new-order`;
const revokeCert = `${acmeUrl}/revoke-cert`;
const day = 86_400_000;

function problem({ status, body }: Answer): string {
  return `${String(body["type"]).replace("urn:ietf:params:acme:error:", "")} ${status}`;
}

/** A certificate of this account for the names of an order. */
async function obtain(
  server: TestAcme,
  { client, keys = generateKeyPair() }: { client: TestClient; keys?: KeyPair },
): Promise<{ leaf: Certificate; keys: KeyPair; order: string }> {
  const { finalize, order } = await server.ready(client, identifiers);
  const done = await client.post(finalize, { csr: csrFor({ dns: [name] }, { keys }) });
  assert.equal(done.status, 200, done.text);
  const { text } = await client.post(String(done.body["certificate"]), "");
  const [leaf] = parseCertificatesPem(text);
  assert.ok(leaf);
  return { leaf, keys, order };
}

function encoded({ der }: Certificate): string {
  return Buffer.from(der).toString("base64url");
}

/** Lets a client answer http-01 for a name. */
async function serve(
  context: TestContext,
  { network }: TestAcme,
  { name, client }: { name: string; client: TestClient },
): Promise<void> {
  network.hosts.set(name, [[publicAddress]]);
  network.listeners.set(
    `${publicAddress}:80`,
    await listen(context, answerHttp(client.thumbprint())),
  );
}

test("an account orders, shows control, finalizes, and downloads its certificate", async (context) => {
  const server = await temporaryAcme(context);
  const client = await server.account(["api.bank.example"]);
  await serve(context, server, { name: "api.bank.example", client });
  const { order, finalize, authorizations, challenges } = await orderFor(
    client,
    [{ type: "dns", value: "API.bank.example" }],
    "http-01",
  );

  const validated = server.next("challenge-validated");
  const responded = await client.post(challenges[0] ?? "", {});
  assert.equal(responded.status, 200);
  assert.equal(responded.body["status"], "processing");
  assert.ok(responded.headers.link?.includes(`<${authorizations[0]}>;rel="up"`));
  assert.equal(responded.headers["retry-after"], "1");
  await validated;
  assert.equal((await client.post(authorizations[0] ?? "", "")).body["status"], "valid");
  assert.equal((await client.post(order, "")).body["status"], "ready");

  const keys = generateKeyPair();
  const done = await client.post(finalize, {
    csr: csrFor({ dns: ["api.bank.example"] }, { keys }),
  });
  assert.equal(done.status, 200, done.text);
  assert.equal(done.body["status"], "valid");
  assert.equal(done.headers.location, order);

  const download = await client.post(String(done.body["certificate"]), "");
  assert.equal(download.headers["content-type"], "application/pem-certificate-chain");
  const [leaf, issuing, ...more] = parseCertificatesPem(download.text);
  assert.equal(more.length, 0);
  assert.deepEqual(leaf?.subjectAltNames.dns, ["api.bank.example"]);
  assert.deepEqual(leaf.extendedKeyUsage, ["serverAuth"]);
  assert.equal(leaf.subjectAltNames.all.length, 1);
  assert.equal(issuing?.subject.text, leaf.issuer.text);
  const [record] = await server.authority.find({ name: "api.bank.example" });
  assert.equal(record?.requester, `acme:${client.kid?.split("/").at(-1)}`);
});

test("an order is finalized with a request for exactly its names, and stays ready until then", async (context) => {
  const server = await temporaryAcme(context);
  const client = await server.account([".bank.example", "10.1.0.0/16"]);
  const { finalize, order } = await server.ready(client, [
    { type: "dns", value: name },
    { type: "dns", value: "*.lab.bank.example" },
  ]);
  const dns = [name, "*.lab.bank.example"];
  const weak = generateKeyPair("rsa-2048");
  const cases: readonly (readonly [unknown, string])[] = [
    [csrFor({ dns: [name] }), "badCSR 400"],
    [csrFor({ dns: [...dns, "x.bank.example"] }), "badCSR 400"],
    [csrFor({ dns, ip: ["10.1.0.1"] }), "badCSR 400"],
    [csrFor({ dns, uri: ["spiffe://handfast.internal/api"] }), "badCSR 400"],
    [csrFor({ dns }, { commonName: "other.bank.example" }), "badCSR 400"],
    [csrFor({ dns }, { commonName: "not a name" }), "badCSR 400"],
    ["AAAA", "badCSR 400"],
    [csrFor({ dns }, { keys: weak }).slice(0, -8), "badCSR 400"],
    [`${csrFor({ dns })}=`, "malformed 400"],
    [undefined, "malformed 400"],
    [7, "malformed 400"],
  ];
  for (const [csr, expected] of cases) {
    assert.equal(problem(await client.post(finalize, { csr })), expected);
    assert.equal((await client.post(order, "")).body["status"], "ready");
  }
  const done = await client.post(finalize, { csr: csrFor({ dns }, { commonName: name }) });
  assert.equal(done.status, 200, done.text);
  const again = await client.post(finalize, { csr: csrFor({ dns }) });
  assert.equal(problem(again), "orderNotReady 403");
  assert.equal((await server.authority.find({ profile: "acme" })).length, 1);
});

test("an order finalized twice at once has one certificate", async (context) => {
  const server = await temporaryAcme(context);
  const { authority, store, keys, clock } = server;
  const client = await server.account([name]);
  const { finalize } = await server.ready(client, identifiers);
  const bothAreThere = Promise.withResolvers<void>();
  let there = 0;
  const second = await createAcme({
    authority,
    store: {
      ...store,
      // Read after the order was seen to be ready, and before it is taken.
      async acmeRecord(kind, id) {
        if (kind === "account-key" && ++there === 2) bothAreThere.resolve();
        if (kind === "account-key") await bothAreThere.promise;
        return store.acmeRecord(kind, id);
      },
    },
    keys,
    url: acmeUrl,
    clock: () => clock.now,
  });
  context.after(() => second.close());
  const port = await listen(context, (message, response) => void second.handle(message, response));
  const answers = await Promise.all(
    [1, 2].map(() => client.sendTo(port, finalize, { csr: csrFor({ dns: [name] }) })),
  );
  const statuses = answers.map(({ status }) => status).toSorted((a, b) => a - b);
  assert.deepEqual(statuses, [200, 403]);
  assert.equal((await authority.find({ profile: "acme" })).length, 1);
});

test("an order that is not ready gets no certificate", async (context) => {
  const server = await temporaryAcme(context);
  const client = await server.account([name]);
  const { finalize, order } = await orderFor(client, identifiers, "dns-01");
  const csr = csrFor({ dns: [name] });
  assert.equal(problem(await client.post(finalize, { csr })), "orderNotReady 403");
  const download = await client.post(order.replace("/order/", "/certificate/"), "");
  assert.equal(problem(download), "malformed 404");
});

test("an order and what was shown for it end after a day", async (context) => {
  const server = await temporaryAcme(context);
  const client = await server.account([name]);
  const { finalize, order, authorizations } = await server.ready(client, identifiers);
  server.clock.now = new Date(server.clock.now.getTime() + day + 1);
  const header = { nonce: await client.nonce() };
  assert.equal((await client.post(order, "", { header })).body["status"], "invalid");
  assert.equal((await client.post(authorizations[0] ?? "", "")).body["status"], "expired");
  const csr = csrFor({ dns: [name] });
  assert.equal(problem(await client.post(finalize, { csr })), "orderNotReady 403");
});

test("an authorization that is given up takes its order with it", async (context) => {
  const server = await temporaryAcme(context);
  const client = await server.account([name]);
  const { order, authorizations } = await server.ready(client, identifiers);
  const url = authorizations[0] ?? "";
  assert.equal(problem(await client.post(url, { status: "valid" })), "malformed 400");
  const given = await client.post(url, { status: "deactivated" });
  assert.equal(given.body["status"], "deactivated");
  assert.equal((await client.post(order, "")).body["status"], "invalid");
});

test("a certificate ends when the order says, if that is no later than the profile allows", async (context) => {
  const server = await temporaryAcme(context);
  const client = await server.account([name]);
  const now = server.clock.now.getTime();
  const order = (times: Record<string, unknown>) =>
    client.post(newOrder, { identifiers, ...times });
  const at = (ms: number) => new Date(now + ms).toISOString();
  for (const times of [
    { notAfter: at(-1) },
    { notAfter: "tomorrow" },
    { notAfter: 7 },
    { notBefore: at(1_000) },
  ]) {
    assert.equal(problem(await order(times)), "malformed 400", JSON.stringify(times));
  }
  const made = await order({ notAfter: at(3 * day), notBefore: at(0) });
  assert.equal(made.body["notAfter"], "2026-03-04T12:00:00Z");
});

test("S51: what ACME issues names no URI and serves no client, whatever is asked for", async (context) => {
  const server = await temporaryAcme(context);
  const client = await server.account([name]);
  const { leaf } = await obtain(server, { client });
  assert.deepEqual(leaf.extendedKeyUsage, ["serverAuth"]);
  assert.deepEqual(leaf.subjectAltNames.uri, []);
  assert.equal(leaf.subject.text, "");
  assert.equal(leaf.basicConstraints?.ca ?? false, false);
});

test("a certificate is revoked by its account, once, and for a reason that a holder can give", async (context) => {
  const server = await temporaryAcme(context);
  const client = await server.account([name]);
  const { leaf } = await obtain(server, { client });
  const certificate = encoded(leaf);
  for (const reason of [2, 6, 8, 10, -1, 1.5, "1"]) {
    const answer = await client.post(revokeCert, { certificate, reason });
    assert.equal(problem(answer), "badRevocationReason 400");
  }
  const done = await client.post(revokeCert, { certificate, reason: 4 });
  assert.deepEqual([done.status, done.text], [200, ""]);
  const [record] = await server.authority.find({ profile: "acme" });
  assert.equal(record?.revocation?.reason, "superseded");
  assert.equal(problem(await client.post(revokeCert, { certificate })), "alreadyRevoked 400");
});

test("a certificate is revoked by its own key, without an account", async (context) => {
  const server = await temporaryAcme(context);
  const client = await server.account([name]);
  const { leaf, keys } = await obtain(server, { client });
  const holder = server.client();
  holder.keys = keys;
  const payload = { certificate: encoded(leaf), reason: 1 };
  const header = { nonce: await holder.nonce() };
  assert.equal((await holder.post(revokeCert, payload, { header })).status, 200);
  assert.equal(problem(await holder.post(revokeCert, payload, { header })), "alreadyRevoked 400");
  const [record] = await server.authority.find({ profile: "acme" });
  assert.equal(record?.revocation?.reason, "keyCompromise");
  const { finalize } = await server.ready(client, identifiers);
  const again = await client.post(finalize, { csr: csrFor({ dns: [name] }, { keys }) });
  assert.equal(problem(again), "badPublicKey 400");
});

test("who has shown control of all names revokes it too; anybody else does not", async (context) => {
  const server = await temporaryAcme(context);
  const alice = await server.account([name]);
  const { leaf } = await obtain(server, { client: alice });
  const payload = { certificate: encoded(leaf) };
  const mallory = await server.account([".bank.example"]);
  assert.equal(problem(await mallory.post(revokeCert, payload)), "unauthorized 403");
  await server.ready(mallory, [{ type: "dns", value: "other.bank.example" }]);
  await orderFor(mallory, identifiers, "dns-01");
  assert.equal(problem(await mallory.post(revokeCert, payload)), "unauthorized 403");
  const stranger = server.client();
  assert.equal(problem(await stranger.post(revokeCert, payload)), "unauthorized 403");
  assert.equal((await server.authority.find({ status: "revoked" })).length, 0);
  await server.ready(mallory, identifiers);
  assert.equal((await mallory.post(revokeCert, payload)).status, 200);
});

test("ACME revokes nothing that it did not issue, not even for who holds the key", async (context) => {
  const server = await temporaryAcme(context);
  const client = await server.account([name]);
  const keys = generateKeyPair();
  const { certificate } = await server.authority.issue({
    profile: "server",
    publicKey: keys.publicKey,
    subject: {},
    names: { dns: [name], ip: [], uri: [], email: [] },
    requester: "local:ops",
  });
  await server.ready(client, identifiers);
  const payload = { certificate: encoded(certificate) };
  assert.equal(problem(await client.post(revokeCert, payload)), "unauthorized 403");
  const holder = server.client();
  holder.keys = keys;
  assert.equal(problem(await holder.post(revokeCert, payload)), "unauthorized 403");
  for (const other of ["AAAA", "", "?", 7, undefined]) {
    const answer = await client.post(revokeCert, { certificate: other });
    assert.match(problem(answer), /^(unauthorized 403|malformed 400)$/);
  }
});

test("RFC 9773: renewal is advised at two thirds of the life, and at once for what was revoked", async (context) => {
  const server = await temporaryAcme(context);
  const client = await server.account([name]);
  const { leaf } = await obtain(server, { client });
  const url = `${acmeUrl}/renewal-info/${ariId(leaf)}`;
  const answer = await client.get(url);
  assert.equal(answer.status, 200, answer.text);
  const window = answer.body["suggestedWindow"] as { start: string; end: string };
  const life = leaf.notAfter.getTime() - leaf.notBefore.getTime();
  assert.equal(Date.parse(window.start), leaf.notBefore.getTime() + (life * 2) / 3);
  assert.ok(window.start < window.end && Date.parse(window.end) < leaf.notAfter.getTime());
  assert.match(String(answer.headers["retry-after"]), /^\d+$/);

  await client.post(revokeCert, { certificate: encoded(leaf) });
  const revoked = await client.get(url);
  const { end } = revoked.body["suggestedWindow"] as { end: string };
  assert.ok(Date.parse(end) <= server.clock.now.getTime());
  const [key = "", serial = ""] = ariId(leaf).split(".");
  for (const id of [
    "x",
    `${key}.`,
    `.${serial}`,
    `${serial}.${serial}`,
    `${key}.${serial}.`,
    "a.b",
  ]) {
    assert.equal(problem(await client.get(`${acmeUrl}/renewal-info/${id}`)), "malformed 404", id);
  }
});

test("RFC 9773: an order replaces a certificate of its account, which no second order does", async (context) => {
  const server = await temporaryAcme(context);
  const client = await server.account([".bank.example"]);
  const { leaf } = await obtain(server, { client });
  const replaces = ariId(leaf);
  const first = await client.post(newOrder, { identifiers, replaces });
  assert.deepEqual([first.status, first.body["replaces"]], [201, replaces]);
  const second = await client.post(newOrder, { identifiers, replaces });
  assert.equal(problem(second), "alreadyReplaced 409");

  const [authorization] = first.body["authorizations"] as string[];
  await client.post(authorization ?? "", { status: "deactivated" });
  assert.equal((await client.post(newOrder, { identifiers, replaces })).status, 201);

  const other = await server.account([".bank.example"]);
  assert.equal(problem(await other.post(newOrder, { identifiers, replaces })), "malformed 400");
  const elsewhere = [{ type: "dns", value: "other.bank.example" }];
  const without = await client.post(newOrder, { identifiers: elsewhere, replaces });
  assert.equal(problem(without), "malformed 400");
  assert.equal(problem(await client.post(newOrder, { identifiers, replaces: 7 })), "malformed 400");
});

test("the orders of an account are listed, newest first, page by page", async (context) => {
  const server = await temporaryAcme(context);
  const client = await server.account([name]);
  const oldest = (await client.post(newOrder, { identifiers })).headers.location ?? "";
  const record = await server.store.acmeRecord("order", oldest.split("/").at(-1) ?? "");
  assert.ok(record);
  await server.store.transaction(async (records) => {
    for (let count = 1; count <= 101; count++) {
      await records.addAcmeRecord({ ...record, id: `order-${count}` });
    }
  });
  const first = await client.post(`${client.kid}/orders`, "");
  const orders = first.body["orders"] as string[];
  assert.deepEqual([orders.length, orders[0]], [100, `${acmeUrl}/order/order-101`]);
  const next = /<([^>]+)>;rel="next"/.exec(String(first.headers.link))?.[1];
  const second = await client.post(String(next), "");
  assert.deepEqual(second.body["orders"], [`${acmeUrl}/order/order-1`, oldest]);
  assert.doesNotMatch(String(second.headers.link), /rel="next"/);
});

test("an order that was cut off while its certificate was issued comes to its end", async (context) => {
  const server = await temporaryAcme(context);
  const { authority, store, keys, clock, network } = server;
  const client = await server.account([name]);
  for (const issuedBefore of [true, false]) {
    const { finalize, order } = await server.ready(client, identifiers);
    const dying = await createAcme({
      authority: {
        ...authority,
        async issue(request) {
          if (issuedBefore) await authority.issue(request);
          return new Promise<never>(() => {});
        },
      },
      store,
      keys,
      network,
      url: acmeUrl,
      clock: () => clock.now,
    });
    context.after(() => dying.close());
    const port = await listen(context, (message, response) => void dying.handle(message, response));
    const before = (await authority.find({ profile: "acme" })).length;
    client.sendTo(port, finalize, { csr: csrFor({ dns: [name] }) }).catch(() => {}); // never answered
    await until(async () => (await client.post(order, "")).body["status"] === "processing");
    if (issuedBefore) {
      await until(async () => (await authority.find({ profile: "acme" })).length > before);
    }
    assert.equal((await client.post(order, "")).body["status"], "processing");
    clock.now = new Date(clock.now.getTime() + 30_001);
    const { body } = await client.post(order, "");
    assert.equal(body["status"], issuedBefore ? "valid" : "ready");
    assert.equal(typeof body["certificate"], issuedBefore ? "string" : "undefined");
    const certificates = await authority.find({ profile: "acme" });
    assert.equal(certificates.length, 1);
  }
});

test("a validation that a process left behind is taken up by the next", async (context) => {
  const server = await temporaryAcme(context);
  const { authority, store, keys, clock, network } = server;
  const client = await server.account([name]);
  const { challenges, authorizations } = await orderFor(client, identifiers, "dns-01");
  const { body } = await client.post(challenges[0] ?? "", "");
  const dying = await createAcme({
    authority,
    store,
    keys,
    url: acmeUrl,
    clock: () => clock.now,
    network: { ...network, texts: () => new Promise<never>(() => {}) },
  });
  context.after(() => dying.close());
  const port = await listen(context, (message, response) => void dying.handle(message, response));
  await client.sendTo(port, challenges[0] ?? "", {});
  await dying.close();
  const digest = hash("sha256", `${String(body["token"])}.${client.thumbprint()}`, "base64url");
  network.records.set(`_acme-challenge.${name}`, [digest]);
  const url = authorizations[0] ?? "";
  assert.equal((await client.post(url, "")).body["status"], "pending");
  clock.now = new Date(clock.now.getTime() + 60_001);
  const validated = server.next("challenge-validated");
  await client.post(url, "");
  await validated;
  assert.equal((await client.post(url, "")).body["status"], "valid");
});

/** Waits for what another request brings about, asking again each time that an answer came. */
async function until(holds: () => Promise<boolean>): Promise<void> {
  for (let count = 0; count < 1_000; count++) if (await holds()) return;
  throw new Error("it did not come about");
}
