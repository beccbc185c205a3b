import { readPassphraseFile } from "@handfast/ca";
import type { Context } from "./context.ts";
import { UsageError } from "./failure.ts";

/** Options by which a command may be given the passphrase of the authority's keys. */
export interface PassphraseOptions {
  readonly passphraseFile?: string;
}

/**
 * The passphrase from `--passphrase-file` or HANDFAST_PASSPHRASE_FILE; undefined if neither is
 * given. The variable is removed from the environment, so that no child process inherits it (S53).
 *
 * @throws CaError PASSPHRASE_REFUSED
 */
export async function passphraseFromFile(
  { env }: Pick<Context, "env">,
  { passphraseFile }: PassphraseOptions,
): Promise<string | undefined> {
  const fromEnv = env["HANDFAST_PASSPHRASE_FILE"];
  delete env["HANDFAST_PASSPHRASE_FILE"];
  const path = passphraseFile ?? fromEnv;
  if (path === undefined) return undefined;
  if (path === "") {
    throw new UsageError(
      passphraseFile === undefined
        ? "HANDFAST_PASSPHRASE_FILE is set but empty"
        : "--passphrase-file is empty",
      "name the file that holds the passphrase",
    );
  }
  return readPassphraseFile(path);
}

/** For keys that may be encrypted: asked only if one is. From a file, else from the terminal. */
export function passphraseForOpening(
  context: Context,
  options: PassphraseOptions,
): () => Promise<string | undefined> {
  const fromFile = passphraseFromFile(context, options);
  fromFile.catch(() => {}); // a key that is not encrypted needs none
  return async () => {
    const given = await fromFile;
    if (given !== undefined) return given;
    return context.terminal?.askSecret("passphrase of the authority's keys: ");
  };
}

/** A new passphrase, typed twice; `of` says what for. */
export async function askForNewPassphrase({ terminal }: Context, of: string): Promise<string> {
  if (terminal === undefined) {
    throw new UsageError(
      "there is no terminal to ask for a passphrase on",
      "give the passphrase with --passphrase-file",
    );
  }
  const passphrase = await terminal.askSecret(`new passphrase of ${of}: `);
  const again = await terminal.askSecret("the same again: ");
  if (passphrase === "") {
    throw new UsageError("the passphrase is empty", "type at least one character");
  }
  if (passphrase === again) return passphrase;
  throw new UsageError("the two passphrases differ", "type the same twice");
}
