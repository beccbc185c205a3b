import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:https";
import type { RequestListener } from "node:http";
import { createServer as createPlain } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { certificatesToPem, encodePrivateKey, generateKeyPair } from "@handfast/x509";
import type { Certificate } from "@handfast/x509";
import {
  acmeRenewer,
  bundleInMemory,
  createAcmeClient,
  createAgent,
  dnsHookCommand,
  placeInMemory,
  createAcme,
  solveByDns,
  solveByHttp,
  solveByTlsAlpn,
} from "../src/index.ts";
import type { AcmeClient, AcmeClientOptions, AcmeOptions, ChallengeSolver } from "../src/index.ts";
import { receivedCertificate } from "../src/acme-client/received-certificate.ts";
import { ariId, listenWith, publicAddress, testNetwork } from "./support/acme.ts";
import type { TestNetwork } from "./support/acme.ts";
import { refusal, temporaryAuthority, temporaryFolder } from "./support/fixtures.ts";
import type { TestAuthority } from "./support/fixtures.ts";

const name = "api.bank.example";
const openNames = [".bank.example", "0.0.0.0/0"];

interface Online extends TestAuthority {
  readonly directoryUrl: string;
  readonly network: TestNetwork;
  readonly roots: string;
  client(solvers: readonly ChallengeSolver[], options?: Partial<AcmeClientOptions>): AcmeClient;
}

/** An authority whose ACME server is reached over TLS, with a certificate of its own. */
async function online(
  context: TestContext,
  options: Partial<AcmeOptions> = { openNames },
): Promise<Online> {
  const base = await temporaryAuthority(context, { start: new Date() });
  const { authority, store, keys } = base;
  const network = testNetwork();
  const roots = certificatesToPem(await authority.roots());
  let serve: RequestListener = () => {};
  const port = await listenTls(context, authority, (message, response) => serve(message, response));
  const url = `https://127.0.0.1:${port}/acme`;
  const acme = await createAcme({
    authority,
    store,
    keys,
    url,
    network,
    ...options,
  });
  context.after(() => acme.close());
  serve = (message, response) => void acme.handle(message, response);
  const directoryUrl = `${url}/directory`;
  return {
    ...base,
    directoryUrl,
    network,
    roots,
    client: (solvers, changes = {}) =>
      createAcmeClient({
        directoryUrl,
        roots: [roots],
        accountKey: generateKeyPair().privateKey,
        solvers,
        // Until the validation is done, which says so; the first look may come too early.
        wait: () => new Promise((resolve) => setImmediate(resolve)),
        ...changes,
      }),
  };
}

/** A server with a certificate of this authority for 127.0.0.1. */
async function listenTls(
  context: TestContext,
  authority: TestAuthority["authority"],
  handler: RequestListener,
): Promise<number> {
  const { publicKey, privateKey } = generateKeyPair();
  const { chainPem } = await authority.issue({
    profile: "server",
    publicKey,
    subject: {},
    names: { dns: [], ip: ["127.0.0.1"], uri: [], email: [] },
    requester: "local:test",
  });
  return listenWith(
    context,
    createServer({ key: encodePrivateKey(privateKey), cert: chainPem }, handler),
  );
}

/** A TXT zone that the server's network reads. */
function zone({ records }: TestNetwork): ChallengeSolver {
  return solveByDns({
    async present({ name, value }) {
      records.set(name, [...(records.get(name) ?? []), value]);
    },
    async remove({ name }) {
      records.delete(name);
    },
  });
}

