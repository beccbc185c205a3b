// S18: versions, groups, suites, renegotiation; and the handshake failures that no certificate causes.
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect as connectNet } from "node:net";
import { test } from "node:test";
import { connect as connectTls } from "node:tls";
import type { ConnectionOptions, TLSSocket } from "node:tls";

import type { MutualTlsOptions, RefusalCode, TlsEvent } from "../src/index.ts";
import { addressOf, authority, portOf, read, recorder, runtime } from "./fixtures.ts";

const server = authority.issue({ name: "localhost" });
const alice = authority.issue({ name: "alice" });
const client = {
  ca: [authority.bundlePem],
  cert: alice.certificateChainPem,
  key: alice.privateKeyPem,
  ALPNProtocols: ["h2"],
};

/** Connects with node:tls, and returns what each end made of it. */
async function attempt(
  connection: ConnectionOptions,
  options: Partial<MutualTlsOptions> = {},
): Promise<{ error: string; event: TlsEvent & { type: "handshake" }; reached: number }> {
  await using bank = await runtime(server, options);
  const h2 = recorder();
  const listener = await bank.mtls.listen(
    { host: "localhost", port: 0 },
    { h2, clientCertificates: "required" },
  );
  const socket = connectTls({ ...client, ...connection, ...addressOf(listener) });
  const error = await new Promise<string>((resolve) => {
    socket.once("error", (thrown: NodeJS.ErrnoException) => resolve(thrown.code ?? ""));
    socket.once("data", () => resolve(""));
  });
  socket.destroy();
  const event = await bank.next(({ type }) => type === "handshake");
  assert.equal(event.type, "handshake");
  return { error, event, reached: h2.accepted.length + h2.refused.length };
}

const mismatches: readonly [string, ConnectionOptions, RefusalCode, Partial<MutualTlsOptions>?][] =
  [
    ["finite-field groups only", { ecdhCurve: "ffdhe2048" }, "KEY_EXCHANGE_FAILURE"],
    ["P-521 only", { ecdhCurve: "P-521" }, "KEY_EXCHANGE_FAILURE"],
    [
      "classic groups only where post-quantum is required",
      { ecdhCurve: "X25519:P-256" },
      "KEY_EXCHANGE_FAILURE",
      { postQuantum: "require" },
    ],
    [
      "suites we do not have",
      { ciphers: "TLS_AES_128_CCM_SHA256", minVersion: "TLSv1.3" },
      "CIPHER_SUITE_MISMATCH",
    ],
    [
      "signature schemes we cannot make",
      { sigalgs: "rsa_pss_rsae_sha256" },
      "KEY_EXCHANGE_FAILURE",
    ],
    ["TLS 1.2 only", { maxVersion: "TLSv1.2" }, "PROTOCOL_VERSION_UNSUPPORTED"],
    [
      "TLS 1.1 only where 1.2 is allowed",
      { minVersion: "TLSv1", maxVersion: "TLSv1.1", ciphers: "DEFAULT@SECLEVEL=0" },
      "PROTOCOL_VERSION_UNSUPPORTED",
      { minVersion: "TLSv1.2" },
    ],
    [
      "suites without forward secrecy where TLS 1.2 is allowed",
      { maxVersion: "TLSv1.2", ciphers: "AES128-GCM-SHA256" },
      "CIPHER_SUITE_MISMATCH",
      { minVersion: "TLSv1.2" },
    ],
    [
      "CBC suites where TLS 1.2 is allowed",
      { maxVersion: "TLSv1.2", ciphers: "ECDHE-ECDSA-AES128-SHA" },
      "CIPHER_SUITE_MISMATCH",
      { minVersion: "TLSv1.2" },
    ],
    ["another application protocol", { ALPNProtocols: ["h3"] }, "NO_APPLICATION_PROTOCOL"],
  ];

for (const [what, connection, code, options] of mismatches) {
  test(`S18: a client with ${what} is refused as ${code}, and reaches no protocol`, async () => {
    const { error, event, reached } = await attempt(connection, options);
    assert.notEqual(error, "");
    assert.equal(event.refusal?.code, code);
    assert.equal(reached, 0);
  });
}

