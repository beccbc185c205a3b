/**
 * The speed of packages/x509 beside raw node:crypto and @peculiar/x509, in one run: medians of the
 * CPU time of the main thread. (@peculiar/x509 signs on other threads, which flatters it a little.)
 *
 *     npm run bench:x509 [-- --rounds 15]
 *
 * The limbo line needs HANDFAST_VECTORS.
 */
import { fork } from "node:child_process";
import { generateKeyPairSync, sign, X509Certificate } from "node:crypto";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";

import {
  certificatesToPem,
  createIssuer,
  createName,
  encodePem,
  exportKeyPair,
  generateKeyPair,
  issueCertificate,
  parseCertificate,
  validityFrom,
} from "@handfast/x509";
import { createTestAuthority } from "@handfast/x509/testing";

import { runLimboCase, type LimboTestcase } from "./limbo.ts";
import type { CrlReport } from "./x509/crl.ts";
import { cpuMicros, measure, median, print } from "./x509/measure.ts";
import { createPeculiarWork } from "./x509/peculiar.ts";

const { values } = parseArgs({ options: { rounds: { type: "string", default: "15" } } });
const rounds = Number(values.rounds);

const root = createTestAuthority();
const issuer = createIssuer(root.certificate, root.privateKey);
const ready = exportKeyPair(generateKeyPair()).publicKey;
const contents = {
  profile: "peer",
  subject: createName([{ type: "CN", value: "api" }]),
  subjectAltNames: { dns: ["api.example"], uri: ["spiffe://example.org/api"] },
  ...validityFrom(new Date(), 86_400),
  issuer,
} as const;
const sample = issueCertificate({ ...contents, publicKey: ready });
const peculiar = await createPeculiarWork();

console.log(
  `Node ${process.version}, OpenSSL ${process.versions.openssl}, ${rounds} rounds, medians`,
);
const medians = await measure(
  [
    {
      name: "raw sign",
      batch: 300,
      run: () => sign("sha256", sample.signedBytes, root.privateKey),
    },
    {
      name: "issue",
      batch: 300,
      run: () => issueCertificate({ ...contents, publicKey: ready }).der,
    },
    { name: "peculiar issue", batch: 10, run: peculiar.issue },
    {
      name: "raw key and sign",
      batch: 150,
      run: () => {
        const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
        sign("sha256", sample.signedBytes, root.privateKey);
        return privateKey;
      },
    },
    {
      name: "issue with key",
      batch: 150,
      run: () => {
        const pair = exportKeyPair(generateKeyPair());
        const certificate = issueCertificate({ ...contents, publicKey: pair.publicKey });
        return certificatesToPem([certificate]) + encodePem("PRIVATE KEY", pair.privateKey);
      },
    },
    { name: "peculiar issue with key", batch: 10, run: peculiar.issueWithKey },
    { name: "openssl parse", batch: 300, run: () => new X509Certificate(sample.der) },
    { name: "parse", batch: 300, run: () => parseCertificate(sample.der) },
  ],
  rounds,
);
const times = (name: string, reference: string): string =>
  `${medians.speed(name, reference).toFixed(2)} ×`;

console.log("\nsign a P-256 leaf from a ready public key");
print("crypto.sign alone", medians.micros("raw sign"));
print(
  "@handfast/x509",
  medians.micros("issue"),
  `${times("issue", "raw sign")} crypto.sign (at least 0.35)`,
);
print(
  "@peculiar/x509",
  medians.micros("peculiar issue"),
  `we are ${times("issue", "peculiar issue")} as fast (at least 20)`,
);

console.log("\nkey pair and leaf, both as PEM");
print("generateKeyPairSync and crypto.sign", medians.micros("raw key and sign"));
print(
  "@handfast/x509",
  medians.micros("issue with key"),
  `${times("issue with key", "raw key and sign")} raw (at least 0.5)`,
);
print(
  "@peculiar/x509",
  medians.micros("peculiar issue with key"),
  `we are ${times("issue with key", "peculiar issue with key")} as fast`,
);

console.log("\nread a certificate");
print("new X509Certificate", medians.micros("openssl parse"));
print(
  "parseCertificate (both readers)",
  medians.micros("parse"),
  `${times("parse", "openssl parse")} X509Certificate`,
);

await benchCrl();
benchLimbo();

async function benchCrl(): Promise<void> {
  const child = fork(join(import.meta.dirname, "x509/crl.ts"), {
    execArgv: ["--conditions=@handfast/source"],
  });
  const [report] = (await once(child, "message")) as [CrlReport];
  console.log(`\na revocation list of ${report.entries.toLocaleString("en")} entries`);
  const line = (name: string, value: number, unit: string, remark = ""): void =>
    console.log(
      `  ${name.padEnd(38)} ${value.toFixed(value < 10 ? 2 : 0).padStart(9)} ${unit}   ${remark}`,
    );
  line("built and signed", report.buildMs, "ms", "(under 2,000)");
  line(
    "memory for that",
    report.buildMegabytes,
    "MB",
    `(under 250; the file has ${report.fileMegabytes.toFixed(0)})`,
  );
  line("signed again", report.resignMs, "ms");
  line("parsed and indexed, DER", report.parseMs, "ms");
  line("parsed and indexed, PEM", report.parsePemMs, "ms");
  line(
    "loaded by Node's OpenSSL, PEM",
    report.opensslMs,
    "ms",
    `we take ${(report.parsePemMs / report.opensslMs).toFixed(2)} × that (under 1)`,
  );
  line("one lookup", report.lookupMicros, "µs", "(under 1)");
}

function benchLimbo(): void {
  const folder = process.env["HANDFAST_VECTORS"];
  if (folder === undefined || folder === "") {
    console.log("\nlimbo.json: skipped, HANDFAST_VECTORS is not set");
    return;
  }
  const suite = JSON.parse(readFileSync(join(folder, "limbo.json"), "utf8")) as {
    testcases: LimboTestcase[];
  };
  const runs = Array.from({ length: 3 }, () => {
    const started = cpuMicros();
    for (const testcase of suite.testcases) runLimboCase(testcase);
    return (cpuMicros() - started) / 1000;
  });
  console.log(
    `\nlimbo.json, ${suite.testcases.length} cases: ${median(runs).toFixed(0)} ms (under 1,000)`,
  );
}
