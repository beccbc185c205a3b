import assert from "node:assert/strict";
import { createHmac, generateKeyPairSync } from "node:crypto";
import { request } from "node:http";
import type { IncomingMessage } from "node:http";
import { test } from "node:test";
import { generateKeyPair } from "@handfast/x509";
import type { KeyPair } from "@handfast/x509";
import { createAcme } from "../src/index.ts";
import { acmeUrl, jwkOf, listen, signJws, temporaryAcme } from "./support/acme.ts";
import type { Answer, PostOptions } from "./support/acme.ts";

const newAccount = `${acmeUrl}/new-account`;
const newOrder = `${acmeUrl}/new-order`;

/** The type of a problem, without what all have in common; with the status it came with. */
function problem({ status, headers, body }: Answer): string {
  assert.equal(headers["content-type"], "application/problem+json");
  assert.equal(body["status"], status);
  assert.equal(typeof body["detail"], "string");
  return `${String(body["type"]).replace("urn:ietf:params:acme:error:", "")} ${status}`;
}

test("the directory names every resource and says that an external account is needed", async (context) => {
  const { client } = await temporaryAcme(context);
  const { status, body, headers } = await client().get(`${acmeUrl}/directory`);
  assert.equal(status, 200);
  assert.equal(headers["content-type"], "application/json");
  assert.deepEqual(body, {
    newNonce: `${acmeUrl}/new-nonce`,
    newAccount,
    newOrder,
    revokeCert: `${acmeUrl}/revoke-cert`,
    keyChange: `${acmeUrl}/key-change`,
    renewalInfo: `${acmeUrl}/renewal-info`,
    meta: { externalAccountRequired: true },
  });
});

test("new nonces come by HEAD (200) and GET (204), are never alike, and are not cached", async (context) => {
  const { client } = await temporaryAcme(context);
  const asker = client();
  const nonces = new Set<unknown>();
  for (const [method, status] of [
    ["HEAD", 200],
    ["GET", 204],
  ] as const) {
    const answer = await asker.get(`${acmeUrl}/new-nonce`, method);
    assert.equal(answer.status, status);
    assert.equal(answer.headers["cache-control"], "no-store");
    assert.equal(answer.headers.link, `<${acmeUrl}/directory>;rel="index"`);
    assert.match(String(answer.headers["replay-nonce"]), /^[A-Za-z0-9_-]+$/);
    nonces.add(answer.headers["replay-nonce"]);
  }
  assert.equal(nonces.size, 2);
});

test("what is not there is 404, another method is 405 with those that are allowed", async (context) => {
  const server = await temporaryAcme(context);
  const client = await server.account(["api.bank.example"]);
  for (const path of ["", "/", "/nothing", "/order", "/order/", "/directory/", "/../directory"]) {
    assert.equal(problem(await client.get(`${acmeUrl}${path}`)), "malformed 404", path);
  }
  const posted = await client.get(newOrder);
  assert.equal(problem(posted), "malformed 405");
  assert.equal(posted.headers.allow, "POST");
  const read = await client.post(`${acmeUrl}/directory`, {});
  assert.equal(problem(read), "malformed 405");
  assert.equal(read.headers.allow, "GET, HEAD");
  for (const path of [
    "order/none",
    "authorization/none/0",
    "challenge/none/0/http-01",
    "certificate/none",
  ]) {
    assert.equal(problem(await client.post(`${acmeUrl}/${path}`, "")), "malformed 404", path);
  }
});

