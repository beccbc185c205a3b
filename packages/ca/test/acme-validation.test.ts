import assert from "node:assert/strict";
import { hash } from "node:crypto";
import type { RequestListener } from "node:http";
import { createServer } from "node:tls";
import { test } from "node:test";
import type { TestContext } from "node:test";
import {
  certificatesToPem,
  createName,
  encodePrivateKey,
  generateKeyPair,
  issueCertificate,
} from "@handfast/x509";
import { isReachable } from "../src/acme/addresses.ts";
import { createAcme } from "../src/index.ts";
import {
  acmeUrl,
  answerHttp,
  listen,
  listenWith,
  orderFor,
  publicAddress,
  temporaryAcme,
} from "./support/acme.ts";
import type { TestAcme, TestClient } from "./support/acme.ts";
import { refusal } from "./support/fixtures.ts";

const name = "api.bank.example";
const everything = [name, ".bank.example", "0.0.0.0/0", "::/0"];

/** What became of a challenge, as the client sees it and as the operator does. */
interface Verdict {
  readonly status: unknown;
  readonly error: unknown;
  readonly reason: string | undefined;
}

/** Orders a certificate for one identifier and has a challenge validated. */
async function validate(
  server: TestAcme,
  {
    client,
    type = "http-01",
    identifier = { type: "dns", value: name },
  }: { client: TestClient; type?: string; identifier?: { type: string; value: string } },
): Promise<Verdict> {
  const { challenges } = await orderFor(client, [identifier], type);
  const settled = server.next("challenge-validated", "challenge-failed");
  await client.post(challenges[0] ?? "", {});
  const event = await settled;
  const { body } = await client.post(challenges[0] ?? "", "");
  const reason = event.type === "challenge-failed" ? event.reason : undefined;
  return { status: body["status"], error: body["error"], reason };
}

/** A server whose name leads to a web server, and an account for everything. */
async function withWebServer(
  context: TestContext,
  handler: (client: TestClient) => RequestListener,
): Promise<{ server: TestAcme; client: TestClient }> {
  const server = await temporaryAcme(context);
  const client = await server.account(everything);
  server.network.hosts.set(name, [[publicAddress]]);
  const port = await listen(context, handler(client));
  server.network.listeners.set(`${publicAddress}:80`, port);
  return { server, client };
}

const unreachable = {
  type: "urn:ietf:params:acme:error:connection",
  detail: "the server that the identifier leads to could not be reached",
  status: 400,
};
const wrong = {
  type: "urn:ietf:params:acme:error:incorrectResponse",
  detail: "the answer to the challenge is not the expected one",
  status: 403,
};

test("S51: addresses that nobody outside should reach are not connected to, and all look alike", async (context) => {
  const server = await temporaryAcme(context);
  const { network } = server;
  const client = await server.account(everything);
  network.own.push("93.184.215.99", "2606:2800:21f::99");
  for (const value of ["127.0.0.1", "::ffff:127.0.0.1", "169.254.169.254", "93.184.215.99"]) {
    const identifier = { type: "ip", value };
    for (const type of ["http-01", "tls-alpn-01"]) {
      const verdict = await validate(server, { client, type, identifier });
      assert.deepEqual([verdict.status, verdict.error], ["invalid", unreachable], value);
    }
    network.hosts.set(name, [[value]]);
    const { status, error } = await validate(server, { client });
    assert.deepEqual([status, error], ["invalid", unreachable], value);
  }
  assert.deepEqual(network.connections, []);
});

