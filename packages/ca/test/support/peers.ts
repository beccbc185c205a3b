import assert from "node:assert/strict";
import { once } from "node:events";
import type { KeyObject } from "node:crypto";
import {
  anyTrustedPeer,
  createMutualTls,
  crlFromSource,
  identityFromMemory,
  noRevocation,
  serverName,
  TlsError,
  trustFromMemory,
} from "@handfast/tls";
import type { MutualTls, Protocol, RevocationSource } from "@handfast/tls";
import { certificatesToPem, encodePrivateKey } from "@handfast/x509";
import type { Certificate } from "@handfast/x509";

/** One end of a connection: what it shows, and what it believes. */
export interface Peer {
  readonly chainPem: string;
  readonly privateKey: KeyObject;
  readonly roots: readonly Certificate[];
  /** Revocation lists, DER; if given, what no list speaks of is refused. */
  readonly crls?: readonly Uint8Array[];
}

/**
 * Has a client call a server over TLS, each judged by the real verifier of the other; both ends'
 * verdict: "admitted", or why not.
 */
export async function call(
  client: Peer,
  server: Peer,
): Promise<{ client: string; server: string }> {
  const [caller, bank] = [await runtime(client), await runtime(server)];
  try {
    let verdictOnClient = "no verdict";
    const protocol: Protocol = {
      accept(socket) {
        verdictOnClient = "admitted";
        socket.end("hello");
        return { drain() {}, activity: () => ({ callsInFlight: 0 }) };
      },
      refuse(socket, refusal) {
        verdictOnClient = refusal.code;
        socket.end("no");
      },
    };
    const listener = await bank.listen(
      { host: "127.0.0.1", port: 0 },
      { h2: protocol, clientCertificates: "required" },
    );
    assert.ok("port" in listener.address);
    const { port } = listener.address;
    try {
      const { socket } = await caller.dial(
        { host: "127.0.0.1", port },
        { expect: serverName("bank.test") },
      );
      await once(socket, "data");
      socket.destroy();
      return { client: verdictOnClient, server: "admitted" };
    } catch (error) {
      if (!(error instanceof TlsError) || error.refusal === undefined) throw error;
      return { client: verdictOnClient, server: error.refusal.code };
    }
  } finally {
    await Promise.all([caller.close(), bank.close()]);
  }
}

/** What it is when both are content. */
export const admitted = { client: "admitted", server: "admitted" };

function runtime({ chainPem, privateKey, roots, crls }: Peer): Promise<MutualTls> {
  return createMutualTls({
    identity: identityFromMemory({
      certificateChain: chainPem,
      privateKey: encodePrivateKey(privateKey),
    }),
    trust: trustFromMemory(certificatesToPem(roots)),
    revocation: crls === undefined ? noRevocation() : listed(crls),
    admit: anyTrustedPeer(),
  });
}

function listed(crls: readonly Uint8Array[]): RevocationSource {
  const source = {
    description: "lists of the test",
    read: async () => crls.map((bytes, index) => ({ name: `${index}.crl`, bytes })),
  };
  return crlFromSource(source, { undetermined: "refuse" });
}