test("TLS 1.2 with an ECDHE suite is served where it was asked for", async () => {
  const { error, event } = await attempt({ maxVersion: "TLSv1.2" }, { minVersion: "TLSv1.2" });
  assert.equal(error, "");
  assert.equal(event.peer?.tlsVersion, "TLSv1.2");
  assert.match(event.peer.cipher, /^TLS_ECDHE_ECDSA_WITH_(AES|CHACHA20)/);
});

test("S18: a client's renegotiation is refused on TLS 1.2", async () => {
  await using bank = await runtime(server, { minVersion: "TLSv1.2" });
  const listener = await bank.mtls.listen(
    { host: "localhost", port: 0 },
    { h2: recorder(), clientCertificates: "required" },
  );
  const socket = connectTls({ ...client, ...addressOf(listener), maxVersion: "TLSv1.2" });
  await read(socket);
  const outcome = await new Promise<Error | null>((resolve) => {
    socket.once("error", resolve);
    socket.renegotiate({ rejectUnauthorized: true }, resolve);
  });
  assert.match(String(outcome), /no.renegotiation/i);
  socket.destroy();
});

async function groupOf(
  options: Partial<MutualTlsOptions>,
  connection: ConnectionOptions = {},
): Promise<string> {
  await using bank = await runtime(server, options);
  const listener = await bank.mtls.listen(
    { host: "localhost", port: 0 },
    { h2: recorder(), clientCertificates: "required" },
  );
  const socket: TLSSocket = connectTls({ ...client, ...connection, ...addressOf(listener) });
  await once(socket, "secureConnect");
  const info = socket.getEphemeralKeyInfo();
  socket.destroy();
  return info !== null && "name" in info ? String(info.name) : "";
}

test("the key exchange is X25519MLKEM768 where both sides have it", async () => {
  assert.equal(await groupOf({}), "X25519MLKEM768");
  assert.equal(await groupOf({ postQuantum: "require" }), "X25519MLKEM768");
  assert.equal(await groupOf({}, { ecdhCurve: "X25519" }), "X25519");
  assert.equal(await groupOf({}, { ecdhCurve: "P-384" }), "secp384r1");
});

const noises: readonly [string, string | Uint8Array, RefusalCode][] = [
  ["an HTTP request", "GET / HTTP/1.1\r\n\r\n", "NOT_TLS"],
  ["an HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "NOT_TLS"],
  ["noise", new Uint8Array(300).fill(0xa5), "NOT_TLS"],
  ["an SSH greeting", "SSH-2.0-OpenSSH_9.9\r\n", "NOT_TLS"],
  [
    "a TLS record that is no hello",
    new Uint8Array([22, 3, 1, 0, 5, 99, 0, 0, 1, 0]),
    "UNEXPECTED_MESSAGE",
  ],
];

for (const [what, bytes, code] of noises) {
  test(`${what} on our port is ${code}, and reaches no protocol`, async () => {
    await using bank = await runtime(server);
    const h2 = recorder();
    const listener = await bank.mtls.listen(
      { host: "localhost", port: 0 },
      { h2, clientCertificates: "required" },
    );
    const socket = connectNet(portOf(listener), "localhost");
    socket.on("error", () => {});
    socket.resume();
    socket.write(bytes);
    await once(socket, "close");
    const event = await bank.next(({ type }) => type === "handshake");
    assert.equal(event.type === "handshake" && event.refusal?.code, code);
    assert.equal(h2.accepted.length + h2.refused.length, 0);
  });
}

test("a client that leaves in the middle of the hello is seen to have left", async () => {
  await using bank = await runtime(server);
  const listener = await bank.mtls.listen(
    { host: "localhost", port: 0 },
    { h2: recorder(), clientCertificates: "required" },
  );
  const socket = connectNet(portOf(listener), "localhost");
  socket.write(new Uint8Array([22, 3, 1, 2, 0, 1, 0]), () => socket.destroy());
  const event = await bank.next(({ type }) => type === "handshake");
  assert.equal(event.type === "handshake" && event.refusal?.code, "PEER_CONNECTION_CLOSED");
  assert.equal(event.type === "handshake" && event.refusal?.by, "peer");
});
