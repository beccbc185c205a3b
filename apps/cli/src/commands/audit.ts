import type { Command } from "commander";
import type { Context } from "../context.ts";
import { auditKeyCommand } from "./audit/key.ts";
import { auditVerifyCommand } from "./audit/verify.ts";

/** `handfast audit`: the tamper-evident record. */
export function auditCommand(program: Command, context: Context): void {
  const group = program.command("audit").description("check the tamper-evident record");
  auditVerifyCommand(group, context);
  auditKeyCommand(group, context);
}