test("a client obtains a certificate by each challenge, and takes its answers away again", async (context) => {
  const server = await online(context);
  const { network } = server;
  network.hosts.set(name, [[publicAddress]]);
  const [httpPort, tlsPort] = [await freePort(context), await freePort(context)];
  network.listeners.set(`${publicAddress}:80`, httpPort);
  network.listeners.set(`${publicAddress}:443`, tlsPort);
  const host = "127.0.0.1";
  for (const solver of [
    solveByHttp({ host, port: httpPort }),
    solveByTlsAlpn({ host, port: tlsPort }),
    zone(network),
  ]) {
    const { certificate, chain, privateKey } = await server
      .client([solver])
      .obtain({ names: [name] });
    assert.deepEqual(certificate.subjectAltNames.dns, [name]);
    assert.equal(chain.length, 2);
    assert.equal(privateKey.asymmetricKeyType, "ec");
  }
  assert.equal(network.records.size, 0);
  assert.equal((await server.authority.find({ profile: "acme" })).length, 3);
  await assert.rejects(
    network.connect({ address: publicAddress, port: 80, signal: AbortSignal.timeout(5_000) }),
  );
});

test("a client obtains for several names and an address, by what suits each", async (context) => {
  const server = await online(context);
  const { network } = server;
  const port = await freePort(context);
  network.hosts.set(name, [[publicAddress]]);
  network.listeners.set(`${publicAddress}:80`, port);
  const solvers = [solveByHttp({ host: "127.0.0.1", port }), zone(network)];
  const names = ["*.lab.bank.example", name, publicAddress];
  const { certificate } = await server
    .client(solvers)
    .obtain({ names, keyAlgorithm: "ecdsa-p384" });
  assert.deepEqual(certificate.subjectAltNames.dns, ["*.lab.bank.example", name]);
  assert.deepEqual(certificate.subjectAltNames.ip, [publicAddress]);
});

test("a client binds its account to an external one, and needs it once only", async (context) => {
  const server = await online(context, {});
  const accountKey = generateKeyPair("ed25519").privateKey;
  const solvers = [zone(server.network)];
  const external = await server.authority.createExternalAccount({
    names: [name],
    requester: "local:test",
  });
  await assert.rejects(
    server.client(solvers, { accountKey }).obtain({ names: [name] }),
    refusal("ACME_REFUSED", /accountDoesNotExist/),
  );
  const first = server.client(solvers, {
    accountKey,
    externalAccount: external,
    contact: ["a@bank.example"],
  });
  await first.obtain({ names: [name] });
  await server.client(solvers, { accountKey }).obtain({ names: [name] });
  await assert.rejects(
    server.client(solvers, { externalAccount: external }).obtain({ names: [name] }),
    refusal("ACME_REFUSED", /used before/),
  );
});

test("RFC 9773: a client learns when to renew, and says what it replaces", async (context) => {
  const server = await online(context);
  const client = server.client([zone(server.network)]);
  const { certificate } = await client.obtain({ names: [name] });
  const window = await client.renewalWindow(certificate);
  assert.ok(window);
  const life = certificate.notAfter.getTime() - certificate.notBefore.getTime();
  assert.equal(window.start.getTime(), certificate.notBefore.getTime() + (life * 2) / 3);
  assert.ok(window.askAgainAt > new Date() && window.askAgainAt < window.start);

  const next = await client.obtain({ names: [name], replaces: certificate });
  assert.notEqual(next.certificate.serialNumber, certificate.serialNumber);
  const orders = await server.store.acmeRecords({ kind: "order", limit: 1 });
  assert.equal(
    (JSON.parse(orders[0]?.body ?? "{}") as { replaces?: string }).replaces,
    ariId(certificate),
  );
  // Where the answer was lost, the same is asked for again.
  await client.obtain({ names: [name], replaces: certificate });
  const [root] = await server.authority.roots();
  assert.equal(await client.renewalWindow(root as Certificate), undefined);
});

test("an agent keeps a certificate of a foreign authority, from the first on, when the authority says", async (context) => {
  const server = await online(context);
  const client = server.client([zone(server.network)]);
  const place = placeInMemory();
  const agent = await createAgent({
    certificates: [{ name: "api", place, renewer: acmeRenewer(client, { names: [name] }) }],
    bundle: bundleInMemory(),
  });
  context.after(() => agent.close());
  assert.equal(agent.ready, true);
  const [kept] = agent.certificates();
  await agent.renewNow();
  const records = await server.authority.find({ profile: "acme" });
  assert.equal(records.length, 2);
  const orders = await server.store.acmeRecords({ kind: "replacement", limit: 10 });
  assert.equal(orders.length, 1);
  assert.ok(kept);
});

