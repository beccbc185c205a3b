import { stat } from "node:fs/promises";

import { FilesError, readBounded, readDirectoryBounded } from "@handfast/files";
import {
  X509Error,
  checkRevocation,
  decodePem,
  lint,
  parseCertificatesPem,
  parseCrl,
  parsePrivateKey,
  publicKeyMatches,
  verifyChain,
} from "@handfast/x509";
import type { Certificate, ChainReason, Crl } from "@handfast/x509";

import { reasonOf } from "../errors.ts";
import { parseTrust } from "../trust.ts";
import type { Purpose } from "../identity.ts";
import { inspectEnvironment } from "../runtime-environment.ts";
import type { AilmentCode } from "./ailments.ts";
import { byLikelihood, finding } from "./finding.ts";
import type { Finding } from "./finding.ts";
import { sharesOrganization } from "./kinship.ts";

/** The files of one side. What is not named is not looked at. */
export interface ExamineFilesOptions {
  readonly certFile?: string;
  readonly keyFile?: string;
  readonly caFile?: string;
  readonly crlDirectory?: string;
  /** The bundle of the other side, which must lead to our certificate too. */
  readonly peerCaFile?: string;
  /** The names that clients dial. */
  readonly names?: readonly string[];
  /** What the certificate is presented for; both by default. */
  readonly purposes?: readonly Purpose[];
  /** Warn of an end within this time. Default: a third of the certificate's life. */
  readonly expiresWithinMs?: number;
  readonly now?: Date;
}

/** What there is to say of the files of one side. */
export interface FilesReport {
  /** As in the file. */
  readonly chain: readonly Certificate[];
  readonly anchors: readonly Certificate[];
  readonly crls: readonly Crl[];
  /** Certificate and key as text, if both could be read and belong together. */
  readonly identity:
    | { readonly certificateChainPem: string; readonly privateKeyPem: string }
    | undefined;
  /** The bundle as text, if it can be used. */
  readonly bundle: string | undefined;
  readonly findings: readonly Finding[];
}

/** Looks at the files of one side as a server, a client and their peers would, and says what is wrong. */
export async function examineFiles(options: ExamineFilesOptions): Promise<FilesReport> {
  const findings: Finding[] = [...environmentFindings()];
  const now = options.now ?? new Date();
  const { certFile, keyFile, caFile, crlDirectory } = options;
  const certText = certFile === undefined ? undefined : await readText(certFile, findings);
  const keyText = keyFile === undefined ? undefined : await readText(keyFile, findings);
  const caText = caFile === undefined ? undefined : await readText(caFile, findings);
  if (keyFile !== undefined && keyText !== undefined) {
    findings.push(...(await exposure(keyFile)));
  }
  const swapped =
    certText !== undefined &&
    keyText !== undefined &&
    /PRIVATE KEY/.test(certText) &&
    !/PRIVATE KEY/.test(keyText);
  if (swapped) findings.push(finding("FILES_SWAPPED", { detail: `${certFile} holds the key` }));

  const chain = swapped ? [] : readChain(certFile, certText, findings);
  const keyFits =
    !swapped && (await judgeKey({ chain, keyFile: keyFile ?? "", keyText, findings }));
  const anchors = readBundle(caFile, caText, findings);
  const crls = crlDirectory === undefined ? [] : await readCrls(crlDirectory, findings);
  const file = certFile ?? "";
  if (chain.length > 0) {
    judgeLeaf(chain, { ...options, now, file, findings });
    if (anchors.length > 0) judgeTrust(chain, { anchors, crls, now, file, options, findings });
  }
  if (options.peerCaFile !== undefined && chain.length > 0) {
    const text = await readText(options.peerCaFile, findings);
    const theirs = readBundle(options.peerCaFile, text, findings);
    const verdict = theirs.length === 0 ? undefined : verify(chain, { anchors: theirs, now });
    if (verdict?.ok === false && verdict.reason === "CERTIFICATE_AUTHORITY_INVALID") {
      const detail = `${file} is not of a CA in ${options.peerCaFile}`;
      findings.push(finding("CA_DIFFERS", { detail }));
    }
  }
  return {
    chain,
    anchors,
    crls,
    identity:
      keyFits && certText !== undefined && keyText !== undefined
        ? { certificateChainPem: certText, privateKeyPem: keyText }
        : undefined,
    bundle: anchors.length > 0 ? caText : undefined,
    findings: byLikelihood(findings),
  };
}

