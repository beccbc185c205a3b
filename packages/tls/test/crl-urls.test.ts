// CRLs fetched over HTTP: what the network can and cannot do to us.
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtemp, readdir, rm, stat } from "node:fs/promises";
import { createServer } from "node:http";
import type { IncomingMessage, ServerResponse } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import { issueCrl } from "@handfast/x509";
import type { TestIdentity } from "@handfast/x509/testing";

import { crlFromUrls } from "../src/index.ts";
import type { MutualTls, TlsEvent } from "../src/index.ts";
import { addressOf, authority, read, recorder, runtime } from "./fixtures.ts";

const server = authority.issue({ name: "localhost" });
const alice = authority.issue({ name: "alice" });
const hour = 3_600_000;

function crl(number: number, revoked: readonly TestIdentity[] = []): Uint8Array {
  return issueCrl({
    issuer: authority,
    entries: revoked.map(({ certificate }) => ({
      serialNumber: certificate.serialNumber,
      revokedAt: new Date(0),
    })),
    number,
    thisUpdate: new Date(Date.now() - hour),
    nextUpdate: new Date(Date.now() + hour),
  });
}

type Answer = (request: IncomingMessage, response: ServerResponse) => void;

/** A web server whose answer the test changes, and a folder for what is kept. */
async function web(): Promise<
  {
    url: string;
    cacheDirectory: string;
    requests: IncomingMessage[];
    answer: Answer;
  } & AsyncDisposable
> {
  const requests: IncomingMessage[] = [];
  const cacheDirectory = join(await mkdtemp(join(tmpdir(), "handfast-crl-url-")), "kept");
  const http = createServer((request, response) => {
    requests.push(request);
    place.answer(request, response);
  }).listen(0, "127.0.0.1");
  await once(http, "listening");
  const { port } = http.address() as { port: number };
  const place = {
    url: `http://127.0.0.1:${port}/ca.crl`,
    cacheDirectory,
    requests,
    answer: ((_request, response) => response.end()) as Answer,
    async [Symbol.asyncDispose]() {
      http.closeAllConnections();
      http.close();
      await rm(join(cacheDirectory, ".."), { recursive: true });
    },
  };
  return place;
}

async function say(bank: MutualTls, client: TestIdentity): Promise<string> {
  await using caller = await runtime(client);
  const listener = await bank.listen(
    { host: "localhost", port: 0 },
    { h2: recorder(), clientCertificates: "required" },
  );
  const { socket } = await caller.mtls.dial(addressOf(listener));
  return read(socket);
}

const send =
  (bytes: Uint8Array, headers: Record<string, string> = {}): Answer =>
  (_request, response) =>
    void response.writeHead(200, headers).end(bytes);
const warnings = (events: readonly TlsEvent[]): string =>
  events.flatMap((event) => (event.type === "revocation-warning" ? [event.reason] : [])).join("\n");

test("a list is fetched, kept with mode 0600, and asked for again by its ETag", async () => {
  await using place = await web();
  place.answer = send(crl(1, [alice]), { etag: '"one"' });
  await using bank = await runtime(server, {
    revocation: crlFromUrls([place.url], {
      undetermined: "refuse",
      cacheDirectory: place.cacheDirectory,
    }),
  });
  assert.match(await say(bank.mtls, alice), /^no CERTIFICATE_REVOKED/);
  const [kept] = await readdir(place.cacheDirectory);
  assert.equal((await stat(join(place.cacheDirectory, kept ?? ""))).mode & 0o777, 0o600);
  place.answer = (_request, response) => void response.writeHead(304).end();
  assert.equal((await bank.mtls.reload()).revocation, "unchanged");
  assert.equal(place.requests.at(-1)?.headers["if-none-match"], '"one"');
});

test("S5: after a restart with the server away, what was known still counts", async () => {
  await using place = await web();
  const revocation = crlFromUrls([place.url], {
    undetermined: "refuse",
    cacheDirectory: place.cacheDirectory,
  });
  place.answer = send(crl(5, [alice]));
  await (await runtime(server, { revocation })).mtls.close();
  place.answer = (_request, response) => void response.destroy();
  await using bank = await runtime(server, { revocation });
  assert.match(await say(bank.mtls, alice), /^no CERTIFICATE_REVOKED/);
  assert.match(warnings(bank.events), /cannot be fetched/);
});

