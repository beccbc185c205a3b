import { Argument } from "commander";
import type { Command } from "commander";
import { completionScript, shells } from "../completion-script.ts";
import type { Shell } from "../completion-script.ts";
import type { Context } from "../context.ts";

/** `handfast completion SHELL`: a script that completes words of the command line. */
export function completionCommand(program: Command, { output }: Context): void {
  program
    .command("completion")
    .description("print a script that completes commands and options")
    .addArgument(new Argument("<shell>", "which shell").choices(shells))
    .addHelpText(
      "after",
      `
bash  source <(handfast completion bash)
zsh   source <(handfast completion zsh)
fish  handfast completion fish | source`,
    )
    .allowExcessArguments(false)
    .action((shell: Shell) => {
      for (const line of completionScript(program, shell)) output.line(line);
    });
}
