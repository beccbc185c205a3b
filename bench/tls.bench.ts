/**
 * The cost of packages/tls beside bare node:tls with its default settings, and beside Go's crypto/tls and
 * `openssl s_server` where these are installed, in one run: medians over rounds in which each has its turn.
 * Servers are processes of their own; their CPU time is what the operating system counts. Linux only.
 *
 *     npm run bench:tls [-- --rounds 7 --handshakes 1000 --sessions 2000 --only full,resumed,idle,change,list]
 */
import { fork } from "node:child_process";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { cpus } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";

import { issueCrl, parseCrl, parseSerialNumber } from "@handfast/x509";
import { createTestAuthority } from "@handfast/x509/testing";

import { measureContextChange } from "./tls/changes.ts";
import { print } from "./tls/figures.ts";
import { measureFull, measureIdle, measureResumed, prepareGround } from "./tls/handshakes.ts";
import type { LargeListReport } from "./tls/large-list.ts";
import { versionOf } from "./tls/servers.ts";
import { measure } from "./x509/measure.ts";

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "7" },
    handshakes: { type: "string", default: "1000" },
    sessions: { type: "string", default: "2000" },
    only: { type: "string", default: "full,resumed,idle,change,list" },
  },
});
const ENTRIES = 1_000_000;
const rounds = Number(values.rounds);
const work = { rounds, handshakes: Number(values.handshakes) };
const parts = new Set(values.only.split(","));

console.log(
  [
    `Node ${process.version}, OpenSSL ${process.versions.openssl}`,
    `${cpus().length} x ${cpus()[0]?.model ?? "?"}`,
    (await versionOf("go")) ?? "no Go",
    (await versionOf("openssl")) ?? "no openssl",
  ].join("; "),
);
if (parts.has("full")) {
  await measureFull("ecdsa-p256", work);
  await measureFull("ml-dsa-65", work);
}
// Not with ML-DSA: Node (26.10) keeps no session of more than 10 KiB, and two such chains are more.
if (parts.has("resumed")) await measureResumed("ecdsa-p256", work);
if (parts.has("idle")) await measureIdle("ecdsa-p256", Number(values.sessions));
if (parts.has("change")) await measureContextChange(rounds);
if (parts.has("list")) await measureLargeList();

async function measureLargeList(): Promise<void> {
  await using ground = await prepareGround("ecdsa-p256");
  const root = createTestAuthority();
  const server = root.issue({ name: "localhost" });
  await writeFile(join(ground.folder, "ca.crt"), root.bundlePem);
  await writeFile(join(ground.folder, "server.crt"), server.certificateChainPem);
  await writeFile(join(ground.folder, "server.key"), server.privateKeyPem, { mode: 0o600 });
  const serialNumbers = Array.from({ length: ENTRIES }, (_, n) =>
    parseSerialNumber(`40${(Math.imul(n, 0x9e3779b1) >>> 0).toString(16).padStart(8, "0")}`),
  );
  const revokedAt = new Date(Date.now() - 3_600_000);
  const listOf = (entries: number, number: number): Uint8Array =>
    issueCrl({
      issuer: root,
      entries: serialNumbers.slice(0, entries).map((serialNumber) => ({ serialNumber, revokedAt })),
      number,
      thisUpdate: revokedAt,
      nextUpdate: new Date(Date.now() + 86_400_000),
    });
  const large = listOf(ENTRIES, 2);
  await writeFile(join(ground.folder, "crls", "root.crl"), listOf(1, 1));
  await writeFile(join(ground.folder, "large.crl"), large);
  const child = fork(
    join(import.meta.dirname, "tls/large-list.ts"),
    [ground.folder, join(ground.folder, "large.crl")],
    { execArgv: ["--conditions=@handfast/source"] },
  );
  const [report] = (await once(child, "message")) as [LargeListReport];
  const crl = parseCrl(large);
  let turn = 0;
  const absent = parseSerialNumber("50aabbccdd");
  const medians = await measure(
    [
      {
        name: "listed",
        batch: 100_000,
        run: () => crl.lookup(serialNumbers[(turn += 7919) % ENTRIES]!),
      },
      { name: "not listed", batch: 100_000, run: () => crl.lookup(absent) },
    ],
    rounds,
  );
  console.log(`\na revocation list of ${ENTRIES} entries, ${megabytes(large.length)}`);
  print("look up one that is listed", `${medians.micros("listed").toFixed(2)} us`, "");
  print("look up one that is not", `${medians.micros("not listed").toFixed(2)} us`, "");
  print(
    "from the file to its use",
    `${report.loadMs.toFixed(0)} ms`,
    `the event loop waits ${report.longestDelayMs.toFixed(0)} ms at most`,
  );
  print("memory held", megabytes(report.heldBytes), "");
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(0)} MB`;
}
