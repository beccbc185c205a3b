// A process of its own, so that the memory it reports is that of this work alone.
import { createSecureContext } from "node:tls";

import {
  createCrlEntryList,
  createIssuer,
  encodePem,
  issueCrl,
  parseCrl,
  parseSerialNumber,
} from "@handfast/x509";
import { createTestAuthority } from "@handfast/x509/testing";

import { cpuMicros } from "./measure.ts";

/** What one run of a million entries cost. */
export interface CrlReport {
  readonly entries: number;
  readonly buildMs: number;
  readonly buildMegabytes: number;
  readonly fileMegabytes: number;
  readonly resignMs: number;
  readonly parseMs: number;
  readonly parsePemMs: number;
  readonly opensslMs: number;
  readonly lookupMicros: number;
}

const ENTRIES = 1_000_000;
const root = createTestAuthority();
const issuer = createIssuer(root.certificate, root.privateKey);
const thisUpdate = new Date();
const nextUpdate = new Date(thisUpdate.getTime() + 86_400_000);

function* entries(): Generator<{
  serialNumber: ReturnType<typeof parseSerialNumber>;
  revokedAt: Date;
}> {
  for (let i = 0; i < ENTRIES; i++) {
    const low = (Math.imul(i, 0x9e3779b1) >>> 0).toString(16).padStart(8, "0");
    const serialNumber = parseSerialNumber(
      `40${low}${low}${i.toString(16).padStart(8, "0")}${low}`,
    );
    yield { serialNumber, revokedAt: thisUpdate };
  }
}

function time<T>(run: () => T): [T, number] {
  const started = cpuMicros();
  const value = run();
  return [value, (cpuMicros() - started) / 1000];
}

const before = process.memoryUsage().rss;
const [list, encodeMs] = time(() => createCrlEntryList(entries()));
const [der, signMs] = time(() =>
  issueCrl({ issuer, entries: list, number: 1, thisUpdate, nextUpdate }),
);
const peak = process.resourceUsage().maxRSS * 1024;
const [, resignMs] = time(() =>
  issueCrl({ issuer, entries: list, number: 2, thisUpdate, nextUpdate }),
);
const [crl, parseMs] = time(() => parseCrl(der));
const wanted = [...entries().take(1000)].map(({ serialNumber }) => serialNumber);
const [, lookupMs] = time(() => {
  for (let round = 0; round < 100; round++) for (const serial of wanted) crl.lookup(serial);
});
const pem = encodePem("X509 CRL", der);
const [, parsePemMs] = time(() => parseCrl(pem));
const [, opensslMs] = time(() => createSecureContext({ ca: root.bundlePem, crl: pem }));

const report: CrlReport = {
  entries: ENTRIES,
  buildMs: encodeMs + signMs,
  buildMegabytes: (peak - before) / 1e6,
  fileMegabytes: der.length / 1e6,
  resignMs,
  parseMs,
  parsePemMs,
  opensslMs,
  lookupMicros: (lookupMs * 1000) / 100_000,
};
process.send?.(report);