test("S5: after a restart an older list that is replayed changes nothing, and the override is named", async () => {
  await using place = await web();
  const revocation = crlFromUrls([place.url], {
    undetermined: "refuse",
    cacheDirectory: place.cacheDirectory,
  });
  place.answer = send(crl(5, [alice]));
  await (await runtime(server, { revocation })).mtls.close();
  place.answer = send(crl(4));
  await using bank = await runtime(server, { revocation });
  assert.match(await say(bank.mtls, alice), /^no CERTIFICATE_REVOKED/);
  assert.match(warnings(bank.events), /older than 5 in use; reload\(\{ forgetMissing: true \}\)/);
});

const hostile: readonly [string, Answer, RegExp][] = [
  [
    "a redirect",
    (_request, response) => void response.writeHead(302, { location: "http://127.0.0.1:1/" }).end(),
    /answered 302/,
  ],
  ["a content coding", send(crl(9), { "content-encoding": "gzip" }), /content coding/],
  [
    "an announced length beyond the limit",
    (_request, response) =>
      response.writeHead(200, { "content-length": String(2 ** 40) }).flushHeaders(),
    /too large/,
  ],
  [
    "an answer that breaks off",
    (_request, response) => {
      response.writeHead(200, { "content-length": "1000" });
      response.write("half", () => response.destroy());
    },
    /cannot be fetched/,
  ],
  [
    "an error page",
    (_request, response) => void response.writeHead(500).end("oops"),
    /answered 500/,
  ],
  ["HTML", send(new TextEncoder().encode("<html>")), /CRL/],
];

for (const [what, answer, reason] of hostile) {
  test(`S4: ${what} changes nothing and is reported`, async () => {
    await using place = await web();
    place.answer = send(crl(1, [alice]));
    await using bank = await runtime(server, {
      revocation: crlFromUrls([place.url], {
        undetermined: "refuse",
        cacheDirectory: place.cacheDirectory,
      }),
    });
    place.answer = answer;
    await bank.mtls.reload();
    assert.match(warnings(bank.events), reason);
    assert.match(await say(bank.mtls, alice), /^no CERTIFICATE_REVOKED/);
  });
}

test("S4: the credentials in a URL are in no event and no description", async () => {
  await using place = await web();
  place.answer = (_request, response) => void response.writeHead(500).end();
  const url = place.url.replace("http://", "http://reader:hunter2@");
  const source = crlFromUrls([`${url}?token=hunter3`], {
    undetermined: "admit",
    cacheDirectory: place.cacheDirectory,
  });
  await using bank = await runtime(server, { revocation: source });
  assert.match(warnings(bank.events), /answered 500/);
  assert.doesNotMatch(JSON.stringify(bank.events) + source.description, /hunter/);
});

test("S9: a list that soon runs out is asked for again at half of its time, whatever the interval", async () => {
  await using place = await web();
  const brief = issueCrl({
    issuer: authority,
    entries: [],
    number: 1,
    thisUpdate: new Date(Date.now() - hour),
    nextUpdate: new Date(Date.now() + 3000),
  });
  const asked = Promise.withResolvers<void>();
  place.answer = (request, response) => {
    send(brief)(request, response);
    if (place.requests.length === 2) asked.resolve();
  };
  await using _bank = await runtime(server, {
    revocation: crlFromUrls([place.url], {
      undetermined: "refuse",
      cacheDirectory: place.cacheDirectory,
      pollMs: hour,
    }),
  });
  await asked.promise;
  assert.equal(place.requests.length, 2);
});

test("S9: a new list is polled for, and the revoked session is cut", async () => {
  await using place = await web();
  place.answer = send(crl(1));
  await using bank = await runtime(server, {
    revocation: crlFromUrls([place.url], {
      undetermined: "refuse",
      cacheDirectory: place.cacheDirectory,
      pollMs: 50,
    }),
  });
  await using caller = await runtime(alice);
  const listener = await bank.mtls.listen(
    { host: "localhost", port: 0 },
    { h2: recorder(), clientCertificates: "required" },
  );
  const { socket } = await caller.mtls.dial(addressOf(listener));
  await read(socket);
  socket.resume();
  place.answer = send(crl(2, [alice]));
  await once(socket, "close");
});