/** What the process that asks was started with: it is usually what the service was started with. */
function environmentFindings(): readonly Finding[] {
  try {
    inspectEnvironment({ dangerouslyAllowUnsafeEnvironment: false, onEvent: () => {} });
    return [];
  } catch (thrown) {
    return [finding("ENVIRONMENT_UNSAFE", { detail: reasonOf(thrown) })];
  }
}

async function readText(file: string, findings: Finding[]): Promise<string | undefined> {
  try {
    return Buffer.from(await readBounded(file, { maxBytes: MAX_FILE_BYTES })).toString("latin1");
  } catch (thrown) {
    if (!(thrown instanceof FilesError)) throw thrown;
    findings.push(finding("FILE_UNREADABLE", { words: { file }, detail: thrown.message }));
    return undefined;
  }
}

/** On Windows modes say nothing. */
async function exposure(file: string): Promise<Finding[]> {
  const { mode } = await stat(file);
  const others = mode & 0o077;
  if (others === 0 || process.platform === "win32") return [];
  const detail = `${file} has mode ${(mode & 0o7777).toString(8).padStart(4, "0")}`;
  // A group that may read is how orchestrators hand keys to a process that is not root.
  const severity = (others & 0o027) === 0 ? "warning" : "error";
  return [finding("KEY_EXPOSED", { severity, words: { file }, detail })];
}

function readChain(
  file: string | undefined,
  text: string | undefined,
  findings: Finding[],
): readonly Certificate[] {
  if (file === undefined || text === undefined) return [];
  const words = { file };
  try {
    // A key in the same file is nothing to stumble over here.
    const blocks = decodePem(text).filter(({ label }) => label === "CERTIFICATE");
    if (blocks.length === 0) {
      findings.push(finding("FILE_NOT_PEM", { words, detail: `${file} holds no certificate` }));
      return [];
    }
    return parseCertificatesPem(text.replaceAll(keyBlock, ""));
  } catch (thrown) {
    if (!(thrown instanceof X509Error)) throw thrown;
    const code = thrown.code === "PEM_MALFORMED" ? "FILE_NOT_PEM" : "CERTIFICATE_UNUSABLE";
    findings.push(finding(code, { words, detail: `${file}: ${thrown.message}` }));
    return [];
  }
}

function readBundle(
  file: string | undefined,
  text: string | undefined,
  findings: Finding[],
): readonly Certificate[] {
  if (file === undefined || text === undefined) return [];
  try {
    return parseTrust([{ bundle: text }]).certificates;
  } catch (thrown) {
    const detail = `${file}: ${reasonOf(thrown)}`;
    findings.push(finding("CA_UNUSABLE", { words: { file }, detail }));
    return [];
  }
}

async function readCrls(directory: string, findings: Finding[]): Promise<readonly Crl[]> {
  const { files, errors } = await readDirectoryBounded(directory, {
    maxBytes: MAX_CRL_BYTES,
  }).catch((thrown: unknown) => {
    const detail = reasonOf(thrown);
    findings.push(finding("FILE_UNREADABLE", { words: { file: directory }, detail }));
    return { files: new Map<string, Uint8Array>(), errors: new Map<string, Error>() };
  });
  for (const error of errors.values()) {
    findings.push(finding("CRL_UNUSABLE", { words: { file: directory }, detail: error.message }));
  }
  return [...files].flatMap(([name, bytes]) => {
    try {
      return [parseCrl(bytes)];
    } catch (thrown) {
      const detail = `${name}: ${reasonOf(thrown)}`;
      findings.push(finding("CRL_UNUSABLE", { words: { file: `${directory}/${name}` }, detail }));
      return [];
    }
  });
}

