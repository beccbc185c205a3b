import { existsSync } from "node:fs";
import type { Certificate, CertificateRequest, Crl } from "@handfast/x509";
import type { Command } from "commander";
import { withCommonOptions } from "../common-options.ts";
import type { CommonOptions, Context } from "../context.ts";
import { certificateJson, certificateRows } from "../describe-certificate.ts";
import { crlJson, crlRows } from "../describe-crl.ts";
import { requestJson, requestRows } from "../describe-request.ts";
import { readInspected } from "../inspected-file.ts";
import { sayFindings } from "../doctor-report.ts";
import { AnsweredNo } from "../failure.ts";
import { columns } from "../output.ts";
import { isTarget, parseTarget } from "../target.ts";

/** `handfast inspect FILE`, `inspect HOST:PORT`: what is in a file, or what a server presents, in words. */
export function inspectCommand(program: Command, context: Context): void {
  withCommonOptions(
    program
      .command("inspect <file>")
      .description(
        "say what is in a file (certificates, a revocation list, a request), or what the server at HOST:PORT presents",
      )
      .action((file: string, options: CommonOptions) => inspect(file, { options, context })),
  );
}

async function inspect(
  file: string,
  { options, context }: { options: CommonOptions; context: Context },
): Promise<void> {
  if (isTarget(file) && !existsSync(file)) return inspectServer(file, { options, context });
  const inspected = await readInspected(file);
  const json = options.json === true;
  switch (inspected.kind) {
    case "certificates":
      return showCertificates(inspected.certificates, { file, json, context });
    case "crl":
      return showCrl(inspected.crl, { file, json, context });
    case "request":
      return showRequest(inspected.request, { file, json, context });
  }
}

/** Loaded for a server alone: a file needs nothing of the TLS runtime. */
async function inspectServer(
  word: string,
  { options, context }: { options: CommonOptions; context: Context },
): Promise<void> {
  const { readPresentedChain } = await import("@handfast/tls/doctor");
  const { sent, findings } = await readPresentedChain(parseTarget(word));
  if (sent.length === 0) {
    const json = options.json === true;
    if (json) context.output.json({ ok: false, findings });
    else sayFindings(findings, context.output);
    throw new AnsweredNo();
  }
  context.output.note("note: as it was sent; nothing of it is verified (`handfast doctor` does)");
  showCertificates(sent, { file: word, json: options.json === true, context });
}

interface Showing {
  readonly file: string;
  readonly json: boolean;
  readonly context: Context;
}

function showCertificates(
  certificates: readonly Certificate[],
  { file, json, context }: Showing,
): void {
  const { output } = context;
  if (json) {
    output.json({ file, certificates: certificates.map(certificateJson) });
    return;
  }
  for (const [index, certificate] of certificates.entries()) {
    if (index > 0) output.line();
    if (certificates.length > 1) output.line(`${index + 1} of ${certificates.length}`);
    for (const row of columns(certificateRows(certificate, context.now()))) output.line(row);
  }
}

function showCrl(crl: Crl, { file, json, context: { output, now } }: Showing): void {
  if (json) output.json({ file, crl: crlJson(crl) });
  else for (const row of columns(crlRows(crl, now()))) output.line(row);
}

function showRequest(request: CertificateRequest, { file, json, context }: Showing): void {
  if (json) context.output.json({ file, request: requestJson(request) });
  else for (const row of columns(requestRows(request))) context.output.line(row);
}
