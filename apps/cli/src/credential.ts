import { join, resolve } from "node:path";
import { Option } from "commander";
import type { Command } from "commander";
import { CaError, credentialPaths, parseServiceName } from "@handfast/ca";
import type { CredentialLayout, CredentialPaths, ServiceName } from "@handfast/ca";
import { X509Error } from "@handfast/x509";
import { UsageError } from "./failure.ts";

/** Options that say where the files of a name are. */
export interface LayoutOptions {
  readonly layout: CredentialLayout;
  readonly out?: string;
}

/** A name and its files. */
export interface NamedFiles {
  readonly name: ServiceName;
  readonly paths: CredentialPaths;
}

/** Adds the options that say where the files of a name are. */
export function withLayoutOptions(command: Command): Command {
  return command
    .addOption(
      new Option("--layout <kind>", "tree: NAME/NAME.pem; flat: NAME.crt, NAME.key, ca.crt")
        .choices(["tree", "flat"])
        .default("tree"),
    )
    .option("--out <dir>", "where the files are (default: certs in the home)");
}

/** The names of a command line, each once, with where their files are. */
export function namedFiles(
  words: readonly string[],
  { home, options }: { home: string; options: LayoutOptions },
): readonly NamedFiles[] {
  const { layout } = options;
  const twice = words.find((word, index) => words.indexOf(word) !== index);
  if (twice !== undefined) throw new UsageError(`${twice} is named twice`, "name each once");
  const directory = folderOf(home, options);
  return words.map((word) => {
    const name = asUsage(() => parseServiceName(word));
    return { name, paths: credentialPaths(name, { directory, layout }) };
  });
}

/** The folder that the files are in. */
export function folderOf(home: string, { out }: LayoutOptions): string {
  return out === undefined ? join(home, "certs") : resolve(out);
}

/** What is wrong with the words of the command line is wrong use of the command. */
export function asUsage<Value>(read: () => Value): Value {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof CaError) && !(error instanceof X509Error)) throw error;
    throw new UsageError(error.message, error.hint);
  }
}
