import { identityOf } from "@handfast/x509";
import type { Certificate } from "@handfast/x509";
import type { NamedFiles } from "./credential.ts";
import { formatTime, fromNow } from "./duration.ts";
import { columns } from "./output.ts";
import type { Output } from "./output.ts";

/** A certificate that was issued or renewed, and where it was written. */
export interface Issued extends NamedFiles {
  readonly certificate: Certificate;
}

interface ReportOptions {
  readonly output: Output;
  readonly json: boolean;
  readonly now: Date;
  readonly caFile: string;
  /** What else the JSON document holds. */
  readonly more?: object;
}

/** Says what was issued, in words or as JSON. */
export function reportIssued(
  issued: readonly Issued[],
  { output, json, now, caFile, more = {} }: ReportOptions,
): void {
  if (json) {
    output.json({ issued: issued.map((one) => issuedJson(one, caFile)), ...more });
    return;
  }
  for (const [index, { paths, certificate }] of issued.entries()) {
    const { dns, ip, uri, email } = certificate.subjectAltNames;
    const until = formatTime(certificate.notAfter);
    if (index > 0) output.line();
    const rows = columns([
      ["certificate", paths.certificate],
      ["key", paths.key],
      ["trust", paths.bundle ?? caFile],
      ["identity", identityOf(certificate) ?? "none: no single name says who it is"],
      ["names", [...dns, ...ip, ...uri, ...email].join(", ")],
      ["valid until", `${until} (${fromNow(certificate.notAfter, now)})`],
    ]);
    for (const row of rows) output.line(row);
  }
}

function issuedJson({ name, paths, certificate }: Issued, caFile: string): object {
  return {
    name,
    certificateFile: paths.certificate,
    keyFile: paths.key,
    caFile: paths.bundle ?? caFile,
    identity: identityOf(certificate) ?? null,
    serialNumber: certificate.serialNumber,
    fingerprint: certificate.fingerprint,
    notBefore: formatTime(certificate.notBefore),
    notAfter: formatTime(certificate.notAfter),
  };
}
