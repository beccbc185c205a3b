import { escapeJson, escapeText } from "./escape.ts";

/** The two streams of a command; nothing reaches them but through here, escaped (S64). */
export interface Output {
  /** One line of data on stdout. */
  line(text?: string): void;
  /** The whole result as one JSON document on stdout. */
  json(value: unknown): void;
  /** One of many results, as one line of JSON on stdout. */
  jsonLine(value: unknown): void;
  /** One line on stderr: what a person should know and a program need not. */
  note(text: string): void;
  /** What goes on, in one line on stderr that the next takes the place of; shown to a terminal alone. */
  progress(text: string): void;
}

/** An output on two streams. */
export function createOutput(streams: {
  readonly stdout: NodeJS.WritableStream;
  readonly stderr: NodeJS.WritableStream & { readonly isTTY?: boolean };
}): Output {
  let shown = 0;
  const clear = (): void => {
    if (shown > 0) streams.stderr.write(`\r${" ".repeat(shown)}\r`);
    shown = 0;
  };
  return {
    line(text = ""): void {
      clear();
      streams.stdout.write(`${escapeText(text)}\n`);
    },
    json(value): void {
      clear();
      streams.stdout.write(`${escapeJson(value, { lines: true })}\n`);
    },
    jsonLine(value): void {
      clear();
      streams.stdout.write(`${escapeJson(value, { lines: false })}\n`);
    },
    note(text): void {
      clear();
      streams.stderr.write(`${escapeText(text)}\n`);
    },
    progress(text): void {
      if (streams.stderr.isTTY !== true) return;
      clear();
      const words = escapeText(text);
      streams.stderr.write(words);
      shown = words.length;
    },
  };
}

/** Lines of `name  value`, the values in one column. */
export function columns(rows: readonly (readonly [string, string])[]): string[] {
  const width = Math.max(...rows.map(([name]) => name.length));
  return rows.map(([name, value]) => `${name.padEnd(width)}  ${value}`.trimEnd());
}
