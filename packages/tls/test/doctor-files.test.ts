// What may be wrong with the files of one side, each found in real files.
import assert from "node:assert/strict";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { TestContext } from "node:test";

import { encodePem, encodePrivateKey, issueCrl } from "@handfast/x509";
import type { SerialNumber } from "@handfast/x509";
import { createTestAuthority } from "@handfast/x509/testing";
import type { TestAuthority } from "@handfast/x509/testing";

import { examineFiles } from "../src/doctor/index.ts";
import type { AilmentCode, ExamineFilesOptions, Finding } from "../src/doctor/index.ts";

const ca = createTestAuthority();
const other = createTestAuthority({ commonName: "Other CA" });
const issuing = ca.intermediate();
const api = ca.issue({ name: "api" });
const below = issuing.issue({ name: "api" });
const day = 86_400_000;
const fromNow = (ms: number): Date => new Date(Date.now() + ms);

interface Files {
  readonly cert?: string | Uint8Array;
  readonly key?: string;
  readonly ca?: string;
  readonly peerCa?: string;
  readonly crl?: Uint8Array | string;
  readonly keyMode?: number;
}

async function findingsOf(
  context: TestContext,
  files: Files,
  options: ExamineFilesOptions = {},
): Promise<readonly Finding[]> {
  const folder = mkdtempSync(join(tmpdir(), "handfast-doctor-"));
  context.after(() => rmSync(folder, { recursive: true }));
  const write = (name: string, content: string | Uint8Array): string => {
    writeFileSync(join(folder, name), content, { mode: 0o600 });
    return join(folder, name);
  };
  const {
    cert = api.certificateChainPem,
    key = api.privateKeyPem,
    ca: bundle = ca.bundlePem,
  } = files;
  const keyFile = write("key.pem", key);
  chmodSync(keyFile, files.keyMode ?? 0o600);
  if (files.crl !== undefined) {
    mkdirSync(join(folder, "crl"));
    write("crl/list.crl", files.crl);
  }
  const { findings } = await examineFiles({
    certFile: write("cert.pem", cert),
    keyFile,
    caFile: write("ca.pem", bundle),
    ...(files.peerCa === undefined ? {} : { peerCaFile: write("peer-ca.pem", files.peerCa) }),
    ...(files.crl === undefined ? {} : { crlDirectory: join(folder, "crl") }),
    ...options,
  });
  return findings;
}

const dated = (from: number, to: number) => {
  const { certificateChainPem, privateKeyPem } = ca.issue({
    name: "api",
    notBefore: fromNow(from * day),
    notAfter: fromNow(to * day),
  });
  return { cert: certificateChainPem, key: privateKeyPem };
};

const lonePem = encodePem("CERTIFICATE", below.certificate.der);
const issuingPem = encodePem("CERTIFICATE", issuing.certificate.der);
const client = ca.issue({ name: "api", profile: "client" });

const cases: readonly [AilmentCode, string, Files, ExamineFilesOptions?, RegExp?][] = [
  ["FILE_UNREADABLE", "a file that is not there", {}, { certFile: "/nowhere/cert.pem" }],
  ["FILE_NOT_PEM", "a certificate in DER", { cert: api.certificate.der }],
  [
    "FILE_NOT_PEM",
    "a certificate that is cut off",
    { cert: api.certificateChainPem.slice(0, 200) },
  ],
  [
    "FILES_SWAPPED",
    "certificate and key taken one for the other",
    { cert: api.privateKeyPem, key: api.certificateChainPem },
  ],
  ["KEY_MISMATCH", "the key of another certificate", { key: client.privateKeyPem }],
  [
    "KEY_ENCRYPTED",
    "an encrypted key",
    { key: encodePrivateKey(api.privateKey, { passphrase: "correct horse" }) },
  ],
  ["KEY_EXPOSED", "a key that everybody may read", { keyMode: 0o644 }, {}, /mode 0644/],
  [
    "CHAIN_DISORDERED",
    "the CA before the leaf",
    { cert: issuingPem + lonePem, key: below.privateKeyPem },
    {},
    /certificate 2 of 2/,
  ],
  [
    "CHAIN_DISORDERED",
    "a certificate above the leaf that did not sign it",
    { cert: api.certificateChainPem + issuingPem },
  ],
  ["CERTIFICATE_EXPIRED", "a certificate that has expired", dated(-9, -1)],
  ["CERTIFICATE_EXPIRING", "a certificate in its last third", dated(-9, 1)],
  ["CERTIFICATE_NOT_YET_VALID", "a certificate of tomorrow", dated(1, 9)],
  [
    "CERTIFICATE_WRONG_PURPOSE",
    "a client certificate for a server",
    { cert: client.certificateChainPem, key: client.privateKeyPem },
    { purposes: ["server"] },
    /not for server use/,
  ],
  [
    "NAME_NOT_IN_CERTIFICATE",
    "a name that the certificate lacks",
    {},
    { names: ["api", "api.example"] },
    /api\.example is dialled, it has api/,
  ],
  [
    "CERTIFICATE_UNUSABLE",
    "something else in the place of a certificate",
    { cert: encodePem("CERTIFICATE", Buffer.from("hello")) },
  ],
  ["CA_UNUSABLE", "a bundle with a leaf in it", { ca: api.certificateChainPem }],
  ["CA_UNUSABLE", "a bundle with a key in it", { ca: ca.bundlePem + api.privateKeyPem }],
  ["CA_UNUSABLE", "an empty bundle", { ca: "\n" }],
  ["CA_DIFFERS", "a bundle of another CA", { ca: other.bundlePem }],
  ["CA_DIFFERS", "another CA on the other side", { peerCa: other.bundlePem }],
  ["CERTIFICATE_REVOKED", "a revoked certificate", { crl: list([api.certificate.serialNumber]) }],
  ["CRL_STALE", "a list past its time", { crl: list([], -1) }],
  ["CRL_MISSING", "a list of another CA", { crl: list([], 1, other) }],
  ["CRL_UNUSABLE", "something that is no list", { crl: "hello" }],
];

for (const [code, what, files, options, message] of cases) {
  test(`${code}: ${what}`, async (context) => {
    const findings = await findingsOf(context, files, options);
    assert.equal(findings[0]?.code, code, JSON.stringify(findings));
    if (message !== undefined) assert.match(findings[0].message, message);
    assert.doesNotMatch(JSON.stringify(findings), /BEGIN|PRIVATE KEY-----/);
  });
}

test("says nothing of files that are well, with and without an intermediate", async (context) => {
  const crl = list([]);
  assert.deepEqual(await findingsOf(context, { crl }, { names: ["api"] }), []);
  const { certificateChainPem: cert, privateKeyPem: key } = below;
  assert.deepEqual(await findingsOf(context, { cert, key }), []);
});

test("a key that its group may read is only warned of: orchestrators hand keys over like that", async (context) => {
  const findings = await findingsOf(context, { keyMode: 0o640 });
  assert.deepEqual(
    findings.map(({ code, severity }) => [code, severity]),
    [["KEY_EXPOSED", "warning"]],
  );
});

function list(
  revoked: readonly SerialNumber[],
  nextUpdateDays = 1,
  issuer: TestAuthority = ca,
): Uint8Array {
  return issueCrl({
    issuer,
    entries: revoked.map((serialNumber) => ({
      serialNumber,
      revokedAt: fromNow(-day),
    })),
    number: 1,
    thisUpdate: fromNow(-9 * day),
    nextUpdate: fromNow(nextUpdateDays * day),
  });
}