test("S51: loopback, link-local, multicast, unspecified, reserved, private and own addresses, in any spelling", () => {
  const own = ["93.184.215.99", "2606:2800:21f::99"];
  const refused = [
    "127.0.0.1",
    "127.8.8.8",
    "::ffff:127.0.0.1",
    "::ffff:7f00:1",
    "::127.0.0.1",
    "64:ff9b::7f00:1",
    "2002:7f00:1::",
    "::1",
    "::",
    "0.0.0.0",
    "169.254.169.254",
    "fe80::1",
    "224.0.0.1",
    "ff02::1",
    "255.255.255.255",
    "240.0.0.1",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "100.64.0.1",
    "fd00:ec2::254",
    "::ffff:10.0.0.1",
    "::ffff:93.184.215.99",
    ...own,
    "fe80::1%eth0",
    "nonsense",
  ];
  const reachable = (address: string) => isReachable(address, { allowNetworks: [], own });
  assert.deepEqual(refused.filter(reachable), []);
  const others = [publicAddress, "2606:2800:21f::98", "172.32.0.1", `::ffff:${publicAddress}`];
  assert.deepEqual(others.filter(reachable), others);
});

test("S51: a redirect to an address that nobody outside should reach is not followed", async (context) => {
  const targets = [
    "http://127.0.0.1/",
    "http://0x7f.1/",
    "http://2130706433/",
    "http://localhost/",
    "http://[::ffff:127.0.0.1]/",
    "http://[::1]/",
    "https://127.0.0.1/",
    "http://169.254.169.254/latest/meta-data/",
    "http://inside.bank.example/",
  ];
  let target = "";
  const { server, client } = await withWebServer(context, () => (_message, response) => {
    response.writeHead(302, { Location: target }).end();
  });
  server.network.hosts.set("localhost", [["127.0.0.1"]]);
  server.network.hosts.set("inside.bank.example", [["10.1.2.3"]]);
  for (target of targets) {
    const { status, error } = await validate(server, { client });
    assert.deepEqual([status, error], ["invalid", unreachable], target);
  }
  const first = `${publicAddress}:80`;
  assert.deepEqual(
    server.network.connections,
    Array.from(targets, () => first),
  );
});

test("S51: a name that rebinds is resolved once for each hop, and what was judged is connected to", async (context) => {
  const { server, client } = await withWebServer(context, answerWithRedirect);
  const { network } = server;
  network.hosts.set(name, [[publicAddress], ["127.0.0.1"]]);
  const { status, error } = await validate(server, { client });
  assert.deepEqual([status, error], ["invalid", unreachable]);
  assert.deepEqual(network.connections, [`${publicAddress}:80`]);

  network.connections.length = 0;
  network.hosts.set(name, [["127.0.0.1", "10.0.0.1", publicAddress]]);
  await validate(server, { client });
  assert.ok(network.connections.length > 0);
  assert.deepEqual(new Set(network.connections), new Set([`${publicAddress}:80`]));

  function answerWithRedirect(): RequestListener {
    return (_message, response) => {
      response.writeHead(302, { Location: `http://${name}/again` }).end();
    };
  }
});

test("S51: redirects are followed three times, to ports 80 and 443 and to http and https alone", async (context) => {
  let left = 0;
  let location = "/next";
  const { server, client } = await withWebServer(context, () => (_message, response) => {
    if (left-- > 0) response.writeHead(307, { Location: location }).end();
    else response.end("an answer, and a wrong one");
  });
  for (const [hops, error] of [
    [3, wrong],
    [4, unreachable],
  ] as const) {
    left = hops;
    assert.deepEqual((await validate(server, { client })).error, error, `${hops} redirects`);
  }
  for (location of [
    `http://${name}:8080/`,
    `https://${name}:8443/`,
    `ftp://${name}/`,
    `http://user:secret@${name}/`,
    "file:///etc/passwd",
    `http://${name}/${"x".repeat(4_000)}`,
    "http://",
  ]) {
    left = 1;
    assert.deepEqual((await validate(server, { client })).error, unreachable, location);
  }
  const asked = new Set(server.network.connections);
  assert.deepEqual(asked, new Set([`${publicAddress}:80`]));
});

