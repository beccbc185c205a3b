// Server CPU per mutual TLS handshake: Handfast beside bare node:tls with its default settings, both in
// processes of their own, the same client for both, rounds interleaved.
//   npm run bench:tls [-- --rounds 5 --handshakes 1500]
import { fork } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect } from "node:tls";
import { parseArgs } from "node:util";

import { createTestAuthority } from "@handfast/x509/testing";
import type { TestIdentity } from "@handfast/x509/testing";

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "5" },
    handshakes: { type: "string", default: "1500" },
  },
});
const rounds = Number(values.rounds);
const handshakes = Number(values.handshakes);
const kinds = ["bare", "handfast"] as const;

for (const algorithm of ["ecdsa-p256", "ml-dsa-65"] as const) {
  const folder = await mkdtemp(join(tmpdir(), "handfast-bench-"));
  const authority = createTestAuthority({ algorithm });
  const issuing = authority.intermediate({ algorithm });
  const server = issuing.issue({ name: "localhost", algorithm });
  const client = issuing.issue({ name: "client", algorithm });
  await writeFile(join(folder, "ca.crt"), authority.bundlePem);
  await writeFile(join(folder, "server.crt"), server.certificateChainPem);
  await writeFile(join(folder, "server.key"), server.privateKeyPem, { mode: 0o600 });
  const servers = new Map<string, { child: ChildProcess; port: number }>();
  for (const kind of kinds) servers.set(kind, await start(kind, folder));
  const micros = new Map<string, number[]>(kinds.map((kind) => [kind, []]));
  for (let round = -1; round < rounds; round++) {
    for (const kind of kinds) {
      const target = servers.get(kind);
      if (target === undefined) continue;
      const before = await cpu(target.child);
      await shakeHands(target.port, client, authority.bundlePem);
      const spent = (await cpu(target.child)) - before;
      if (round >= 0) micros.get(kind)?.push(spent / handshakes);
    }
  }
  const bare = median(micros.get("bare") ?? []);
  console.log(`${algorithm}, ${rounds} rounds of ${handshakes} full mutual handshakes, TLS 1.3`);
  for (const kind of kinds) {
    const value = median(micros.get(kind) ?? []);
    console.log(
      `  ${kind.padEnd(10)} ${value.toFixed(0).padStart(6)} µs server CPU per handshake   ${(value / bare).toFixed(2)} × bare`,
    );
  }
  for (const { child } of servers.values()) child.kill();
  await rm(folder, { recursive: true });
}

async function start(kind: string, folder: string): Promise<{ child: ChildProcess; port: number }> {
  const child = fork(join(import.meta.dirname, "tls/server.ts"), [kind, folder], {
    execArgv: ["--conditions=@handfast/source"],
  });
  const [{ port }] = (await once(child, "message")) as [{ port: number }];
  return { child, port };
}

async function cpu(child: ChildProcess): Promise<number> {
  child.send("cpu");
  const [{ cpuMicros }] = (await once(child, "message")) as [{ cpuMicros: number }];
  return cpuMicros;
}

async function shakeHands(port: number, client: TestIdentity, bundle: string): Promise<void> {
  let left = handshakes;
  const worker = async (): Promise<void> => {
    while (left-- > 0) {
      const socket = connect({
        host: "127.0.0.1",
        servername: "localhost",
        port,
        ca: [bundle],
        cert: client.certificateChainPem,
        key: client.privateKeyPem,
        ALPNProtocols: ["h2"],
      });
      socket.resume();
      await once(socket, "close");
    }
  };
  await Promise.all(Array.from({ length: 16 }, worker));
}

function median(values_: readonly number[]): number {
  const sorted = [...values_].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}
