import type { Command } from "commander";
import { readCertificates } from "../certificate-file.ts";
import { withCommonOptions } from "../common-options.ts";
import type { CommonOptions, Context } from "../context.ts";
import { certificateJson, certificateRows } from "../describe-certificate.ts";
import { columns } from "../output.ts";

/** `handfast inspect FILE`: what is in a certificate file, in words. */
export function inspectCommand(program: Command, context: Context): void {
  withCommonOptions(
    program
      .command("inspect <file>")
      .description("say what is in a certificate file")
      .action((file: string, options: CommonOptions) => inspect(file, { options, context })),
  );
}

async function inspect(
  file: string,
  { options, context }: { options: CommonOptions; context: Context },
): Promise<void> {
  const { output } = context;
  const certificates = await readCertificates(file);
  if (options.json === true) {
    output.json({ file, certificates: certificates.map(certificateJson) });
    return;
  }
  for (const [index, certificate] of certificates.entries()) {
    if (certificates.length > 1) output.line(`${index + 1} of ${certificates.length}`);
    for (const row of columns(certificateRows(certificate, context.now()))) output.line(row);
    if (index + 1 < certificates.length) output.line();
  }
}
