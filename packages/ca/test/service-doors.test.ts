// Who may call what, at which of the two doors, by gRPC and by JSON.
import assert from "node:assert/strict";
import { request as httpsRequest } from "node:https";
import { connect as connectTls } from "node:tls";
import { once } from "node:events";
import { test } from "node:test";
import { compilePolicy, definePolicy } from "@handfast/policy";
import { createName, createRequest, generateKeyPair } from "@handfast/x509";
import { Authority, Enrolment } from "../src/gen/handfast/ca/v1/ca_pb.ts";
import { RevocationReason } from "../src/gen/handfast/ca/v1/ca_pb.ts";
import { enrolOnline } from "../src/index.ts";
import { refusal } from "./support/fixtures.ts";
import { onlineAuthority } from "./support/online.ts";
import type { Member, OnlineAuthority } from "./support/online.ts";

test("S49: the door without certificates knows no method of Authority, by gRPC or JSON", async (t) => {
  const online = await onlineAuthority(t);
  const stranger = await online.client(undefined);
  const calls: Record<string, () => Promise<unknown>> = {
    Renew: () => stranger.renew({}),
    Revoke: () => stranger.revoke({}),
    GetBundle: () => stranger.getBundle({}),
    WatchBundle: () => stranger.watchBundle({}).next(),
    WatchCrls: () => stranger.watchCrls({}).next(),
    Find: () => stranger.find({}),
    Inspect: () => stranger.inspect({}),
  };
  const names = Authority.methods.map(({ name }) => name);
  assert.deepEqual(Object.keys(calls), names);
  for (const [name, call] of Object.entries(calls)) {
    await assert.rejects(call(), refusal("UNIMPLEMENTED", /unknown method/), name);
    const path = `/${Authority.typeName}/${name}`;
    assert.equal((await post(online, { path, body: "{}" })).status, 404, name);
  }
  assert.equal((await stranger.connect({ timeoutMs: 5_000 })).health, "PERMISSION_DENIED");
});

test("S49: the door with certificates lets nobody in without one", async (t) => {
  const online = await onlineAuthority(t);
  const socket = connectTls({
    host: "localhost",
    port: Number(online.service.authorityTarget.split(":")[1]),
    ca: [online.rootsPem],
    ALPNProtocols: ["http/1.1"],
  });
  socket.on("error", () => undefined);
  socket.write("POST /handfast.ca.v1.Authority/Find HTTP/1.1\r\nhost: localhost\r\n\r\n");
  const chunks: Buffer[] = [];
  socket.on("data", (chunk: Buffer) => chunks.push(chunk));
  await once(socket, "close");
  const answer = Buffer.concat(chunks).toString();
  assert.match(answer, /^(?:HTTP\/1.1 403 .*NO_CLIENT_CERTIFICATE.*)?$/s);
});

test("a client that offers HTTP/1.1 and h2 gets HTTP/1.1, so that curl needs no option", async (t) => {
  const { service, rootsPem } = await onlineAuthority(t);
  const socket = connectTls({
    host: "localhost",
    port: Number(new URL(service.enrolmentUrl).port),
    ca: [rootsPem],
    ALPNProtocols: ["h2", "http/1.1"],
  });
  await once(socket, "secureConnect");
  assert.equal(socket.alpnProtocol, "http/1.1");
  socket.destroy();
});

test("a service enrols by JSON as it does by gRPC", async (t) => {
  const online = await onlineAuthority(t);
  const path = `/${Enrolment.typeName}/Enrol`;
  const { privateKey } = generateKeyPair();
  const csr = createRequest({ subject: createName([]), privateKey });
  const token = await online.token("billing");
  const body = JSON.stringify({ token, certificateRequest: Buffer.from(csr).toString("base64") });
  const enrolled = await post(online, { path, body });
  assert.equal(enrolled.status, 200);
  assert.match(enrolled.json.certificate?.chainPem ?? "", /^-----BEGIN CERTIFICATE-----/);
  const again = await post(online, { path, body });
  assert.equal(again.json.certificate?.fingerprint, enrolled.json.certificate?.fingerprint);
  const wrong = await post(online, { path, body: '{"token": "x", "certificateRequest": "AAAA"}' });
  assert.equal(wrong.status, 401);
  assert.equal(wrong.json.code, "unauthenticated");
  assert.equal(wrong.json.reason, "TOKEN_REFUSED");
});

test("S54: JSON wants application/json, and no web page may ask", async (t) => {
  const online = await onlineAuthority(t);
  const path = `/${Enrolment.typeName}/GetBundle`;
  const good = await post(online, { path, body: "{}" });
  assert.equal(good.status, 200);
  assert.equal(good.json.bundle?.trustDomain, "handfast.internal");
  const status = async (headers: Record<string, string>) =>
    (await post(online, { path, body: "{}", headers })).status;
  assert.equal(await status({ origin: "https://evil.example" }), 403);
  assert.equal(await status({ origin: "null" }), 403);
  assert.equal(await status({ "content-type": "text/plain" }), 415);
  assert.equal(await status({ "content-type": "application/x-www-form-urlencoded" }), 415);
  assert.equal((await post(online, { path, body: "{", headers: {} })).status, 400);
  assert.equal((await post(online, { path, body: "", method: "GET" })).status, 405);
});

