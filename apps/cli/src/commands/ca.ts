import type { Command } from "commander";
import type { Context } from "../context.ts";
import { caBundleCommand } from "./ca/bundle.ts";
import { caEabCommand } from "./ca/eab.ts";
import { caPruneCommand } from "./ca/prune.ts";
import { caRotateCommand } from "./ca/rotate.ts";
import { caServeCommand } from "./ca/serve.ts";

/** `handfast ca`: the authority itself: as a service, its keys, its records. */
export function caCommand(program: Command, context: Context): void {
  const group = program
    .command("ca")
    .description("run the authority as a service, rotate its keys");
  caServeCommand(group, context);
  caEabCommand(group, context);
  caRotateCommand(group, context);
  caBundleCommand(group, context);
  caPruneCommand(group, context);
}
