import type { Command } from "commander";
import type { Context } from "../context.ts";
import { policyCheckCommand } from "./policy/check.ts";
import { policyDecideCommand } from "./policy/decide.ts";
import { policyTestCommand } from "./policy/test.ts";

/** `handfast policy`: is a policy valid; who may call what. */
export function policyCommand(program: Command, context: Context): void {
  const group = program.command("policy").description("is a policy valid; who may call what");
  policyCheckCommand(group, context);
  policyTestCommand(group, context);
  policyDecideCommand(group, context);
}
