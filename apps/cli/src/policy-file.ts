import { readBounded } from "@handfast/files";
import { compilePolicy, parsePolicy, PolicyError } from "@handfast/policy";
import type { CompiledPolicy } from "@handfast/policy";
import { Option } from "commander";
import type { Command } from "commander";
import { collect } from "./common-options.ts";

/** How a policy document is to be read. */
export interface PolicyOptions {
  readonly compatibility: "handfast" | "a43";
  readonly trustDomain?: readonly string[];
}

/** Adds the options that say how a policy document is to be read. */
export function withPolicyOptions(command: Command): Command {
  return command
    .addOption(
      new Option("--compatibility <form>", "a43 allows patterns that handfast finds dangerous")
        .choices(["handfast", "a43"])
        .default("handfast"),
    )
    .option("--trust-domain <name>", "a trust domain that is trusted; repeatable", collect);
}

/**
 * Reads and compiles a policy document.
 *
 * @throws FilesError; PolicyError POLICY_INVALID, its message beginning with the file and the place
 */
export async function readPolicy(
  file: string,
  { compatibility, trustDomain }: PolicyOptions,
): Promise<CompiledPolicy> {
  const bytes = await readBounded(file, { maxBytes: maxPolicyBytes });
  return inFile(file, () =>
    compilePolicy(
      parsePolicy(bytes, {
        compatibility,
        ...(trustDomain === undefined ? {} : { trustDomains: trustDomain }),
      }),
      // A policy that is looked at and not in force writes no audit.
      { auditLoggers: "none" },
    ),
  );
}

/** Puts the name of the file before what is wrong in it. */
export function inFile<Value>(file: string, read: () => Value): Value {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof PolicyError)) throw error;
    throw new PolicyError(error.code, `${file}: ${error.message}`, { cause: error });
  }
}

const maxPolicyBytes = 4 * 1_024 * 1_024;
