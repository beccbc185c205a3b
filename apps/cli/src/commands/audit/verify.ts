import { readBounded } from "@handfast/files";
import { parseAuditHead, parseAuditPublicKey, verifyAuditChain } from "@handfast/policy";
import type { AuditVerification } from "@handfast/policy";
import type { Command } from "commander";
import { withCommonOptions } from "../../common-options.ts";
import type { CommonOptions, Context } from "../../context.ts";
import { AnsweredNo } from "../../failure.ts";

interface VerifyOptions extends CommonOptions {
  readonly key: string;
  readonly head?: string;
}

/** `handfast audit verify FILE`: replays a log and names the first record that is false. */
export function auditVerifyCommand(group: Command, context: Context): void {
  withCommonOptions(
    group
      .command("verify <file>")
      .description("replay an audit log and name the first record that is not as it was written")
      .requiredOption("--key <file>", "the log's public key, kept outside of it (`audit key`)")
      .option("--head <file>", "a checkpoint kept elsewhere: without one a cut end is not seen")
      .action((file: string, options: VerifyOptions) => verify(file, { options, context })),
  );
}

async function verify(
  file: string,
  { options, context: { output } }: { options: VerifyOptions; context: Context },
): Promise<void> {
  const publicKey = parseAuditPublicKey(await readBounded(options.key, small));
  const head =
    options.head === undefined ? undefined : parseAuditHead(await readBounded(options.head, small));
  const found = await verifyAuditChain(file, {
    publicKey,
    ...(head === undefined ? {} : { head }),
  });
  if (options.json === true) output.json(found);
  else report(found, { file, output });
  if (found.problem !== undefined) {
    output.note(`error: ${found.problem.message}`);
    output.note("hint: keep the files as they are, and compare them with a backup and with heads");
  }
  if (!found.ok) throw new AnsweredNo();
}

function report(
  found: AuditVerification,
  { file, output }: { file: string } & Pick<Context, "output">,
): void {
  const { records, files, unproven, closed, restarts, headCompared, ok } = found;
  const where = files.length === 1 ? "" : ` in ${files.length} files`;
  output.line(
    `${file}: ${records} records${where} ${ok ? "are as they were written" : "until the first that is false"}`,
  );
  if (unproven > 0) output.line(`${unproven} records after the last signature are unproven`);
  for (const { seq, droppedBytes } of restarts) {
    output.line(
      `restarted at record ${seq} after an end out of order, ${droppedBytes} bytes dropped`,
    );
  }
  if (ok && !closed) output.line("the log is in use, or its writer died");
  if (!headCompared)
    output.note("note: a cut end can only be seen against a head kept elsewhere (--head)");
}

const small = { maxBytes: 64 * 1_024 };