/** @returns whether certificate and key are a pair. */
async function judgeKey({
  chain,
  keyFile,
  keyText,
  findings,
}: {
  chain: readonly Certificate[];
  keyFile: string;
  keyText: string | undefined;
  findings: Finding[];
}): Promise<boolean> {
  if (keyText === undefined) return false;
  const words = { file: keyFile };
  try {
    const key = parsePrivateKey(keyText);
    const [leaf] = chain;
    if (leaf === undefined || publicKeyMatches(leaf, key)) return leaf !== undefined;
    const at = chain.findIndex((certificate) => publicKeyMatches(certificate, key));
    findings.push(
      at === -1
        ? finding("KEY_MISMATCH", { detail: `${keyFile} is not the key of ${leaf.subject.text}` })
        : finding("CHAIN_DISORDERED", {
            detail: `the key is that of certificate ${at + 1} of ${chain.length}`,
          }),
    );
  } catch (thrown) {
    if (!(thrown instanceof X509Error)) throw thrown;
    const encrypted = thrown.code === "PASSPHRASE_REQUIRED";
    const code = encrypted ? "KEY_ENCRYPTED" : "FILE_NOT_PEM";
    findings.push(finding(code, { words, detail: `${keyFile}: ${thrown.message}` }));
  }
  return false;
}

interface LeafGrounds extends ExamineFilesOptions {
  readonly now: Date;
  readonly file: string;
  readonly findings: Finding[];
}

function judgeLeaf(chain: readonly Certificate[], grounds: LeafGrounds): void {
  const { now, file, findings, names = [], purposes = ["server", "client"] } = grounds;
  const [leaf] = chain;
  if (leaf === undefined) return;
  const words = { file };
  const who = leaf.subject.text || file;
  const swappedAt = chain.findIndex(
    (certificate, index) => index > 0 && !isIssuer(certificate, chain[index - 1]),
  );
  if (leaf.basicConstraints?.ca === true && chain.length > 1) {
    findings.push(finding("CHAIN_DISORDERED", { detail: `${file} begins with the CA ${who}` }));
    return;
  }
  if (swappedAt !== -1) {
    const detail = `certificate ${swappedAt + 1} of ${file} did not sign the one before it`;
    findings.push(finding("CHAIN_DISORDERED", { severity: "warning", detail }));
  }
  if (now > leaf.notAfter) {
    findings.push(
      finding("CERTIFICATE_EXPIRED", { detail: `${file} ended ${time(leaf.notAfter)}` }),
    );
  } else if (now < leaf.notBefore) {
    const detail = `${file} begins ${time(leaf.notBefore)}, and it is ${time(now)} here`;
    findings.push(finding("CERTIFICATE_NOT_YET_VALID", { detail }));
  } else {
    const left = leaf.notAfter.getTime() - now.getTime();
    const third = (leaf.notAfter.getTime() - leaf.notBefore.getTime()) / 3;
    if (left < (grounds.expiresWithinMs ?? third)) {
      const detail = `${file} ends ${time(leaf.notAfter)}`;
      findings.push(finding("CERTIFICATE_EXPIRING", { severity: "warning", detail }));
    }
  }
  for (const name of names) {
    const verdict = verifyChain(
      { leaf, candidates: [] },
      { anchors: [leaf], now: middleOf(leaf), purpose: "any", name },
    );
    if (verdict.ok || verdict.reason !== "CERTIFICATE_HOSTNAME_MISMATCH") continue;
    const has = [...leaf.subjectAltNames.dns, ...leaf.subjectAltNames.ip].join(", ");
    const detail = `${name} is dialled, it has ${has === "" ? "none" : has}`;
    findings.push(finding("NAME_NOT_IN_CERTIFICATE", { words: { name }, detail }));
  }
  const usages = leaf.extendedKeyUsage;
  const missing = purposes.filter(
    (purpose) =>
      usages !== undefined && !usages.includes(`${purpose}Auth`) && !usages.includes("any"),
  );
  if (missing.length > 0) {
    const detail = `${who} is not for ${missing.join(" or ")} use`;
    // Unasked, a certificate for one side only is somebody's choice.
    const severity = grounds.purposes === undefined && missing.length === 1 ? "warning" : "error";
    findings.push(finding("CERTIFICATE_WRONG_PURPOSE", { severity, detail }));
  }
  const [fault] = lint(leaf);
  if (fault !== undefined) {
    const detail = `${who} ${fault.message} (${fault.section})`;
    findings.push(finding("CERTIFICATE_UNUSABLE", { severity: "warning", words, detail }));
  }
}

