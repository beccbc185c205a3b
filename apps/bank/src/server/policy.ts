import { readFile } from "node:fs/promises";
import { compilePolicy, parsePolicy } from "@handfast/policy";
import type { CompiledPolicy } from "@handfast/policy";
import { BankError } from "../errors.ts";

/**
 * Who may call what: the document in POLICY_FILE, or without one the built-in policy, by which whoever
 * is admitted uses BankService on their own accounts, and nobody acts for others.
 *
 * @throws BankError CONFIG_INVALID if the file cannot be read; PolicyError POLICY_INVALID
 */
export async function loadPolicy(file: string | undefined): Promise<CompiledPolicy> {
  if (file === undefined) return compilePolicy(parsePolicy(JSON.stringify(builtInPolicy)));
  return compilePolicy(parsePolicy(await readPolicy(file)));
}

async function readPolicy(file: string): Promise<Uint8Array> {
  try {
    return await readFile(file);
  } catch (cause) {
    const says = cause instanceof Error ? cause.message : String(cause);
    throw new BankError("CONFIG_INVALID", `POLICY_FILE cannot be read: ${says}`, { cause });
  }
}

const builtInPolicy = {
  name: "built-in",
  allow_rules: [
    {
      name: "whoever is admitted uses their own accounts",
      request: { paths: ["/grpc.health.v1.Health/*", "/bank.v1.BankService/*"] },
    },
  ],
};
