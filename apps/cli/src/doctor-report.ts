import { identityOf, inspect } from "@handfast/x509";
import type { Certificate } from "@handfast/x509";
import type { FilesReport, Finding, ServerReport, Treatment } from "@handfast/tls/doctor";
import type { Side } from "./commands/doctor.ts";
import { certificateJson } from "./describe-certificate.ts";
import { formatTime, fromNow } from "./duration.ts";
import { columns } from "./output.ts";
import type { Output } from "./output.ts";

type Row = readonly [string, string];

/** What a server can do and what it did with us, in words. */
export function reportServer(
  report: ServerReport,
  { now, output }: { now: Date; output: Output },
): void {
  const { remoteAddress, host, port, connection, sent, authorities } = report;
  const [leaf] = sent;
  if (remoteAddress === undefined) return;
  const wanted = authorities.length === 0 ? "" : `, of ${authorities.join(" or ")}`;
  const rows: Row[] = [
    ["server", `${host}:${port} at ${remoteAddress}`],
    ...abilityRow("TLS", { "1.3": report.versions["TLSv1.3"], "1.2": report.versions["TLSv1.2"] }),
    ...abilityRow("protocols", report.protocols),
    ...(connection?.group === undefined
      ? []
      : ([["key exchange", `${connection.group}, ${connection.cipher}`]] as const)),
    ...(leaf === undefined ? [] : leafRows(leaf, { report, now })),
    ["client certificates", `${report.clientCertificate}${wanted}`],
    ...treatmentRow("without one", report.withoutCertificate),
    ...treatmentRow("with yours", report.withCertificate),
  ];
  for (const row of columns(rows)) output.line(row);
}

/** What is in the files, in words. */
export function reportFiles(
  { chain, anchors, crls, identity }: FilesReport,
  { side, now, output }: { side: Side; now: Date; output: Output },
): void {
  const [leaf, ...issuers] = chain;
  const rows: Row[] = [];
  if (side.certFile !== undefined) {
    rows.push(["certificate", side.certFile]);
    if (leaf !== undefined) {
      rows.push(
        ["identity", identityOf(leaf) ?? "none: no single name says who it is"],
        ["names", namesOf(leaf)],
        ["valid until", untilText(leaf, now)],
        ["above it", issuers.map(({ subject }) => subject.text).join(", ") || "nothing"],
      );
    }
  }
  if (side.keyFile !== undefined) {
    rows.push(["key", `${side.keyFile}${identity === undefined ? "" : ", belongs to it"}`]);
  }
  if (side.caFile !== undefined) {
    rows.push(["trust", side.caFile]);
    for (const { subject, notAfter } of anchors) {
      rows.push(["", `${subject.text}, until ${formatTime(notAfter)}`]);
    }
  }
  if (side.crlDirectory !== undefined) {
    rows.push(["revocation", `${side.crlDirectory}, ${crls.length} lists`]);
  }
  if (rows.length === 0) rows.push(["files", "none are named: --cert, --key, --ca, or --as NAME"]);
  for (const row of columns(rows)) output.line(row);
}

/** Findings for people: what, under which names others know it, and what mends it. */
export function sayFindings(findings: readonly Finding[], output: Output): void {
  for (const { severity, certainty, code, message, mend, seenAs } of findings) {
    const sure = certainty === "certain" ? "" : `${certainty}: `;
    output.note(`${severity}: ${sure}${message} (${code})`);
    output.note(`seen as: ${seenAs.map((text) => `"${text}"`).join(", ")}`);
    output.note(`hint: ${mend}`);
  }
}

/** A server's report for programs. */
export function serverJson(report: ServerReport): object {
  const { findings: _findings, sent, ...rest } = report;
  return { ...rest, sent: sent.map(certificateJson) };
}

/** A report on files for programs; nothing of the key is in it. */
export function filesJson({ chain, anchors, crls, identity }: FilesReport): object {
  return {
    chain: chain.map(certificateJson),
    keyBelongs: identity !== undefined,
    anchors: anchors.map((certificate) => inspect(certificate)),
    crls: crls.map(({ issuer, thisUpdate, nextUpdate, size }) => ({
      issuer: issuer.text,
      thisUpdate: formatTime(thisUpdate),
      nextUpdate: formatTime(nextUpdate),
      entries: size,
    })),
  };
}

/** Findings for programs. */
export function findingsJson(findings: readonly Finding[]): object {
  return { ok: !findings.some(({ severity }) => severity === "error"), findings };
}

function leafRows(leaf: Certificate, { report, now }: { report: ServerReport; now: Date }): Row[] {
  return [
    ["presents", `${leaf.subject.text || namesOf(leaf)}${report.verified ? "" : ", not verified"}`],
    ...(report.identity === undefined ? [] : ([["identity", report.identity]] as const)),
    ["names", namesOf(leaf)],
    ["valid until", untilText(leaf, now)],
  ];
}

function namesOf({ subjectAltNames: { dns, ip, uri, email } }: Certificate): string {
  return [...dns, ...ip, ...uri, ...email].join(", ") || "none";
}

function untilText({ notAfter }: Certificate, now: Date): string {
  return `${formatTime(notAfter)} (${fromNow(notAfter, now)})`;
}

function abilityRow(
  title: string,
  abilities: Readonly<Record<string, boolean | undefined>>,
): readonly Row[] {
  const told = Object.entries(abilities).filter(([, value]) => value !== undefined);
  const words = told.map(([name, value]) => (value === true ? name : `not ${name}`));
  return words.length === 0 ? [] : [[title, words.join(", ")]];
}

function treatmentRow(title: string, treatment: Treatment | undefined): readonly Row[] {
  if (treatment === undefined) return [];
  const { outcome, text } = treatment;
  return [[title, text === "" ? outcome : `${outcome}: ${text}`]];
}
