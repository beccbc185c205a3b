import type { Command } from "commander";
import type { Context } from "../../context.ts";
import { eabCreateCommand } from "./eab/create.ts";
import { eabListCommand } from "./eab/list.ts";
import { eabWithdrawCommand } from "./eab/withdraw.ts";

/** `handfast ca eab`: who may make an ACME account, and for which names. */
export function caEabCommand(group: Command, context: Context): void {
  const eab = group.command("eab").description("external account keys, for ACME clients");
  eabCreateCommand(eab, context);
  eabListCommand(eab, context);
  eabWithdrawCommand(eab, context);
}
