import { styleText } from "node:util";
import { printable } from "../printable.ts";

/** Tells the story of the demo: in colour on a terminal, plain in a pipe. */
export interface Narrator {
  /** Begins the next step. */
  step(title: string): void;
  /** What happens now, in words. */
  say(text: string): void;
  /** A line that a program wrote or that somebody would type. */
  show(text: string): void;
  /** Something that had to be true and was. */
  proven(text: string): void;
  /** The last line. */
  end(text: string): void;
}

/** A narrator that writes to standard output. */
export function createNarrator(out: NodeJS.WriteStream = process.stdout): Narrator {
  const style = (format: Parameters<typeof styleText>[0], text: string): string =>
    styleText(format, text, { stream: out });
  let steps = 0;
  const line = (text: string): void => void out.write(`${text}\n`);
  return {
    step(title) {
      steps += 1;
      line(`\n${style("bold", `${steps}. ${title}`)}`);
    },
    say(text) {
      line(`   ${text}`);
    },
    show(text) {
      for (const shown of text.trimEnd().split("\n")) {
        line(style("dim", `   │ ${printable(shown)}`.trimEnd()));
      }
    },
    proven(text) {
      line(`   ${style("green", "✔")} ${text}`);
    },
    end(text) {
      line(`\n${style("bold", text)}`);
    },
  };
}