interface TrustGrounds {
  readonly anchors: readonly Certificate[];
  readonly crls: readonly Crl[];
  readonly now: Date;
  readonly file: string;
  readonly options: ExamineFilesOptions;
  readonly findings: Finding[];
}

function judgeTrust(chain: readonly Certificate[], grounds: TrustGrounds): void {
  const { anchors, crls, now, file, options, findings } = grounds;
  const verdict = verify(chain, { anchors, now });
  if (!verdict.ok) {
    const last = chain.at(-1);
    const dangling = last !== undefined && !last.selfIssued && chain.length === 1;
    if (
      verdict.reason === "CERTIFICATE_AUTHORITY_INVALID" &&
      dangling &&
      sharesOrganization(last.issuer, anchors)
    ) {
      const detail = `${file} lacks ${last.issuer.text}`;
      findings.push(finding("CHAIN_INCOMPLETE", { detail }));
      return;
    }
    const code = byReason[verdict.reason];
    if (code !== undefined)
      findings.push(finding(code, { words: { file }, detail: verdict.message }));
    return;
  }
  if (options.crlDirectory === undefined) return;
  const found = checkRevocation(verdict.path, { crls, now });
  if (found.status === "revoked") {
    const detail = `${found.certificate.subject.text}, at ${time(found.entry.revokedAt)}`;
    findings.push(finding("CERTIFICATE_REVOKED", { detail }));
  } else if (found.status === "undetermined") {
    const stale = crls.some((crl) => crl.nextUpdate < now);
    findings.push(finding(stale ? "CRL_STALE" : "CRL_MISSING", { detail: found.reason }));
  }
}

function verify(
  [leaf, ...candidates]: readonly Certificate[],
  { anchors, now }: { anchors: readonly Certificate[]; now: Date },
): ReturnType<typeof verifyChain> {
  if (leaf === undefined) throw new TypeError("a chain holds at least the leaf");
  return verifyChain({ leaf, candidates }, { anchors, now, purpose: "any" });
}

function isIssuer(issuer: Certificate, subject: Certificate | undefined): boolean {
  return subject !== undefined && Buffer.compare(issuer.subject.der, subject.issuer.der) === 0;
}

function middleOf({ notBefore, notAfter }: Certificate): Date {
  return new Date((notBefore.getTime() + notAfter.getTime()) / 2);
}

function time(date: Date): string {
  return date.toISOString().replace(/\.\d{3}Z$/, "Z");
}

/** Dates are told with the leaf. */
const byReason: Partial<Readonly<Record<ChainReason, AilmentCode>>> = {
  CERTIFICATE_AUTHORITY_INVALID: "CA_DIFFERS",
  SIGNATURE_VERIFICATION_FAILED: "CERTIFICATE_UNUSABLE",
  CERTIFICATE_MALFORMED: "CERTIFICATE_UNUSABLE",
  CERTIFICATE_VERIFICATION_FAILED: "CERTIFICATE_UNUSABLE",
};
const keyBlock = /-----BEGIN [A-Z ]*PRIVATE KEY-----[^-]*-----END [A-Z ]*PRIVATE KEY-----\s*/g;
const MAX_FILE_BYTES = 8 * 1024 * 1024;
const MAX_CRL_BYTES = 256 * 1024 * 1024;
