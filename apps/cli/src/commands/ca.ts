import type { Command } from "commander";
import type { Context } from "../context.ts";
import { caEabCommand } from "./ca/eab.ts";
import { caServeCommand } from "./ca/serve.ts";

/** `handfast ca`: the authority as a service. */
export function caCommand(program: Command, context: Context): void {
  const group = program.command("ca").description("run the authority as a service");
  caServeCommand(group, context);
  caEabCommand(group, context);
}
