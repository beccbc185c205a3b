import { resolve } from "node:path";
import { authorityHome, readPassphraseFile } from "@handfast/ca";
import { readBounded, writeFileAtomic } from "@handfast/files";
import { encodePkcs12, identityOf, parsePrivateKey } from "@handfast/x509";
import type { Command } from "commander";
import { readCertificates } from "../certificate-file.ts";
import { withHomeOptions } from "../common-options.ts";
import { homeOf } from "../context.ts";
import type { CommonOptions, Context } from "../context.ts";
import { namedFiles, withLayoutOptions } from "../credential.ts";
import type { LayoutOptions } from "../credential.ts";
import { formatTime } from "../duration.ts";
import { UsageError } from "../failure.ts";
import { askForNewPassphrase } from "../passphrase.ts";

interface ExportOptions extends CommonOptions, LayoutOptions {
  readonly p12?: true;
  readonly file?: string;
  readonly passphraseFile?: string;
  readonly force?: true;
}

/** `handfast export NAME --p12`: certificate and key in one file, for browsers and Java. */
export function exportCommand(program: Command, context: Context): void {
  const command = program
    .command("export <name>")
    .description("put certificate, key and CA into one PKCS #12 file, for browsers and Java")
    .option("--p12", "as PKCS #12 (there is no other form yet, and it must be named)")
    .option("--file <file>", "where it goes (default: beside the certificate, as .p12)")
    .option("--passphrase-file <file>", "the passphrase of the new file (default: asked for)")
    .option("--force", "replace the file if it is there")
    .action((name: string, options: ExportOptions) => exportOne(name, { options, context }));
  withHomeOptions(withLayoutOptions(command));
}

async function exportOne(
  word: string,
  { options, context }: { options: ExportOptions; context: Context },
): Promise<void> {
  if (options.p12 !== true) throw new UsageError("no form was named", "add --p12");
  const { output } = context;
  const home = homeOf(context, options);
  const [files] = namedFiles([word], { home, options });
  if (files === undefined) throw new TypeError("one word gives one name");
  const { name, paths } = files;
  const [certificate, ...issuers] = await readCertificates(paths.certificate);
  const roots = await readCertificates(paths.bundle ?? authorityHome(home).bundle);
  const privateKey = parsePrivateKey(await readBounded(paths.key, { maxBytes: 64 * 1_024 }));
  const passphrase =
    options.passphraseFile === undefined
      ? await askForNewPassphrase(context, "the new file")
      : await readPassphraseFile(options.passphraseFile);
  const file = resolve(options.file ?? paths.certificate.replace(/\.(?:pem|crt)$/, ".p12"));
  const bytes = encodePkcs12({
    privateKey,
    certificate,
    issuers: [...issuers, ...roots],
    passphrase,
    friendlyName: name,
  });
  await writeFileAtomic(file, bytes, { mode: 0o600, overwrite: options.force === true });
  if (options.json === true) {
    output.json({
      name,
      file,
      identity: identityOf(certificate) ?? null,
      expires: formatTime(certificate.notAfter),
    });
    return;
  }
  output.line(`${file}: certificate and key of ${name}, and the CA`);
  output.line(
    `valid until ${formatTime(certificate.notAfter)}; a renewed certificate is exported again`,
  );
  output.note(
    "note: browsers import it in their certificate settings; Java reads it as a key store of type PKCS12",
  );
}
