import { UsageError } from "./failure.ts";

/** Somebody who can be asked. */
export interface Terminal {
  /** One line typed without being shown. @throws UsageError if nothing is typed (Ctrl-C, Ctrl-D) */
  askSecret(question: string): Promise<string>;
}

/** The terminal of the process; undefined if its input is none. Prompts go to stderr. */
export function terminalOf({ stdin, stderr }: NodeJS.Process): Terminal | undefined {
  if (!stdin.isTTY) return undefined;
  return {
    async askSecret(question): Promise<string> {
      stderr.write(question);
      stdin.setRawMode(true);
      stdin.setEncoding("utf8");
      try {
        return await readLine(stdin.iterator({ destroyOnReturn: false }));
      } finally {
        stdin.setRawMode(false);
        stdin.pause();
        stderr.write("\n");
      }
    },
  };
}

async function readLine(chunks: AsyncIterable<string>): Promise<string> {
  const typed: string[] = [];
  for await (const chunk of chunks) {
    for (const character of chunk) {
      if (character === "\r" || character === "\n") return typed.join("");
      if (character === "\u0003" || character === "\u0004") throw nothingTyped();
      if (character === "\u007f" || character === "\b") typed.pop();
      else typed.push(character);
    }
  }
  throw nothingTyped();
}

function nothingTyped(): UsageError {
  return new UsageError("no passphrase was typed", "give it with --passphrase-file");
}