test("a redirect on the same server that ends at the right answer is good", async (context) => {
  const { server, client } = await withWebServer(context, (client) => (message, response) => {
    const token = message.url?.split("/").at(-1) ?? "";
    if (message.url?.startsWith("/.well-known/")) {
      response.writeHead(301, { Location: `http://${name}/elsewhere/${token}` }).end();
    } else {
      response.end(`${token}.${client.thumbprint()}\r\n`);
    }
  });
  assert.equal((await validate(server, { client })).status, "valid");
});

test("the right answer with another status than 200 is none", async (context) => {
  let status = 200;
  const { server, client } = await withWebServer(context, (client) => (message, response) => {
    response.statusCode = status;
    answerHttp(client.thumbprint())(message, response);
  });
  for (status of [203, 206, 404, 500]) {
    assert.deepEqual((await validate(server, { client })).error, wrong, String(status));
  }
});

test("S51: nothing of a wrong answer reaches the client, neither body nor header nor status", async (context) => {
  const secret = "s3cr3t-of-the-inside";
  const answers: RequestListener[] = [
    (_message, response) => response.end(secret),
    (_message, response) => response.writeHead(500, { "X-Inside": secret }).end(secret),
    (_message, response) => response.writeHead(404).end(),
    (_message, response) => response.writeHead(204).end(),
    (_message, response) => response.writeHead(304, { Location: "/" }).end(),
    (_message, response) => response.end("x".repeat(1_025)),
  ];
  let answer = answers[0];
  const { server, client } = await withWebServer(context, () => (message, response) => {
    answer?.(message, response);
  });
  for (answer of answers) {
    const { status, error } = await validate(server, { client });
    assert.deepEqual([status, error], ["invalid", wrong]);
  }
});

test("S51: a body without end is given up after 1 KiB, and a header without end too", async (context) => {
  let written = 0;
  const { server, client } = await withWebServer(context, () => (message, response) => {
    const write = () => {
      written += 1_024;
      if (!response.destroyed) response.write("x".repeat(1_024), () => setImmediate(write));
    };
    message.socket.on("error", () => {});
    write();
  });
  assert.deepEqual((await validate(server, { client })).error, wrong);
  assert.ok(written < 8 * 1_024 * 1_024);

  const port = await listen(context, (_message, response) => {
    response.writeHead(200, { "X-Long": "y".repeat(9_000) }).end();
  });
  server.network.listeners.set(`${publicAddress}:80`, port);
  const { status, error } = await validate(server, { client });
  assert.deepEqual([status, error], ["invalid", unreachable]);
});

test("S51: a server that says nothing is given up, and closing the ACME server gives up the rest", async (context) => {
  const { server, client } = await withWebServer(context, () => () => {});
  const { challenges } = await orderFor(client, [{ type: "dns", value: name }], "http-01");
  await client.post(challenges[0] ?? "", {});
  await server.acme.close();
  const { body } = await client.post(challenges[0] ?? "", "");
  assert.equal(body["status"], "processing");
});

test("private networks are reached where that is configured, and nothing else is", () => {
  const rules = { allowNetworks: ["10.1.0.0/16", "fd00:1::/32", "127.0.0.0/8"], own: ["10.1.0.9"] };
  const reachable = (address: string) => isReachable(address, rules);
  assert.deepEqual(
    ["10.1.2.3", "fd00:1::2", "::ffff:10.1.2.3", publicAddress, "2606:2800::1"].filter(
      (address) => !reachable(address),
    ),
    [],
  );
  assert.deepEqual(
    ["10.2.0.1", "fd00:2::1", "127.0.0.1", "10.1.0.9", "::ffff:10.1.0.9", "nonsense"].filter(
      reachable,
    ),
    [],
  );
});

test("private networks are named as networks or addresses, and a server for others does not start", async (context) => {
  const { authority, store, keys } = await temporaryAcme(context);
  const start = (network: string) =>
    createAcme({ authority, store, keys, url: acmeUrl, allowNetworks: [network] });
  for (const network of ["10.1.0.0/16", "10.1.0.9", "fd00::/8", "fd00::1"]) {
    await (await start(network)).close();
  }
  for (const network of ["10.1.0.0/33", "10.1.0.0/", "10.1", "bank.example", ".example", ""]) {
    await assert.rejects(start(network), refusal("NAME_REFUSED", /name|network/), network);
  }
});