test("S51: a JWS is refused for what it lacks or has too much of, and each refusal brings a nonce", async (context) => {
  const server = await temporaryAcme(context);
  const client = await server.account(["api.bank.example"]);
  const other = generateKeyPair();
  const { privateKey } = client.keys;
  const unsigned = Buffer.from('{"alg":"none"}').toString("base64url");
  const cases: readonly (readonly [string, PostOptions])[] = [
    ["malformed 415", { contentType: "application/json" }],
    ["malformed 400", { jws: { header: { alg: "ES256" } } }],
    ["malformed 400", { jws: { signatures: [] } }],
    ["malformed 400", { jws: { payload: undefined } }],
    ["malformed 400", { jws: { payload: "e30=" } }],
    ["malformed 400", { jws: { signature: "" } }],
    ["malformed 400", { jws: { signature: "AAAA" } }],
    ["malformed 400", { jws: { protected: "" } }],
    ["badSignatureAlgorithm 400", { header: { alg: "none" } }],
    ["malformed 400", { jws: { protected: unsigned } }],
    ["badSignatureAlgorithm 400", { header: { alg: "HS256" } }],
    ["badSignatureAlgorithm 400", { header: { alg: "ES512" } }],
    ["badSignatureAlgorithm 400", { header: { alg: "RS1" } }],
    ["malformed 400", { header: { alg: "EdDSA" } }],
    ["malformed 400", { header: { alg: "RS256" } }],
    ["malformed 400", { header: { crit: ["exp"] } }],
    ["malformed 400", { header: { b64: false } }],
    ["malformed 400", { header: { jwk: jwkOf(client.keys.publicKey) } }],
    ["malformed 400", { header: { kid: undefined } }],
    ["malformed 400", { header: { kid: undefined, jwk: jwkOf(client.keys.publicKey) } }],
    ["malformed 400", { header: { kid: 7 } }],
    ["accountDoesNotExist 400", { header: { kid: `${acmeUrl}/account/nobody` } }],
    ["accountDoesNotExist 400", { header: { kid: `${acmeUrl}/account/` } }],
    ["accountDoesNotExist 400", { header: { kid: "https://other.test/acme/account/x" } }],
    ["unauthorized 403", { signedUrl: `${acmeUrl}/new-account` }],
    ["unauthorized 403", { signedUrl: `${client.kid}?` }],
    ["unauthorized 403", { signedUrl: String(client.kid).replace("ca.test", "other.test") }],
    ["malformed 400", { header: { url: undefined } }],
    ["badNonce 400", { header: { nonce: undefined } }],
    ["badNonce 400", { header: { nonce: "" } }],
    ["badNonce 400", { header: { nonce: "AAAA" } }],
    ["badNonce 400", { header: { nonce: "not base64url!" } }],
    ["badNonce 400", { header: { nonce: 7 } }],
    ["malformed 400", { keys: other }],
    ["malformed 400", { jws: signJws(privateKey, { header: { kid: client.kid }, payload: {} }) }],
  ];
  const url = String(client.kid);
  for (const [expected, options] of cases) {
    const answer = await client.post(url, "", options);
    assert.equal(problem(answer), expected, JSON.stringify(options));
    assert.match(String(answer.headers["replay-nonce"]), /^[A-Za-z0-9_-]{43}$/);
    if (expected.startsWith("badSignatureAlgorithm")) {
      assert.deepEqual(answer.body["algorithms"], ["ES256", "ES384", "EdDSA", "RS256"]);
    }
  }
  assert.deepEqual(
    server.events.filter(({ type }) => type === "fault"),
    [],
  );
});

test("S51: accounts sign with ES256, ES384, EdDSA and RS256 from 2048 bits, and with nothing else", async (context) => {
  const { client } = await temporaryAcme(context, { openNames: ["api.bank.example"] });
  for (const algorithm of ["ecdsa-p256", "ecdsa-p384", "ed25519", "rsa-2048"] as const) {
    const answer = await client(algorithm).register();
    assert.equal(answer.status, 201, answer.text);
  }
  const weak: readonly (readonly [KeyPair, string])[] = [
    [generateKeyPairSync("rsa", { modulusLength: 1_024 }), "RS256"],
    [generateKeyPairSync("rsa", { modulusLength: 2_048, publicExponent: 3 }), "RS256"],
    [generateKeyPairSync("ec", { namedCurve: "P-521" }), "ES256"],
    [generateKeyPairSync("ec", { namedCurve: "secp256k1" }), "ES256"],
    [generateKeyPairSync("ed448"), "EdDSA"],
  ];
  for (const [keys, alg] of weak) {
    const header = { alg, jwk: jwkOf(keys.publicKey) };
    const answer = await client().post(newAccount, {}, { keys: generateKeyPair(), header });
    assert.equal(problem(answer), "badPublicKey 400", JSON.stringify(jwkOf(keys.publicKey)));
  }
  const own = generateKeyPair();
  const odd: readonly (readonly [unknown, string])[] = [
    [jwkOf(own.privateKey), "malformed 400"],
    [{ kty: "oct", k: "AAAA" }, "malformed 400"],
    [{ kty: "toString" }, "badPublicKey 400"],
    [{ ...jwkOf(own.publicKey), x: "AAAA" }, "badPublicKey 400"],
    [{ ...jwkOf(own.publicKey), y: undefined }, "badPublicKey 400"],
    ["jwk", "malformed 400"],
    [[], "malformed 400"],
  ];
  for (const [jwk, expected] of odd) {
    const answer = await client().post(newAccount, {}, { keys: own, header: { jwk } });
    assert.equal(problem(answer), expected, JSON.stringify(jwk));
  }
});