test("S54: a member sees and revokes certificates of its own identity and no others", async (t) => {
  const online = await onlineAuthority(t);
  const [alice, bob, mallory] = await Promise.all(
    ["alice", "bob", "mallory"].map((name) => online.member(name)),
  );
  assert.ok(alice && bob && mallory);
  const asMallory = await online.client(mallory);
  const found = await asMallory.find({});
  assert.deepEqual(
    found.certificates.map(({ identity }) => identity),
    ["spiffe://handfast.internal/mallory"],
  );
  assert.deepEqual((await asMallory.find({ name: "alice" })).certificates, []);
  const identity = "spiffe://handfast.internal/alice";
  const denied = refusal("PERMISSION_DENIED", /owns no such certificate/);
  await assert.rejects(asMallory.find({ identity }), denied);
  const reason = RevocationReason.KEY_COMPROMISE;
  const { fingerprint } = alice.certificate;
  await assert.rejects(asMallory.revoke({ fingerprint, reason }), denied);
  await assert.rejects(asMallory.revoke({ fingerprint: "0".repeat(64), reason }), denied);

  const inspected = await asMallory.inspect({ certificate: alice.certificate.der });
  assert.equal(inspected.inventory, undefined);
  assert.match(inspected.descriptionJson, /spiffe:\/\/handfast.internal\/alice/);
  const address = new TextEncoder().encode("https://169.254.169.254/");
  await assert.rejects(
    asMallory.inspect({ certificate: address }),
    refusal("INVALID_ARGUMENT", /PEM|certificate/),
  );

  const asAlice = await online.client(alice);
  const { revoked } = await asAlice.revoke({ fingerprint, reason });
  assert.deepEqual(
    revoked.map((one) => one.fingerprint),
    [fingerprint],
  );
  const refusals = online.recorded.filter((one) => "code" in one && one.code === "NOT_PERMITTED");
  assert.ok(refusals.length > 0);
});

test("S54: the admin policy lets an admin revoke and find certificates of others", async (t) => {
  const admins = compilePolicy(
    definePolicy({
      name: "admins",
      allow_rules: [
        {
          name: "ops",
          source: { principals: ["spiffe://handfast.internal/ops"] },
          request: {
            paths: ["/handfast.ca.v1.Authority/Revoke", "/handfast.ca.v1.Authority/Find"],
          },
        },
      ],
    }),
  );
  const online = await onlineAuthority(t, { admins });
  const [alice, ops] = [await online.member("alice"), await online.member("ops")];
  const asOps = await online.client(ops);
  const page = await asOps.find({ name: "alice", pageSize: 1 });
  assert.equal(page.certificates[0]?.fingerprint, alice.certificate.fingerprint);
  const all = await asOps.find({ pageSize: 1 });
  const rest = await asOps.find({ pageToken: all.nextPageToken });
  assert.equal(
    new Set([...all.certificates, ...rest.certificates].map((o) => o.fingerprint)).size,
    5,
  );
  const { fingerprint } = alice.certificate;
  await asOps.revoke({ fingerprint, reason: RevocationReason.SUPERSEDED });
  const asAlice = await online.client(alice);
  await assert.rejects(asAlice.find({}), refusal("UNAUTHENTICATED", /revoked/));
});

test("a certificate of another authority may call nothing", async (t) => {
  const online = await onlineAuthority(t);
  const other = await onlineAuthority(t);
  const stranger = await other.member("alice");
  const client = await online.client(stranger);
  await assert.rejects(
    client.getBundle({}),
    refusal("UNAUTHENTICATED", /CERTIFICATE_AUTHORITY_INVALID/),
  );
});