test("a DNS hook is a program by its absolute path, and what it says is not to be lost", async (context) => {
  const folder = temporaryFolder(context);
  const [log, program] = [join(folder, "log"), join(folder, "hook")];
  writeFileSync(program, `#!/bin/sh\necho "$@" >>"${log}"\n[ "$3" != broken ]\n`, { mode: 0o700 });
  const hook = dnsHookCommand([program, "--zone"]);
  await hook.present({ name: "_acme-challenge.a.example", value: "x; rm -rf /" });
  await hook.remove({ name: "_acme-challenge.a.example", value: "x" });
  await assert.rejects(
    hook.present({ name: "broken", value: "x" }),
    refusal("HOOK_FAILED", /status 1/),
  );
  assert.deepEqual(readFileSync(log, "utf8").split("\n"), [
    "--zone present _acme-challenge.a.example x; rm -rf /",
    "--zone remove _acme-challenge.a.example x",
    "--zone present broken x",
    "",
  ]);
  assert.throws(() => dnsHookCommand(["hook"]), TypeError);
});

test("a client revokes what it obtained", async (context) => {
  const server = await online(context);
  const client = server.client([zone(server.network)]);
  const { certificate } = await client.obtain({ names: [name] });
  await client.revoke(certificate, { reason: 4 });
  const [record] = await server.authority.find({ profile: "acme" });
  assert.equal(record?.revocation?.reason, "superseded");
  await assert.rejects(client.revoke(certificate), refusal("ACME_REFUSED", /alreadyRevoked/));
});

test("a client whose nonce is too old takes another and tries again", async (context) => {
  const server = await online(context, { openNames, clock: () => now });
  let now = new Date();
  const client = server.client([zone(server.network)]);
  const { certificate } = await client.obtain({ names: [name] });
  now = new Date(now.getTime() + 16 * 60_000);
  await client.revoke(certificate);
});

test("a client says what the authority found wrong, and takes its answer away all the same", async (context) => {
  const server = await online(context);
  let removed = 0;
  const idle: ChallengeSolver = {
    type: "dns-01",
    present: async () => async () => void (removed += 1),
  };
  await assert.rejects(
    server.client([idle]).obtain({ names: [name] }),
    refusal("ACME_REFUSED", /invalid: incorrectResponse: the answer to the challenge/),
  );
  assert.equal(removed, 1);
  await assert.rejects(
    server.client([idle]).obtain({ names: ["other.example"] }),
    refusal("ACME_REFUSED", /rejectedIdentifier/),
  );
  await assert.rejects(
    server.client([]).obtain({ names: [name] }),
    refusal("ACME_REFUSED", /by http-01, tls-alpn-01, dns-01, and we have nothing/),
  );
  await assert.rejects(
    server.client([idle]).obtain({ names: ["not a name"] }),
    refusal("NAME_REFUSED", /not a name/),
  );
});

test("a client talks to no server that the roots do not vouch for, nor over plain HTTP", async (context) => {
  const server = await online(context);
  const other = await temporaryAuthority(context, { start: new Date() });
  const foreign = certificatesToPem(await other.authority.roots());
  for (const roots of [[foreign], "public"] as const) {
    await assert.rejects(
      server.client([], { roots }).obtain({ names: [name] }),
      refusal("ACME_UNREACHABLE", /self-signed certificate|unable to/i),
    );
  }
  for (const roots of [[], [""], [" \n"]]) {
    assert.throws(() => server.client([], { roots }), TypeError);
  }
  const directoryUrl = server.directoryUrl.replace("https:", "http:");
  await assert.rejects(
    server.client([], { directoryUrl }).obtain({ names: [name] }),
    refusal("ANSWER_INVALID", /must be https/),
  );
  const nobody = server.directoryUrl.replace(/:\d+/, `:${await freePort(context)}`);
  await assert.rejects(
    server.client([], { directoryUrl: nobody }).obtain({ names: [name] }),
    refusal("ACME_UNREACHABLE", /ECONNREFUSED/),
  );
});