test("S51: a nonce is good once, for fifteen minutes, and in every server on the same store and keys", async (context) => {
  const server = await temporaryAcme(context);
  const client = await server.account(["api.bank.example"]);
  const url = String(client.kid);
  const nonce = await client.nonce();
  assert.equal((await client.post(url, "", { header: { nonce } })).status, 200);
  assert.equal(problem(await client.post(url, "", { header: { nonce } })), "badNonce 400");

  const { authority, store, keys, clock } = server;
  const second = await createAcme({ authority, store, keys, url: acmeUrl, clock: () => clock.now });
  context.after(() => second.close());
  const port = await listen(context, (message, response) => void second.handle(message, response));
  const shared = await client.nonce();
  assert.equal((await postTo(port, shared)).statusCode, 200);
  assert.equal(problem(await client.post(url, "", { header: { nonce: shared } })), "badNonce 400");

  const late = await client.nonce();
  clock.now = new Date(clock.now.getTime() + 15 * 60_000);
  assert.equal((await client.post(url, "", { header: { nonce: late } })).status, 200);
  const tooLate = await client.nonce();
  clock.now = new Date(clock.now.getTime() + 15 * 60_000 + 1);
  assert.equal(problem(await client.post(url, "", { header: { nonce: tooLate } })), "badNonce 400");

  const forged = Buffer.from(await client.nonce(), "base64url");
  forged.set(
    createHmac("sha256", "guess").update(forged.subarray(0, 16)).digest().subarray(0, 16),
    16,
  );
  const header = { nonce: forged.toString("base64url") };
  assert.equal(problem(await client.post(url, "", { header })), "badNonce 400");

  function postTo(to: number, nonce: string): Promise<IncomingMessage> {
    const jws = signJws(client.keys.privateKey, { header: { nonce, url, kid: url }, payload: "" });
    return new Promise((resolve, reject) => {
      const headers = { "Content-Type": "application/jose+json" };
      const asked = request({ port: to, path: new URL(url).pathname, method: "POST", headers });
      asked.on("response", (response) => {
        response.resume();
        resolve(response);
      });
      asked.on("error", reject);
      asked.end(JSON.stringify(jws));
    });
  }
});

test("S51: spent nonces are forgotten when they are too old to be shown again", async (context) => {
  const server = await temporaryAcme(context);
  const client = await server.account(["api.bank.example"]);
  for (let count = 0; count < 5; count++) await client.post(String(client.kid), "");
  const kept = () => server.store.acmeRecords({ kind: "nonce", limit: 100 });
  assert.ok((await kept()).length >= 5);
  server.clock.now = new Date(server.clock.now.getTime() + 3_600_000);
  const nonce = await client.nonce();
  const identifiers = [{ type: "dns", value: "api.bank.example" }];
  assert.equal((await client.post(newOrder, { identifiers }, { header: { nonce } })).status, 201);
  assert.equal((await kept()).length, 1);
});

test("a body over 64 KiB is refused, and so is one that is no JSON", async (context) => {
  const server = await temporaryAcme(context);
  const client = await server.account(["api.bank.example"]);
  const large = await client.post(newOrder, { filler: "x".repeat(1_000_000) });
  assert.equal(problem(large), "malformed 413");
  const odd = await client.post(newOrder, {}, { jws: { toJSON: () => "a text" } });
  assert.equal(problem(odd), "malformed 400");
});

test("S51: a source that asks too fast is told when to come back, and others are served", async (context) => {
  const server = await temporaryAcme(context, { limits: { requestsPerSourceSecond: 1 } });
  const client = server.client();
  const statuses = [];
  for (let count = 0; count < 11; count++) {
    statuses.push((await client.get(`${acmeUrl}/directory`)).status);
  }
  assert.deepEqual(statuses, [...Array.from({ length: 10 }, () => 200), 429]);
  const limited = await client.get(`${acmeUrl}/directory`);
  assert.equal(problem(limited), "rateLimited 429");
  assert.equal(limited.headers["retry-after"], "1");
  server.clock.now = new Date(server.clock.now.getTime() + 1_000);
  assert.equal((await client.get(`${acmeUrl}/directory`)).status, 200);
});

test("a fault is the operator's to read, and not the client's", async (context) => {
  const server = await temporaryAcme(context);
  const client = await server.account(["api.bank.example"]);
  await server.store.close();
  const answer = await client.post(newOrder, {}, { header: { nonce: await client.nonce() } });
  assert.equal(problem(answer), "serverInternal 500");
  assert.doesNotMatch(answer.text, /store|closed|database/i);
  assert.equal(server.events.filter(({ type }) => type === "fault").length, 1);
});
