import { issueCrl } from "@handfast/x509";
import { createTestAuthority } from "@handfast/x509/testing";
import type { TestAuthority, TestIdentity } from "@handfast/x509/testing";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { median } from "../x509/measure.ts";
import { openSessions, shakeHands, ticketFor } from "./client.ts";
import { print } from "./figures.ts";
import type { Target } from "./client.ts";
import type { ServerReport } from "./server.ts";
import { startGo, startNode, startOpenssl } from "./servers.ts";
import type { BenchServer } from "./servers.ts";

export type BenchAlgorithm = "ecdsa-p256" | "ml-dsa-65";

/** How much is done. */
export interface HandshakeWork {
  readonly rounds: number;
  /** Handshakes per round. */
  readonly handshakes: number;
}

/** Certificates of root, issuing CA and leaf, and their revocation lists, in a folder. */
export interface Ground extends AsyncDisposable {
  readonly folder: string;
  readonly bundlePem: string;
  issue(name: string): TestIdentity;
}

export async function prepareGround(algorithm: BenchAlgorithm): Promise<Ground> {
  const folder = await mkdtemp(join(tmpdir(), "handfast-bench-"));
  const root = createTestAuthority({ algorithm });
  const issuing = root.intermediate();
  const server = issuing.issue({ name: "localhost" });
  await writeFile(join(folder, "ca.crt"), root.bundlePem);
  await writeFile(join(folder, "server.crt"), server.certificateChainPem);
  await writeFile(join(folder, "server.key"), server.privateKeyPem, { mode: 0o600 });
  await mkdir(join(folder, "crls"));
  await writeFile(join(folder, "crls", "root.crl"), emptyList(root));
  await writeFile(join(folder, "crls", "issuing.crl"), emptyList(issuing));
  return {
    folder,
    bundlePem: root.bundlePem,
    issue: (name) => issuing.issue({ name }),
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true }),
  };
}

/** Server CPU per full handshake, for a peer that was seen before and for one that was not. */
export async function measureFull(algorithm: BenchAlgorithm, work: HandshakeWork): Promise<void> {
  await using ground = await prepareGround(algorithm);
  const servers = new Map<string, BenchServer | undefined>([
    ["bare node:tls", await startNode("bare", ground.folder)],
    ["Handfast", await startNode("handfast", ground.folder)],
    // Neither knows ML-DSA: the openssl of most systems is older than 3.5, and so is crypto/x509.
    ["Go crypto/tls", algorithm === "ml-dsa-65" ? undefined : await startGo(ground.folder)],
    ["openssl s_server", algorithm === "ml-dsa-65" ? undefined : await startOpenssl(ground.folder)],
  ]);
  const known = ground.issue("client");
  let issued = 0;
  const strangers = (): TestIdentity[] =>
    Array.from({ length: work.handshakes }, () => ground.issue(`client-${issued++}`));
  const again = Array.from({ length: work.handshakes }, () => known);
  await compare(`full mutual handshake, ${algorithm}, the same peer again`, servers, {
    ...work,
    run: (target) => shakeHands(target, again),
    bundlePem: ground.bundlePem,
  });
  let round: TestIdentity[] = [];
  await compare(`full mutual handshake, ${algorithm}, each peer for the first time`, servers, {
    ...work,
    beforeRound: () => (round = strangers()),
    run: (target) => shakeHands(target, round),
    bundlePem: ground.bundlePem,
  });
  for (const server of servers.values()) server?.stop();
}

/** Server CPU per resumed handshake, where Handfast is asked to resume. */
export async function measureResumed(
  algorithm: BenchAlgorithm,
  work: HandshakeWork,
): Promise<void> {
  await using ground = await prepareGround(algorithm);
  const servers = new Map<string, BenchServer | undefined>([
    ["bare node:tls", await startNode("bare", ground.folder)],
    ["Handfast", await startNode("handfast", ground.folder, ["resume"])],
  ]);
  const identity = ground.issue("client");
  const tickets = new Map<number, Buffer>();
  for (const server of servers.values()) {
    if (server === undefined) continue;
    const target = { port: server.port, bundlePem: ground.bundlePem };
    tickets.set(server.port, await ticketFor(target, identity));
  }
  const again = Array.from({ length: work.handshakes }, () => identity);
  await compare(`resumed mutual handshake, ${algorithm}`, servers, {
    ...work,
    run: (target) => shakeHands(target, again, tickets.get(target.port)),
    bundlePem: ground.bundlePem,
  });
  for (const server of servers.values()) server?.stop();
}

/** Memory per idle session, each with a peer of its own. */
export async function measureIdle(algorithm: BenchAlgorithm, sessions: number): Promise<void> {
  await using ground = await prepareGround(algorithm);
  const peers = Array.from({ length: sessions }, (_, n) => ground.issue(`client-${n}`));
  console.log(`\nmemory per idle session, ${algorithm}, ${sessions} sessions`);
  let bare = Number.NaN;
  for (const kind of ["bare", "handfast"] as const) {
    const server = await startNode(kind, ground.folder, ["hold"]);
    const target = { port: server.port, bundlePem: ground.bundlePem };
    // What is made once is made before.
    for (const socket of await openSessions(target, peers.slice(0, 100))) socket.destroy();
    const before = await memoryOf(server);
    const open = await openSessions(target, peers);
    const bytes = ((await memoryOf(server)) - before) / sessions;
    if (kind === "bare") bare = bytes;
    for (const socket of open) socket.destroy();
    server.stop();
    print(
      kind === "bare" ? "bare node:tls" : "Handfast",
      `${(bytes / 1024).toFixed(1)} KiB`,
      `${(bytes / bare).toFixed(2)} x bare`,
    );
  }
}

interface Comparison extends HandshakeWork {
  readonly bundlePem: string;
  beforeRound?(): unknown;
  run(target: Target): Promise<void>;
}

/** Each round gives every server its turn, so that a slow moment of the machine hits all of them. */
async function compare(
  title: string,
  servers: ReadonlyMap<string, BenchServer | undefined>,
  { rounds, handshakes, bundlePem, beforeRound, run }: Comparison,
): Promise<void> {
  const samples = new Map<string, number[]>();
  for (let round = -1; round < rounds; round++) {
    beforeRound?.();
    for (const [name, server] of servers) {
      if (server === undefined) continue;
      const before = await server.cpuMicros();
      await run({ port: server.port, bundlePem });
      const micros = ((await server.cpuMicros()) - before) / handshakes;
      // The first round is for the compiler.
      if (round >= 0) samples.set(name, [...(samples.get(name) ?? []), micros]);
    }
  }
  const bare = samples.get("bare node:tls") ?? [];
  console.log(`\n${title}: server CPU`);
  for (const [name, own] of samples) {
    const ratio = median(own.map((micros, round) => micros / (bare[round] ?? Number.NaN)));
    print(name, `${median(own).toFixed(0)} us`, `${ratio.toFixed(2)} x bare`);
  }
}

async function memoryOf({ child }: BenchServer): Promise<number> {
  return new Promise((resolve) => {
    child.once("message", ({ rssBytes }: ServerReport) => resolve(rssBytes));
    child.send("memory");
  });
}

function emptyList(issuer: TestAuthority): Uint8Array {
  return issueCrl({
    issuer,
    entries: [],
    number: 1,
    thisUpdate: new Date(Date.now() - 60_000),
    nextUpdate: new Date(Date.now() + 86_400_000),
  });
}