test("S52: a token used twice, stretched, expired or of another authority issues nothing", async (t) => {
  const online = await onlineAuthority(t);
  const other = await onlineAuthority(t);
  const count = async () => (await online.authority.find({ profile: "peer" })).length;

  const token = await online.token("billing");
  const first = await enrolOnline({ token });
  await assert.rejects(enrolOnline({ token }), refusal("TOKEN_SPENT", /used before/));
  assert.equal(await count(), 1);
  const spent = online.recorded.find((one) => "code" in one && one.code === "TOKEN_SPENT");
  assert.match(JSON.stringify(spent), new RegExp(first.certificate.serialNumber));
  assert.doesNotMatch(JSON.stringify(online.recorded), new RegExp(token));

  const [head, payload = "", signature] = (await online.token("kiosk")).split(".");
  const claims = JSON.parse(Buffer.from(payload, "base64url").toString()) as { names: object };
  const stretched = { ...claims, names: { ...claims.names, dns: ["kiosk", "bank"] } };
  const text = Buffer.from(JSON.stringify(stretched)).toString("base64url");
  await assert.rejects(
    enrolOnline({ token: `${head}.${text}.${signature}` }),
    refusal("TOKEN_REFUSED", /not signed/),
  );

  const foreign = await other.token("billing", { audience: online.service.enrolmentUrl });
  await assert.rejects(
    enrolOnline({ token: foreign }),
    refusal("TRUST_INVALID", /not the authority that was named/),
  );
  const elsewhere = await online.token("billing", { audience: other.service.enrolmentUrl });
  await assert.rejects(enrolOnline({ token: elsewhere }), refusal("TRUST_INVALID", /expected/));
  assert.equal(await count(), 1);
});

test("S52: a hundred clients race for one token: exactly one certificate", async (t) => {
  const rate = { perSecond: 1_000, burst: 1_000 };
  const online = await onlineAuthority(t, {
    limits: { enrolmentsPerSource: rate, requestsPerSource: rate },
  });
  const token = await online.token("billing");
  const path = `/${Enrolment.typeName}/Enrol`;
  const answers = await Promise.all(
    Array.from({ length: 100 }, () => {
      const { privateKey } = generateKeyPair();
      const csr = createRequest({ subject: createName([]), privateKey });
      const certificateRequest = Buffer.from(csr).toString("base64");
      return post(online, { path, body: JSON.stringify({ token, certificateRequest }) });
    }),
  );
  assert.deepEqual(
    answers.map(({ status }) => status).toSorted((a, b) => a - b),
    [200, ...Array<number>(99).fill(403)],
  );
  assert.equal((await online.authority.find({ profile: "peer" })).length, 1);
});

test("S49: one source that asks too much is told to wait, and may come back", async (t) => {
  const online = await onlineAuthority(t, {
    limits: { enrolmentsPerSource: { perSecond: 0.01, burst: 2 } },
  });
  const path = `/${Enrolment.typeName}/Enrol`;
  const statuses: number[] = [];
  for (let count = 0; count < 4; count++) {
    statuses.push((await post(online, { path, body: "{}" })).status);
  }
  assert.deepEqual(statuses, [400, 400, 429, 429]);
  const limited = await post(online, { path, body: "{}" });
  assert.match(String(limited.headers["retry-after"]), /^\d+$/);
  const bundle = await post(online, { path: `/${Enrolment.typeName}/GetBundle`, body: "{}" });
  assert.equal(bundle.status, 200);
});

test("whoever watches the revocation lists reads each new one as soon as it is signed", async (t) => {
  const online = await onlineAuthority(t);
  const [watcher, alice] = [await online.member("watcher"), await online.member("alice")];
  const client = await online.client(watcher);
  const stop = new AbortController();
  t.after(() => stop.abort());
  const lists = client.watchCrls({}, { signal: stop.signal });
  const first = await lists.next();
  assert.equal(first.value?.issuer, "issuing-1");
  const next = lists.next();
  const { fingerprint } = alice.certificate;
  const asAlice = await online.client(alice);
  await asAlice.revoke({ fingerprint, reason: RevocationReason.KEY_COMPROMISE });
  const second = await next;
  assert.ok((second.value?.number ?? 0n) > (first.value?.number ?? 0n));
});

interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly json: {
    readonly code?: string;
    readonly reason?: string;
    readonly bundle?: { readonly trustDomain: string };
    readonly certificate?: { readonly chainPem: string; readonly fingerprint: string };
  };
}

/** A request to the door without certificates. */
function post(
  { service, rootsPem }: OnlineAuthority,
  options: {
    readonly path: string;
    readonly body: string;
    readonly headers?: Record<string, string>;
    readonly method?: string;
    readonly as?: Member;
  },
): Promise<Answer> {
  const { path, body, headers = {}, method = "POST" } = options;
  return new Promise((resolve, reject) => {
    const outgoing = httpsRequest(
      new URL(path, service.enrolmentUrl),
      {
        method,
        ca: [rootsPem],
        agent: false,
        headers: {
          "content-type": "application/json",
          "content-length": Buffer.byteLength(body),
          ...headers,
        },
      },
      (response) => {
        const chunks: Buffer[] = [];
        response.on("data", (chunk: Buffer) => chunks.push(chunk));
        response.on("end", () => {
          const text = Buffer.concat(chunks).toString();
          resolve({
            status: response.statusCode ?? 0,
            headers: response.headers,
            json: text.startsWith("{") ? (JSON.parse(text) as Answer["json"]) : {},
          });
        });
      },
    );
    outgoing.once("error", reject);
    outgoing.end(body);
  });
}