test("dns-01 looks for the digest among the TXT records of _acme-challenge", async (context) => {
  const server = await temporaryAcme(context);
  const client = await server.account(everything);
  const { records } = server.network;
  const none = await validate(server, { client, type: "dns-01" });
  assert.deepEqual(none.error, wrong);
  const { challenges, authorizations } = await orderFor(
    client,
    [{ type: "dns", value: `*.${name}` }],
    "dns-01",
  );
  const { body } = await client.post(authorizations[0] ?? "", "");
  assert.deepEqual(body["identifier"], { type: "dns", value: name });
  assert.equal(body["wildcard"], true);
  const offered = body["challenges"] as { type: string; token: string }[];
  assert.deepEqual(
    offered.map(({ type }) => type),
    ["dns-01"],
  );
  const expected = hash("sha256", `${offered[0]?.token}.${client.thumbprint()}`, "base64url");
  records.set(`_acme-challenge.${name}`, ["another", expected]);
  const validated = server.next("challenge-validated");
  await client.post(challenges[0] ?? "", {});
  await validated;
});

test("an address is not shown by DNS, and every challenge is of its own order", async (context) => {
  const server = await temporaryAcme(context);
  const client = await server.account(everything);
  const { authorizations } = await orderFor(client, [{ type: "ip", value: publicAddress }], "x");
  const { body } = await client.post(authorizations[0] ?? "", "");
  assert.deepEqual(
    (body["challenges"] as { type: string }[]).map(({ type }) => type),
    ["http-01", "tls-alpn-01"],
  );
});

interface AlpnAnswer {
  readonly protocols?: readonly string[];
  readonly names?: { dns?: readonly string[]; ip?: readonly string[] };
  readonly digestOf?: (keyAuthorization: string) => string;
  readonly extension?: boolean;
}

/** A TLS server that answers tls-alpn-01 as it is told, and what it was asked for. */
async function answerTls(
  context: TestContext,
  server: TestAcme,
  {
    client,
    identifier,
    answer,
  }: { client: TestClient; identifier: { type: string; value: string }; answer: AlpnAnswer },
): Promise<{ verdict: Verdict; serverNames: string[] }> {
  const { challenges, authorizations } = await orderFor(client, [identifier], "tls-alpn-01");
  const { body } = await client.post(authorizations[0] ?? "", "");
  const [{ token } = { token: "" }] = body["challenges"] as { token: string }[];
  const keyAuthorization = `${token}.${client.thumbprint()}`;
  const { digestOf = (text: string) => text, extension = true } = answer;
  const { publicKey, privateKey } = generateKeyPair();
  const certificate = issueCertificate({
    profile: "server",
    subject: createName([{ type: "CN", value: "challenge" }]),
    subjectAltNames: answer.names ?? { dns: [identifier.value] },
    publicKey,
    issuer: "self",
    privateKey,
    notBefore: new Date(Date.now() - 60_000),
    notAfter: new Date(Date.now() + 60_000),
    ...(extension && {
      acmeIdentifier: hash("sha256", digestOf(keyAuthorization), "buffer"),
    }),
  });
  const serverNames: string[] = [];
  const listener = createServer({
    key: encodePrivateKey(privateKey),
    cert: certificatesToPem([certificate]),
    ALPNProtocols: [...(answer.protocols ?? ["acme-tls/1"])],
    SNICallback(serverName, done) {
      serverNames.push(serverName);
      done(null);
    },
  });
  listener.on("tlsClientError", () => {});
  const port = await listenWith(context, listener);
  server.network.listeners.set(`${publicAddress}:443`, port);
  const settled = server.next("challenge-validated", "challenge-failed");
  await client.post(challenges[0] ?? "", {});
  const event = await settled;
  const { body: after } = await client.post(challenges[0] ?? "", "");
  const reason = event.type === "challenge-failed" ? event.reason : undefined;
  return { verdict: { status: after["status"], error: after["error"], reason }, serverNames };
}

