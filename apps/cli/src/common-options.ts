import { keyAlgorithms } from "@handfast/x509";
import { Option } from "commander";
import type { Command } from "commander";

/** Adds the options that every command has. */
export function withCommonOptions(command: Command): Command {
  return command
    .option("--json", "print one JSON document instead of text")
    .allowExcessArguments(false);
}

/** Adds the options of the commands that work on the authority. */
export function withHomeOptions(command: Command): Command {
  return withCommonOptions(command).option(
    "--home <dir>",
    "where the authority lives (default: $HANDFAST_HOME, else ~/.handfast)",
  );
}

/** Adds the option that opens encrypted keys. */
export function withPassphraseOption(command: Command): Command {
  return command.option(
    "--passphrase-file <file>",
    "the passphrase of the authority's keys (default: $HANDFAST_PASSPHRASE_FILE)",
  );
}

/** `--key-algorithm`, with what there is to choose from. */
export function keyAlgorithmOption(description: string): Option {
  return new Option("--key-algorithm <name>", description).choices(keyAlgorithms);
}

/** For options that may be given several times. */
export function collect(value: string, previous: readonly string[] = []): readonly string[] {
  return [...previous, value];
}