test("a client believes no answer that is not one: too long, no JSON, another's certificate, a redirect", async (context) => {
  const { authority } = await temporaryAuthority(context, { start: new Date() });
  const roots = [certificatesToPem(await authority.roots())];
  let answer: RequestListener = () => {};
  const port = await listenTls(context, authority, (message, response) =>
    answer(message, response),
  );
  const client = () =>
    createAcmeClient({
      directoryUrl: `https://127.0.0.1:${port}/directory`,
      roots,
      accountKey: generateKeyPair().privateKey,
      solvers: [],
    });
  const json = { "Content-Type": "application/json" };
  const cases: readonly (readonly [RequestListener, string, RegExp])[] = [
    [
      (_m, response) => response.writeHead(200, json).end("x".repeat(1_100_000)),
      "ANSWER_INVALID",
      /over 1048576/,
    ],
    [
      (_m, response) => response.writeHead(200, json).end("no json"),
      "ANSWER_INVALID",
      /JSON object/,
    ],
    [(_m, response) => response.writeHead(200, json).end("[]"), "ANSWER_INVALID", /JSON object/],
    [(_m, response) => response.writeHead(200, json).end("{}"), "ANSWER_INVALID", /newNonce/],
    [
      (_m, response) => response.writeHead(302, { Location: "/x" }).end(),
      "ACME_REFUSED",
      /status 302/,
    ],
    [(_m, response) => response.writeHead(500).end("inside"), "ACME_REFUSED", /status 500/],
    [
      (_m, response) =>
        response.writeHead(200, json).end(
          JSON.stringify({
            newNonce: "http://127.0.0.1/",
            newAccount: "x",
            newOrder: "x",
            revokeCert: "x",
          }),
        ),
      "ANSWER_INVALID",
      /must be https/,
    ],
  ];
  for (const [handler, code, message] of cases) {
    answer = handler;
    await assert.rejects(
      client().obtain({ names: [name] }),
      refusal(code, message),
      String(message),
    );
  }
});

test("an account signs with a key that ACME knows, and a request that is given up ends", async (context) => {
  const server = await online(context);
  const weak = generateKeyPair("ml-dsa-44").privateKey;
  assert.throws(() => server.client([], { accountKey: weak }), TypeError);
  const stop = new AbortController();
  stop.abort(new Error("enough"));
  const client = server.client([], { signal: stop.signal });
  await assert.rejects(client.obtain({ names: [name] }), /enough|aborted/);
});

test("a client keeps no certificate that is for another key, for other names, ended, or none", async (context) => {
  const { authority } = await temporaryAuthority(context, { start: new Date() });
  const { publicKey, privateKey } = generateKeyPair();
  const { chainPem, certificate } = await authority.issue({
    profile: "acme",
    publicKey,
    subject: {},
    names: { dns: [name], ip: [], uri: [], email: [] },
    requester: "local:test",
  });
  const wanted = {
    identifiers: [{ type: "dns", value: name }],
    privateKey,
    now: new Date(),
  } as const;
  assert.equal(
    receivedCertificate(chainPem, wanted).certificate.serialNumber,
    certificate.serialNumber,
  );
  const other = { type: "dns", value: "www.bank.example" } as const;
  const cases = [
    [chainPem, { ...wanted, privateKey: generateKeyPair().privateKey }, /another key/],
    [chainPem, { ...wanted, identifiers: [...wanted.identifiers, other] }, /www\.bank\.example/],
    [chainPem, { ...wanted, now: certificate.notAfter }, /ended/],
    ["", wanted, /cannot be read|is empty/],
    ["-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", wanted, /cannot be read/],
  ] as const;
  for (const [pem, expected, message] of cases) {
    assert.throws(() => receivedCertificate(pem, expected), refusal("ANSWER_INVALID", message));
  }
});

/** A port that was free a moment ago. */
async function freePort(context: TestContext): Promise<number> {
  const server = createPlain();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  context.after(() => server.close());
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return typeof address === "object" && address !== null ? address.port : 0;
}