test("tls-alpn-01: the certificate names the identifier alone and carries the digest, over acme-tls/1", async (context) => {
  const server = await temporaryAcme(context);
  const client = await server.account(everything);
  server.network.hosts.set(name, [[publicAddress]]);
  const identifier = { type: "dns", value: name };
  const good = await answerTls(context, server, { client, identifier, answer: {} });
  assert.equal(good.verdict.status, "valid", good.verdict.reason ?? "");
  assert.deepEqual(good.serverNames, [name]);

  const tls = "urn:ietf:params:acme:error:tls";
  const cases: readonly (readonly [AlpnAnswer, string])[] = [
    [{ protocols: ["http/1.1"] }, tls],
    [{ protocols: ["h2"] }, tls],
    [{ protocols: [] }, tls],
    [{ names: { dns: ["other.bank.example"] } }, wrong.type],
    [{ names: { dns: [name, "other.bank.example"] } }, wrong.type],
    [{ names: { ip: [publicAddress] } }, wrong.type],
    [{ digestOf: (text) => `${text} ` }, wrong.type],
    [{ extension: false }, wrong.type],
  ];
  for (const [answer, type] of cases) {
    const { verdict } = await answerTls(context, server, { client, identifier, answer });
    assert.equal(verdict.status, "invalid", JSON.stringify(answer));
    assert.equal((verdict.error as { type: string }).type, type, JSON.stringify(answer));
  }
});

test("tls-alpn-01 for an address asks for its name in the reverse zone (RFC 8738 6)", async (context) => {
  const server = await temporaryAcme(context);
  const client = await server.account(everything);
  const identifier = { type: "ip", value: publicAddress };
  const answer = { names: { ip: [publicAddress] } };
  const { verdict, serverNames } = await answerTls(context, server, { client, identifier, answer });
  assert.equal(verdict.status, "valid", verdict.reason ?? "");
  assert.deepEqual(serverNames, ["14.215.184.93.in-addr.arpa"]);
});

test("a failed validation ends its order, and another challenge does not bring it back", async (context) => {
  const { server, client } = await withWebServer(context, () => (_message, response) => {
    response.end("no");
  });
  const { challenges, order, authorizations, finalize } = await orderFor(
    client,
    [{ type: "dns", value: name }],
    "http-01",
  );
  const failed = server.next("challenge-failed");
  await client.post(challenges[0] ?? "", {});
  await failed;
  const { body } = await client.post(order, "");
  assert.equal(body["status"], "invalid");
  assert.equal((body["error"] as { type: string }).type, "urn:ietf:params:acme:error:unauthorized");
  assert.equal((await client.post(authorizations[0] ?? "", "")).body["status"], "invalid");
  const dns = (challenges[0] ?? "").replace("http-01", "dns-01");
  server.network.records.set(`_acme-challenge.${name}`, ["x"]);
  assert.equal((await client.post(dns, {})).body["status"], "pending");
  const refused = await client.post(finalize, { csr: "" });
  assert.equal(refused.body["type"], "urn:ietf:params:acme:error:orderNotReady");
});

test("another's answer does not count: it is for another account's key", async (context) => {
  const server = await temporaryAcme(context);
  const mallory = await server.account(everything);
  const client = await server.account(everything);
  server.network.hosts.set(name, [[publicAddress]]);
  const port = await listen(context, answerHttp(client.thumbprint()));
  server.network.listeners.set(`${publicAddress}:80`, port);
  assert.equal((await validate(server, { client })).status, "valid");
  assert.deepEqual((await validate(server, { client: mallory })).error, wrong);
});
