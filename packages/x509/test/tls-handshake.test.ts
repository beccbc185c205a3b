import assert from "node:assert/strict";
import { once } from "node:events";
import { describe, test } from "node:test";
import {
  connect,
  createServer,
  type ConnectionOptions,
  type EphemeralKeyInfo,
  type TLSSocket,
  type TlsOptions,
} from "node:tls";
import { createTestAuthority } from "@handfast/x509/testing";
import { parseCertificate, verifyChain, type KeyAlgorithm } from "@handfast/x509";

const mlKem = { ecdhCurve: "X25519MLKEM768", minVersion: "TLSv1.3" } as const;

describe("a mutual TLS 1.3 handshake", () => {
  const algorithms: readonly KeyAlgorithm[] = [
    "ecdsa-p256",
    "ecdsa-p384",
    "ed25519",
    "rsa-2048",
    "ml-dsa-44",
    "ml-dsa-65",
    "ml-dsa-87",
  ];
  for (const algorithm of algorithms) {
    test(`succeeds with a chain of ${algorithm} over X25519MLKEM768 (S18)`, async () => {
      const root = createTestAuthority({ algorithm });
      const issuing = root.intermediate();
      const server = issuing.issue({ name: "server", profile: "server" });
      const client = issuing.issue({ name: "client", profile: "svid" });
      const { group, received, version } = await handshake(
        {
          ...mlKem,
          cert: server.certificateChainPem,
          key: server.privateKeyPem,
          ca: [root.bundlePem],
          requestCert: true,
          rejectUnauthorized: true,
        },
        {
          ...mlKem,
          cert: client.certificateChainPem,
          key: client.privateKeyPem,
          ca: [root.bundlePem],
          servername: "server",
        },
      );
      assert.equal(version, "TLSv1.3");
      assert.equal(group, "X25519MLKEM768");
      const verdict = verifyChain(
        { leaf: parseCertificate(received), candidates: [issuing.certificate] },
        { anchors: [root.certificate], now: new Date(), purpose: "client" },
      );
      assert.equal(verdict.ok, true);
    });
  }

  test("fails where only one side offers X25519MLKEM768 alone (S18)", async () => {
    const root = createTestAuthority({ algorithm: "ml-dsa-65" });
    const server = root.issue({ name: "server" });
    await assert.rejects(
      handshake(
        { ...mlKem, cert: server.certificateChainPem, key: server.privateKeyPem },
        { ecdhCurve: "X25519", ca: [root.bundlePem], servername: "server" },
      ),
      /handshake failure|ECONNRESET/,
    );
  });
});

/** One handshake on a port of its own; what the client negotiated and the server received. */
async function handshake(
  serverOptions: TlsOptions,
  clientOptions: ConnectionOptions,
): Promise<{ group: string | undefined; version: string | null; received: Uint8Array }> {
  const server = createServer(serverOptions);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  assert.ok(address !== null && typeof address === "object");
  const socket = connect({ ...clientOptions, host: "127.0.0.1", port: address.port });
  try {
    const [[peer]] = (await Promise.all([
      once(server, "secureConnection"),
      once(socket, "secureConnect"),
    ])) as [[TLSSocket], unknown];
    const received = peer.getPeerX509Certificate()?.raw ?? new Uint8Array();
    peer.destroy();
    const { name } = socket.getEphemeralKeyInfo() as EphemeralKeyInfo;
    return { group: name, version: socket.getProtocol(), received };
  } finally {
    socket.destroy();
    server.close();
  }
}
