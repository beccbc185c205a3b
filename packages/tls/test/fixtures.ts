// What the tests of this room share: runtimes in memory, a protocol that records, events to wait for.
import { once } from "node:events";
import type { TLSSocket } from "node:tls";

import { createTestAuthority } from "@handfast/x509/testing";
import type { TestAuthority, TestIdentity } from "@handfast/x509/testing";

import {
  anyTrustedPeer,
  createMutualTls,
  identityFromMemory,
  noRevocation,
  trustFromMemory,
} from "../src/index.ts";
import type {
  DrainReason,
  Listener,
  MutualTls,
  MutualTlsOptions,
  Protocol,
  Refusal,
  TlsEvent,
  VerifiedPeer,
} from "../src/index.ts";

export const authority: TestAuthority = createTestAuthority();

/** A runtime with a certificate of the test authority, and everything it said. */
export async function runtime(
  identity: TestIdentity,
  options: Partial<MutualTlsOptions> = {},
): Promise<{ mtls: MutualTls; events: TlsEvent[]; next: EventWaiter } & AsyncDisposable> {
  const events: TlsEvent[] = [];
  const waiters = new Set<() => void>();
  const mtls = await createMutualTls({
    identity: identityFromMemory({
      certificateChain: identity.certificateChainPem,
      privateKey: identity.privateKeyPem,
    }),
    trust: trustFromMemory(authority.bundlePem),
    revocation: noRevocation(),
    admit: anyTrustedPeer(),
    onEvent(event) {
      events.push(event);
      for (const wake of waiters) wake();
    },
    ...options,
  });
  return {
    mtls,
    events,
    next: (matches) =>
      new Promise((resolve) => {
        const look = (): void => {
          const found = events.find((event) => matches(event));
          if (found === undefined) return;
          waiters.delete(look);
          resolve(found);
        };
        waiters.add(look);
        look();
      }),
    [Symbol.asyncDispose]: () => mtls.close(),
  };
}

export type EventWaiter = (matches: (event: TlsEvent) => boolean) => Promise<TlsEvent>;

/** A protocol that answers "hello NAME" to admitted peers, "no CODE" to refused ones, and keeps a record. */
export function recorder(): Protocol & {
  readonly accepted: (VerifiedPeer | undefined)[];
  readonly refused: Refusal[];
  readonly drained: DrainReason[];
} {
  const accepted: (VerifiedPeer | undefined)[] = [];
  const refused: Refusal[] = [];
  const drained: DrainReason[] = [];
  return {
    accepted,
    refused,
    drained,
    accept(socket, peer) {
      accepted.push(peer);
      socket.write(`hello ${peer?.identity ?? "nobody"}`);
      return {
        drain: (reason) => void drained.push(reason),
        activity: () => ({ callsInFlight: 0 }),
      };
    },
    refuse(socket, refusal) {
      refused.push(refusal);
      socket.end(`no ${refusal.code}: ${refusal.publicMessage}`);
    },
  };
}

/** What a socket says until it ends, or `bytes` of it. */
export async function read(socket: TLSSocket): Promise<string> {
  const [chunk] = (await once(socket, "data")) as [Buffer];
  return chunk.toString();
}

export function portOf(listener: Listener): number {
  if (!("port" in listener.address)) throw new TypeError("expected a TCP listener");
  return listener.address.port;
}

/** Where a listener of these tests is dialled: certificates are made for `localhost`. */
export function addressOf(listener: Listener): { host: string; port: number } {
  return { host: "localhost", port: portOf(listener) };
}
